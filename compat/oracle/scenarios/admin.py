"""Topics, partitions, settings, quotas, passwords, the cluster: what admin clients and tools ask."""

from lib import CLUSTER, GROUP, TOPIC, Scenario, batch

NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
OTHER_ID = "x7jHRVXYQm2bq7DXWVhcGw"
BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP_CONFIG = 4, 8, 16, 32

# ── Metadata, DescribeTopicPartitions, DescribeCluster ──────────────────────────────────────────────────────────────

for v in (0, 1, 4, 8, 9, 10, 12, 13):
    s = Scenario(f"metadata/known/v{v}")
    t = s.topic(partitions=3)
    s.ask("Metadata", v, {"topics": [{"name": t}]})
for v in (4, 9, 12, 13):
    s = Scenario(f"metadata/missing/v{v}")
    t = s.topic()
    s.ask("Metadata", v, {"topics": [{"name": s.name_of("none")}, {"name": t}], "allowAutoTopicCreation": False})
    s = Scenario(f"metadata/bad-names/v{v}")
    s.ask("Metadata", v, {"topics": [{"name": name} for name in ("a b", "", ".", "..", "x" * 250, "é")], "allowAutoTopicCreation": v != 9})
    s = Scenario(f"metadata/none/v{v}")
    s.ask("Metadata", v, {"topics": []})
    s = Scenario(f"metadata/all/v{v}")
    s.topic()
    s.ask("Metadata", v, {"topics": None}, only={"topics": "name"})
    s = Scenario(f"metadata/twice/v{v}")
    t = s.topic()
    s.ask("Metadata", v, {"topics": [{"name": t}, {"name": t}]})
for v in (0, 1):
    s = Scenario(f"metadata/created/v{v}")
    s.ask("Metadata", v, {"topics": [{"name": s.name_of("auto")}]}, until={"/topics/0/errorCode": 0}, retry=[3, 5])
s = Scenario("metadata/created/v12")
s.ask("Metadata", 12, {"topics": [{"name": s.name_of("auto")}], "allowAutoTopicCreation": True}, until={"/topics/0/errorCode": 0}, retry=[3, 5])
s = Scenario("metadata/created/says-first")
s.ask("Metadata", 12, {"topics": [{"name": s.name_of("auto")}], "allowAutoTopicCreation": True})
s = Scenario("metadata/created/collision")
s.topic(what="a.b")
s.ask("Metadata", 12, {"topics": [{"name": s.name_of("a_b")}], "allowAutoTopicCreation": True})
for v in (10, 12, 13):
    s = Scenario(f"metadata/by-id/v{v}")
    t = s.topic()
    s.ask("Metadata", v, {"topics": [{"name": None, "topicId": f"${{id-{t}}}"}, {"name": None, "topicId": OTHER_ID}]})
    s.ask("Metadata", v, {"topics": [{"name": None, "topicId": NO_ID}]})
    s.ask("Metadata", v, {"topics": [{"name": t, "topicId": f"${{id-{t}}}"}]})
    s.ask("Metadata", v, {"topics": [{"name": t}, {"name": None, "topicId": f"${{id-{t}}}"}]})
for v in (8, 9, 10, 13):
    s = Scenario(f"metadata/operations/v{v}")
    t = s.topic()
    s.ask("Metadata", v, {"topics": [{"name": t}, {"name": s.name_of("none")}], "allowAutoTopicCreation": False, "includeTopicAuthorizedOperations": True, **({"includeClusterAuthorizedOperations": True} if v <= 10 else {})})
s = Scenario("metadata/internal")
s.ask("Metadata", 12, {"topics": [{"name": "__consumer_offsets"}, {"name": "__transaction_state"}]}, drop=["partitions"])

