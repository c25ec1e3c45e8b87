"""Workers of Kafka Connect on one broker. drive.py WORK KILLS"""

import pathlib
import random
import sys
import time

from broker import Server, free_ports
from jvm import Cluster, Jvm, Rest, jars, settings
from steps import done, equal, step, within

WORK, KILLS = pathlib.Path(sys.argv[1]), int(sys.argv[2])
CONNECT = "org.apache.kafka.connect"
server = Server(WORK / "broker")
server.start()
cluster = Cluster(server.kafka)


class Worker:
    def __init__(self, name, group="connect", **more):
        (self.port,) = free_ports(1) if name == "one" else [free_ports(2)[1]]
        self.rest = Rest(self.port)
        values = {
            "bootstrap.servers": server.kafka,
            "group.id": group,
            "key.converter": f"{CONNECT}.storage.StringConverter",
            "value.converter": f"{CONNECT}.storage.StringConverter",
            "config.storage.topic": f"{group}-configs",
            "offset.storage.topic": f"{group}-offsets",
            "status.storage.topic": f"{group}-status",
            "config.storage.replication.factor": 1,
            "offset.storage.replication.factor": 1,
            "status.storage.replication.factor": 1,
            "exactly.once.source.support": "enabled",
            "offset.flush.interval.ms": 500,
            "session.timeout.ms": 10000,
            "heartbeat.interval.ms": 1000,
            "scheduled.rebalance.max.delay.ms": 0,
            "plugin.discovery": "service_load",
            "listeners": f"http://127.0.0.1:{self.port}",
            **more,
        }
        path = settings(WORK / f"{name}.properties", values)
        log = WORK / f"{name}.log"
        self.jvm = Jvm(jars("connect-4"), log, f"{CONNECT}.cli.ConnectDistributed", path, heap="384m")

    def start(self):
        self.jvm.start()
        return self

    def ready(self):
        def up():
            assert self.jvm.alive(), f"the worker ended; see {self.jvm.log}"
            return self.rest.up()

        within(90, up, "the worker's REST interface")


def source(file, topic, **more):
    return {
        "connector.class": f"{CONNECT}.file.FileStreamSourceConnector",
        "tasks.max": "1",
        "file": str(file),
        "topic": topic,
        # What the connector has read beyond a full batch it keeps until the file grows again: so no batch is ever full.
        "batch.size": "1000000",
        "topic.creation.default.replication.factor": "1",
        "topic.creation.default.partitions": "1",
        **more,
    }


def sink(file, topics, **more):
    return {
        "connector.class": f"{CONNECT}.file.FileStreamSinkConnector",
        "tasks.max": "1",
        "file": str(file),
        "topics": topics,
        "consumer.override.auto.offset.reset": "earliest",
        **more,
    }


def running(rest, name, tasks=1):
    return lambda: rest.states(name) == ["RUNNING"] * (1 + tasks)


def values(topic):
    return [value.decode() for _, _, value, _ in cluster.read(topic)]


one = Worker("one")


def topics_of_the_worker():
    one.start().ready()
    found = cluster.topics()
    equal({name: found.get(f"connect-{name}") for name in ("configs", "offsets", "status")},
          {"configs": 1, "offsets": 25, "status": 5}, "partitions")
    for name in ("configs", "offsets", "status"):
        equal(cluster.config(f"connect-{name}")["cleanup.policy"], "compact", f"cleanup.policy of {name}")


def refuses_topics_that_are_not_compacted():
    cluster.create("wrong-configs", config={"cleanup.policy": "delete"})
    wrong = Worker("wrong", "wrong").start()
    try:
        assert wrong.jvm.wait(90) != 0, "the worker ended well"
        assert wrong.jvm.said("required to have 'cleanup.policy=compact'"), "for another reason"
    finally:
        wrong.jvm.kill9()


def plugins():
    classes = {plugin["class"].rpartition(".")[2] for plugin in one.rest.call("GET", "/connector-plugins")}
    assert {"FileStreamSourceConnector", "FileStreamSinkConnector"} <= classes, classes


lines = [f"line {n}" for n in range(1000)]


