"""Produce, Fetch (and its sessions), ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers."""

from lib import Scenario, batch

NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
OTHER_ID = "x7jHRVXYQm2bq7DXWVhcGw"

# ── Produce ─────────────────────────────────────────────────────────────────────────────────────────────────────────

for v in (3, 5, 7, 8, 9, 10, 12, 13):
    fetch = {3: 4, 5: 6, 7: 10, 8: 11, 9: 12, 10: 13, 12: 16, 13: 18}[v]
    s = Scenario(f"produce/and-fetch/v{v}")
    t = s.topic()
    s.produce(t, [batch("a", "b", {"k": None, "v": None, "h": [["x", "1"], ["x", None], ["", ""]]})], v=v)
    s.produce(t, [batch("c")], v=v, acks=1)
    s.fetch(t, v=fetch)

for v in (3, 8, 12):
    s = Scenario(f"produce/missing-topic/v{v}")
    s.produce(s.name_of("none"), v=v)
    s = Scenario(f"produce/missing-partition/v{v}")
    t = s.topic()
    s.produce(t, v=v, partition=7)
    s = Scenario(f"produce/bad-name/v{v}")
    s.produce("no/such name", v=v)
    s = Scenario(f"produce/bad-acks/v{v}")
    t = s.topic()
    s.produce(t, v=v, acks=7)
    s = Scenario(f"produce/no-records/v{v}")
    t = s.topic()
    s.produce(t, [], v=v)
    s = Scenario(f"produce/null-records/v{v}")
    t = s.topic()
    s.ask("Produce", v, {"acks": -1, "timeoutMs": 1000, "topicData": [{"name": t, "partitionData": [{"index": 0, "records": None}]}]})

s = Scenario("produce/unknown-id/v13")
s.ask("Produce", 13, {"acks": -1, "timeoutMs": 1000, "topicData": [{"topicId": OTHER_ID, "partitionData": [{"index": 0, "records": [batch()]}]}]})
s = Scenario("produce/zero-id/v13")
s.ask("Produce", 13, {"acks": -1, "timeoutMs": 1000, "topicData": [{"topicId": NO_ID, "partitionData": [{"index": 0, "records": [batch()]}]}]})
s = Scenario("produce/id-missing-partition/v13")
t = s.topic()
s.produce(t, v=13, partition=3)

s = Scenario("produce/two-partitions-one-bad/v9")
t = s.topic(2)
s.ask("Produce", 9, {"acks": -1, "timeoutMs": 1000, "topicData": [
    {"name": t, "partitionData": [{"index": 0, "records": [batch()]}, {"index": 9, "records": [batch()]}, {"index": 1, "records": [batch("x", "y")]}]},
    {"name": s.name_of("none"), "partitionData": [{"index": 0, "records": [batch()]}]}]})
s = Scenario("produce/nothing/v9")
s.ask("Produce", 9, {"acks": -1, "timeoutMs": 1000})
s = Scenario("produce/partition-twice/v9")
t = s.topic()
s.ask("Produce", 9, {"acks": -1, "timeoutMs": 1000, "topicData": [
    {"name": t, "partitionData": [{"index": 0, "records": [batch("a")]}, {"index": 0, "records": [batch("b", "c")]}]}]})
s.fetch(t)

