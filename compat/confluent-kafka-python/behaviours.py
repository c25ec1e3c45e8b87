"""What confluent-kafka-python (librdkafka) must be able to do: one step for each behaviour."""

import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from steps import done, equal, step, within

SERVER = sys.argv[1]
TOPIC = f"python-{uuid.uuid4().hex[:8]}"
GROUP = f"group-{TOPIC}"
PARTITIONS = 4
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
admin = AdminClient({"bootstrap.servers": SERVER})
sent = []  # every value, in the order sent


def producer(**settings):
    return Producer({"bootstrap.servers": SERVER, "linger.ms": 5, "message.timeout.ms": 20000, **settings})


def send(values, topic=TOPIC, **settings):
    """Sends, waits for every delivery report, and fails with the first error."""
    client, errors, placed = producer(**settings), [], []
    for value in values:
        client.produce(
            topic,
            key=f"key-{len(value) % 7}",
            value=value,
            headers=[("h", b"1"), ("empty", None)],
            callback=lambda error, message: errors.append(error) if error else placed.append(message.offset()),
        )
    equal(client.flush(30), 0, "messages left in the queue")
    assert not errors, errors[0]
    equal(len(placed), len(values), "delivery reports")
    return placed


def consumer(group=GROUP, **settings):
    return Consumer(
        {
            "bootstrap.servers": SERVER,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            **settings,
        }
    )


def read(client, count, seconds=20):
    """Reads until `count` messages came."""
    got, limit = [], time.monotonic() + seconds
    while len(got) < count and time.monotonic() < limit:
        message = client.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        got.append(message)
    equal(len(got), count, "messages read")
    return got


def create():
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config={"retention.ms": "3600000"})])[TOPIC].result(20)


def create_again_is_refused():
    try:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "error")
    else:
        raise AssertionError("created twice")


def describe():
    topic = admin.list_topics(TOPIC, timeout=10).topics[TOPIC]
    equal(topic.error, None, "error")
    equal(sorted(topic.partitions), list(range(PARTITIONS)), "partitions")
    cluster = admin.describe_cluster().result(10)
    equal(len(cluster.nodes), 1, "nodes")


def produce(codec):
    values = [f"{codec}-{number}-{'x' * (number % 50)}".encode() for number in range(500)]
    # Codecs alternate with idempotence, so both kinds of batches are stored.
    send(values, **{"compression.type": codec, "enable.idempotence": codec in ("none", "lz4", "zstd")})
    sent.extend(values)


def consume_everything():
    client = consumer(f"{GROUP}-all")
    client.subscribe([TOPIC])
    got = read(client, len(sent))
    client.close()
    equal(sorted(message.value() for message in got), sorted(sent), "values")
    equal(got[0].headers(), [("h", b"1"), ("empty", None)], "headers")


def large_message():
    value = bytes(range(256)) * 3600  # 900 KiB: still under the default limit of 1 MiB
    send([value])
    sent.append(value)


def too_large_is_refused():
    try:
        send([b"x" * 3_000_000], **{"message.max.bytes": 4_000_000})
    except AssertionError as error:
        assert "MSG_SIZE_TOO_LARGE" in str(error) or "too large" in str(error).lower(), error
    else:
        raise AssertionError("accepted 3 MB")


def group_of_two():
    """Two members share the partitions; when one leaves, the other has all."""
    one, two = consumer(), consumer()
    one.subscribe([TOPIC])
    within(20, lambda: one.poll(0.1) is None and len(one.assignment()) == PARTITIONS or None, "first member has all")
    two.subscribe([TOPIC])

    def shared():
        one.poll(0.05)
        two.poll(0.05)
        return len(one.assignment()) == 2 and len(two.assignment()) == 2

    # The first member sits on read messages: it commits nothing, so nothing is lost for later steps.
    within(30, shared, "two members with two partitions each")
    mine = {partition.partition for partition in one.assignment()}
    theirs = {partition.partition for partition in two.assignment()}
    equal(mine | theirs, set(range(PARTITIONS)), "partitions")
    group = admin.describe_consumer_groups([GROUP])[GROUP].result(10)
    equal(len(group.members), 2, "members described")
    two.close()
    within(30, lambda: (one.poll(0.05), len(one.assignment()) == PARTITIONS)[1], "the member left has all again")
    one.close()