s = Scenario("describe-topic-partitions/pages")
a, b = s.topic(3, what="a"), s.topic(2, what="b")
for limit in (2000, 1, 2, 3, 4, 0, -1):
    s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": b}, {"name": a}], "responsePartitionLimit": limit})
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": a}, {"name": b}], "responsePartitionLimit": 10, "cursor": {"topicName": a, "partitionIndex": 1}})
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": a}, {"name": b}], "responsePartitionLimit": 10, "cursor": {"topicName": b, "partitionIndex": 9}})
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": a}], "responsePartitionLimit": 10, "cursor": {"topicName": s.name_of("zz"), "partitionIndex": 0}})
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": a}], "responsePartitionLimit": 10, "cursor": {"topicName": a, "partitionIndex": -1}})
s = Scenario("describe-topic-partitions/errors")
t = s.topic()
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": s.name_of("none")}, {"name": t}, {"name": "bad name"}, {"name": ""}], "responsePartitionLimit": 10})
s.ask("DescribeTopicPartitions", 0, {"topics": [{"name": t}, {"name": t}], "responsePartitionLimit": 10})
for v in (0, 1, 2):
    s = Scenario(f"describe-cluster/v{v}")
    s.ask("DescribeCluster", v, {})
    s.ask("DescribeCluster", v, {"includeClusterAuthorizedOperations": True})
    if v >= 1:
        s.ask("DescribeCluster", v, {"endpointType": 2})
        s.ask("DescribeCluster", v, {"endpointType": 9})
    if v >= 2:
        s.ask("DescribeCluster", v, {"includeFencedBrokers": True})

# ── CreateTopics, DeleteTopics, CreatePartitions ────────────────────────────────────────────────────────────────────


def new(name, partitions=1, factor=1, **more):
    configs = [{"name": key, "value": value} for key, value in more.pop("configs", {}).items()]
    return {"name": name, "numPartitions": partitions, "replicationFactor": factor, "configs": configs, **more}


def places(*brokers):
    return [{"partitionIndex": at, "brokerIds": ids} for at, ids in enumerate(brokers)]


for v in (2, 3, 4, 5, 6, 7):
    s = Scenario(f"create-topics/new/v{v}")
    a = s.name_of("a")
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(a, 2, configs={"retention.ms": "1000"})]}, drop=["configs"] if v >= 5 else [])
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(a, 2)]})
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(a), new(s.name_of("b"))], "validateOnly": True}, drop=["configs"])
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": []})
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("c")), new(s.name_of("c"), 2), new(s.name_of("d"))]}, drop=["configs"])
    s = Scenario(f"create-topics/bad/v{v}")
    many = {
        "no-partitions": dict(partitions=0), "minus-two": dict(partitions=-2), "no-replicas": dict(factor=0), "five-replicas": dict(factor=5),
        "minus-two-replicas": dict(factor=-2),
    }
    for name, more in many.items():
        s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of(name), **more)]})
    if v >= 4:
        s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("defaults"), -1, -1)]}, drop=["configs"])
    else:
        s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("defaults"), -1, -1)]})
    s = Scenario(f"create-topics/placed/v{v}")
    for name, brokers in {"one": [[1]], "unknown": [[9]], "two": [[1], [1]], "twice": [[1, 1]], "empty": [[]], "none": []}.items():
        s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of(name), -1, -1, assignments=places(*brokers))]}, drop=["configs"])
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("both"), 1, 1, assignments=places([1]))]})
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("gap"), -1, -1, assignments=[{"partitionIndex": 1, "brokerIds": [1]}])]})
    s.ask("CreateTopics", v, {"timeoutMs": 5000, "topics": [new(s.name_of("uneven"), -1, -1, assignments=places([1], [1, 2]))]})
for name in ("", ".", "..", "a b", "a/b", "é", "x" * 249, "x" * 250, "ok.name_with-all", "__consumer_offsets", "__transaction_state", "a:b", "nul\0"):
    s = Scenario(f"create-topics/name/{name.encode().hex()[:30]}-{len(name)}")
    s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(name)], "validateOnly": True}, drop=["configs"])
