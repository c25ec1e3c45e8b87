"""Writes the same batches to Kafka 4.4 and to interfluve, has both compact them, and compares what is left.

Prints `PASS name`, `FAIL name: why`. The two never run at the same time.
"""

import hashlib
import pathlib
import shutil
import struct
import sys
import time

from broker import Server
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

WORK = pathlib.Path(sys.argv[1])
KEYS = 3000
BATCH = 50
BATCHES = 600
BACKOFF_MS = 200
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPICS = {f"plain-{codec}": {"compression.type": codec} for codec in CODECS} | {
    "tombstones": {},
    "transactions": {"transactional.id": "t"},
}
CONTROL = 1 << 5
HORIZON = 1 << 6


def records(topic, batch):
    for i in range(batch * BATCH, (batch + 1) * BATCH):
        key = f"k{i * 7919 % KEYS + (0 if i % 3 else KEYS * (i // 9000))}"
        # Where a transaction's batches are cut depends on when its client sends them, and so does where segments end: the last
        # two segments hold keys that make nobody go.
        if topic == "transactions" and batch >= BATCHES * 2 // 3:
            key = f"last{i}"
        gone = topic == "tombstones" and i % 11 == 0
        yield key, None if gone else f"{topic} {i:08} ".ljust(60 + i % 90, "x") + hashlib.sha256(b"%d" % i).hexdigest(), 1_700_000_000_000 + i


def write(server):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    config = {"cleanup.policy": "compact", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.01"}
    made = admin.create_topics([NewTopic(name, 1, 1, config=config) for name in TOPICS])
    for future in made.values():
        future.result(30)
    for topic, settings in TOPICS.items():
        producer = Producer({"bootstrap.servers": server.kafka, "linger.ms": 10_000, "batch.num.messages": BATCH, **settings})
        within = "transactional.id" in settings
        if within:
            producer.init_transactions(30)
        for batch in range(BATCHES):
            if within:
                producer.begin_transaction()
            for key, value, at in records(topic, batch):
                producer.produce(topic, value, key, partition=0, timestamp=at)
            if not within:
                producer.flush(30)
            elif batch % 4 == 3:
                producer.flush(30)
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)


def segments(server, topic):
    """The files of a topic's log, by rising base offset."""
    if server.kind == "kafka-4.4":
        return sorted((server.data / f"{topic}-0").glob("*.log"))
    mark = f"{topic} 0".encode()
    for place in sorted((server.data / "logs").iterdir()):
        files = sorted(place.glob("*.log"))
        if files and any(mark in file.read_bytes() for file in files) or files and plainest(files) == topic:
            return files
    return []


def plainest(files):
    """Compressed batches show no text: the log is known by the codec of its batches."""
    data = files[0].read_bytes()
    if len(data) < 61:
        return None
    codec = struct.unpack_from(">h", data, 21)[0] & 7
    return f"plain-{CODECS[codec]}" if codec else None


def batches(files):
    for file in files:
        data = file.read_bytes()
        at = 0
        while at + 61 <= len(data):
            base, length = struct.unpack_from(">qi", data, at)
            if length <= 0 or at + 12 + length > len(data):
                break
            yield base, data[at : at + 12 + length]
            at += 12 + length


def told(raw, exact):
    """What must be equal of a batch: everything but the leader epoch and (where the producer is known) its id."""
    if exact:
        return raw[:12] + raw[16:]
    base, _, _, _, _, attributes, last, _, newest, _, _, sequence, count = struct.unpack(">qiibIhiqqqhii", raw[:61])
    # A marker says when the coordinator wrote it.
    # When it got its horizon depends on the rounds it lived through.
    return base, attributes & ~HORIZON, last, 0 if attributes & CONTROL else newest, sequence, count


def compacted(server):
    """Waits until nothing changes any more."""
    before, still = None, 0
    for _ in range(240):
        time.sleep(0.5)
        sizes = [sorted((file.name, file.stat().st_size) for file in segments(server, topic)) for topic in TOPICS]
        still = still + 1 if sizes == before else 0
        before = sizes
        if still == 16:
            return
    raise SystemExit(f"FAIL {server.kind}: it goes on compacting")


def consume(server, topic):
    consumer = Consumer(
        {"bootstrap.servers": server.kafka, "group.id": f"g-{topic}", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        message = consumer.poll(10)
        if message is None or message.error():
            break
        found.append((message.offset(), message.key(), message.value(), message.timestamp()[1]))
    consumer.close()
    return found


def live(kind, extra):
    server = Server(WORK / kind, kind=kind, extra=extra)
    server.start()
    try:
        write(server)
        before = time.monotonic()
        compacted(server)
        seen = {topic: consume(server, topic) for topic in TOPICS}
        print(f"# {kind}: nothing changes any more after {time.monotonic() - before:.1f} s", file=sys.stderr)
    finally:
        server.stop()
    kept = {topic: segments(server, topic) for topic in TOPICS}
    ends = {topic: int(files[-1].name.split(".")[0]) if files else 0 for topic, files in kept.items()}
    raw = {topic: list(batches(files)) for topic, files in kept.items()}
    shutil.rmtree(server.data)
    return seen, raw, ends


def main():
    theirs = live("kafka-4.4", [f"log.cleaner.backoff.ms={BACKOFF_MS}"])
    ours = live("interfluve", ["--log-cleaner-backoff-ms", str(BACKOFF_MS)])
    for topic in TOPICS:
        # What is still being written is compacted by nobody.
        active = min(theirs[2][topic], ours[2][topic])
        print(f"# {topic}: segments being written from {theirs[2][topic]} and {ours[2][topic]} on", file=sys.stderr)
        left = [[record for record in side[0][topic] if record[0] < active] for side in (theirs, ours)]
        verdict(f"{topic}-records", left[0] == left[1], differs(*left))
        few = len(left[0]) < active * 2 / 3
        verdict(f"{topic}-compacted", active > 10_000 and few, f"{len(left[0])} of {active} are left")
        exact = topic in ("plain-none", "tombstones")
        cut = []
        for side in (theirs, ours):
            below = [raw for base, raw in side[1][topic] if base < active]
            marked = [struct.unpack_from(">h", raw, 21)[0] & HORIZON for raw in below]
            cut.append([told(raw, exact and not horizon) for raw, horizon in zip(below, marked)])
        verdict(f"{topic}-batches{'-byte-for-byte' if exact else ''}", cut[0] == cut[1] and cut[0], differs(*cut))


def differs(theirs, ours):
    for a, b in zip(theirs, ours):
        if a != b:
            return f"{len(theirs)} and {len(ours)}; the first that differs: {a!r:.120} beside {b!r:.120}"
    return f"{len(theirs)} and {len(ours)}"


def verdict(name, good, why):
    print(f"PASS {name}" if good else f"FAIL {name}: {why}", flush=True)


main()
print("DONE", flush=True)