def file_source():
    (WORK / "in").write_text("".join(line + "\n" for line in lines))
    one.rest.eventually(60, "PUT", "/connectors/source/config", source(WORK / "in", "lines", **{"topic.creation.default.partitions": "3"}))
    within(60, running(one.rest, "source"), "the source runs")
    within(60, lambda: "lines" in cluster.topics() and len(values("lines")) == len(lines), "all lines in the topic")
    equal(cluster.topics()["lines"], 3, "partitions of the topic that Connect made")
    equal(sorted(values("lines")), sorted(lines), "lines")


def file_sink():
    one.rest.eventually(60, "PUT", "/connectors/sink/config", sink(WORK / "out", "lines"))
    within(60, lambda: (WORK / "out").exists() and len((WORK / "out").read_text().splitlines()) == len(lines), "all lines in the file")
    equal(sorted((WORK / "out").read_text().splitlines()), sorted(lines), "lines")


def offsets_of_a_source():
    found = one.rest.call("GET", "/connectors/source/offsets")["offsets"]
    size = (WORK / "in").stat().st_size
    equal([entry["offset"] for entry in found], [{"position": size}], "the offset is the end of the file")
    # Moved back to the middle, the second half comes again; forgotten, everything comes again.
    one.rest.call("PUT", "/connectors/source/stop")
    within(30, lambda: one.rest.states("source") == ["STOPPED"], "stopped")
    half = sum(len(line) + 1 for line in lines[:500])
    one.rest.eventually(60, "PATCH", "/connectors/source/offsets",
                        {"offsets": [{"partition": {"filename": str(WORK / "in")}, "offset": {"position": half}}]})
    one.rest.call("PUT", "/connectors/source/resume")
    within(60, lambda: len(values("lines")) == 1500, "half of the lines again")
    one.rest.call("PUT", "/connectors/source/stop")
    within(30, lambda: one.rest.states("source") == ["STOPPED"], "stopped")
    one.rest.eventually(60, "DELETE", "/connectors/source/offsets")
    equal(one.rest.call("GET", "/connectors/source/offsets")["offsets"], [], "offsets after the reset")
    one.rest.call("PUT", "/connectors/source/resume")
    within(60, lambda: len(values("lines")) == 2500, "all lines again")


def offsets_of_a_sink():
    within(60, lambda: len((WORK / "out").read_text().splitlines()) == 2500, "the sink has followed")
    def committed():
        found = one.rest.call("GET", "/connectors/sink/offsets")["offsets"]
        return sum(entry["offset"]["kafka_offset"] for entry in found)
    within(30, lambda: committed() >= 2500, "offsets of the group")
    one.rest.call("PUT", "/connectors/sink/stop")
    within(30, lambda: one.rest.states("sink") == ["STOPPED"], "stopped")
    target = {"offsets": [{"partition": {"kafka_topic": "lines", "kafka_partition": 0}, "offset": {"kafka_offset": 0}}]}
    one.rest.eventually(60, "PATCH", "/connectors/sink/offsets", target)
    found = {entry["partition"]["kafka_partition"]: entry["offset"]["kafka_offset"]
             for entry in one.rest.call("GET", "/connectors/sink/offsets")["offsets"]}
    equal(found[0], 0, "moved back")
    one.rest.eventually(60, "PATCH", "/connectors/sink/offsets",
                        {"offsets": [{"partition": {"kafka_topic": "lines", "kafka_partition": 0}, "offset": None}]})
    one.rest.eventually(60, "DELETE", "/connectors/sink/offsets")
    equal(one.rest.call("GET", "/connectors/sink/offsets")["offsets"], [], "offsets after the reset")
    one.rest.call("DELETE", "/connectors/sink")
    one.rest.eventually(30, "DELETE", "/connectors/source")


def dead_letter_queue():
    """Records that do not convert go to the queue, with the reason in their headers; the others reach the file."""
    cluster.create("mixed")
    cluster.produce("mixed", [(None, f'"good {n}"' if n % 3 else "{bad") for n in range(30)])
    config = sink(WORK / "good", "mixed", **{
        "value.converter": f"{CONNECT}.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": "dead",
        "errors.deadletterqueue.topic.replication.factor": "1",
        "errors.deadletterqueue.context.headers.enable": "true",
    })
    one.rest.eventually(60, "PUT", "/connectors/letters/config", config)
    within(60, lambda: (WORK / "good").exists() and len((WORK / "good").read_text().splitlines()) == 20, "good records")
    within(60, lambda: "dead" in cluster.topics() and len(cluster.read("dead")) == 10, "bad records")
    headers = dict(cluster.read("dead")[0][3])
    equal(headers["__connect.errors.topic"], b"mixed", "the topic it came from")
    one.rest.eventually(30, "DELETE", "/connectors/letters")


