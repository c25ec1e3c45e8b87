"""Carries Debian's package index through the broker while it is killed again and again, and compares.

    transfer.py BROKER_HOME KILLS SEED

For each direction (DIRECTIONS, default `kafka:kinesis kinesis:kafka`) a source sends every stanza and a sink reads at
the same time. A killer waits for random amounts of acknowledged input, then kills the broker (SIGKILL) within the next
moments and starts it again on the same ports, sometimes killing it once more while it starts. Sources and sinks do what
such clients do: they try again. The Kafka producer is idempotent, so nothing may come twice from it; PutRecords is not,
so a batch whose answer was lost is put again, and the copies are counted.
"""

import hashlib
import logging
import os
import random
import subprocess
import sys
import threading
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from broker import Server
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from steps import done, equal, step

LOGS = 4
FEEDERS = 4
NO_PROGRESS_LIMIT_S = 60


def log(text):
    print(f"# {text}", file=sys.stderr, flush=True)


# ── the input ───────────────────────────────────────────────────────────────────────────────────────────────────────


def package_index():
    """Every stanza as (package name, text), without exact repetitions: what comes twice must be the broker's doing."""
    text = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE).stdout
    seen, stanzas = set(), []
    for stanza in text.split(b"\n\n"):
        stanza = stanza.strip(b"\n")
        name = next((line[9:] for line in stanza.split(b"\n") if line.startswith(b"Package: ")), None)
        if name and stanza not in seen:
            seen.add(stanza)
            stanzas.append((name, stanza))
    return stanzas


def digest(by_key):
    """SHA-256 over every key's values in order; the order of keys does not matter."""
    total = hashlib.sha256()
    for key in sorted(by_key):
        for value in by_key[key]:
            total.update(b"%d:%s%d:%s" % (len(key), key, len(value), value))
    return total.hexdigest()


def by_key(records):
    grouped = {}
    for key, value in records:
        grouped.setdefault(key, []).append(value)
    return grouped


# ── sources: send everything, trying again as clients do ────────────────────────────────────────────────────────────


class KafkaSource:
    """One idempotent producer with a window, so that something is always in flight and never everything."""

    WINDOW = 1000
    at_least_once = False

    def __init__(self, run):
        self.run, self.retries, self.acked = run, 0, 0

    def send(self, records):
        producer = Producer(
            {
                "bootstrap.servers": self.run.server.kafka,
                "enable.idempotence": True,
                "message.timeout.ms": 600_000,
                "linger.ms": 2,
                "compression.type": "zstd",
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "retry.backoff.ms": 20,
                "socket.timeout.ms": 10_000,
                "error_cb": lambda error: None,
            },
            logger=self.run.quiet,
        )
        errors = []

        def delivered(error, _message):
            if error:
                errors.append(error)
            else:
                self.acked += 1
                self.run.progress(self.acked)

        for number, (key, value) in enumerate(records):
            producer.produce(self.run.stream, key=key, value=value, on_delivery=delivered)
            producer.poll(0)
            while number - self.acked > self.WINDOW and not errors:
                producer.poll(0.01)
            assert not errors, f"delivery failed: {errors[0]}"
        left = producer.flush(300)
        assert not left and not errors, f"{left} records not delivered, {errors[:1]}"