def commit_and_resume():
    group = f"{GROUP}-resume"
    first = consumer(group)
    first.subscribe([TOPIC])
    half = read(first, len(sent) // 2)
    first.commit(asynchronous=False)
    first.close()
    second = consumer(group)
    second.subscribe([TOPIC])
    rest = read(second, len(sent) - len(half))
    second.commit(asynchronous=False)
    second.close()
    equal(sorted(message.value() for message in half + rest), sorted(sent), "values of both halves")
    committed = consumer(group).committed([TopicPartition(TOPIC, number) for number in range(PARTITIONS)], timeout=10)
    equal(sum(max(partition.offset, 0) for partition in committed), len(sent), "sum of committed offsets")


# ── the consumer protocol (KIP-848): the server assigns, and says how often it wants to hear


def new_consumer(group, **settings):
    return Consumer(
        {
            "bootstrap.servers": SERVER,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **settings,
        }
    )


def numbers(client):
    return {partition.partition for partition in client.assignment()}


def share(one, two):
    """Polls both until each has two partitions, and no partition is missing."""

    def shared():
        one.poll(0.05)
        two.poll(0.05)
        return len(numbers(one)) == 2 and len(numbers(two)) == 2

    within(40, shared, "two members with two partitions each")
    equal(numbers(one) | numbers(two), set(range(PARTITIONS)), "partitions")


def has_all(client):
    within(40, lambda: (client.poll(0.05), len(numbers(client)) == PARTITIONS)[1], "one member has all")


def new_group_of_two():
    group = f"{GROUP}-848"
    one, two = new_consumer(group), new_consumer(group)
    one.subscribe([TOPIC])
    has_all(one)
    two.subscribe([TOPIC])
    share(one, two)
    described = admin.describe_consumer_groups([group])[group].result(10)
    equal(len(described.members), 2, "members described")
    equal(described.type.name, "CONSUMER", "type")
    two.close()
    has_all(one)
    one.close()


def new_commit_and_resume():
    group = f"{GROUP}-848-resume"
    first = new_consumer(group)
    first.subscribe([TOPIC])
    half = read(first, len(sent) // 2)
    first.commit(asynchronous=False)
    first.close()
    second = new_consumer(group)
    second.subscribe([TOPIC])
    rest = read(second, len(sent) - len(half))
    second.commit(asynchronous=False)
    second.close()
    equal(sorted(message.value() for message in half + rest), sorted(sent), "values of both halves")


def new_static_member():
    """A static member that comes back under its instance has the same partitions, in the same epoch of the other."""
    group = f"{GROUP}-848-static"
    one, two = (new_consumer(group, **{"group.instance.id": name}) for name in ("one", "two"))
    one.subscribe([TOPIC])
    two.subscribe([TOPIC])
    share(one, two)
    before, kept = numbers(one), numbers(two)
    one.close()
    one = new_consumer(group, **{"group.instance.id": "one"})
    one.subscribe([TOPIC])
    within(20, lambda: (one.poll(0.05), two.poll(0.05), numbers(one) == before)[2], "the same partitions again")
    equal(numbers(two), kept, "partitions of the other")
    one.close()
    two.close()


def new_regex():
    client = new_consumer(f"{GROUP}-848-regex")
    client.subscribe([f"^{TOPIC[:-2]}.."])
    has_all(client)
    client.close()


def migration():
    """An old member and a new one share; then the new one goes, and the old one has all."""
    group = f"{GROUP}-848-both"
    old = consumer(group, **{"partition.assignment.strategy": "cooperative-sticky"})
    old.subscribe([TOPIC])
    has_all(old)
    new = new_consumer(group)
    new.subscribe([TOPIC])
    share(old, new)
    new.close()
    has_all(old)
    old.close()


def seek_by_time():
    topic = f"{TOPIC}-time"
    # The records are years old: any broker would give them up when it next looks.
    admin.create_topics([NewTopic(topic, 1, 1, config={"retention.ms": "-1"})])[topic].result(20)
    client, start = producer(), 1_700_000_000_000
    for number in range(100):
        client.produce(topic, value=str(number), partition=0, timestamp=start + number * 1000)
    equal(client.flush(20), 0, "messages left in the queue")
    reader = consumer()
    found = reader.offsets_for_times([TopicPartition(topic, 0, start + 41_500)], timeout=10)[0]
    equal(found.offset, 42, "offset of the time")
    reader.assign([TopicPartition(topic, 0, found.offset)])
    message = read(reader, 1)[0]
    equal((message.value(), message.timestamp()[1]), (b"42", start + 42_000), "record there")
    late = reader.offsets_for_times([TopicPartition(topic, 0, start + 10**9)], timeout=10)[0]
    assert late.offset in (-1, 100), f"a time after the end gives {late.offset}"
    reader.close()


def watermarks():
    reader = consumer()
    total = 0
    for number in range(PARTITIONS):
        low, high = reader.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=10)
        equal(low, 0, "low watermark")
        total += high
    equal(total, len(sent), "sum of high watermarks")
    latest = admin.list_offsets({TopicPartition(TOPIC, 0): OffsetSpec.latest()})
    assert next(iter(latest.values())).result(10).offset >= 0
    reader.close()


def admin_configs():
    resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC)
    before = admin.describe_configs([resource])[resource].result(10)
    equal(before["retention.ms"].value, "3600000", "retention.ms as created")
    change = ConfigResource(
        ConfigResource.Type.TOPIC,
        TOPIC,
        incremental_configs=[ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)],
    )
    admin.incremental_alter_configs([change])[change].result(10)
    after = admin.describe_configs([resource])[resource].result(10)
    equal(after["retention.ms"].value, "7200000", "retention.ms as changed")
    bad = ConfigResource(
        ConfigResource.Type.TOPIC,
        TOPIC,
        incremental_configs=[ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)],
    )
    try:
        admin.incremental_alter_configs([bad])[bad].result(10)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.INVALID_CONFIG, "error of a bad value")
    else:
        raise AssertionError("accepted retention.ms=soon")