BROKEN = {
    "crc": [batch("a", patch=[{"at": 17, "hex": "00000000"}])],
    "magic-3": [batch("a", patch=[{"at": 16, "hex": "03"}])],
    "cut": [batch("a", "b", cut=3)],
    "two-batches": [batch("a"), batch("b")],
    "magic-1": [batch("a", magic=1)],
    "magic-0": [batch("a", magic=0)],
    "length-short": [batch("a", patch=[{"at": 8, "hex": "00000010"}])],
    "length-negative": [batch("a", patch=[{"at": 8, "hex": "ffffff00"}])],
    "count-wrong": [batch("a", "b", patch=[{"at": 57, "hex": "00000005"}], crc=True)],
    "count-negative": [batch("a", patch=[{"at": 57, "hex": "ffffffff"}], crc=True)],
    "last-delta-wrong": [batch("a", "b", patch=[{"at": 23, "hex": "00000007"}], crc=True)],
    "control": [batch(control="commit", pid=7, epoch=0, txn=True)],
    "codec-7": [batch("a", patch=[{"at": 21, "hex": "0007"}], crc=True)],
    "garbage-gzip": [batch("aaaa", patch=[{"at": 21, "hex": "0001"}], crc=True)],
    "base-offset-5": [batch("a", "b", base=5)],
    "leader-epoch-9": [batch("a", leader_epoch=9)],
    "append-time-attribute": [batch("a", append_time=True)],
    "garbage": "hex:00112233445566778899",
    "attributes-unused": [batch("a", patch=[{"at": 21, "hex": "0080"}], crc=True)],
    "delete-horizon": [batch("a", patch=[{"at": 21, "hex": "0040"}], crc=True)],
    "record-length-wrong": [batch("a", patch=[{"at": 61, "hex": "40"}], crc=True)],
    "sequence-without-pid": [batch("a", patch=[{"at": 53, "hex": "00000003"}], crc=True)],
    "pid-without-sequence": [batch("a", patch=[{"at": 43, "hex": "0000000000000bb80000"}], crc=True)],
}
for name, records in BROKEN.items():
    for v in (7, 9):
        s = Scenario(f"produce/broken/{name}/v{v}")
        t = s.topic()
        s.produce(t, records, v=v)
        s.fetch(t)

for codec in ("gzip", "snappy", "lz4", "zstd"):
    s = Scenario(f"produce/codec/{codec}")
    t = s.topic()
    s.produce(t, [batch("a" * 100, "b" * 100, codec=codec)], v=9)
    s.fetch(t)
    for to in ("uncompressed", "gzip", "zstd"):
        s = Scenario(f"produce/recompressed/{codec}-{to}")
        t = s.topic(compression_type=to)
        s.produce(t, [batch("a" * 100, "b" * 100, codec=codec)], v=9)
        s.fetch(t)
for v in (3, 6):
    s = Scenario(f"produce/zstd-too-old/v{v}")
    t = s.topic()
    s.produce(t, [batch("a", codec="zstd")], v=v)
s = Scenario("fetch/zstd-too-old")
t = s.topic()
s.produce(t, [batch("a")])
s.produce(t, [batch("a", codec="zstd")])
s.fetch(t, v=9)
s.fetch(t, v=9, offset=1)
s.fetch(t, v=10, offset=1)

s = Scenario("produce/append-time")
t = s.topic(message_timestamp_type="LogAppendTime")
s.produce(t, [batch("a", {"v": "b", "t": "T+9"})], v=9)
s.fetch(t)
for codec in ("none", "gzip"):
    for limit in (1, 90, 200):
        s = Scenario(f"produce/too-large/{codec}-{limit}")
        t = s.topic(max_message_bytes=limit)
        s.produce(t, [batch({"size": 1000}, codec=codec)], v=9)
s = Scenario("produce/too-large/default")
t = s.topic()
s.produce(t, [batch({"size": 1048588})], v=8)
s.produce(t, [batch({"size": 1048588 - 80})], v=8)
for when in ("now+7200000", "now-1000000000000", "-1", "T"):
    s = Scenario(f"produce/timestamp/{when}")
    t = s.topic(retention_ms=-1)
    s.produce(t, [batch("ok", {"v": "a", "t": when})] if when != "-1" else [batch("a", patch=[{"at": 27, "hex": "ff" * 16}], crc=True)], v=9)
    s = Scenario(f"produce/timestamp/{when}/limited")
    t = s.topic(message_timestamp_before_max_ms=1000000, message_timestamp_after_max_ms=1000, retention_ms=-1)
    s.produce(t, [batch("ok", {"v": "a", "t": when})] if when != "-1" else [batch("a", patch=[{"at": 27, "hex": "ff" * 16}], crc=True)], v=9)
for v in (7, 8, 9):
    s = Scenario(f"produce/compacted/null-key/v{v}")
    t = s.topic(cleanup_policy="compact")
    s.produce(t, [batch("a", {"k": None, "v": "b"}, "c", {"k": None, "v": "d"})], v=v)
    s.produce(t, [batch("a", {"k": "gone", "v": None})], v=v)
    s.fetch(t)
