"""What a person sees when the disk under the server does what disks do: one step for each fault, each with a server of
its own. Whoever was told that a record is safe must find it again; whoever was not may find it or not.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from broker import Server, binary
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from steps import Skip, done, equal, step, within

WORK = pathlib.Path(sys.argv[1])
ONLY = sys.argv[2:]
TOPIC = "faults"
SMALL_JOURNAL = ["--journal-file-bytes", "4MiB", "--journal-limit-bytes", "8MiB", "--unsettled-limit-bytes", "4MiB"]
LOOK_OFTEN = ["--log-retention-check-interval-ms", "200"]
SETTLE_SOON = ["--settle-bytes", "65536"]
PER_BATCH = 10
# Too much for what a journal file that is already there may still have room for.
LARGE = b"x" * (256 << 10)
READ_LIMIT_S = 30


# ── a server and its clients ────────────────────────────────────────────────────────────────────────────────────


def begin(name, *extra):
    """A server of this step's own, with one stream of one log."""
    server = Server(WORK / name, kind="interfluve", extra=extra)
    server.start()
    create(server)
    return server


def create(server):
    admin = AdminClient({"bootstrap.servers": server.kafka})
    for future in admin.create_topics([NewTopic(TOPIC, num_partitions=1)]).values():
        future.result(20)


def producer(server, **settings):
    return Producer({"bootstrap.servers": server.kafka, "message.timeout.ms": 20000, "linger.ms": 0, **settings})


def send(client, value):
    """Sends one record; None if it was acknowledged, else the error."""
    told = []
    client.produce(TOPIC, value=value, on_delivery=lambda error, _: told.append(error))
    client.flush(30)
    return told[0] if told else KafkaError(KafkaError._MSG_TIMED_OUT)


def send_batches(server, batches):
    """Sends batches of PER_BATCH records, each in a request of its own; returns the values of each."""
    client = producer(server, **{"linger.ms": 2000, "batch.num.messages": PER_BATCH})
    sent = []
    for batch in range(batches):
        values = [f"record-{batch * PER_BATCH + n:06}-".encode() + b"x" * 2000 for n in range(PER_BATCH)]
        told = []
        for value in values:
            client.produce(TOPIC, value=value, on_delivery=lambda error, _: told.append(error))
        client.flush(30)
        equal(told, [None] * PER_BATCH, "delivery reports")
        sent.append(values)
    return sent


