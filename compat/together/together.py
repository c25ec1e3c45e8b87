"""Old and new clients on one topic at the same time, each writing with and without transactions, each reading.

    together.py SERVER WORK CLASSES JAVA28 JAVA39 JAVA4 PYTHON20 PYTHON3 SARAMA

A writer sends ROUNDS rounds of ten records alone and ten in a transaction, of which every third is given up, and tells what
must be read. The readers run all the while, careful ones (read_committed) but for kafka-python 2.0, which knows no
transactions. When the writers are done, an END in each partition ends the readers. All must have found the same records at
the same offsets, and exactly those that the writers say; the SHA-256 of what was read shows it.
"""

import hashlib
import pathlib
import subprocess
import sys
import threading

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from steps import done, equal, step, within

SERVER, WORK, CLASSES, JAVA28, JAVA39, JAVA4, PYTHON20, PYTHON3, SARAMA = sys.argv[1:10]
TOPIC, PARTITIONS, ROUNDS, LIMIT_S = "together", 4, 30, 150
HERE = pathlib.Path(__file__).parent
WORK = pathlib.Path(WORK)


def java(jars):
    return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{CLASSES}:{jars}", "Together"]


# name: (command, codec, what follows the common arguments)
PARTICIPANTS = {
    "java-2.8": (java(JAVA28), "snappy", []),
    "java-3.9": (java(JAVA39), "lz4", []),
    "java-4.4": (java(JAVA4), "zstd", []),
    "kafka-python-2.0": ([PYTHON20, str(HERE / "pure.py")], "gzip", []),
    "kafka-python": ([PYTHON3, str(HERE / "pure.py")], "zstd", []),
    "sarama-0.11": ([SARAMA], "gzip", ["0.11.0.0"]),
    "sarama": ([SARAMA], "zstd", ["4.3.1"]),
}
BLIND = "kafka-python-2.0"


def start(role, name):
    command, codec, more = PARTICIPANTS[name]
    out, log = WORK / f"{role}-{name}", open(WORK / f"{role}-{name}.log", "wb")
    command = [*command, role, SERVER, TOPIC, name, codec, str(ROUNDS), str(out), *more]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def ended(role, name, child):
    code = child.wait(LIMIT_S)
    tail = (WORK / f"{role}-{name}.log").read_text(errors="replace")[-300:]
    assert code == 0, f"{role} {name}: exit {code}: {tail}"


def librdkafka_writes(kept):
    settings = {"bootstrap.servers": SERVER, "compression.type": "lz4", "linger.ms": 2, "enable.idempotence": True}
    plain, careful = Producer(settings), Producer({**settings, "transactional.id": f"{TOPIC}-librdkafka"})
    careful.init_transactions(30)
    for number in range(ROUNDS):
        commit, errors = number % 3 != 2, []
        told = lambda error, _, errors=errors: errors.append(error) if error else None
        careful.begin_transaction()
        for place in range(10):
            alone = f"librdkafka-p-{number}-{place}"
            value = f"librdkafka-{'t' if commit else 'aborted'}-{number}-{place}"
            plain.produce(TOPIC, alone, key=alone, on_delivery=told)
            careful.produce(TOPIC, value, key=value, on_delivery=told)
            kept.add(alone)
            if commit:
                kept.add(value)
        equal((careful.flush(60), plain.flush(60), errors), (0, 0, []), "left in the queues, and errors")
        (careful.commit_transaction if commit else careful.abort_transaction)(60)


def librdkafka_reads(rows):
    settings = {"bootstrap.servers": SERVER, "group.id": "none", "isolation.level": "read_committed"}
    reader = Consumer({**settings, "enable.auto.commit": False})
    reader.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    found = set()
    while len(found) < PARTITIONS:
        message = reader.poll(1)
        if message is None:
            continue
        assert not message.error(), message.error()
        rows.append((message.partition(), message.offset(), message.value().decode()))
        if message.value() == b"END":
            found.add(message.partition())
    reader.close()