s = Scenario("create-topics/collision")
s.topic(what="a.b")
s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("a_b"))]}, drop=["configs"])
s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("x.y")), new(s.name_of("x_y"))]}, drop=["configs"])
SETTINGS = {
    "unknown.key": "1", "retention.ms": "x", "segment.bytes": "1", "cleanup.policy": "other", "compression.type": "lzma",
    "min.insync.replicas": "0", "max.message.bytes": "-1", "message.timestamp.type": "Never", "flush.messages": "0",
    "min.cleanable.dirty.ratio": "2", "preallocate": "maybe", "index.interval.bytes": "-1", "message.format.version": "2.0",
    "segment.ms": "0", "retention.bytes": "-2", "local.retention.ms": "5", "remote.storage.enable": "true", "unclean.leader.election.enable": "x",
    "leader.replication.throttled.replicas": "zz", "compression.gzip.level": "11", "compression.zstd.level": "30", "compression.lz4.level": "0",
    "delete.retention.ms": "-1", "file.delete.delay.ms": "-1", "min.compaction.lag.ms": "-1", "max.compaction.lag.ms": "0", "segment.jitter.ms": "-1",
    "segment.index.bytes": "3", "message.timestamp.before.max.ms": "-1", "message.timestamp.after.max.ms": "-1", "message.downconversion.enable": "true",
    "flush.ms": "-1", "cleanup.policy ": "delete", "": "x", "errors.deadletterqueue.topic.name": "x", "remote.log.copy.disable": "true",
}  # fmt: skip
for key, value in SETTINGS.items():
    s = Scenario(f"create-topics/setting/{key}={value}")
    s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("t"), configs={key: value})]}, drop=["configs"])
s = Scenario("create-topics/setting/null")
s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("t"), configs={"retention.ms": None})]}, drop=["configs"])
s = Scenario("create-topics/setting/twice")
s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("t"), 1, 1) | {"configs": [{"name": "retention.ms", "value": "1"}, {"name": "retention.ms", "value": "2"}]}]}, drop=["configs"])
for key, value in {"cleanup.policy": "compact,delete", "cleanup.policy ": None, "retention.ms": "-1", "max.compaction.lag.ms": "1"}.items():
    s = Scenario(f"create-topics/setting/fits/{key.strip()}-{value}")
    if value:
        s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("t"), configs={key: value})]}, drop=["configs"])
s = Scenario("create-topics/settings-said")
s.ask("CreateTopics", 7, {"timeoutMs": 5000, "topics": [new(s.name_of("t"), configs={"retention.ms": "5000", "cleanup.policy": "compact"})]})

for v in (1, 3, 4, 5):
    s = Scenario(f"delete-topics/v{v}")
    t, u = s.topic(), s.topic()
    s.ask("DeleteTopics", v, {"timeoutMs": 5000, "topicNames": [t, s.name_of("none"), "bad name"]})
    s.ask("DeleteTopics", v, {"timeoutMs": 5000, "topicNames": [t]}, retry=[0])
    s.ask("DeleteTopics", v, {"timeoutMs": 5000, "topicNames": [u, u]})
    s.ask("DeleteTopics", v, {"timeoutMs": 5000, "topicNames": []})
    s.ask("Metadata", 12, {"topics": [{"name": t}], "allowAutoTopicCreation": False}, until={"/topics/0/errorCode": 3})
s = Scenario("delete-topics/by-id/v6")
t, u = s.topic(), s.topic()
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": [{"name": None, "topicId": f"${{id-{t}}}"}, {"name": None, "topicId": OTHER_ID}]})
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": [{"name": u, "topicId": f"${{id-{u}}}"}]})
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": [{"name": None, "topicId": NO_ID}]})
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": [{"name": u}, {"name": None, "topicId": f"${{id-{u}}}"}]})
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": [{"name": u}, {"name": s.name_of("none")}]})
s.ask("DeleteTopics", 6, {"timeoutMs": 5000, "topics": []})

for v in (0, 1, 2, 3):
    s = Scenario(f"create-partitions/v{v}")
    t = s.topic(2)
    for count, more in ((2, {}), (1, {}), (0, {}), (-1, {}), (3, {"assignments": [{"brokerIds": [9]}]}), (3, {"assignments": [{"brokerIds": [1]}, {"brokerIds": [1]}]}), (3, {"assignments": [{"brokerIds": [1]}]}), (5, {})):
        s.ask("CreatePartitions", v, {"timeoutMs": 5000, "topics": [{"name": t, "count": count, "assignments": None, **more}]})
    s.ask("CreatePartitions", v, {"timeoutMs": 5000, "topics": [{"name": t, "count": 9, "assignments": None}], "validateOnly": True})
    s.ask("CreatePartitions", v, {"timeoutMs": 5000, "topics": [{"name": s.name_of("none"), "count": 9, "assignments": None}, {"name": "bad/", "count": 9, "assignments": None}]})
    s.ask("CreatePartitions", v, {"timeoutMs": 5000, "topics": [{"name": t, "count": 7, "assignments": None}, {"name": t, "count": 8, "assignments": None}]})
    s.ask("CreatePartitions", v, {"timeoutMs": 5000, "topics": [{"name": t, "count": 9, "assignments": []}]})
    s.ask("CreatePartitions", v, {"timeoutMs": 5000})
    s.ask("Metadata", 9, {"topics": [{"name": t}]}, until={"/topics/0/partitions/4/errorCode": 0})

# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def described(*resources, **more):
    return {"resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": keys} for kind, name, keys in resources], **more}


for v in (1, 2, 3, 4):
    s = Scenario(f"describe-configs/topic/v{v}")
    t = s.topic(retention_ms=5000, cleanup_policy="compact")
    s.ask("DescribeConfigs", v, described((TOPIC, t, None), includeSynonyms=True))
    s.ask("DescribeConfigs", v, described((TOPIC, t, ["retention.ms", "unknown", "segment.bytes"])))
    s.ask("DescribeConfigs", v, described((TOPIC, t, [])))
    s.ask("DescribeConfigs", v, described((TOPIC, s.name_of("none"), None), (TOPIC, "bad name", None), (TOPIC, "", None)))
    s = Scenario(f"describe-configs/broker/v{v}")
    keys = ["log.retention.ms", "log.retention.hours", "num.partitions", "message.max.bytes", "broker.id", "node.id", "log.dirs", "auto.create.topics.enable", "compression.type", "ssl.keystore.password", "nothing"]
    s.ask("DescribeConfigs", v, described((BROKER, "1", keys), includeSynonyms=True), drop=["value", "readOnly", "isSensitive"] if v == 1 else ["value"])
    s.ask("DescribeConfigs", v, described((BROKER, "", None)))
    s.ask("DescribeConfigs", v, described((BROKER, "7", None), (BROKER, "x", None)))
    s = Scenario(f"describe-configs/others/v{v}")
    for kind in (0, 1, 3, 5, BROKER_LOGGER, CLIENT_METRICS, GROUP_CONFIG, 99):
        s.ask("DescribeConfigs", v, described((kind, s.name_of("g"), None)), drop=["value"] if kind == BROKER_LOGGER else [])
    s.ask("DescribeConfigs", v, {})
s = Scenario("describe-configs/broker-names")
s.ask("DescribeConfigs", 4, described((BROKER, "1", None)), drop=["value", "configSource", "synonyms"])
s = Scenario("describe-configs/topic-names")
t = s.topic()
s.ask("DescribeConfigs", 4, described((TOPIC, t, None), includeSynonyms=True))
s = Scenario("describe-configs/logger")
s.ask("DescribeConfigs", 4, described((BROKER_LOGGER, "1", None), (BROKER_LOGGER, "2", None), (BROKER_LOGGER, "x", None)), drop=["configs"])
s = Scenario("describe-configs/documentation")
t = s.topic()
s.ask("DescribeConfigs", 3, described((TOPIC, t, ["retention.ms"]), includeDocumentation=True), drop=["documentation"])


def altered(kind, name, *changes, **more):
    """changes: (key, operation, value)."""
    configs = [{"name": key, "configOperation": operation, "value": value} for key, operation, value in changes]
    return {"resources": [{"resourceType": kind, "resourceName": name, "configs": configs}], **more}