class KinesisSource:
    """Some feeders, each with its own keys and one PutRecords in flight, so the order of a key is kept."""

    BATCH = 100
    at_least_once = True

    def __init__(self, run):
        self.run, self.retries, self.acked, self.lock = run, 0, 0, threading.Lock()

    def send(self, records):
        lanes = [[] for _ in range(FEEDERS)]
        for key, value in records:
            lanes[hashlib.md5(key).digest()[15] % FEEDERS].append((key, value))
        errors = []
        threads = [threading.Thread(target=self._feed, args=(lane, errors)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _feed(self, records, errors):
        try:
            client = self.run.aws()
            for first in range(0, len(records), self.BATCH):
                batch = [{"PartitionKey": k.decode(), "Data": v} for k, v in records[first : first + self.BATCH]]
                while batch:
                    batch = self._put(client, batch)
        except Exception as error:  # handed to the waiting thread
            errors.append(error)

    def _put(self, client, batch):
        """Puts a batch; returns what must be put again. Records after a failed one of the same key follow it."""
        try:
            answer = client.put_records(StreamName=self.run.stream, Records=batch)
        except (BotoCoreError, ClientError) as error:
            self.run.may_try_again(error)
            with self.lock:
                self.retries += 1
            time.sleep(0.05)
            return batch
        failed = [entry for entry, result in zip(batch, answer["Records"]) if "ErrorCode" in result]
        with self.lock:
            self.acked += len(batch) - len(failed)
            acked = self.acked
        self.run.progress(acked)
        return failed


# ── sinks: read everything, in the order of each log ────────────────────────────────────────────────────────────────


class KafkaSink:
    """A member of a group that commits as it goes."""

    def __init__(self, run, group):
        self.run, self.group, self.logs, self.again, self.stop = run, group, {}, 0, False

    def read(self):
        consumer = Consumer(
            {
                "bootstrap.servers": self.run.server.kafka,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 500,
                "session.timeout.ms": 30_000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "topic.metadata.refresh.interval.ms": 1000,
                "error_cb": lambda error: None,
            },
            logger=self.run.quiet,
        )
        consumer.subscribe([self.run.stream])
        next_offset = {}
        while not self.stop:
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                assert message.error().retriable() or message.error().code() in (
                    KafkaError.UNKNOWN_TOPIC_OR_PART,
                    KafkaError._ALL_BROKERS_DOWN,
                    KafkaError._TRANSPORT,
                ), message.error()
                continue
            log_number, offset = message.partition(), message.offset()
            if offset < next_offset.get(log_number, 0):
                self.again += 1  # after a rebalance: what was read since the last commit comes again
                continue
            next_offset[log_number] = offset + 1
            self.logs.setdefault(log_number, []).append((message.key(), message.value()))
        try:
            consumer.close()
        except KafkaException:
            pass


class KinesisSink:
    """One reader for each shard; it keeps its iterator, or asks for one after the last sequence number it saw."""

    def __init__(self, run, _group):
        self.run, self.logs, self.again, self.stop = run, {}, 0, False

    def read(self):
        errors = []
        shards = self.run.again(lambda c: c.list_shards(StreamName=self.run.stream))["Shards"]
        threads = [threading.Thread(target=self._shard, args=(shard["ShardId"], errors)) for shard in shards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _shard(self, shard, errors):
        try:
            client, position, last = self.run.aws(), None, None
            records = self.logs.setdefault(int(shard.rpartition("-")[2]), [])
            while not self.stop:
                try:
                    if position is None:
                        kind = {"ShardIteratorType": "TRIM_HORIZON"}
                        if last:
                            kind = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
                        answer = client.get_shard_iterator(StreamName=self.run.stream, ShardId=shard, **kind)
                        position = answer["ShardIterator"]
                    page = client.get_records(ShardIterator=position, Limit=1000)
                except (BotoCoreError, ClientError) as error:
                    self.run.may_try_again(error)
                    position = None
                    time.sleep(0.05)
                    continue
                position = page["NextShardIterator"]
                for record in page["Records"]:
                    number = record["SequenceNumber"]
                    assert last is None or int(number) > int(last), f"{number} came after {last} in {shard}"
                    last = number
                    records.append((record["PartitionKey"].encode(), record["Data"]))
                if not page["Records"]:
                    time.sleep(0.05)
        except Exception as error:  # handed to the waiting thread
            errors.append(error)


# ── one direction ───────────────────────────────────────────────────────────────────────────────────────────────────


class Run:
    def __init__(self, server, stream, kills, chance, total):
        self.server, self.stream, self.chance = server, stream, chance
        self.quiet = logging.Logger("librdkafka", logging.CRITICAL + 1)
        # The last twentieth is never a threshold, so the last kill meets a stream that still grows.
        self.thresholds = sorted(chance.randrange(total // 50, total * 19 // 20) for _ in range(kills))
        self.acked, self.moved = 0, threading.Event()
        self.kills, self.kills_at_start, self.broken = 0, 0, None
        self.slowest_start_s = 0.0

    def progress(self, acked):
        self.acked = acked
        if self.kills < len(self.thresholds) and acked >= self.thresholds[self.kills]:
            self.moved.set()

    def kill_all(self, stop):
        """The killer: one kill for each threshold."""
        try:
            while self.kills < len(self.thresholds) and not stop.is_set():
                if self.acked < self.thresholds[self.kills] and not self.moved.wait(0.1):
                    continue
                self.moved.clear()
                time.sleep(self.chance.random() * 0.02)
                self.server.kill9()
                self.kills += 1
                if self.chance.random() < 0.25:
                    self.server.start(wait=False)
                    time.sleep(self.chance.random() * 0.05)
                    self.server.kill9()
                    self.kills_at_start += 1
                self.slowest_start_s = max(self.slowest_start_s, self.server.start())
        except Exception as error:  # read by the main thread
            self.broken = error

    def aws(self):
        return boto3.session.Session().client(
            "kinesis",
            endpoint_url=self.server.kinesis,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20),
        )

    def may_try_again(self, error):
        """Connection trouble and the server's own 'later' may be tried again; anything else is a failure."""
        if isinstance(error, ClientError):
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = error.response["Error"]["Code"]
            later = ("ProvisionedThroughputExceededException", "LimitExceededException", "ExpiredIteratorException")
            if status < 500 and code not in later:
                raise error
        if self.broken:
            raise self.broken

    def again(self, call):
        limit = time.monotonic() + 30
        while True:
            try:
                return call(self.aws())
            except (BotoCoreError, ClientError) as error:
                self.may_try_again(error)
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)

    def create(self, how):
        if how == "kafka":
            admin = AdminClient({"bootstrap.servers": self.server.kafka})
            admin.create_topics([NewTopic(self.stream, LOGS, 1)])[self.stream].result(30)
        else:
            client = self.aws()
            client.create_stream(StreamName=self.stream, ShardCount=LOGS)
            client.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


SOURCES = {"kafka": KafkaSource, "kinesis": KinesisSource}
SINKS = {"kafka": KafkaSink, "kinesis": KinesisSink}


def read_until(sink, reader, count, broken):
    """Waits until the sink has `count` records, as long as there is progress."""
    had, since = -1, time.monotonic()
    while True:
        have = sum(len(records) for records in sink.logs.values())
        if have >= count:
            time.sleep(1)  # whatever comes beyond what was sent
            break
        if have != had:
            had, since = have, time.monotonic()
        if not reader.is_alive() or broken() or time.monotonic() - since > NO_PROGRESS_LIMIT_S:
            break
        time.sleep(0.05)
    sink.stop = True
    reader.join(60)
    return [record for number in sorted(sink.logs) for record in sink.logs[number]]


def carry(server, stanzas, source_face, sink_face, kills, chance):
    """Sends and reads everything under kills; returns the stream's name for the steps after."""
    name = f"debian-{source_face}-to-{sink_face}"
    run = Run(server, name, kills, chance, len(stanzas))
    run.create(source_face)
    source, sink = SOURCES[source_face](run), SINKS[sink_face](run, f"{name}-readers")
    failures, stop = [], threading.Event()

    def read():
        try:
            sink.read()
        except Exception as error:  # told below
            failures.append(error)

    reader = threading.Thread(target=read, daemon=True)
    killer = threading.Thread(target=run.kill_all, args=(stop,), daemon=True)
    began = time.monotonic()
    reader.start()
    killer.start()
    source.send(stanzas)
    stop.set()
    killer.join(60)
    sent_s = time.monotonic() - began
    got = read_until(sink, reader, len(stanzas), lambda: failures or run.broken)
    took_s = time.monotonic() - began
    for error in [run.broken, *failures]:
        if error:
            raise error

    seen, first_copies = set(), []
    for record in got:
        if record not in seen:
            seen.add(record)
            first_copies.append(record)
    copies = len(got) - len(first_copies)
    log(
        f"{source_face} → {sink_face}: {len(stanzas)} records, {sum(len(v) for _, v in stanzas) / 1e6:.0f} MB; "
        f"{run.kills} kills and {run.kills_at_start} more while starting; slowest start {run.slowest_start_s:.2f} s; "
        f"sent in {sent_s:.1f} s, read in {took_s:.1f} s; "
        f"{copies} duplicates, {source.retries} batches put again, {sink.again} records read again"
    )
    missing = set(stanzas) - seen
    strange = seen - set(stanzas)
    assert not missing, f"{len(missing)} of {len(stanzas)} records lost, e.g. of {sorted(missing)[0][0].decode()}"
    assert not strange, f"{len(strange)} records that nobody sent, e.g. of {sorted(strange)[0][0]}"
    expected, came = digest(by_key(stanzas)), digest(by_key(first_copies))
    log(f"sha256 in  {expected}\n# sha256 out {came}")
    equal(came, expected, "SHA-256 of each key's values in order")
    assert source.at_least_once or not copies, f"{copies} duplicates from an idempotent producer"
    equal(run.kills, kills, "kills while records were flowing")
    return sink.logs


def faces_equal(server, stream, seen):
    """After a clean restart both faces show the same records in the same order, log by log."""
    server.stop()
    server.start()
    run = Run(server, stream, 0, random.Random(0), 100)
    shown = {}
    for face in ("kafka", "kinesis"):
        sink = SINKS[face](run, f"{stream}-{face}-again")
        reader = threading.Thread(target=sink.read, daemon=True)
        reader.start()
        read_until(sink, reader, sum(len(records) for records in seen.values()), lambda: False)
        shown[face] = sink.logs
    for face, logs in shown.items():
        equal(sorted(n for n in logs if logs[n]), sorted(n for n in seen if seen[n]), f"logs seen through {face}")
        for number, records in seen.items():
            equal(len(logs.get(number, [])), len(records), f"records of log {number} through {face}")
            assert logs.get(number, []) == records, f"log {number} through {face} has another order or content"


def main():
    home, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    log(f"seed {seed}, {kills} kills in each direction")
    server, stanzas, chance = Server(home), package_index(), random.Random(seed)
    log(f"{len(stanzas)} stanzas, largest {max(len(v) for _, v in stanzas)} bytes")
    assert len(stanzas) > 10_000, "apt has no package index: apt-get update"
    server.start()
    for direction in os.environ.get("DIRECTIONS", "kafka:kinesis kinesis:kafka").split():
        source, sink = direction.split(":")
        seen = {}
        step(f"{source}-to-{sink}", lambda: seen.update(carry(server, stanzas, source, sink, kills, chance)))
        if not server.alive():
            server.start()
        if server.kafka and server.kinesis and seen:
            step(f"{source}-to-{sink}-faces-equal", lambda: faces_equal(server, f"debian-{source}-to-{sink}", seen))
    server.stop()
    done()


main()