def read_all(server):
    """Every value, in order, to the end of the log; an error of the consumer is an error here."""
    settings = {"group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True, "check.crcs": True}
    consumer = Consumer({"bootstrap.servers": server.kafka, **settings})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    values, limit = [], time.monotonic() + READ_LIMIT_S
    try:
        while True:
            assert time.monotonic() < limit, f"the end was not reached in {READ_LIMIT_S} s, after {len(values)} records"
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is None:
                values.append(message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return values
            else:
                raise KafkaException(message.error())
    finally:
        consumer.close()


def metric(server, name):
    page = urllib.request.urlopen(f"{server.kinesis}/metrics", timeout=10).read().decode()
    found = re.search(rf"^{name} (\S+)$", page, re.M)
    return float(found[1]) if found else 0.0


def put_record(server):
    """The HTTP status of a PutRecord of LARGE."""
    request = urllib.request.Request(
        server.kinesis,
        json.dumps({"StreamName": TOPIC, "PartitionKey": "k", "Data": base64.b64encode(LARGE).decode()}).encode(),
        {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "Kinesis_20131202.PutRecord",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/kinesis/aws4_request, "
            "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
        },
    )
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


def refused(server, *texts):
    """Starting it must end with exit code 1 and say all of `texts`."""
    try:
        server.start()
    except RuntimeError as error:
        said = str(error)
    else:
        server.kill9()
        raise AssertionError("it started")
    for text in ("ended with 1 at start", *texts):
        assert text in said, f"{text!r} is not in: {said}"


def check(server):
    """Exit code and words of `interfluve check`."""
    command = [binary(), "check", str(server.data)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ran.returncode, ran.stdout


def flip(folder, pattern, text):
    """Flips one bit of `text` in the one file of `folder` that has it; returns the file."""
    for path in sorted(folder.glob(pattern)):
        data = path.read_bytes()
        at = data.find(text)
        if at >= 0:
            with open(path, "r+b") as file:
                file.seek(at + len(text) // 2)
                file.write(bytes([data[at + len(text) // 2] ^ 1]))
            return path
    raise AssertionError(f"{text} is in no {folder}/{pattern}")


def flat(batches):
    return [value for batch in batches for value in batch]


def same(got, expected, what):
    """Equal, told by what is missing and what is too much."""
    name = lambda value: value[:13].decode(errors="replace")
    missing = [name(value) for value in expected if value not in set(got)]
    extra = [name(value) for value in got if value not in set(expected)]
    assert not missing and not extra, f"{what}: {len(missing)} missing {missing[:3]}, {len(extra)} too many {extra[:3]}"
    assert got == expected, f"{what}: another order, or some twice"


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────────────────────


def disk_full(name, *extra):
    """Refused with an error that clients try again, read from all the while, and written to again by itself."""
    disk = WORK / f"{name}-disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        raise Skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()[:100]}")
    server = Server(WORK / name, kind="interfluve", extra=[*SMALL_JOURNAL, *LOOK_OFTEN, *extra])
    server.data = disk / "data"
    try:
        server.start()
        create(server)
        ballast = disk / "ballast"
        left = os.statvfs(disk)
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - (40 << 20))
        client, acked, refusals = producer(server, **{"message.send.max.retries": 0}), [], 0
        # One refusal may only be caution between two looks at the disk; several, with a look between them, are not.
        while refusals < 4:
            value = f"record-{len(acked):06}-".encode() + LARGE
            refusal = send(client, value)
            if refusal is None:
                acked.append(value)
                refusals = 0
            else:
                equal(refusal.name(), "KAFKA_STORAGE_ERROR", "refused with")
                refusals += 1
                time.sleep(0.5)
            assert len(acked) < 1600, "the disk never became full"
        same(read_all(server), acked, "read while the disk is full")
        status = put_record(server)
        assert status >= 500, f"PutRecord answered {status}, which SDKs do not try again"
        assert metric(server, "interfluve_refused_full_total") > 0, "nothing was counted"
        # A client that has patience is delivered when there is room, without anyone's help.
        told, patient = [], producer(server, **{"message.timeout.ms": 60000})
        patient.produce(TOPIC, value=b"record-patient" + LARGE, on_delivery=lambda error, _: told.append(error))
        assert patient.flush(2) == 1, f"it was written to a full disk: {told}"
        ballast.unlink()
        patient.flush(60)
        equal(told, [None], "the delivery of the one that waited")
        within(20, lambda: put_record(server) == 200, "PutRecord works again")
        got = read_all(server)
        # The last one came through the other face, as often as it was accepted.
        same(got[: len(acked) + 1], [*acked, b"record-patient" + LARGE], "read when there was room again")
        assert set(got[len(acked) + 1 :]) == {LARGE}, f"{len(got)} records read, {len(acked)} acknowledged"
        assert server.alive(), "the server ended"
        equal(server.stop(), 0, "exit code of the stop")
        server.start()
        same(read_all(server), got, "read after a restart")
    finally:
        server.kill9()
        subprocess.run(["umount", str(disk)], check=True)


# ── a failed sync ───────────────────────────────────────────────────────────────────────────────────────────────


def sync_fails(name, nth, pattern=None, *extra):
    """The process ends at the first sync that fails and says why; nothing that was acknowledged is lost. The nth sync of
    a thread fails from when strace is attached, or the nth of the file that `pattern` finds."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    server = begin(name, *extra)
    trace = None
    try:
        client, sent, acked = producer(server), [], []
        for number in range(20):
            sent.append(f"before-{number:06}".encode() + b"x" * 8000)
            equal(send(client, sent[-1]), None, "a write on a sound disk")
            acked.append(sent[-1])
        words = ["-f", "-o", str(server.home / "strace"), "-e", "trace=fdatasync,fsync"]
        words += ["-e", f"inject=fdatasync:error=EIO:when={nth}", "-p", str(server.pid)]
        if pattern:
            found = lambda: [str(path) for path in server.data.glob(pattern) if path.stat().st_size > 0]
            words += [word for path in within(20, found, f"there is a {pattern}") for word in ("-P", path)]
        errors = open(server.home / "strace.err", "w+b")
        trace = subprocess.Popen(["strace", *words], stderr=errors, stdin=subprocess.DEVNULL)
        said = lambda: (server.home / "strace.err").read_text()
        within(20, lambda: "attached" in said() or trace.poll() is not None, "strace is attached")
        if trace.poll() is not None and "not permitted" in said():
            raise Skip("strace may not attach to a process here")
        client = producer(server, **{"message.send.max.retries": 0, "message.timeout.ms": 5000})
        while server.alive() and len(sent) < 200:
            sent.append(f"during-{len(sent):06}".encode() + b"x" * 8000)
            if send(client, sent[-1]) is None:
                acked.append(sent[-1])
        code = server.child.wait(20)
        equal(code, 1, "exit code")
        assert len(acked) > 20, "nothing was acknowledged while strace looked on"
        log = server.tail(40)
        assert "STOPPED" in log and "Input/output error" in log, f"it does not say why: {log}"
        server.start()
        got = read_all(server)
        lost = [value for value in acked if value not in set(got)]
        assert not lost, f"acknowledged and lost: {lost[:3]}"
        same(got, [value for value in sent if value in set(got)], "what was sent, in order")
        equal(send(producer(server), b"after"), None, "a write after the restart")
        server.stop()
        equal(check(server)[0], 0, f"exit code of check: {check(server)[1]}")
    finally:
        server.kill9()
        if trace and trace.poll() is None:
            trace.terminate()
            trace.wait(10)


# ── a directory that is not ours to open ────────────────────────────────────────────────────────────────────────


def taken():
    """The second server on one directory refuses, and the first does not notice."""
    first = begin("taken")
    try:
        second = Server(WORK / "taken-second", kind="interfluve")
        second.data = first.data
        refused(second, str(first.data), f"in use by process {first.pid}")
        equal(send(producer(first), b"still here"), None, "a write to the first")
        same(read_all(first), [b"still here"], "the first")
        first.kill9()
        # What a killed server held is free again.
        second.start()
        same(read_all(second), [b"still here"], "the second, once the first is gone")
        second.kill9()
    finally:
        first.kill9()


def newer_format():
    """A directory of a newer format is left alone; both versions are named."""
    server = begin("newer-format")
    try:
        equal(send(producer(server), b"kept"), None, "a write")
        equal(server.stop(), 0, "exit code of the stop")
        mark = server.data / "format"
        ours = mark.read_text()
        version = re.search(r"^written-by (\S+)$", ours, re.M)[1]
        theirs = re.sub(r"^format .*$", "format 99", ours, flags=re.M)
        mark.write_text(re.sub(r"^written-by .*$", "written-by 9.8.7", theirs, flags=re.M))
        before = {path: path.read_bytes() for path in server.data.rglob("*.log")}
        refused(server, "format 99", "9.8.7", version)
        equal({path: path.read_bytes() for path in server.data.rglob("*.log")}, before, "the files, untouched")
        mark.write_text(ours)
        server.start()
        same(read_all(server), [b"kept"], "read with its own mark")
    finally:
        server.kill9()


# ── a lost bit ──────────────────────────────────────────────────────────────────────────────────────────────────


def flipped_segment():
    """Exactly that batch of a segment is withheld, and counted; `check` tells it."""
    server = begin("flipped-segment", *SETTLE_SOON)
    try:
        sent = send_batches(server, 40)
        lost = sent[11]
        in_segment = lambda: any(lost[-1] in path.read_bytes() for path in server.data.glob("logs/*/*.log"))
        within(20, in_segment, "the batch is settled")
        equal(server.stop(), 0, "exit code of the stop")
        equal(check(server)[0], 0, f"exit code of check before: {check(server)[1]}")
        path = flip(server.data, "logs/*/*.log", lost[4][:14])
        code, said = check(server)
        equal(code, 1, f"exit code of check: {said}")
        assert str(path.relative_to(server.data)) in said and TOPIC in said, f"check does not say where: {said}"
        assert re.search(r"\b110 to 119\b", said), f"check does not say which records: {said}"
        server.start()
        same(read_all(server), flat(sent[:11] + sent[12:]), "read around the damage")
        assert metric(server, "interfluve_damaged_batches_total") > 0, "nothing was counted"
        equal(send(producer(server), b"after"), None, "a write afterwards")
        same(read_all(server), [*flat(sent[:11] + sent[12:]), b"after"], "read again")
    finally:
        server.kill9()


def flipped_journal():
    """Exactly the records of one frame in the middle of the journal are missing after a crash; the rest is served."""
    server = begin("flipped-journal")
    try:
        sent = send_batches(server, 40)
        server.kill9()
        lost = sent[17]
        path = flip(server.data, "journal/*", lost[4][:14])
        code, said = check(server)
        equal(code, 1, f"exit code of check: {said}")
        assert f"journal/{path.name}" in said, f"check does not say where: {said}"
        server.start()
        log = server.tail(40)
        assert "damaged" in log and path.name in log, f"the start does not say what is damaged: {log}"
        same(read_all(server), flat(sent[:17] + sent[18:]), "read around the damage")
        equal(send(producer(server), b"after"), None, "a write afterwards")
        server.kill9()
        server.start()
        same(read_all(server), [*flat(sent[:17] + sent[18:]), b"after"], "read after one more crash")
    finally:
        server.kill9()


STEPS = {
    "disk-full": lambda: disk_full("full", "--disk-reserve-bytes", "16MiB"),
    "disk-full-to-the-last-byte": lambda: disk_full("brim", "--disk-reserve-bytes", "0"),
    "sync-fails": lambda: sync_fails("sync-fails", 8),
    "sync-fails-in-segment": lambda: sync_fails("settle-fails", 1, "logs/*/*.log", *SETTLE_SOON),
    "two-servers": taken,
    "newer-format": newer_format,
    "flipped-bit-in-segment": flipped_segment,
    "flipped-bit-in-journal": flipped_journal,
}
for name, run in STEPS.items():
    if not ONLY or name in ONLY:
        step(name, run)
done()