SET, REMOVE, APPEND, SUBTRACT = 0, 1, 2, 3
for v in (0, 1):
    s = Scenario(f"incremental-alter-configs/topic/v{v}")
    t = s.topic(cleanup_policy="delete")
    for changes in (
        [("retention.ms", SET, "7000")], [("retention.ms", SET, "x")], [("nothing", SET, "1")], [("nothing", REMOVE, None)],
        [("cleanup.policy", APPEND, "compact")], [("cleanup.policy", APPEND, "compact")], [("cleanup.policy", SUBTRACT, "delete")],
        [("cleanup.policy", SUBTRACT, "compact")], [("retention.ms", APPEND, "1")], [("retention.ms", SUBTRACT, "1")], [("retention.ms", 9, "1")],
        [("retention.ms", SET, None)], [("retention.ms", SET, "1"), ("retention.ms", REMOVE, None)], [("segment.bytes", REMOVE, None)],
        [("leader.replication.throttled.replicas", APPEND, "0:1")], [("min.insync.replicas", SET, "2")], [],
    ):  # fmt: skip
        s.ask("IncrementalAlterConfigs", v, altered(TOPIC, t, *changes))
    s.wait(100)
    s.ask("DescribeConfigs", 4, described((TOPIC, t, ["retention.ms", "cleanup.policy"]), includeSynonyms=True))
    s.ask("IncrementalAlterConfigs", v, altered(TOPIC, t, ("retention.ms", SET, "9"), validateOnly=True))
    s.ask("IncrementalAlterConfigs", v, altered(TOPIC, s.name_of("none"), ("retention.ms", SET, "9")))
    s.ask("IncrementalAlterConfigs", v, altered(TOPIC, "bad name", ("retention.ms", SET, "9")))
    two = altered(TOPIC, t, ("retention.ms", SET, "9"))
    s.ask("IncrementalAlterConfigs", v, {"resources": two["resources"] * 2})
    s.ask("IncrementalAlterConfigs", v, {})
    s = Scenario(f"incremental-alter-configs/others/v{v}")
    for kind, name in ((BROKER, "7"), (BROKER, "x"), (BROKER_LOGGER, "1"), (0, "x"), (99, "x"), (1, "x")):
        s.ask("IncrementalAlterConfigs", v, altered(kind, name, ("nothing", SET, "9")))
    for key, value in (("nothing", "1"), ("log.dirs", "/x"), ("node.id", "2"), ("message.max.bytes", "x"), ("message.max.bytes", "-1"), ("log.retention.ms", "0")):
        s.ask("IncrementalAlterConfigs", v, altered(BROKER, "1", (key, SET, value), validateOnly=True))
    g = s.name_of("g")
    for key, value in (("consumer.session.timeout.ms", "46000"), ("consumer.session.timeout.ms", "1"), ("consumer.heartbeat.interval.ms", "x"), ("consumer.heartbeat.interval.ms", "6000"), ("nothing", "1"), ("consumer.session.timeout.ms", "99999999")):
        s.ask("IncrementalAlterConfigs", v, altered(GROUP_CONFIG, g, (key, SET, value)))
    s.ask("IncrementalAlterConfigs", v, altered(GROUP_CONFIG, "", ("consumer.session.timeout.ms", SET, "46000")))
    s.wait(100)
    s.ask("DescribeConfigs", 4, described((GROUP_CONFIG, g, None), includeSynonyms=True))
    m = s.name_of("m")
    for key, value in (("interval.ms", "1000"), ("interval.ms", "1"), ("metrics", "org.apache.kafka.producer."), ("match", "client_id=a.*"), ("match", "zz=(("), ("nothing", "1")):
        s.ask("IncrementalAlterConfigs", v, altered(CLIENT_METRICS, m, (key, SET, value)))
    s.wait(100)
    s.ask("DescribeConfigs", 4, described((CLIENT_METRICS, m, None), includeSynonyms=True))
    for x in range(2 if v else 1):
        s.ask("ListConfigResources", x, {} if not x else {"resourceTypes": [CLIENT_METRICS, GROUP_CONFIG, TOPIC]}, only={"configResources": "resourceName"})
for v in (0, 1, 2):
    s = Scenario(f"alter-configs/v{v}")
    t = s.topic(retention_ms=5000)

    def whole(kind, name, **configs):
        return {"resources": [{"resourceType": kind, "resourceName": name, "configs": [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]}]}

    s.ask("AlterConfigs", v, whole(TOPIC, t, cleanup_policy="compact"))
    s.wait(100)
    s.ask("DescribeConfigs", 4, described((TOPIC, t, ["retention.ms", "cleanup.policy"])))
    s.ask("AlterConfigs", v, whole(TOPIC, t, retention_ms="x"))
    s.ask("AlterConfigs", v, whole(TOPIC, t, nothing="1"))
    s.ask("AlterConfigs", v, whole(TOPIC, t, retention_ms=None))
    s.ask("AlterConfigs", v, {**whole(TOPIC, t, retention_ms="5"), "validateOnly": True})
    s.ask("AlterConfigs", v, whole(TOPIC, s.name_of("none"), retention_ms="1"))
    s.ask("AlterConfigs", v, {"resources": whole(TOPIC, t, retention_ms="1")["resources"] * 2})
    s.ask("AlterConfigs", v, whole(BROKER, "9", retention_ms="1"))
    s.ask("AlterConfigs", v, whole(BROKER_LOGGER, "1", root="INFO"))
    s.ask("AlterConfigs", v, whole(77, "1", root="INFO"))
    s.ask("AlterConfigs", v, {})
