"""MirrorMaker 2 between the server under test ("here") and Kafka 4.4 ("there"). drive.py WORK KILLS"""

import pathlib
import random
import sys
import time

from broker import Server, free_ports
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions,
    ResourcePatternType, ResourceType,
)  # fmt: skip
from jvm import Cluster, Jvm, jars, settings
from steps import done, equal, step, within

WORK, KILLS = pathlib.Path(sys.argv[1]), int(sys.argv[2])

# Both have an authorizer, so that there are access rules to mirror; whoever connects without a name may do everything.
here, there = Server(WORK / "here"), Server(WORK / "there", "kafka-4.4")
if here.kind == "interfluve":
    listeners = f"PLAINTEXT://127.0.0.1:{here.ports[0]},SASL_PLAINTEXT://127.0.0.1:{here.ports[2]}"
    here.extra = ["--kafka-listeners", listeners, "--super-users", "User:ANONYMOUS"]
KAFKA_ACLS = ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"]
for server in (here, there):
    if server.kind == "kafka-4.4":
        server.extra = KAFKA_ACLS
    server.start()
sides = {"here": Cluster(here.kafka), "there": Cluster(there.kafka)}
WAYS = (("here", "there"), ("there", "here"))


def mirror(name, **more):
    values = {
        "clusters": "here, there",
        "here.bootstrap.servers": here.kafka,
        "there.bootstrap.servers": there.kafka,
        "here->there.enabled": "true",
        "there->here.enabled": "true",
        "topics": "mm-.*",
        "groups": "mm-.*",
        "tasks.max": 2,
        "replication.factor": 1,
        "checkpoints.topic.replication.factor": 1,
        "heartbeats.topic.replication.factor": 1,
        "offset-syncs.topic.replication.factor": 1,
        "offset.storage.replication.factor": 1,
        "status.storage.replication.factor": 1,
        "config.storage.replication.factor": 1,
        "sync.topic.configs.enabled": "true",
        "sync.topic.configs.interval.seconds": 1,
        "sync.topic.acls.enabled": "false",
        "sync.topic.acls.interval.seconds": 1,
        "sync.group.offsets.enabled": "true",
        "sync.group.offsets.interval.seconds": 1,
        "emit.checkpoints.interval.seconds": 1,
        "emit.heartbeats.interval.seconds": 1,
        "refresh.topics.interval.seconds": 1,
        "refresh.groups.interval.seconds": 1,
        "offset.lag.max": 0,
        "offset.flush.interval.ms": 500,
        "exactly.once.source.support": "enabled",
        "dedicated.mode.enable.internal.rest": "true",
        "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
        "session.timeout.ms": 10000,
        "heartbeat.interval.ms": 1000,
        "scheduled.rebalance.max.delay.ms": 0,
        "plugin.discovery": "service_load",
        **more,
    }
    path = settings(WORK / f"{name}.properties", values)
    return Jvm(jars("connect-4"), WORK / "mirror.log", "org.apache.kafka.connect.mirror.MirrorMaker", path, heap="512m")


maker = mirror("plain")


def pairs(prefix, first, count):
    return [(f"key-{n % 37}", f"{prefix} {n}") for n in range(first, first + count)]


def by_partition(found):
    """What the partitions hold, in order: values never cross from one to another."""
    parts = {}
    for partition, key, value, headers in found:
        parts.setdefault(partition, []).append((key, value, headers))
    return parts


def same(source, target, topic):
    """The mirror of the topic holds exactly what the topic holds."""
    name = f"{source}.{topic}"
    if name not in sides[target].topics():
        return False
    return by_partition(sides[source].read(topic)) == by_partition(sides[target].read(name))


def both_directions():
    for source, _ in WAYS:
        sides[source].create(f"mm-{source}", partitions=3, config={"retention.ms": "7777777", "max.message.bytes": "55555"})
        sides[source].produce(f"mm-{source}", pairs(source, 0, 900))
    maker.start()
    for source, target in WAYS:
        within(120, lambda: same(source, target, f"mm-{source}"), f"{source} mirrored to {target}")
        equal(sides[target].topics()[f"{source}.mm-{source}"], 3, "partitions")


def mirrors_are_not_mirrored_back():
    for side in sides.values():
        again = [name for name in side.topics() if name.startswith(("here.there.mm", "there.here.mm"))]
        equal(again, [], "mirrors of mirrors")


def internal_topics():
    for source, target in WAYS:
        found = sides[target].topics()
        assert {"heartbeats", f"{source}.heartbeats", f"{source}.checkpoints.internal", f"mm2-configs.{source}.internal"} <= set(found), found
        equal(found[f"mm2-configs.{source}.internal"], 1, "partitions of the configs")
        assert f"mm2-offset-syncs.{target}.internal" in sides[source].topics(), sides[source].topics()
        for topic in (f"{source}.checkpoints.internal", f"mm2-configs.{source}.internal", "heartbeats"):
            equal(sides[target].config(topic)["cleanup.policy"], "compact", f"cleanup.policy of {topic}")


def alter(side, topic, **entries):
    changes = [ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET) for name, value in entries.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
    sides[side].admin.incremental_alter_configs([resource])[resource].result(30)


