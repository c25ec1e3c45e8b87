"""What kafka-python (its own protocol code in Python) must be able to do, the old line (2.0) and the new one: one step for
each behaviour; what 2.0 has no call for is skipped by name."""

import sys
import threading
import time
import uuid

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import (
    InvalidConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata
from steps import Skip, done, equal, step, within

SERVER = sys.argv[1]
OLD = kafka.__version__.startswith("2.0")
TOPIC = f"kafka-python-{uuid.uuid4().hex[:8]}"
GROUP = f"group-{TOPIC}"
PARTITIONS = 4
HEADERS = [("h", b"1"), ("h", b""), ("bytes", b"\x00\xff")]
admin = KafkaAdminClient(bootstrap_servers=SERVER)
sent = []  # every value, in the order sent


def new_only():
    if OLD:
        raise Skip("kafka-python 2.0 has no such call")


def producer(**settings):
    return KafkaProducer(bootstrap_servers=SERVER, linger_ms=5, acks="all", **settings)


def send(values, topic=TOPIC, client=None, **settings):
    """Sends, waits for every answer, and fails with the first error; returns the offsets by partition."""
    own = client is None
    client = client or producer(**settings)
    futures = [client.send(topic, value, key=b"key-%d" % (len(value) % 7), headers=HEADERS) for value in values]
    client.flush(30)
    placed = {}
    for future in futures:
        told = future.get(30)
        placed.setdefault(told.partition, []).append(told.offset)
    for number, offsets in placed.items():
        equal(offsets, list(range(offsets[0], offsets[0] + len(offsets))), f"offsets of partition {number}")
    if own:
        client.close()
    return placed


def consumer(*topics, **settings):
    defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    if settings.get("group_id"):
        defaults |= {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}
    return KafkaConsumer(*topics, bootstrap_servers=SERVER, **(defaults | settings))


def poll(client, timeout_ms=200, **settings):
    """What one poll brings; the old line drops the poll's own timeout when it waits for an assignment."""
    return [record for records in client.poll(timeout_ms, **settings).values() for record in records]


def read(client, count, seconds=30):
    got, limit = [], time.monotonic() + seconds
    while len(got) < count and time.monotonic() < limit:
        got += poll(client, max_records=count - len(got))
    equal(len(got), count, "messages read")
    return got


def make(name, count=1, config=None):
    admin.create_topics([NewTopic(name, count, 1, topic_configs=config or {})])
    # Kafka itself shows a topic a moment after it has acknowledged it.
    within(10, lambda: len(partitions_of(name)) == count, f"{name} shows")


def partitions_of(name):
    try:
        return admin.describe_topics([name])[0]["partitions"]
    except KafkaError:
        return []


def create():
    make(TOPIC, PARTITIONS, {"retention.ms": "3600000"})


def create_again_is_refused():
    try:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    except TopicAlreadyExistsError:
        return
    raise AssertionError("created twice")


def describe():
    assert TOPIC in admin.list_topics(), "not listed"
    found = admin.describe_topics([TOPIC])[0]
    equal(found["error_code"], 0, "error")
    cluster = admin.describe_cluster()
    equal(len(cluster["brokers"]), 1, "brokers")
    equal({part["leader" if OLD else "leader_id"] for part in found["partitions"]}, {cluster["controller_id"]}, "leaders")


def produce(codec, **settings):
    values = [f"{codec}-{settings}-{number}-{'x' * (number % 50)}".encode() for number in range(300)]
    send(values, compression_type=codec, **settings)
    sent.extend(values)


def idempotent():
    new_only()
    produce("zstd", enable_idempotence=True)


def large_message():
    value = bytes(range(256)) * 3600  # 900 KiB: still under the default limit of 1 MiB
    send([value])
    sent.append(value)


def too_large_is_refused():
    try:
        send([b"x" * 3_000_000], max_request_size=4_000_000)
    except MessageSizeTooLargeError:
        return
    raise AssertionError("accepted 3 MB")


def consume():
    client = consumer(TOPIC)
    got = read(client, len(sent))
    client.close()
    equal(sorted(record.value for record in got), sorted(sent), "values")
    assert all(list(record.headers) == HEADERS for record in got), got[0].headers


# ── groups


def held(client):
    return {part.partition for part in client.assignment()}


class Member:
    """A member that polls in a thread of its own, as this client wants, and remembers what it read and holds."""

    def __init__(self, group, **settings):
        self.client = consumer(TOPIC, group_id=group, **settings)
        self.going, self.holding = True, set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.going:
            self.client.poll(100)
            self.holding = held(self.client)

    def leave(self):
        self.going = False
        self.thread.join(20)
        self.client.close()


def share(one, two):
    within(30, lambda: (len(one.holding), len(two.holding)) == (2, 2), "two members with two partitions each")
    equal(one.holding | two.holding, set(range(PARTITIONS)), "partitions")


def group_of_two(name, **settings):
    group = f"{GROUP}-{name}"
    one = Member(group, **settings)
    within(30, lambda: len(one.holding) == PARTITIONS, "the first member has all")
    two = Member(group, **settings)
    share(one, two)
    if OLD:
        described = admin.describe_consumer_groups([group])[0]
        equal((described.state, len(described.members)), ("Stable", 2), "state and members described")
    else:
        described = admin.describe_groups([group])[group]
        equal(len(described["members"]), 2, "members described")
    two.leave()
    within(30, lambda: len(one.holding) == PARTITIONS, "the member left has all again")
    one.leave()


def cooperative():
    new_only()
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor as Assignor

    group_of_two("cooperative", partition_assignment_strategy=[Assignor])


def sticky():
    if OLD:
        raise Skip("the sticky assignor of kafka-python 2.0 fails in itself on Python 3")
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    group_of_two("sticky", partition_assignment_strategy=[StickyPartitionAssignor])


def static():
    """A static member that comes back under its name has the same partitions, and the other keeps its own."""
    new_only()
    group = f"{GROUP}-static"
    one, two = (Member(group, group_instance_id=name) for name in ("one", "two"))
    share(one, two)
    before, kept = one.holding, two.holding
    one.leave()
    one = Member(group, group_instance_id="one")
    within(20, lambda: one.holding == before, "the same partitions again")
    equal(two.holding, kept, "partitions of the other")
    one.leave()
    two.leave()


def commit_and_resume():
    group, got = f"{GROUP}-resume", []
    for count in (len(sent) // 2, len(sent) - len(sent) // 2):
        client = consumer(TOPIC, group_id=group)
        got += read(client, count)
        client.commit()
        client.close()
    equal(sorted(record.value for record in got), sorted(sent), "values of both halves")
    if OLD:
        committed = admin.list_consumer_group_offsets(group)
    else:
        committed = admin.list_group_offsets({group: None})[group]
    equal(sum(place.offset for place in committed.values()), len(sent), "sum of committed offsets")


def auto_commit():
    group = f"{GROUP}-auto"
    client = consumer(TOPIC, group_id=group, enable_auto_commit=True, auto_commit_interval_ms=200)
    read(client, len(sent))
    client.close()
    client = consumer(group_id=group)
    total = sum(client.committed(TopicPartition(TOPIC, number)) or 0 for number in range(PARTITIONS))
    client.close()
    equal(total, len(sent), "sum of committed offsets")


def commit_metadata():
    client, part = consumer(group_id=f"{GROUP}-metadata"), TopicPartition(TOPIC, 1)
    client.assign([part])
    client.commit({part: OffsetAndMetadata(7, "märk") if OLD else OffsetAndMetadata(7, "märk", -1)})
    told = client.committed(part, metadata=True)
    client.close()
    equal((told.offset, told.metadata), (7, "märk"), "what was committed")


# ── offsets, configurations, deleting


def seek_by_time():
    name, start = f"{TOPIC}-time", 1_700_000_000_000
    # The records are years old: any broker would give them up when it next looks.
    make(name, config={"retention.ms": "-1"})
    client, part = producer(), TopicPartition(name, 0)
    for number in range(100):
        client.send(name, b"%d" % number, partition=0, timestamp_ms=start + number * 1000)
    client.flush(20)
    client.close()
    reader = consumer()
    reader.assign([part])
    found = reader.offsets_for_times({part: start + 41_500})[part]
    equal((found.offset, found.timestamp), (42, start + 42_000), "offset of the time")
    equal(reader.offsets_for_times({part: start + 10**9})[part], None, "offset of a time after the end")
    reader.seek(part, found.offset)
    record = read(reader, 1)[0]
    equal((record.value, record.timestamp), (b"42", start + 42_000), "record there")
    reader.close()


def watermarks():
    reader = consumer()
    parts = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    equal(set(reader.beginning_offsets(parts).values()), {0}, "starts")
    equal(sum(reader.end_offsets(parts).values()), len(sent), "sum of the ends")
    reader.close()


def retention():
    if OLD:
        answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC)])[0]
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"]
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC)], config_filter="all")
    return found["topic"][TOPIC]["retention.ms"]["value"]


