#!/usr/bin/env python3
"""Compaction beside Kafka 4.4's cleaner: the same log, compacted once by each, one after the other.

    benches/peers/compaction.py [--mib 512] [--pairs 3]

A topic of one log is filled while its dirty ratio forbids compaction; then the ratio is lowered, and CPU-seconds of the
server and the cleaner's own time are taken until it says that it is done. Needs what benches/peers/run.sh needs.
"""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "compat" / "lib"))
import os

os.environ.setdefault("KAFKA_HEAP", "1g")
# So that Kafka's cleaner says when it is done.
os.environ["JAVA_TOOL_OPTIONS"] = "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log=info"

from broker import Server
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

RECORD_BYTES = 1000
BACKOFF_MS = 500
# Kafka's dedupe buffer takes 128 MiB; keys are fewer than that has room for.
KEYS = 200_000


def fill(server, mib):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    config = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "1.0"}
    admin.create_topics([NewTopic("t", 1, 1, config=config)])["t"].result(30)
    producer = Producer({"bootstrap.servers": server.kafka, "linger.ms": 20, "batch.size": 200_000, "acks": "all"})
    for i in range((mib << 20) // RECORD_BYTES):
        key = b"%08d" % (i * 7919 % KEYS)
        while True:
            try:
                producer.produce("t", b"%012d" % i + b"x" * (RECORD_BYTES - 40), key)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush(120)
    return admin


def allow(admin):
    entry = ConfigEntry("min.cleanable.dirty.ratio", "0.01", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[entry])
    for future in admin.incremental_alter_configs([change]).values():
        future.result(30)


def done(server):
    """(MB read, seconds) of the cleaner, once it has said so; Kafka counts what it reads twice once too, as we do."""
    log = server.log.read_text(errors="replace")
    if server.kind == "kafka-4.4":
        found = re.findall(r"Log cleaner thread \d+ cleaned log t-0.*?([\d,.]+) MB of log processed in ([\d,.]+) seconds", log, re.S)
        # Its MB are MiB.
        return [(float(mb.replace(",", "")) * 1.048576, float(s.replace(",", ""))) for mb, s in found]
    found = re.findall(r"compacted.*?read_bytes=(\d+).*?took_ms=(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", log))
    return [(int(b) / 1e6, int(ms) / 1e3) for b, ms in found]


def once(kind, mib):
    home = pathlib.Path(tempfile.mkdtemp(prefix="compaction-"))
    extra = [f"log.cleaner.backoff.ms={BACKOFF_MS}"] if kind == "kafka-4.4" else ["--log-cleaner-backoff-ms", str(BACKOFF_MS)]
    server = Server(home / kind, kind=kind, extra=extra)
    server.start()
    try:
        admin = fill(server, mib)
        time.sleep(5)
        idle = server.cpu_s()
        time.sleep(5)
        idle = server.cpu_s() - idle
        before, began = server.cpu_s(), time.monotonic()
        allow(admin)
        while not done(server) and time.monotonic() - began < 180:
            time.sleep(0.1)
        wall = time.monotonic() - began
        cpu = server.cpu_s() - before - idle / 5 * wall
        told = done(server)
        if not told:
            raise SystemExit(f"{kind} did not compact: {server.tail()}")
        mb, seconds = told[0]
        print(f"# {kind}: {mb:.0f} MB in {seconds:.2f} s, {cpu:.2f} CPU-s", file=sys.stderr)
        return mb / seconds, cpu / (mb / 1e3)
    finally:
        server.stop()
        shutil.rmtree(home)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows = {"interfluve": [], "kafka-4.4": []}
    for _ in range(args.pairs):
        for kind, found in rows.items():
            found.append(once(kind, args.mib))
    print(f"commit {commit}, {args.pairs} interleaved pairs, {args.mib} MiB, {KEYS} keys")
    for name, at in (("MB/s read, by the cleaner's own time", 0), ("CPU-s per GB of log", 1)):
        ours, theirs = (statistics.median(row[at] for row in rows[kind]) for kind in rows)
        ratio = statistics.median(a[at] / b[at] for a, b in zip(rows["interfluve"], rows["kafka-4.4"]))
        print(f"{name}: interfluve {ours:.2f}, Kafka {theirs:.2f}, ratio {ratio:.2f}")


main()