for v in (0, 1):
    s = Scenario(f"list-config-resources/v{v}")
    s.topic()
    s.ask("ListConfigResources", v, {}, only={"configResources": "resourceName"})
    if v:
        for kinds in ([TOPIC], [BROKER], [BROKER_LOGGER], [99], [0], []):
            s.ask("ListConfigResources", v, {"resourceTypes": kinds}, **({"only": {"configResources": "resourceName"}} if kinds not in ([BROKER], [BROKER_LOGGER]) else {}))

# ── quotas and passwords ────────────────────────────────────────────────────────────────────────────────────────────


def quota(entity, *ops, **more):
    parts = [{"entityType": kind, "entityName": name} for kind, name in entity]
    return {"entries": [{"entity": parts, "ops": [{"key": key, "value": value or 0, "remove": value is None} for key, value in ops]}], **more}


for v in (0, 1):
    s = Scenario(f"quotas/v{v}")
    u, c = s.name_of("u"), s.name_of("c")
    for entity, ops in (
        ([("user", u)], [("producer_byte_rate", 1e9)]), ([("user", u), ("client-id", c)], [("consumer_byte_rate", 2e9), ("request_percentage", 150.5)]),
        ([("client-id", c)], [("controller_mutation_rate", 5)]), ([("user", u)], [("nothing", 1)]), ([("user", u)], [("producer_byte_rate", -1)]),
        ([("user", u)], [("producer_byte_rate", 0)]), ([("user", u)], [("producer_byte_rate", 1.5)]), ([("ip", f"1.2.3.{v}")], [("connection_creation_rate", 10)]),
        ([("ip", "not an address")], [("connection_creation_rate", 10)]), ([("ip", f"1.2.3.{v}")], [("producer_byte_rate", 10)]), ([("user", u)], [("connection_creation_rate", 10)]),
        ([("ip", f"1.2.3.{v}"), ("user", u)], [("connection_creation_rate", 10)]), ([("group", u)], [("producer_byte_rate", 10)]), ([], [("producer_byte_rate", 10)]),
        ([("user", u), ("user", c)], [("producer_byte_rate", 10)]), ([("user", "")], [("producer_byte_rate", 10)]), ([("user", u)], []),
        ([("user", u), ("client-id", None)], [("producer_byte_rate", 1e9)]), ([("ip", f"1.2.3.{v}")], [("connection_creation_rate", 1.5)]),
    ):  # fmt: skip
        s.ask("AlterClientQuotas", v, quota(entity, *ops))
    s.ask("AlterClientQuotas", v, quota([("user", u)], ("producer_byte_rate", 7), validateOnly=True))
    s.wait(150)

    def shown(*parts, strict=False):
        return {"strict": strict, "components": [{"entityType": kind, "matchType": match, "match": name} for kind, match, name in parts]}

    for parts, strict in (
        ([("user", 0, u)], False), ([("user", 0, u)], True), ([("user", 0, u), ("client-id", 0, c)], True), ([("user", 0, u), ("client-id", 1, None)], True),
        ([("user", 0, u), ("client-id", 2, None)], True), ([("client-id", 0, c)], False), ([("user", 0, s.name_of("none"))], False),
        ([("nothing", 0, u)], False), ([("user", 9, u)], False), ([("user", 0, u), ("user", 0, u)], False), ([("ip", 0, f"1.2.3.{v}")], True),
        ([("user", 0, u), ("ip", 0, f"1.2.3.{v}")], True), ([("", 0, u)], False), ([("user", 0, None)], False), ([("user", 1, "x")], False),
    ):  # fmt: skip
        s.ask("DescribeClientQuotas", v, shown(*parts, strict=strict))
    s.ask("AlterClientQuotas", v, quota([("user", u)], ("producer_byte_rate", None)))
    s.ask("AlterClientQuotas", v, quota([("user", u)], ("producer_byte_rate", None)))
    s.ask("AlterClientQuotas", v, quota([("ip", f"1.2.3.{v}")], ("connection_creation_rate", None)))
    s.wait(100)
    s.ask("DescribeClientQuotas", v, shown(("user", 0, u)))