def admin_configs():
    equal(retention(), "3600000", "retention.ms as created")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs={"retention.ms": "7200000"})])
    within(10, lambda: retention() == "7200000", "retention.ms as changed")
    bad = [ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs={"retention.ms": "soon"})]
    try:
        told = admin.alter_configs(bad)
        # Both lines hand the answer back, each in its own way; 40 is INVALID_CONFIG.
        code = told.resources[0][0] if OLD else 40 * ("[Error 40]" in str(told))
    except InvalidConfigurationError:
        code = 40
    equal(code, 40, "error of a bad value")
    equal(retention(), "7200000", "retention.ms after a bad value")


def admin_topics():
    name = f"{TOPIC}-grow"
    make(name)
    admin.create_partitions({name: NewPartitions(3)})
    within(10, lambda: len(partitions_of(name)) == 3, "three partitions")


def admin_groups():
    group = f"{GROUP}-resume"
    if OLD:
        assert (group, "consumer") in admin.list_consumer_groups(), "not listed"
        told = admin.delete_consumer_groups([group])
        equal([error.errno for _, error in told], [0], "errors")
        assert (group, "consumer") not in admin.list_consumer_groups(), "still listed"
        return
    names = lambda: {listed["group_id"] for listed in admin.list_groups()}
    assert group in names(), "not listed"
    admin.delete_groups([group])
    assert group not in names(), "still listed"