s = Scenario("produce/compacted/null-key/gzip")
t = s.topic(cleanup_policy="compact,delete")
s.produce(t, [batch("a", {"k": None, "v": "b"}, codec="gzip")], v=9)

# acks=0: no answer; what follows on the connection is unharmed; an error closes it.
s = Scenario("produce/acks-0/pipelined")
t = s.topic()
s.produce(t, [batch("a")], acks=0, silent=True)
s.produce(t, [batch("b")], acks=1, later=True)
s.produce(t, [batch("c")], acks=0, silent=True)
s.produce(t, [batch("d")], acks=-1, later=True)
s.answer()
s.answer()
s.fetch(t)
s = Scenario("produce/acks-0/error")
t = s.topic()
s.produce(t, [batch("a")], acks=0, partition=9, silent=True)
s.ask("ApiVersions", 0, drop=["apiKeys"])

# ── idempotent producers ────────────────────────────────────────────────────────────────────────────────────────────

for v in (3, 7, 9, 13):
    s = Scenario(f"idempotent/sequences/v{v}")
    t = s.topic()
    s.producer()
    for at in range(6):
        s.produce(t, [batch(f"a{at}", pid="${pid}", epoch=0, seq=at)], v=v)
    for at in (5, 4, 1, 0):
        s.produce(t, [batch(f"a{at}", pid="${pid}", epoch=0, seq=at)], v=v)
    s.produce(t, [batch("gap", pid="${pid}", epoch=0, seq=9)], v=v)
    s.produce(t, [batch("part", "new", pid="${pid}", epoch=0, seq=5)], v=v)
    s.produce(t, [batch("new epoch", pid="${pid}", epoch=1, seq=3)], v=v)
    s.produce(t, [batch("new epoch", pid="${pid}", epoch=1, seq=0)], v=v)
    s.produce(t, [batch("old epoch", pid="${pid}", epoch=0, seq=6)], v=v)
    s.fetch(t, v=18 if v == 13 else 12)
s = Scenario("idempotent/unknown-producer")
t = s.topic()
s.produce(t, [batch("a", pid=987654, epoch=0, seq=0)])
s.produce(t, [batch("a", pid=987655, epoch=0, seq=5)])
s.produce(t, [batch("a", pid=987656, epoch=4, seq=5)])
s = Scenario("idempotent/wrap")
t = s.topic()
s.producer()
s.produce(t, [batch("a", pid="${pid}", epoch=0, seq=2147483646)])
s.produce(t, [batch("b", "c", pid="${pid}", epoch=0, seq=2147483647)])
s.produce(t, [batch("d", pid="${pid}", epoch=0, seq=1)])
s.fetch(t)
s = Scenario("idempotent/negative-epoch")
t = s.topic()
s.produce(t, [batch("a", pid=5, epoch=0, seq=0, patch=[{"at": 51, "hex": "ffff"}], crc=True)])
s = Scenario("idempotent/two-batches")
t = s.topic()
s.producer()
s.produce(t, [batch("a", pid="${pid}", epoch=0, seq=0), batch("b", pid="${pid}", epoch=0, seq=1)])
s = Scenario("idempotent/describe-producers")
t = s.topic(2)
s.producer()
s.produce(t, [batch("a", "b", pid="${pid}", epoch=0, seq=0)])
s.ask("DescribeProducers", 0, {"topics": [{"name": t, "partitionIndexes": [0, 1, 7]}, {"name": s.name_of("none"), "partitionIndexes": [0]}]})
s.ask("DescribeProducers", 0, {"topics": [{"name": "bad name/", "partitionIndexes": [0]}]})
s.ask("DescribeProducers", 0)

# ── Fetch ───────────────────────────────────────────────────────────────────────────────────────────────────────────

for v in (4, 5, 7, 9, 11, 12, 13, 15, 17, 18):
    s = Scenario(f"fetch/offsets/v{v}")
    t = s.topic(2)
    s.produce(t, [batch("a", "b", "c")])
    s.produce(t, [batch("d", "e")])
    for offset in (0, 1, 3, 4, 5, 6, -1, -5):
        s.fetch(t, offset, v=v)
    s.fetch(t, 0, v=v, partition=1)
    s.fetch(t, 0, v=v, partition=9)
