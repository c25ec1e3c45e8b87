"""What aiokafka must be able to do: one step for each behaviour."""

import asyncio
import sys
import time
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from steps import done, equal, step

SERVER = sys.argv[1]
TOPIC = f"aiokafka-{uuid.uuid4().hex[:8]}"
GROUP = f"group-{TOPIC}"
PARTITIONS = 4
HEADERS = [("h", b"1"), ("h", b""), ("bytes", b"\x00\xff")]
TOPIC_ALREADY_EXISTS, INVALID_CONFIG = 36, 40
sent = []  # every value, in the order sent


class Admin:
    async def __aenter__(self):
        self.client = AIOKafkaAdminClient(bootstrap_servers=SERVER)
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


def producer(**settings):
    return AIOKafkaProducer(bootstrap_servers=SERVER, linger_ms=5, acks="all", **settings)


async def put(client, values, topic=TOPIC):
    """Sends and waits for every answer; offsets of a partition rise one by one."""
    futures = [await client.send(topic, value, key=b"key-%d" % (len(value) % 7), headers=HEADERS) for value in values]
    placed = {}
    for future in futures:
        told = await future
        placed.setdefault(told.partition, []).append(told.offset)
    for number, offsets in placed.items():
        equal(offsets, list(range(offsets[0], offsets[0] + len(offsets))), f"offsets of partition {number}")


async def send(values, topic=TOPIC, **settings):
    async with producer(**settings) as client:
        await put(client, values, topic)


def consumer(*topics, **settings):
    defaults = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    if settings.get("group_id"):
        defaults |= {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}
    return AIOKafkaConsumer(*topics, bootstrap_servers=SERVER, **(defaults | settings))


async def poll(client, **settings):
    return [record for records in (await client.getmany(timeout_ms=200, **settings)).values() for record in records]


async def read(client, count, seconds=30):
    got, limit = [], time.monotonic() + seconds
    while len(got) < count and time.monotonic() < limit:
        got += await poll(client, max_records=count - len(got))
    equal(len(got), count, "messages read")
    return got


async def until(condition, what, seconds=30):
    limit = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


async def partitions_of(admin, name):
    return (await admin.describe_topics([name]))[0]["partitions"]


async def make(name, count=1, config=None):
    async with Admin() as admin:
        told = await admin.create_topics([NewTopic(name, count, 1, topic_configs=config or {})])
        equal(told.topic_errors[0][1], 0, f"error of making {name}")

        async def there():
            return len(await partitions_of(admin, name)) == count

        # Kafka itself shows a topic a moment after it has acknowledged it.
        await until(there, f"{name} shows")


async def create():
    await make(TOPIC, PARTITIONS, {"retention.ms": "3600000"})


async def create_again_is_refused():
    async with Admin() as admin:
        told = await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    equal(told.topic_errors[0][1], TOPIC_ALREADY_EXISTS, "error")


async def describe():
    async with Admin() as admin:
        assert TOPIC in await admin.list_topics(), "not listed"
        cluster = await admin.describe_cluster()
        equal(len(cluster["brokers"]), 1, "brokers")


async def produce(codec, **settings):
    values = [f"{codec}-{settings}-{number}-{'x' * (number % 50)}".encode() for number in range(300)]
    await send(values, compression_type=codec, **settings)
    sent.extend(values)


async def large_message():
    value = bytes(range(256)) * 3600  # 900 KiB: still under the default limit of 1 MiB
    await send([value])
    sent.append(value)


async def too_large_is_refused():
    try:
        await send([b"x" * 3_000_000], max_request_size=4_000_000)
    except MessageSizeTooLargeError:
        return
    raise AssertionError("accepted 3 MB")


async def consume():
    async with consumer(TOPIC) as client:
        got = await read(client, len(sent))
    equal(sorted(record.value for record in got), sorted(sent), "values")
    assert all(list(record.headers) == HEADERS for record in got), got[0].headers


# ── groups


def held(client):
    return {part.partition for part in client.assignment()}


async def share(one, two):
    async def shared():
        return (len(held(one)), len(held(two))) == (2, 2)

    await until(shared, "two members with two partitions each")
    equal(held(one) | held(two), set(range(PARTITIONS)), "partitions")


async def has_all(client):
    async def all_of_them():
        return len(held(client)) == PARTITIONS

    await until(all_of_them, "one member has all")