def delete_records():
    new_only()
    name = f"{TOPIC}-trim"
    make(name)
    client, part = producer(), TopicPartition(name, 0)
    for number in range(10):
        client.send(name, b"%d" % number)
    client.flush(20)
    client.close()
    admin.delete_records({part: 4})
    reader = consumer()
    equal((reader.beginning_offsets([part])[part], reader.end_offsets([part])[part]), (4, 10), "start and end")
    reader.close()


def admin_many():
    """The calls of the new line that ask about the cluster, its features, log dirs, quorum and configurations."""
    new_only()
    equal(admin.describe_features()["group.version"]["finalized"], (1, 1), "finalized group.version")
    assert admin.describe_log_dirs(), "no log dirs"
    assert admin.describe_metadata_quorum(), "no quorum"
    assert admin.list_config_resources(), "no resources"
    told = admin.describe_topic_partitions([TOPIC])
    assert TOPIC in str(told), told


# ── transactions


def careful(name, level="read_committed"):
    """Every value that a careful reader finds from the start to the end of a topic."""
    reader = consumer(isolation_level=level)
    parts = [TopicPartition(name, number) for number in range(PARTITIONS)]
    reader.assign(parts)
    ends, values, limit = reader.end_offsets(parts), [], time.monotonic() + 20
    while any(reader.position(part) < ends[part] for part in parts):
        assert time.monotonic() < limit, f"the end was not reached, {len(values)} values"
        values += [record.value for record in poll(reader)]
    reader.close()
    return sorted(values)


def transactional(name):
    client = producer(transactional_id=f"{TOPIC}-{name}")
    client.init_transactions()
    return client


def transactions():
    new_only()
    name, kept = f"{TOPIC}-txn", []
    for each in (name, f"{TOPIC}-copy"):
        make(each, PARTITIONS)
    client = transactional("writer")
    for number in range(9):
        values = [f"{number}-{'x' * place}".encode() for place in range(20)]
        client.begin_transaction()
        send(values, name, client)
        if number % 3:
            client.commit_transaction()
            kept.extend(values)
        else:
            client.abort_transaction()
    client.close()
    equal(careful(name), sorted(kept), "values of a careful reader")
    equal(len(careful(name, "read_uncommitted")), 9 * 20, "values of a careless one")