class Thread(threading.Thread):
    """A thread whose error is raised where it is joined."""

    def __init__(self, run, argument):
        super().__init__(daemon=True)
        self.what, self.argument, self.error = run, argument, None
        self.start()

    def run(self):
        try:
            self.what(self.argument)
        except BaseException as error:
            self.error = error

    def join(self, timeout=LIMIT_S):
        super().join(timeout)
        assert not self.is_alive(), "not done in time"
        if self.error:
            raise self.error


kept, rows, reads = set(), {"librdkafka": []}, {}


def there(consumer, number):
    try:
        return consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=2) == (0, 0)
    except KafkaException:
        return False


def write_and_read():
    admin = AdminClient({"bootstrap.servers": SERVER})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
    # Kafka itself leads a partition a moment after it has acknowledged the topic.
    asking = Consumer({"bootstrap.servers": SERVER, "group.id": "none"})
    for number in range(PARTITIONS):
        within(20, lambda: there(asking, number), f"partition {number}")
    asking.close()
    children = []
    try:
        readers = {name: start("read", name) for name in PARTICIPANTS}
        children += readers.values()
        reading = Thread(librdkafka_reads, rows["librdkafka"])
        writers = {name: start("write", name) for name in PARTICIPANTS}
        children += writers.values()
        writing = Thread(librdkafka_writes, kept)
        for name, child in writers.items():
            ended("write", name, child)
            kept.update((WORK / f"write-{name}").read_text().split())
        writing.join()
        last = Producer({"bootstrap.servers": SERVER})
        for number in range(PARTITIONS):
            last.produce(TOPIC, "END", partition=number)
        equal(last.flush(30), 0, "left in the queue")
        for name, child in readers.items():
            ended("read", name, child)
        reading.join()
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    for name in PARTICIPANTS:
        lines = [line.split(" ", 2) for line in (WORK / f"read-{name}").read_text().splitlines()]
        rows[name] = [(int(part), int(offset), value) for part, offset, value in lines]


def checksum(found):
    text = "".join(f"{part} {offset} {value}\n" for part, offset, value in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()


def reads_what_was_committed(name):
    """Exactly the committed records, once each, in rising offsets; the blind one finds those among what it reads."""
    found = rows[name]
    assert found, "read nothing"
    last = {}
    for part, offset, value in found:
        assert offset > last.get(part, -1), f"partition {part}: {offset} after {last[part]}"
        last[part] = offset
    if name == BLIND:
        assert any("-aborted-" in value for _, _, value in found), "it saw nothing of what was given up"
        # It takes the markers of transactions for records, whose values are binary.
        found = [row for row in found if "-aborted-" not in row[2] and "\0" not in row[2]]
    values = [value for _, _, value in found if value != "END"]
    equal(len(values), len(set(values)), "records, without repetitions")
    missing, extra = kept - set(values), set(values) - kept
    assert not missing and not extra, f"{len(missing)} missing {sorted(missing)[:3]}, {len(extra)} too many {sorted(extra)[:3]}"
    reads[name] = checksum(found)
    equal(reads[name], reads[next(iter(reads))], "checksum of partitions, offsets and values")


def in_order():
    """The records that a writer sent alone stand in each partition in the order it sent them."""
    for writer in (*PARTICIPANTS, "librdkafka"):
        for part in range(PARTITIONS):
            own = [value.rsplit("-", 2)[1:] for at, _, value in rows["java-4.4"] if at == part and value.startswith(f"{writer}-p-")]
            numbers = [(int(number), int(place)) for number, place in own]
            equal(numbers, sorted(numbers), f"order of {writer} in partition {part}")


step("write-and-read", write_and_read)
for each in rows:
    step(f"read-by-{each}", lambda: reads_what_was_committed(each))
step("order", in_order)
print(f"# {len(kept)} records, sha256 {next(iter(reads.values()), 'none')}", file=sys.stderr)
done()