s = Scenario("scram/life")
u = s.name_of("u")


def made(name, mechanism=1, iterations=4096, salt="salt", password="hex:" + "11" * 32):
    return {"upsertions": [{"name": name, "mechanism": mechanism, "iterations": iterations, "salt": salt, "saltedPassword": password}]}


s.ask("DescribeUserScramCredentials", 0, {"users": [{"name": u}]})
s.ask("AlterUserScramCredentials", 0, made(u))
s.ask("AlterUserScramCredentials", 0, made(u, 2, 8192, password="hex:" + "11" * 64))
s.wait(100)
s.ask("DescribeUserScramCredentials", 0, {"users": [{"name": u}]})
s.ask("DescribeUserScramCredentials", 0, {"users": [{"name": u}, {"name": u}]})
s.ask("DescribeUserScramCredentials", 0, {"users": None}, only={"results": "user"})
s.ask("DescribeUserScramCredentials", 0, {"users": []}, only={"results": "user"})
s.ask("DescribeUserScramCredentials", 0, {"users": [{"name": ""}]})
s.ask("AlterUserScramCredentials", 0, {"deletions": [{"name": u, "mechanism": 1}]})
s.ask("AlterUserScramCredentials", 0, {"deletions": [{"name": u, "mechanism": 1}]}, retry=[0])
s.ask("AlterUserScramCredentials", 0, {"deletions": [{"name": s.name_of("none"), "mechanism": 1}, {"name": u, "mechanism": 2}]})
for name, body in {
    "few-iterations": made("x", 1, 4095), "many-iterations": made("x", 1, 16385), "no-name": made(""), "mechanism-0": made("x", 0), "mechanism-9": made("x", 9),
    "deletion-mechanism-9": {"deletions": [{"name": "x", "mechanism": 9}]}, "deletion-no-name": {"deletions": [{"name": "", "mechanism": 1}]},
    "nothing": {}, "both": {**made("x"), "deletions": [{"name": "x", "mechanism": 1}]}, "twice": {"upsertions": made("x")["upsertions"] * 2},
    "no-salt": made("x", salt=""), "short-password": made("x", password="x"),
}.items():  # fmt: skip
    s = Scenario(f"scram/bad/{name}")
    s.ask("AlterUserScramCredentials", 0, body)

# ── the cluster itself ──────────────────────────────────────────────────────────────────────────────────────────────

for v in (0, 1, 2):
    s = Scenario(f"update-features/v{v}")
    up = {"allowDowngrade": False} if v == 0 else {"upgradeType": 1}
    for feature, level in (("nothing", 1), ("group.version", 1), ("group.version", 9), ("transaction.version", 2), ("transaction.version", -1), ("group.version", 0), ("", 1)):
        s.ask("UpdateFeatures", v, {"timeoutMs": 5000, "featureUpdates": [{"feature": feature, "maxVersionLevel": level, **up}], **({"validateOnly": True} if v else {})} if v else {"timeoutMs": 5000, "featureUpdates": [{"feature": feature, "maxVersionLevel": level, **up}]})
    s.ask("UpdateFeatures", v, {"timeoutMs": 5000})
    s.ask("UpdateFeatures", v, {"timeoutMs": 5000, "featureUpdates": [{"feature": "a", "maxVersionLevel": 1}, {"feature": "group.version", "maxVersionLevel": 1}]})
    if v:
        s.ask("UpdateFeatures", v, {"timeoutMs": 5000, "validateOnly": True, "featureUpdates": [{"feature": "group.version", "maxVersionLevel": 1, "upgradeType": 9}]})
for v in (1, 2, 3, 4, 5):
    s = Scenario(f"describe-log-dirs/v{v}")
    t = s.topic(2)
    s.produce(t)
    changing = ["totalBytes", "usableBytes", "logDir", "isCordoned"] if v < 5 else ["totalBytes", "usableBytes", "logDir"]
    s.ask("DescribeLogDirs", v, {"topics": [{"topic": t, "partitions": [0, 1]}]}, drop=changing)
    s.ask("DescribeLogDirs", v, {"topics": [{"topic": t, "partitions": [7]}, {"topic": s.name_of("none"), "partitions": [0]}]}, drop=changing)
    s.ask("DescribeLogDirs", v, {"topics": None}, only={"topics": "name"}, drop=changing)
    s.ask("DescribeLogDirs", v, {"topics": []}, only={"topics": "name"}, drop=changing)
