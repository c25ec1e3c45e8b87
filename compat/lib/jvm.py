"""Small Java programs in the background, and what is asked of brokers about them. For scripts that drive several."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

CACHE = pathlib.Path(os.environ["CACHE"])
STOP_LIMIT_S = 30


def jars(*names):
    """A class path of the folders that common.sh's `maven NAME` filled."""
    return ":".join(str(CACHE / "maven" / name / "*") for name in names)


class Jvm:
    """One Java process, started again as often as one likes; its log grows over restarts."""

    def __init__(self, class_path, log, *command, heap="256m", options=()):
        self.log, self.child = pathlib.Path(log), None
        self.command = [
            "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Xmx{heap}", *options,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp", class_path, *map(str, command),
        ]  # fmt: skip

    def start(self):
        with open(self.log, "ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def kill9(self):
        self._end(signal.SIGKILL)

    def stop(self):
        self._end(signal.SIGTERM)

    def _end(self, how):
        if not self.alive():
            return
        self.child.send_signal(how)
        try:
            self.child.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def wait(self, limit_s):
        return self.child.wait(limit_s)

    def said(self, text):
        return text in self.log.read_text(errors="replace")


def settings(path, values):
    """A properties file; returns its path."""
    pathlib.Path(path).write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    return path


class Rest:
    """A worker's REST interface. Answers that say `later` (409, 404 of a worker that starts, refused) raise."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        ask = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(ask, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()[:300]}") from None
        return json.loads(text) if text else None

    def eventually(self, limit_s, method, path, body=None):
        """The same, tried until it is answered."""
        limit = time.monotonic() + limit_s
        while True:
            try:
                return self.call(method, path, body)
            except (RuntimeError, OSError):
                if time.monotonic() > limit:
                    raise
                time.sleep(0.3)

    def up(self):
        try:
            return self.call("GET", "/") is not None
        except (RuntimeError, OSError):
            return False

    def states(self, name):
        """The state of the connector and of each of its tasks."""
        try:
            found = self.call("GET", f"/connectors/{name}/status")
        except (RuntimeError, OSError):
            return []
        return [found["connector"]["state"], *(task["state"] for task in found["tasks"])]


class Cluster:
    """What a broker holds, as librdkafka sees it."""

    def __init__(self, address):
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 0})

    def create(self, *names, partitions=1, config=None):
        for future in self.admin.create_topics([NewTopic(name, partitions, 1, config=config or {}) for name in names]).values():
            future.result(30)

    def topics(self):
        return {name: len(found.partitions) for name, found in self.admin.list_topics(timeout=20).topics.items()}

    def config(self, topic, kind=ResourceType.TOPIC):
        resource = ConfigResource(kind, topic)
        return {name: entry.value for name, entry in self.admin.describe_configs([resource])[resource].result(30).items()}

    def produce(self, topic, pairs, partition=-1, **options):
        """Pairs of key and value, each maybe None; returns when all are acknowledged."""
        lost = []
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, **options})
        for key, value in pairs:
            while True:
                try:
                    producer.produce(topic, value, key, partition, on_delivery=lambda error, _: error and lost.append(error))
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(120) == 0 and not lost, f"not written: {lost[:3]}"

    def read(self, topic, isolation="read_committed", limit_s=30):
        """All records from the start to the end as it is now: (partition, key, value, headers)."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address, "group.id": "read", "enable.auto.commit": False,
                "isolation.level": isolation, "auto.offset.reset": "earliest", "enable.partition.eof": True,
            }  # fmt: skip
        )
        try:
            parts = consumer.list_topics(topic, timeout=20).topics[topic].partitions
            consumer.assign([TopicPartition(topic, part, 0) for part in parts])
            ended, found, limit = set(), [], time.monotonic() + limit_s
            while ended < set(parts):
                assert time.monotonic() < limit, f"no end of {topic}; {len(found)} records, ends of {ended}"
                message = consumer.poll(0.5)
                if message is None:
                    continue
                if message.error():
                    if message.error().name() == "_PARTITION_EOF":
                        ended.add(message.partition())
                    elif not message.error().retriable() and message.error().name() not in ("_TRANSPORT", "_ALL_BROKERS_DOWN"):
                        raise AssertionError(str(message.error()))
                    continue
                found.append((message.partition(), message.key(), message.value(), message.headers()))
            return found
        finally:
            consumer.close()