def topic_configs():
    for source, target in WAYS:
        topic = f"mm-{source}"
        copied = lambda: {k: sides[target].config(f"{source}.{topic}")[k] for k in ("retention.ms", "max.message.bytes", "cleanup.policy")}
        want = {"retention.ms": "7777777", "max.message.bytes": "55555", "cleanup.policy": "delete"}
        within(30, lambda: copied() == want, f"configs of {topic} copied")
        alter(source, topic, retention_ms="8888888", cleanup_policy="compact")
        want |= {"retention.ms": "8888888", "cleanup.policy": "compact"}
        within(30, lambda: copied() == want, f"changed configs of {topic} copied")
        alter(source, topic, cleanup_policy="delete")


def new_partitions():
    for source, target in WAYS:
        topic = f"mm-{source}"
        sides[source].admin.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
        within(60, lambda: sides[target].topics()[f"{source}.{topic}"] == 5, "the mirror has as many")
        sides[source].produce(topic, pairs(source, 900, 300))
        within(60, lambda: same(source, target, topic), "records of the new partitions")


def committed(side, group, topic):
    ask = [ConsumerGroupTopicPartitions(group)]
    found = sides[side].admin.list_consumer_group_offsets(ask)[group].result(30).topic_partitions
    return {part.partition: part.offset for part in found if part.topic == topic and part.offset >= 0}


def ends(side, topic):
    consumer = Consumer({"bootstrap.servers": sides[side].address, "group.id": "ends"})
    try:
        return {
            part: consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=20)[1]
            for part in range(sides[side].topics()[topic])
        }
    finally:
        consumer.close()


def group_offsets():
    """Who has read everything on one side has nothing left on the other; one who is in the middle is not ahead."""
    for source, target in WAYS:
        topic, group, half = f"mm-{source}", f"mm-group-{source}", f"mm-half-{source}"
        for name, share in ((group, 1), (half, 2)):
            consumer = Consumer({"bootstrap.servers": sides[source].address, "group.id": name, "enable.auto.commit": False})
            offsets = [TopicPartition(topic, part, end // share) for part, end in ends(source, topic).items() if end]
            consumer.commit(offsets=offsets, asynchronous=False)
            consumer.close()
        # The mirror holds each record at a later offset, as its transactions' markers have offsets too: who is at the end
        # of the topic is right behind the last record of the mirror, and only a marker may follow.
        def at_the_end():
            found, last = committed(target, group, f"{source}.{topic}"), ends(target, f"{source}.{topic}")
            return found and all(end - found.get(part, 0) <= 1 for part, end in last.items() if end)

        within(60, at_the_end, f"the end translated from {source}")
        within(60, lambda: committed(target, half, f"{source}.{topic}"), f"the middle translated from {source}")
        last = ends(target, f"{source}.{topic}")
        for part, offset in committed(target, half, f"{source}.{topic}").items():
            assert offset < last[part], f"{half} is at the end of {part}"


def exactly_once():
    """Records go in on both sides while MirrorMaker and the server under test are killed: each mirror is the same."""
    chance, count = random.Random(KILLS), {"here": 1200, "there": 1200}

    def grow(seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for side in sides:
                sides[side].produce(f"mm-{side}", pairs(side, count[side], 50))
                count[side] += 50
            time.sleep(0.1)

    grow(2)
    for kill in range(KILLS):
        if kill % 2 == 0:
            maker.kill9()
            maker.start()
            grow(8 + chance.random() * 3)
        else:
            here.kill9()
            here.start()
            grow(2 + chance.random() * 3)
    for source, target in WAYS:
        within(180, lambda: same(source, target, f"mm-{source}"), f"{source} mirrored to {target} after {KILLS} kills")
        raw = len(sides[target].read(f"{source}.mm-{source}", "read_uncommitted"))
        print(f"{source}: {count[source]} records, {raw - count[source]} more of aborted transactions", flush=True)
        equal(len(sides[source].read(f"mm-{source}")), count[source], f"records on {source}")


ANY = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)


def rules(side, topic):
    found = sides[side].admin.describe_acls(ANY).result(30)
    return {(rule.principal, rule.operation.name, rule.permission_type.name) for rule in found if rule.name == topic}


def allow(side, topic, who, operation):
    rule = AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, who, "*", operation, AclPermissionType.ALLOW)
    sides[side].admin.create_acls([rule])[rule].result(30)


def access_rules_off():
    for source, _ in WAYS:
        allow(source, f"mm-{source}", "User:ann", AclOperation.READ)
        allow(source, f"mm-{source}", "User:bob", AclOperation.WRITE)
        allow(source, f"mm-{source}", "User:eve", AclOperation.ALL)
    time.sleep(4)
    for source, target in WAYS:
        equal(rules(target, f"{source}.mm-{source}"), set(), f"rules on {target}")


def access_rules_on():
    """Reading is mirrored, writing never, everything as reading: only MirrorMaker writes to a mirror."""
    global maker
    maker.stop()
    maker = mirror("rules", **{"sync.topic.acls.enabled": "true"})
    maker.start()
    want = {("User:ann", "READ", "ALLOW"), ("User:eve", "READ", "ALLOW")}
    for source, target in WAYS:
        within(120, lambda: want <= rules(target, f"{source}.mm-{source}"), f"rules on {target}: {rules(target, f'{source}.mm-{source}')}")
        equal(rules(target, f"{source}.mm-{source}"), want, f"rules on {target}")


try:
    for run in (both_directions, mirrors_are_not_mirrored_back, internal_topics, topic_configs, new_partitions, group_offsets,
                exactly_once, access_rules_off, access_rules_on):
        step(run.__name__, run)
finally:
    maker.stop()
    here.stop()
    there.stop()
done()