for v in (4, 12):
    s = Scenario(f"fetch/missing-topic/v{v}")
    s.fetch(s.name_of("none"), v=v)
    s = Scenario(f"fetch/bad-name/v{v}")
    s.fetch("a b/", v=v)
    s = Scenario(f"fetch/empty-name/v{v}")
    s.fetch("", v=v)
for name, id in (("unknown-id", OTHER_ID), ("zero-id", NO_ID)):
    for v in (13, 18):
        s = Scenario(f"fetch/{name}/v{v}")
        s.ask("Fetch", v, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "topics": [{"topicId": id, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})
s = Scenario("fetch/large-batch-small-limits")
t = s.topic(2)
s.produce(t, [batch({"size": 100000})])
s.produce(t, [batch({"size": 500})])
s.produce(t, [batch({"size": 100000})], partition=1)
s.fetch(t, partitionMaxBytes=10, maxBytes=10)
s.fetch(t, partitionMaxBytes=10, maxBytes=0)
s.fetch(t, partitionMaxBytes=0)
s.fetch(t, partitionMaxBytes=100800)
part = [{"partition": at, "fetchOffset": 0, "partitionMaxBytes": 1000} for at in (0, 1)]
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "topics": [{"topic": t, "partitions": part}]})
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "topics": [{"topic": t, "partitions": part[::-1]}]})
s = Scenario("fetch/leader-epochs")
t = s.topic()
s.produce(t, [batch("a")])
for epoch in (0, 1, 7, -1):
    s.fetch(t, currentLeaderEpoch=epoch)
    s.fetch(t, currentLeaderEpoch=epoch, v=9)
for epoch in (0, 1, 5):
    s.fetch(t, 1, lastFetchedEpoch=epoch)
s.fetch(t, 5, lastFetchedEpoch=0, currentLeaderEpoch=0)
s = Scenario("fetch/as-follower")
t = s.topic()
s.produce(t, [batch("a")])
s.fetch(t, v=12, replicaId=1)
s.fetch(t, v=12, replicaId=9)
s.fetch(t, v=12, replicaId=-2)
s = Scenario("fetch/waits-for-nothing")
t = s.topic()
s.fetch(t, maxWaitMs=300, minBytes=1)
s.fetch(t, maxWaitMs=-5, minBytes=0)
s = Scenario("fetch/waits-for-record")
t = s.topic()
s.fetch(t, maxWaitMs=10000, minBytes=1, conn="reader", later=True)
s.wait(200)
s.produce(t, [batch("late")])
s.answer("reader")
s = Scenario("fetch/partition-twice")
t = s.topic()
s.produce(t, [batch("a")])
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 100000, "topics": [{"topic": t, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}, {"partition": 0, "fetchOffset": 1, "partitionMaxBytes": 1000}]}]})
s = Scenario("fetch/nothing")
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000})
s = Scenario("fetch/trimmed")
t = s.topic()
s.produce(t, [batch("a")])
s.produce(t, [batch("b", "c")])
s.prepare("DeleteRecords", 2, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": 2}]}]})
for offset in (0, 1, 2, 3):
    s.fetch(t, offset)
s = Scenario("fetch/deleted-and-made-again")
t = s.topic()
s.produce(t, [batch("a")])
s.fetch(t, v=13)
s.ask("DeleteTopics", 5, {"timeoutMs": 5000, "topicNames": [t]})
s.wait(150)
s.fetch(t, v=13)
s.fetch(t, v=12)
s.prepare("CreateTopics", 5, {"timeoutMs": 5000, "topics": [{"name": t, "numPartitions": 1, "replicationFactor": 1}]}, retry=[36])
s.prepare("Metadata", 12, {"topics": [{"name": t}]})
s.fetch(t, v=13)
s.fetch(t, v=12)
s.produce(t, v=13)

# ── fetch sessions (KIP-227) ────────────────────────────────────────────────────────────────────────────────────────

for v in (7, 12, 13, 18):
    s = Scenario(f"session/life/v{v}")
    t = s.topic(2)
    s.produce(t, [batch("a")])
    s.ask("Fetch", v, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 100000, "sessionEpoch": 0, "topics": [
        {**({"topicId": f"${{id-{t}}}"} if v >= 13 else {"topic": t}), "partitions": [{"partition": at, "partitionMaxBytes": 1000} for at in (0, 1)]}]}, save={"session": "/sessionId"})
    empty = {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 100000, "sessionId": "${session}"}
    s.ask("Fetch", v, {**empty, "sessionEpoch": 1})
    s.produce(t, [batch("b")], partition=1)
    s.ask("Fetch", v, {**empty, "sessionEpoch": 2})
    s.ask("Fetch", v, {**empty, "sessionEpoch": 2})
    s.ask("Fetch", v, {**empty, "sessionEpoch": 9})
    named = {"topicId": f"${{id-{t}}}"} if v >= 13 else {"topic": t}
    s.ask("Fetch", v, {**empty, "sessionEpoch": 3, "topics": [{**named, "partitions": [{"partition": 0, "fetchOffset": 1, "partitionMaxBytes": 1000}]}]})
    s.ask("Fetch", v, {**empty, "sessionEpoch": 4, "forgottenTopicsData": [{**named, "partitions": [1]}]})
    s.produce(t, [batch("c")], partition=1)
    s.ask("Fetch", v, {**empty, "sessionEpoch": 5})
    s.ask("Fetch", v, {**empty, "sessionEpoch": -1})
    s.ask("Fetch", v, {**empty, "sessionEpoch": 6})
