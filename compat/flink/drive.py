"""A Flink job that is killed and restored. drive.py WORK KILLS"""

import os
import pathlib
import random
import sys
import time

from broker import Server
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import NewPartitions
from jvm import Cluster, Jvm
from steps import done, equal, step, within

WORK, KILLS = pathlib.Path(sys.argv[1]), int(sys.argv[2])
CHECKPOINTS = WORK / "checkpoints"
CHECKPOINTS.mkdir()
server = Server(WORK / "broker")
server.start()
os.environ["KAFKA"] = server.kafka
cluster = Cluster(server.kafka)
PACKAGES = ("java.lang", "java.util", "java.net", "java.io", "java.time", "java.util.concurrent", "sun.nio.ch")
OPEN = [word for name in PACKAGES for word in ("--add-opens", f"java.base/{name}=ALL-UNNAMED")]
job, sent = None, []


def start():
    """From the newest checkpoint that is complete, if there is one."""
    global job
    done_ones = sorted(CHECKPOINTS.glob("*/chk-*/_metadata"), key=lambda path: path.stat().st_mtime)
    restore = [done_ones[-1].parent] if done_ones else []
    job = Jvm(os.environ["CLASS_PATH"], WORK / "job.log", "App", "in", "out", CHECKPOINTS, *restore, heap="512m", options=OPEN)
    job.start()


def send(count):
    more = [f"{n}" for n in range(len(sent), len(sent) + count)]
    cluster.produce("in", [(None, value) for value in more])
    sent.extend(more)


def out():
    return [value.decode() for _, _, value, _ in cluster.read("out", limit_s=60)]


def exact(limit_s, what):
    want = sorted(f"out {value}" for value in sent)

    def all_there():
        assert job.alive(), "the job ended; see job.log"
        return len(out()) >= len(want)

    within(limit_s, all_there, what)
    time.sleep(2)
    found = sorted(out())
    assert found == want, f"{len(found)} records for {len(want)}, {len(found) - len(set(found))} twice"


def source_and_sink():
    cluster.create("in", "out", partitions=2)
    send(1000)
    start()
    exact(120, "1000 records through the job")


def offsets_are_committed_with_checkpoints():
    def committed():
        ask = [ConsumerGroupTopicPartitions("flink")]
        return sum(part.offset for part in cluster.admin.list_consumer_group_offsets(ask)["flink"].result(30).topic_partitions)

    within(30, lambda: committed() == len(sent), f"{len(sent)} records committed in the group")


def new_partitions_are_found():
    cluster.admin.create_partitions([NewPartitions("in", 4)])["in"].result(30)
    send(500)
    exact(90, "records of the new partitions")


def failure_inside():
    send(200)
    cluster.produce("in", [(None, "fail")])
    sent.append("fail")
    send(200)
    exact(120, "records after the failure")


def killed():
    chance = random.Random(KILLS)

    def grow(seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            send(40)
            time.sleep(0.1)

    for kill in range(KILLS):
        grow(2 + chance.random() * 2)
        if kill % 2 == 0:
            job.kill9()
            start()
            grow(6)
        else:
            server.kill9()
            server.start()
    grow(2)
    exact(240, f"records after {KILLS} kills")
    raw = len(cluster.read("out", "read_uncommitted"))
    print(f"{len(sent)} records, {raw - len(sent)} more of aborted transactions", flush=True)


try:
    for run in (source_and_sink, offsets_are_committed_with_checkpoints, new_partitions_are_found, failure_inside, killed):
        step(run.__name__, run)
finally:
    if job:
        job.kill9()
    server.stop()
done()
