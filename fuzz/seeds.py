#!/usr/bin/env python3
"""Writes the first inputs of the targets into seeds/: what real clients said, from tests/wire/goldens/ (whose form
compat/lib/record.py describes). No chance: the same seeds every time."""

import base64
import hashlib
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
# In the order in which the target knows them: sorted.
OPERATIONS = ["CreateStream", "DeleteStream", "DescribeStream", "DescribeStreamSummary", "GetRecords",
              "GetShardIterator", "ListShards", "ListStreams", "PutRecord", "PutRecords"]
written = 0


def put(target, *parts):
    global written
    data = b"".join(parts)
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    written += 1


def kafka(asked):
    put("kafka_request", asked)
    # A batch begins at its base offset, 0, and says its version, 2, 16 bytes further.
    for at in range(len(asked) - 17):
        if asked[at:at + 8] == bytes(8) and asked[at + 16] == 2:
            put("record_batch", asked[at:])
            codec = asked[at + 22] & 7 if len(asked) > at + 61 else 0
            if codec:
                put("decompress", bytes([codec]), asked[at + 61:])
            break


def http(asked):
    head, _, body = asked.partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    headers = {name.lower(): value for name, value in headers.items()}
    if b"authorization" in headers:
        put("aws_text", b"\0", headers[b"authorization"])
    operation = headers.get(b"x-amz-target", b"").decode().rpartition(".")[2]
    if operation in OPERATIONS:
        put("kinesis", bytes([OPERATIONS.index(operation)]), body)


for golden in sorted((HERE.parent / "tests/wire/goldens").glob("*.txt")):
    for line in golden.read_text().splitlines():
        if not line.startswith("#"):
            form, _, asked, _ = line.split(" ")
            if form in ("kafka", "http1"):
                (kafka if form == "kafka" else http)(base64.b64decode(asked))

for which, text in [(1, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/20200101/r/kinesis/aws4_request"),
                    (2, "arn:aws:kinesis:us-east-1:000000000000:stream/s"),
                    (3, "49590338271490256608559692538361571095921575989136588898"),
                    (4, "shardId-000000000001"), (5, "AAAAAAAAAAHSywljv0zEgPX4NyKdZ5wr"), (6, "key")]:
    put("aws_text", bytes([which]), text.encode())
put("config", b"\0", b'[kafka]\nlisten = "127.0.0.1:9092"\n[log]\nformat = "json"\n')
put("config", b"\1", b"retention.ms=1000\nmax.message.bytes=1000\ncompression.type=zstd\n")
# An offset's key and value (Kafka's OffsetCommitKey 1, OffsetCommitValue 1), for every machine.
key = b"\0\1\0\1g\0\1t" + bytes(4)
value = b"\0\1" + bytes(7) + b"\5\0\0" + bytes(7) + b"\1" + b"\xff" * 8
for which in range(4):
    put("ledger_records", bytes([which, len(key)]), key, value)
print(f"{written} seeds")