def fencing():
    new_only()
    old = transactional("fenced")
    old.begin_transaction()
    old.send(f"{TOPIC}-txn", b"zombie").get(20)
    new = transactional("fenced")
    try:
        old.commit_transaction()
    except KafkaError as error:
        assert "Fenced" in repr(error) or "Epoch" in repr(error), repr(error)
    else:
        raise AssertionError("the old producer was not fenced")
    new.begin_transaction()
    new.send(f"{TOPIC}-txn", b"living").get(20)
    new.commit_transaction()
    new.close()
    old.close(timeout=1)
    values = careful(f"{TOPIC}-txn")
    equal((b"zombie" in values, b"living" in values), (False, True), "what is there of the old and of the new one")


def exactly_once():
    """Consume, transform, produce, with positions in the transaction; one round is given up and done again."""
    new_only()
    expected, group = careful(f"{TOPIC}-txn"), f"{GROUP}-copy"
    reader = consumer(f"{TOPIC}-txn", group_id=group, isolation_level="read_committed")
    writer, copied, rounds, limit = transactional("copier"), 0, 0, time.monotonic() + 30
    while copied < len(expected) and time.monotonic() < limit:
        records = poll(reader, max_records=40)
        if not records:
            continue
        writer.begin_transaction()
        for record in records:
            writer.send(f"{TOPIC}-copy", record.value, key=record.key, partition=record.partition)
        positions = {part: OffsetAndMetadata(reader.position(part), "", -1) for part in reader.assignment()}
        writer.send_offsets_to_transaction(positions, reader.group_metadata())
        rounds += 1
        if rounds == 2:
            writer.abort_transaction()
            for part in reader.assignment():
                reader.seek(part, reader.committed(part) or 0)
            continue
        writer.commit_transaction()
        copied += len(records)
    reader.close()
    writer.close()
    assert rounds > 2, f"only {rounds} rounds"
    equal(careful(f"{TOPIC}-copy"), expected, "copied values")


def admin_transactions():
    new_only()
    listed = {listing.transactional_id for listings in admin.list_transactions().values() for listing in listings}
    assert f"{TOPIC}-writer" in listed, listed
    told = admin.describe_transactions([f"{TOPIC}-writer"])[f"{TOPIC}-writer"]
    assert "COMPLETE_COMMIT" in str(told.state).upper() or "COMPLETECOMMIT" in str(told.state).upper(), told
    part = TopicPartition(f"{TOPIC}-txn", 0)
    assert admin.describe_producers([part])[part], "no producers"


def delete():
    names = [name for name in admin.list_topics() if name.startswith(TOPIC)]
    admin.delete_topics(names)
    within(10, lambda: not [name for name in admin.list_topics() if name.startswith(TOPIC)], "all gone")


step("create", create)
step("create-again-refused", create_again_is_refused)
step("describe", describe)
# The old line asks for zstd in a Fetch that KIP-110 called too old for it; Kafka 4.4 gives it all the same, and so do we.
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    step(f"produce-{codec or 'none'}", lambda: produce(codec))
step("produce-idempotent", idempotent)
step("produce-large", large_message)
step("produce-too-large-refused", too_large_is_refused)
step("consume", consume)
step("group-rebalance", lambda: group_of_two("range"))
step("group-rebalance-sticky", sticky)
step("group-rebalance-cooperative", cooperative)
step("group-static", static)
step("commit-resume", commit_and_resume)
step("auto-commit", auto_commit)
step("commit-metadata", commit_metadata)
step("seek-by-time", seek_by_time)
step("watermarks", watermarks)
step("admin-configs", admin_configs)
step("admin-topics", admin_topics)
step("admin-groups", admin_groups)
step("admin-cluster", admin_many)
step("delete-records", delete_records)
step("transactions", transactions)
step("transactions-fencing", fencing)
step("transactions-exactly-once", exactly_once)
step("admin-transactions", admin_transactions)
step("delete", delete)
done()