for v in (1, 2):
    s = Scenario(f"alter-replica-log-dirs/v{v}")
    t = s.topic()
    s.ask("AlterReplicaLogDirs", v, {"dirs": [{"path": "/nowhere", "topics": [{"name": t, "partitions": [0, 9]}, {"name": s.name_of("none"), "partitions": [0]}]}]})
    s.ask("AlterReplicaLogDirs", v, {"dirs": [{"path": "relative", "topics": [{"name": t, "partitions": [0]}]}]})
    s.ask("AlterReplicaLogDirs", v, {})
for v in (0, 1, 2):
    s = Scenario(f"elect-leaders/v{v}")
    t = s.topic(2)
    for kind in (0, 1) if v else (0,):
        more = {"electionType": kind} if v else {}
        s.ask("ElectLeaders", v, {"timeoutMs": 5000, "topicPartitions": [{"topic": t, "partitions": [0, 1, 9]}, {"topic": s.name_of("none"), "partitions": [0]}], **more})
        s.ask("ElectLeaders", v, {"timeoutMs": 5000, "topicPartitions": [], **more})
    s.ask("ElectLeaders", v, {"timeoutMs": 5000, "topicPartitions": None}, only={"replicaElectionResults": "topic"})
    if v:
        s.ask("ElectLeaders", v, {"timeoutMs": 5000, "electionType": 9, "topicPartitions": [{"topic": t, "partitions": [0]}]})
for v in (0, 1):
    s = Scenario(f"reassignments/v{v}")
    t = s.topic(2)
    for replicas in ([1], None, [9], [1, 9], [], [1, 1], [-1]):
        s.ask("AlterPartitionReassignments", v, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "replicas": replicas}]}]})
    s.ask("AlterPartitionReassignments", v, {"timeoutMs": 5000, "topics": [{"name": t, "partitions": [{"partitionIndex": 9, "replicas": [1]}]}, {"name": s.name_of("none"), "partitions": [{"partitionIndex": 0, "replicas": [1]}]}]})
    s.ask("AlterPartitionReassignments", v, {"timeoutMs": 5000})
    s.ask("ListPartitionReassignments", 0, {"timeoutMs": 5000, "topics": [{"name": t, "partitionIndexes": [0, 9]}]})
    s.ask("ListPartitionReassignments", 0, {"timeoutMs": 5000, "topics": [{"name": s.name_of("none"), "partitionIndexes": [0]}]})
    s.ask("ListPartitionReassignments", 0, {"timeoutMs": 5000, "topics": None})
    s.ask("ListPartitionReassignments", 0, {"timeoutMs": 5000, "topics": []})
for v in (0, 1, 2):
    s = Scenario(f"describe-quorum/v{v}")
    changing = ["leaderEpoch", "highWatermark", "logEndOffset", "lastFetchTimestamp", "lastCaughtUpTimestamp"]
    s.ask("DescribeQuorum", v, {"topics": [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 0}]}]}, drop=changing)
    s.ask("DescribeQuorum", v, {"topics": [{"topicName": "other", "partitions": [{"partitionIndex": 0}]}]})
    s.ask("DescribeQuorum", v, {"topics": [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 5}]}]})
    s.ask("DescribeQuorum", v, {})
s = Scenario("unregister-broker")
s.ask("UnregisterBroker", 0, {"brokerId": 77})
s.ask("UnregisterBroker", 0, {"brokerId": -1})
for v in (1, 2, 3):
    s = Scenario(f"acls/without-authorizer/v{v}")
    rule = {"resourceType": TOPIC, "resourceName": "x", "principal": "User:a", "host": "*", "operation": 3, "permissionType": 3, "resourcePatternType": 3}
    s.ask("CreateAcls", v, {"creations": [rule]})
    some = {"resourceTypeFilter": 1, "resourceNameFilter": None, "patternTypeFilter": 1, "principalFilter": None, "hostFilter": None, "operation": 1, "permissionType": 1}
    s.ask("DescribeAcls", v, some)
    s.ask("DeleteAcls", v, {"filters": [some]})
s = Scenario("topics/wide")
t = s.topic(40)
s.ask("Metadata", 12, {"topics": [{"name": t}]})
s.produce(t, [batch()], partition=39)