async def group_of_two(name, **settings):
    group = f"{GROUP}-{name}"
    async with consumer(TOPIC, group_id=group, **settings) as one:
        await has_all(one)
        async with consumer(TOPIC, group_id=group, **settings) as two:
            await share(one, two)
            async with Admin() as admin:
                told = (await admin.describe_consumer_groups([group]))[0].groups[0]
            equal((told[2], len(told[5])), ("Stable", 2), "state and members described")
        await has_all(one)


async def static():
    """A static member that comes back under its name has the same partitions, and the other keeps its own."""
    group = f"{GROUP}-static"
    one, two = (consumer(TOPIC, group_id=group, group_instance_id=name) for name in ("one", "two"))
    await asyncio.gather(one.start(), two.start())
    await share(one, two)
    before, kept = held(one), held(two)
    await one.stop()
    one = consumer(TOPIC, group_id=group, group_instance_id="one")
    await one.start()

    async def again():
        return held(one) == before

    await until(again, "the same partitions again")
    equal(held(two), kept, "partitions of the other")
    await one.stop()
    await two.stop()


async def commit_and_resume():
    group, got = f"{GROUP}-resume", []
    for count in (len(sent) // 2, len(sent) - len(sent) // 2):
        async with consumer(TOPIC, group_id=group) as client:
            got += await read(client, count)
            await client.commit()
    equal(sorted(record.value for record in got), sorted(sent), "values of both halves")
    async with Admin() as admin:
        committed = await admin.list_consumer_group_offsets(group)
    equal(sum(place.offset for place in committed.values()), len(sent), "sum of committed offsets")


# ── offsets, configurations, deleting


async def seek_by_time():
    name, start, part = f"{TOPIC}-time", 1_700_000_000_000, TopicPartition(f"{TOPIC}-time", 0)
    # The records are years old: any broker would give them up when it next looks.
    await make(name, config={"retention.ms": "-1"})
    async with producer() as client:
        for number in range(100):
            await client.send(name, b"%d" % number, partition=0, timestamp_ms=start + number * 1000)
    async with consumer() as reader:
        reader.assign([part])
        found = (await reader.offsets_for_times({part: start + 41_500}))[part]
        equal((found.offset, found.timestamp), (42, start + 42_000), "offset of the time")
        equal((await reader.offsets_for_times({part: start + 10**9}))[part], None, "offset of a time after the end")
        reader.seek(part, found.offset)
        record = (await read(reader, 1))[0]
        equal((record.value, record.timestamp), (b"42", start + 42_000), "record there")


async def watermarks():
    parts = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    async with consumer() as reader:
        equal(set((await reader.beginning_offsets(parts)).values()), {0}, "starts")
        equal(sum((await reader.end_offsets(parts)).values()), len(sent), "sum of the ends")


async def retention(admin):
    answer = (await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC)]))[0]
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"]


async def admin_configs():
    def change(text):
        return [ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs={"retention.ms": text})]

    async with Admin() as admin:
        equal(await retention(admin), "3600000", "retention.ms as created")
        await admin.alter_configs(change("7200000"))

        async def changed():
            return await retention(admin) == "7200000"

        await until(changed, "retention.ms as changed")
        told = (await admin.alter_configs(change("soon")))[0]
        equal(told.resources[0][0], INVALID_CONFIG, "error of a bad value")


async def admin_topics():
    name = f"{TOPIC}-grow"
    await make(name)
    async with Admin() as admin:
        await admin.create_partitions({name: NewPartitions(3)})

        async def three():
            return len(await partitions_of(admin, name)) == 3

        await until(three, "three partitions")


async def admin_groups():
    async with Admin() as admin:
        assert (f"{GROUP}-resume", "consumer") in await admin.list_consumer_groups(), "not listed"


async def delete_records():
    name, part = f"{TOPIC}-trim", TopicPartition(f"{TOPIC}-trim", 0)
    await make(name)
    await send([b"%d" % number for number in range(10)], name)
    async with Admin() as admin:
        equal((await admin.delete_records({part: RecordsToDelete(before_offset=4)}))[part], 4, "low watermark")
    async with consumer() as reader:
        both = ((await reader.beginning_offsets([part]))[part], (await reader.end_offsets([part]))[part])
        equal(both, (4, 10), "start and end")


# ── transactions


async def careful(name, level="read_committed"):
    """Every value that a careful reader finds from the start to the end of a topic."""
    parts, values, limit = [TopicPartition(name, number) for number in range(PARTITIONS)], [], time.monotonic() + 20
    async with consumer(isolation_level=level) as reader:
        reader.assign(parts)
        ends = await reader.end_offsets(parts)
        while True:
            values += [record.value for record in await poll(reader)]
            if all([await reader.position(part) >= ends[part] for part in parts]):
                return sorted(values)
            assert time.monotonic() < limit, f"the end was not reached, {len(values)} values"