s = Scenario("session/unknown")
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": 12345678, "sessionEpoch": 1})
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": 12345678, "sessionEpoch": 0})
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": 12345678, "sessionEpoch": -1})
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": 0, "sessionEpoch": 5})
s = Scenario("session/errors-inside")
t = s.topic()
n = s.name_of("none")
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionEpoch": 0, "topics": [
    {"topic": t, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}, {"topic": n, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]}, save={"session": "/sessionId"})
s.ask("Fetch", 12, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": "${session}", "sessionEpoch": 1})
s.ask("Fetch", 13, {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "sessionId": "${session}", "sessionEpoch": 2, "topics": [{"topicId": f"${{id-{t}}}", "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})
s = Scenario("session/unknown-id-inside")
t = s.topic()
body = {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000}
s.ask("Fetch", 13, {**body, "sessionEpoch": 0, "topics": [{"topicId": f"${{id-{t}}}", "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}, {"topicId": OTHER_ID, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]}, save={"session": "/sessionId"})
s.ask("Fetch", 13, {**body, "sessionId": "${session}", "sessionEpoch": 1})
s.ask("Fetch", 12, {**body, "sessionId": "${session}", "sessionEpoch": 2, "topics": [{"topic": t, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]})
s = Scenario("session/topic-made-again")
t = s.topic()
s.ask("Fetch", 13, {**body, "sessionEpoch": 0, "topics": [{"topicId": f"${{id-{t}}}", "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]}, save={"session": "/sessionId"})
s.prepare("DeleteTopics", 5, {"timeoutMs": 5000, "topicNames": [t]}, retry=[])
s.wait(200)
s.ask("Fetch", 13, {**body, "sessionId": "${session}", "sessionEpoch": 1})

# ── ListOffsets ─────────────────────────────────────────────────────────────────────────────────────────────────────

for v in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11):
    s = Scenario(f"list-offsets/times/v{v}")
    t = s.topic(retention_ms=-1)
    s.produce(t, [batch({"v": "a", "t": "T+10"}, {"v": "b", "t": "T+30"}, {"v": "c", "t": "T+20"})])
    s.produce(t, [batch({"v": "d", "t": "T+25"})])
    s.produce(t, [batch({"v": "e", "t": "T+40"}, {"v": "f", "t": "T+15"}, codec="lz4")])
    for when in (-1, -2, "T", "T+10", "T+11", "T+21", "T+26", "T+31", "T+40", "T+41", 0, 1) + ((-3,) if v >= 7 else ()) + ((-4,) if v >= 8 else ()) + ((-5,) if v >= 9 else ()) + ((-6,) if v >= 11 else ()):
        s.ask("ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": when}]}], **({"timeoutMs": 5000} if v >= 10 else {})})
for v in (1, 7, 11):
    s = Scenario(f"list-offsets/too-new-times/v{v}")
    t = s.topic()
    for when in (-3, -4, -5, -6, -7, -100):
        s.ask("ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": when}]}]})
    s = Scenario(f"list-offsets/errors/v{v}")
    t = s.topic()
    s.ask("ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": 4, "timestamp": -1}]}, {"name": s.name_of("none"), "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
    s.ask("ListOffsets", v, {"topics": [{"name": "bad/name", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
    s.ask("ListOffsets", v, {})
    s = Scenario(f"list-offsets/twice/v{v}")
    t = s.topic()
    s.ask("ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}, {"partitionIndex": 0, "timestamp": -2}]}]})
    s = Scenario(f"list-offsets/empty/v{v}")
    t = s.topic()
    for when in (-1, -2, 0, "T"):
        s.ask("ListOffsets", v, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": when}]}]})
    s = Scenario(f"list-offsets/replica/v{v}")
    t = s.topic()
    for replica in (-1, -2, 0, 1, 5):
        s.ask("ListOffsets", v, {"replicaId": replica, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
s = Scenario("list-offsets/leader-epochs")
t = s.topic()
for epoch in (-1, 0, 1, 9):
    s.ask("ListOffsets", 6, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1, "currentLeaderEpoch": epoch}]}]})
s = Scenario("list-offsets/trimmed")
t = s.topic()
s.produce(t, [batch({"v": "a", "t": "T+1"}, {"v": "b", "t": "T+2"}, {"v": "c", "t": "T+3"})])
s.prepare("DeleteRecords", 2, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": 1}]}]})
for when in (-1, -2, -3, -4, "T+1", "T+2", "T+3"):
    s.ask("ListOffsets", 8, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": when}]}]})
s.prepare("DeleteRecords", 2, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": -1}]}]})
for when in (-1, -2, -3, -4, "T+1", "T+3"):
    s.ask("ListOffsets", 8, {"topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": when}]}]})

# ── OffsetForLeaderEpoch, DeleteRecords ─────────────────────────────────────────────────────────────────────────────

for v in (2, 3, 4):
    s = Scenario(f"offset-for-leader-epoch/v{v}")
    t = s.topic()
    s.produce(t, [batch("a", "b")])
    for current, epoch in ((-1, 0), (0, 0), (0, 5), (3, 0), (-1, -1), (-1, 1)):
        s.ask("OffsetForLeaderEpoch", v, {"topics": [{"topic": t, "partitions": [{"partition": 0, "leaderEpoch": epoch, "currentLeaderEpoch": current}]}]})
    s.ask("OffsetForLeaderEpoch", v, {"topics": [{"topic": t, "partitions": [{"partition": 8}]}, {"topic": s.name_of("none"), "partitions": [{"partition": 0}]}]})
    s.ask("OffsetForLeaderEpoch", v, {})
for v in (0, 1, 2):
    s = Scenario(f"delete-records/v{v}")
    t = s.topic()
    s.produce(t, [batch("a", "b", "c")])
    for offset in (1, 1, 0, 9, -2, 3, -1):
        s.ask("DeleteRecords", v, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": offset}]}]})
    s.ask("DeleteRecords", v, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 3, "offset": 0}]}, {"name": s.name_of("none"), "partitions": [{"partitionIndex": 0, "offset": 0}]}]})
    s.ask("DeleteRecords", v, {"timeoutMs": 5000, "topics": [{"name": "__consumer_offsets", "partitions": [{"partitionIndex": 0, "offset": 0}]}]})
    s.ask("DeleteRecords", v, {"timeoutMs": 5000})
s = Scenario("delete-records/compacted")
t = s.topic(cleanup_policy="compact")
s.produce(t, [batch("a", "b", "c")])
s.ask("DeleteRecords", 2, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": 1}]}]})
s = Scenario("delete-records/inside-batch")
t = s.topic()
s.produce(t, [batch("a", "b", "c")])
s.prepare("DeleteRecords", 2, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "offset": 2}]}]})
s.fetch(t, 2)
s.fetch(t, 1)