def second_worker():
    """Two workers share two connectors; one is killed, the other has both."""
    two = Worker("two")
    two.start()
    try:
        two.ready()
        for name in ("left", "right"):
            (WORK / name).write_text("first\n")
            two.rest.eventually(60, "PUT", f"/connectors/{name}/config", source(WORK / name, name))
        def places():
            found = set()
            for name in ("left", "right"):
                status = two.rest.call("GET", f"/connectors/{name}/status")
                if [task["state"] for task in status["tasks"]] != ["RUNNING"]:
                    return set()
                found |= {status["connector"]["worker_id"], status["tasks"][0]["worker_id"]}
            return found
        within(60, lambda: len(places()) == 2, "both workers have something")
        two.jvm.kill9()
        for name in ("left", "right"):
            with open(WORK / name, "a") as file:
                file.write("second\n")
        within(90, lambda: all(values(name) == ["first", "second"] for name in ("left", "right")), "the other has taken over")
    finally:
        two.jvm.kill9()
    for name in ("left", "right"):
        one.rest.eventually(60, "DELETE", f"/connectors/{name}")


def exactly_once_source():
    """A file grows while worker and broker are killed in turn: each line is in the topic once, in order."""
    chance, file, want = random.Random(KILLS), WORK / "growing", []
    file.write_text("")
    config = source(file, "exact", **{"exactly.once.support": "required", "transaction.boundary": "interval",
                                      "transaction.boundary.interval.ms": "800"})
    one.rest.eventually(60, "PUT", "/connectors/exact/config", config)
    within(60, running(one.rest, "exact"), "the source runs")

    def grow(seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            more = [f"exact {n}" for n in range(len(want), len(want) + 20)]
            want.extend(more)
            with open(file, "a") as out:
                out.write("".join(line + "\n" for line in more))
            time.sleep(0.05)

    grow(3)
    for kill in range(KILLS):
        if kill % 2 == 0:
            one.jvm.kill9()
            one.start()
            grow(1 + chance.random() * 2)
            one.ready()
            within(90, running(one.rest, "exact"), f"the source runs after kill {kill}")
        else:
            server.kill9()
            server.start()
        grow(1 + chance.random() * 3)
    limit = time.monotonic() + 120
    while len(found := values("exact")) < len(want) and time.monotonic() < limit:
        time.sleep(0.5)
    raw = len(cluster.read("exact", "read_uncommitted"))
    print(f"{len(want)} lines, {KILLS} kills, {raw - len(found)} records of aborted transactions", flush=True)
    twice = len(found) - len(set(found))
    assert found == want, f"{len(found)} of {len(want)} lines, {twice} twice, in order: {found == sorted(found, key=lambda l: int(l[6:]))}"
    equal(one.rest.call("GET", "/connectors/exact/offsets")["offsets"][0]["offset"]["position"], file.stat().st_size, "offset")


def fences_older_tasks():
    """A new configuration fences the producers of the old one (fenceProducers): nothing is lost or twice."""
    before = values("exact")
    one.rest.call("PUT", "/connectors/exact/config",
                  source(WORK / "growing", "exact", **{"exactly.once.support": "required", "transaction.boundary": "poll"}))
    with open(WORK / "growing", "a") as out:
        out.write("after\n")
    within(60, lambda: len(values("exact")) > len(before), "the line after")
    equal(values("exact"), [*before, "after"], "lines")


try:
    for run in (topics_of_the_worker, refuses_topics_that_are_not_compacted, plugins, file_source, file_sink, offsets_of_a_source,
                offsets_of_a_sink, dead_letter_queue, exactly_once_source, fences_older_tasks, second_worker):
        step(run.__name__, run)
finally:
    one.jvm.stop()
    server.stop()
done()