def transactional(name):
    return producer(transactional_id=f"{TOPIC}-{name}")


async def transactions():
    name, kept = f"{TOPIC}-txn", []
    for each in (name, f"{TOPIC}-copy"):
        await make(each, PARTITIONS)
    async with transactional("writer") as client:
        for number in range(9):
            values = [f"{number}-{'x' * place}".encode() for place in range(20)]
            await client.begin_transaction()
            await put(client, values, name)
            if number % 3:
                await client.commit_transaction()
                kept.extend(values)
            else:
                await client.abort_transaction()
    equal(await careful(name), sorted(kept), "values of a careful reader")
    equal(len(await careful(name, "read_uncommitted")), 9 * 20, "values of a careless one")


async def fencing():
    old, new = transactional("fenced"), transactional("fenced")
    await old.start()
    await old.begin_transaction()
    await old.send_and_wait(f"{TOPIC}-txn", b"zombie")
    await new.start()
    try:
        await old.commit_transaction()
    except KafkaError as error:
        assert "Fenced" in repr(error) or "Epoch" in repr(error), repr(error)
    else:
        raise AssertionError("the old producer was not fenced")
    await new.begin_transaction()
    await new.send_and_wait(f"{TOPIC}-txn", b"living")
    await new.commit_transaction()
    await new.stop()
    try:
        await old.stop()
    except KafkaError:
        pass  # it may say once more that it is fenced
    values = await careful(f"{TOPIC}-txn")
    equal((b"zombie" in values, b"living" in values), (False, True), "what is there of the old and of the new one")


async def exactly_once():
    """Consume, transform, produce, with positions in the transaction; one round is given up and done again."""
    expected, group = await careful(f"{TOPIC}-txn"), f"{GROUP}-copy"
    copied, rounds, limit = 0, 0, time.monotonic() + 30
    async with (
        consumer(f"{TOPIC}-txn", group_id=group, isolation_level="read_committed") as reader,
        transactional("copier") as writer,
    ):
        while copied < len(expected) and time.monotonic() < limit:
            records = await poll(reader, max_records=40)
            if not records:
                continue
            await writer.begin_transaction()
            for record in records:
                await writer.send(f"{TOPIC}-copy", record.value, key=record.key, partition=record.partition)
            positions = {part: await reader.position(part) for part in reader.assignment()}
            await writer.send_offsets_to_transaction(positions, group)
            rounds += 1
            if rounds == 2:
                await writer.abort_transaction()
                # seek_to_committed() leaves alone what is committed at 0.
                for part in reader.assignment():
                    reader.seek(part, await reader.committed(part) or 0)
                continue
            await writer.commit_transaction()
            copied += len(records)
    assert rounds > 2, f"only {rounds} rounds"
    equal(await careful(f"{TOPIC}-copy"), expected, "copied values")


async def delete():
    async with Admin() as admin:

        async def names():
            return [name for name in await admin.list_topics() if name.startswith(TOPIC)]

        await admin.delete_topics(await names())

        async def gone():
            return not await names()

        await until(gone, "all gone")


def run(name, what, *arguments, **settings):
    async def limited():
        await asyncio.wait_for(what(*arguments, **settings), 60)

    step(name, lambda: asyncio.run(limited()))


run("create", create)
run("create-again-refused", create_again_is_refused)
run("describe", describe)
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    run(f"produce-{codec or 'none'}", produce, codec)
run("produce-idempotent", produce, "lz4", enable_idempotence=True)
run("produce-large", large_message)
run("produce-too-large-refused", too_large_is_refused)
run("consume", consume)
run("group-rebalance", group_of_two, "range", partition_assignment_strategy=[RangePartitionAssignor])
run("group-rebalance-roundrobin", group_of_two, "roundrobin")
run("group-rebalance-sticky", group_of_two, "sticky", partition_assignment_strategy=[StickyPartitionAssignor])
run("group-static", static)
run("commit-resume", commit_and_resume)
run("seek-by-time", seek_by_time)
run("watermarks", watermarks)
run("admin-configs", admin_configs)
run("admin-topics", admin_topics)
run("admin-groups", admin_groups)
run("delete-records", delete_records)
run("transactions", transactions)
run("transactions-fencing", fencing)
run("transactions-exactly-once", exactly_once)
run("delete", delete)
done()