def admin_partitions():
    topic = f"{TOPIC}-grow"
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(20)
    within(10, lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3, "three partitions")


def admin_groups():
    listed = admin.list_consumer_groups().result(10)
    assert GROUP in {group.group_id for group in listed.valid}, "the group is not listed"
    admin.delete_consumer_groups([f"{GROUP}-all"])[f"{GROUP}-all"].result(10)


def delete_records():
    topic = f"{TOPIC}-trim"
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    send([str(number).encode() for number in range(10)], topic)
    client = consumer()
    target = TopicPartition(topic, 0, 4)
    equal(admin.delete_records([target])[target].result(10).low_watermark, 4, "low watermark")
    equal(client.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (4, 10), "watermarks")
    client.close()


def committed_only(topic, level="read_committed"):
    """Every value that a careful reader finds from the start to the end of a topic."""
    client = consumer(f"{GROUP}-{uuid.uuid4().hex[:8]}", **{"isolation.level": level, "enable.partition.eof": True})
    client.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    got, ended, limit = [], set(), time.monotonic() + 20
    while len(ended) < PARTITIONS and time.monotonic() < limit:
        message = client.poll(0.2)
        if message is None:
            continue
        if message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF, "error")
            ended.add(message.partition())
        else:
            got.append(message.value())
    client.close()
    equal(len(ended), PARTITIONS, "partitions read to their end")
    return sorted(got)


def transactional(name):
    client = producer(**{"transactional.id": f"{TOPIC}-{name}"})
    client.init_transactions(20)
    return client


def transactions():
    """Some are committed, some given up; a careful reader sees the first and nothing of the others."""
    topic, client, kept = f"{TOPIC}-in", transactional("writer"), []
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (topic, f"{TOPIC}-out")])
    within(10, lambda: f"{TOPIC}-out" in admin.list_topics(timeout=10).topics, "the topics")
    for number in range(9):
        values = [f"{number}-{place}".encode() for place in range(20)]
        client.begin_transaction()
        for value in values:
            client.produce(topic, value, key=value)
        equal(client.flush(20), 0, "messages left in the queue")
        if number % 3:
            client.commit_transaction(20)
            kept.extend(values)
        else:
            client.abort_transaction(20)
    equal(committed_only(topic), sorted(kept), "values of a careful reader")
    equal(len(committed_only(topic, "read_uncommitted")), 9 * 20, "values of a careless one")


def fencing():
    """A second producer of the same id ends the first one."""
    old, topic = transactional("fenced"), f"{TOPIC}-in"
    old.begin_transaction()
    old.produce(topic, b"zombie")
    old.flush(20)
    new = transactional("fenced")
    try:
        old.commit_transaction(20)
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH), error
    else:
        raise AssertionError("the old producer was not fenced")
    new.begin_transaction()
    new.produce(topic, b"living")
    new.commit_transaction(20)
    values = committed_only(topic)
    equal((b"zombie" in values, b"living" in values), (False, True), "what is there of the old and of the new one")


def exactly_once():
    """Consume, transform, produce, with positions in the transaction; one round is given up and done again."""
    expected = committed_only(f"{TOPIC}-in")
    reader = consumer(f"{GROUP}-eos", **{"isolation.level": "read_committed"})
    reader.subscribe([f"{TOPIC}-in"])
    writer, copied, rounds, limit = transactional("copier"), 0, 0, time.monotonic() + 30
    while copied < len(expected) and time.monotonic() < limit:
        messages = [message for message in reader.consume(40, 0.5) if not message.error()]
        if not messages:
            continue
        writer.begin_transaction()
        for message in messages:
            writer.produce(f"{TOPIC}-out", message.value(), message.key())
        positions = reader.position(reader.assignment())
        writer.send_offsets_to_transaction(positions, reader.consumer_group_metadata(), 20)
        rounds += 1
        if rounds == 2:
            writer.abort_transaction(20)
            for place in reader.committed(reader.assignment(), timeout=10):
                reader.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))
            continue
        writer.commit_transaction(20)
        copied += len(messages)
    reader.close()
    assert rounds > 2, f"only {rounds} rounds"
    equal(committed_only(f"{TOPIC}-out"), expected, "copied values")


def delete():
    names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(TOPIC)]
    for future in admin.delete_topics(names).values():
        future.result(20)
    within(10, lambda: not {name for name in admin.list_topics(timeout=10).topics if name.startswith(TOPIC)}, "all gone")


step("create", create)
step("create-again-refused", create_again_is_refused)
step("describe", describe)
for name in CODECS:
    step(f"produce-{name}", lambda: produce(name))
step("produce-large", large_message)
step("produce-too-large-refused", too_large_is_refused)
step("consume", consume_everything)
step("group-rebalance", group_of_two)
step("commit-resume", commit_and_resume)
step("consumer-rebalance", new_group_of_two)
step("consumer-resume", new_commit_and_resume)
step("consumer-static", new_static_member)
step("consumer-regex", new_regex)
step("consumer-migration", migration)
step("seek-by-time", seek_by_time)
step("watermarks", watermarks)
step("admin-configs", admin_configs)
step("admin-topics", admin_partitions)
step("admin-groups", admin_groups)
step("delete-records", delete_records)
step("transactions", transactions)
step("transactions-fencing", fencing)
step("transactions-exactly-once", exactly_once)
step("delete", delete)
done()
