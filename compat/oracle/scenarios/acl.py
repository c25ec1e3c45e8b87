"""Who may do what: every API asked by somebody with no rule, with each rule it needs in each kind of pattern, with part
of them, with a rule for another host, and with everything allowed but one thing denied. And the rules themselves.

All of it runs on servers with SASL PLAIN and an authorizer; `admin` is a super user. The rules of all scenarios are made
by the first one, because Kafka's broker learns of them some time after they are made.
"""

from lib import (
    ALL, ALLOW, ALTER, ALTER_CONFIGS, ANY, CLUSTER, CLUSTER_ACTION, CREATE, DELETE, DENY, DESCRIBE, DESCRIBE_CONFIGS, GROUP,
    IDEMPOTENT_WRITE, LITERAL, MATCH, PREFIXED, READ, SETTLING, TOPIC, TXN, WRITE, Scenario, batch, subscription,
)  # fmt: skip

RULES = []
SELF = "kafka-cluster"
BROKER, GROUP_CONFIG = 4, 32


def rule(user, kind, name, operation, permission=ALLOW, pattern=LITERAL, host="*"):
    RULES.append({"resourceType": kind, "resourceName": name, "principal": f"User:{user}", "host": host, "operation": operation, "permissionType": permission, "resourcePatternType": pattern})


start = Scenario("acl/rules", alone=True, user="admin")

# ── the cells: what is asked, and what it needs ─────────────────────────────────────────────────────────────────────
# (name, api, version, body(s), needs: [(kind, what, operation)]); what: t, g, x are this scenario's own names.


def topics(s, **more):
    return [{"name": s.t, "partitions": [{"partitionIndex": 0, **more}]}]


def one_commit(s):
    return topics(s, committedOffset=1)


def produce(s, **more):
    return {"acks": -1, "timeoutMs": 5000, "topicData": [{"name": s.t, "partitionData": [{"index": 0, "records": [batch("a", **more)]}]}]}


JOIN = {"sessionTimeoutMs": 10000, "rebalanceTimeoutMs": 10000, "protocolType": "consumer", "protocols": [{"name": "range", "metadata": subscription(["t"])}]}
T, G, X, C = (TOPIC, "t"), (GROUP, "g"), (TXN, "x"), (CLUSTER, SELF)
CELLS = [
    ("Produce", 9, produce, [(*T, WRITE)]),
    ("Produce", 12, lambda s: {**produce(s, pid=5, epoch=0, seq=0, txn=True), "transactionalId": s.x}, [(*X, WRITE), (*T, WRITE)]),
    ("Produce", 3, lambda s: produce(s, pid=5, epoch=0, seq=0), [(*T, WRITE)]),
    ("Fetch", 12, lambda s: {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "topics": [{"topic": s.t, "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]}, [(*T, READ)]),
    ("Fetch", 17, lambda s: {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1000, "topics": [{"topicId": f"${{id-{s.t}}}", "partitions": [{"partition": 0, "partitionMaxBytes": 1000}]}]}, [(*T, READ)]),
    ("ListOffsets", 7, lambda s: {"topics": topics(s, timestamp=-1)}, [(*T, DESCRIBE)]),
    ("Metadata", 10, lambda s: {"topics": [{"name": s.t}], "allowAutoTopicCreation": False, "includeTopicAuthorizedOperations": True, "includeClusterAuthorizedOperations": True}, [(*T, DESCRIBE)]),
    ("Metadata", 12, lambda s: {"topics": [{"name": None, "topicId": f"${{id-{s.t}}}"}], "allowAutoTopicCreation": False}, [(*T, DESCRIBE)]),
    ("Metadata", 9, lambda s: {"topics": [{"name": s.name_of("auto")}], "allowAutoTopicCreation": True}, [(TOPIC, "auto", DESCRIBE), (TOPIC, "auto", CREATE)]),
    ("OffsetCommit", 8, lambda s: {"groupId": s.g, "generationIdOrMemberEpoch": -1, "topics": one_commit(s)}, [(*G, READ), (*T, READ)]),
    ("OffsetFetch", 8, lambda s: {"groups": [{"groupId": s.g, "topics": [{"name": s.t, "partitionIndexes": [0]}]}]}, [(*G, DESCRIBE), (*T, DESCRIBE)]),
    ("OffsetFetch", 7, lambda s: {"groupId": s.g, "topics": None}, [(*G, DESCRIBE)]),
    ("FindCoordinator", 4, lambda s: {"keyType": 0, "coordinatorKeys": [s.g]}, [(*G, DESCRIBE)]),
    ("FindCoordinator", 3, lambda s: {"keyType": 1, "key": s.x}, [(*X, DESCRIBE)]),
    ("JoinGroup", 3, lambda s: {"groupId": s.g, **JOIN}, [(*G, READ)]),
    ("Heartbeat", 3, lambda s: {"groupId": s.g, "memberId": "m", "generationId": 1}, [(*G, READ)]),
    ("LeaveGroup", 4, lambda s: {"groupId": s.g, "members": [{"memberId": "m"}]}, [(*G, READ)]),
    ("SyncGroup", 4, lambda s: {"groupId": s.g, "memberId": "m", "generationId": 1}, [(*G, READ)]),
    ("DescribeGroups", 5, lambda s: {"groups": [s.g], "includeAuthorizedOperations": True}, [(*G, DESCRIBE)]),
    ("ListGroups", 4, lambda s: {}, [(*C, DESCRIBE)]),
    ("ListGroups", 5, lambda s: {}, [(*G, DESCRIBE)]),
    ("CreateTopics", 5, lambda s: {"timeoutMs": 5000, "topics": [{"name": s.name_of("new"), "numPartitions": 1, "replicationFactor": 1}]}, [(TOPIC, "new", CREATE)]),
    ("CreateTopics", 7, lambda s: {"timeoutMs": 5000, "topics": [{"name": s.name_of("new"), "numPartitions": 1, "replicationFactor": 1}]}, [(*C, CREATE), (TOPIC, "new", DESCRIBE_CONFIGS)]),
    ("DeleteTopics", 5, lambda s: {"timeoutMs": 5000, "topicNames": [s.t, s.name_of("none")]}, [(*T, DELETE)]),
    ("DeleteTopics", 6, lambda s: {"timeoutMs": 5000, "topics": [{"name": None, "topicId": f"${{id-{s.t}}}"}]}, [(*T, DESCRIBE), (*T, DELETE)]),
    ("DeleteRecords", 2, lambda s: {"timeoutMs": 5000, "topics": topics(s, offset=0)}, [(*T, DELETE)]),
    ("InitProducerId", 4, lambda s: {"transactionalId": s.x, "transactionTimeoutMs": 60000}, [(*X, WRITE)]),
    ("InitProducerId", 4, lambda s: {"transactionalId": None, "transactionTimeoutMs": 60000}, [(*C, IDEMPOTENT_WRITE)]),
    ("InitProducerId", 3, lambda s: {"transactionalId": None, "transactionTimeoutMs": 60000}, [(*T, WRITE)]),
    ("OffsetForLeaderEpoch", 4, lambda s: {"topics": [{"topic": s.t, "partitions": [{"partition": 0, "leaderEpoch": 0}]}]}, [(*T, DESCRIBE)]),
    ("AddPartitionsToTxn", 3, lambda s: {"v3AndBelowTransactionalId": s.x, "v3AndBelowProducerId": 5, "v3AndBelowProducerEpoch": 0, "v3AndBelowTopics": [{"name": s.t, "partitions": [0]}]}, [(*X, WRITE), (*T, WRITE)]),
    ("AddPartitionsToTxn", 5, lambda s: {"transactions": [{"transactionalId": s.x, "producerId": 5, "producerEpoch": 0, "topics": [{"name": s.t, "partitions": [0]}]}]}, [(*C, CLUSTER_ACTION)]),
    ("AddOffsetsToTxn", 3, lambda s: {"transactionalId": s.x, "producerId": 5, "producerEpoch": 0, "groupId": s.g}, [(*X, WRITE), (*G, READ)]),
    ("EndTxn", 3, lambda s: {"transactionalId": s.x, "producerId": 5, "producerEpoch": 0, "committed": True}, [(*X, WRITE)]),
    ("WriteTxnMarkers", 1, lambda s: {"markers": [{"producerId": 5, "producerEpoch": 0, "transactionResult": False, "coordinatorEpoch": 0, "topics": [{"name": s.name_of("none"), "partitionIndexes": [0]}]}]}, [(*C, ALTER)]),
    ("WriteTxnMarkers", 2, lambda s: {"markers": [{"producerId": 5, "producerEpoch": 0, "transactionResult": False, "coordinatorEpoch": 0, "topics": [{"name": s.name_of("none"), "partitionIndexes": [0]}]}]}, [(*C, CLUSTER_ACTION)]),
    ("TxnOffsetCommit", 3, lambda s: {"transactionalId": s.x, "groupId": s.g, "producerId": 5, "producerEpoch": 0, "topics": one_commit(s)}, [(*X, WRITE), (*G, READ), (*T, READ)]),
    ("DescribeAcls", 2, lambda s: {"resourceTypeFilter": TOPIC, "resourceNameFilter": s.name_of("none"), "patternTypeFilter": LITERAL, "principalFilter": None, "hostFilter": None, "operation": 1, "permissionType": 1}, [(*C, DESCRIBE)]),
    ("CreateAcls", 2, lambda s: {"creations": [{"resourceType": TOPIC, "resourceName": s.name_of("ruled"), "principal": "User:nobody", "host": "*", "operation": READ, "permissionType": ALLOW, "resourcePatternType": LITERAL}]}, [(*C, ALTER)]),
    ("DeleteAcls", 2, lambda s: {"filters": [{"resourceTypeFilter": TOPIC, "resourceNameFilter": s.name_of("none"), "patternTypeFilter": LITERAL, "principalFilter": None, "hostFilter": None, "operation": 1, "permissionType": 1}]}, [(*C, ALTER)]),
    ("DescribeConfigs", 4, lambda s: {"resources": [{"resourceType": TOPIC, "resourceName": s.t, "configurationKeys": ["retention.ms"]}]}, [(*T, DESCRIBE_CONFIGS)]),
    ("DescribeConfigs", 3, lambda s: {"resources": [{"resourceType": BROKER, "resourceName": "1", "configurationKeys": ["num.partitions"]}]}, [(*C, DESCRIBE_CONFIGS)]),
    ("DescribeConfigs", 4, lambda s: {"resources": [{"resourceType": GROUP_CONFIG, "resourceName": s.g, "configurationKeys": ["consumer.session.timeout.ms"]}]}, [(*G, DESCRIBE_CONFIGS)]),
    ("AlterConfigs", 2, lambda s: {"resources": [{"resourceType": TOPIC, "resourceName": s.t, "configs": [{"name": "retention.ms", "value": "5"}]}]}, [(*T, ALTER_CONFIGS)]),
    ("AlterConfigs", 1, lambda s: {"validateOnly": True, "resources": [{"resourceType": BROKER, "resourceName": "1", "configs": [{"name": "log.retention.ms", "value": "5"}]}]}, [(*C, ALTER_CONFIGS)]),
    ("AlterReplicaLogDirs", 2, lambda s: {"dirs": [{"path": "/nowhere", "topics": [{"name": s.t, "partitions": [0]}]}]}, [(*C, ALTER)]),
    ("DescribeLogDirs", 4, lambda s: {"topics": [{"topic": s.name_of("none"), "partitions": [0]}]}, [(*C, DESCRIBE)]),
    ("CreatePartitions", 3, lambda s: {"timeoutMs": 5000, "topics": [{"name": s.t, "count": 2, "assignments": None}]}, [(*T, ALTER)]),
    ("DeleteGroups", 2, lambda s: {"groupsNames": [s.g]}, [(*G, DELETE)]),
    ("ElectLeaders", 2, lambda s: {"timeoutMs": 5000, "electionType": 0, "topicPartitions": [{"topic": s.t, "partitions": [0]}]}, [(*C, ALTER)]),
    ("IncrementalAlterConfigs", 1, lambda s: {"resources": [{"resourceType": TOPIC, "resourceName": s.t, "configs": [{"name": "retention.ms", "configOperation": 0, "value": "5"}]}]}, [(*T, ALTER_CONFIGS)]),
    ("IncrementalAlterConfigs", 0, lambda s: {"validateOnly": True, "resources": [{"resourceType": BROKER, "resourceName": "1", "configs": [{"name": "log.retention.ms", "configOperation": 0, "value": "5"}]}]}, [(*C, ALTER_CONFIGS)]),
    ("IncrementalAlterConfigs", 1, lambda s: {"resources": [{"resourceType": GROUP_CONFIG, "resourceName": s.g, "configs": [{"name": "consumer.session.timeout.ms", "configOperation": 0, "value": "46000"}]}]}, [(*G, ALTER_CONFIGS)]),
    ("AlterPartitionReassignments", 0, lambda s: {"timeoutMs": 5000, "topics": [{"name": s.t, "partitions": [{"partitionIndex": 0, "replicas": None}]}]}, [(*C, ALTER)]),
    ("ListPartitionReassignments", 0, lambda s: {"timeoutMs": 5000, "topics": [{"name": s.t, "partitionIndexes": [0]}]}, [(*C, DESCRIBE)]),
    ("OffsetDelete", 0, lambda s: {"groupId": s.g, "topics": [{"name": s.t, "partitions": [{"partitionIndex": 0}]}]}, [(*G, DELETE), (*T, READ)]),
    ("DescribeClientQuotas", 1, lambda s: {"components": [{"entityType": "user", "matchType": 0, "match": s.name_of("none")}]}, [(*C, DESCRIBE_CONFIGS)]),
    ("AlterClientQuotas", 1, lambda s: {"validateOnly": True, "entries": [{"entity": [{"entityType": "user", "entityName": s.name_of("none")}], "ops": [{"key": "producer_byte_rate", "value": 1e9}]}]}, [(*C, ALTER_CONFIGS)]),
    ("DescribeUserScramCredentials", 0, lambda s: {"users": [{"name": s.name_of("none")}]}, [(*C, DESCRIBE)]),
    ("AlterUserScramCredentials", 0, lambda s: {"deletions": [{"name": s.name_of("none"), "mechanism": 1}]}, [(*C, ALTER)]),
    ("DescribeQuorum", 1, lambda s: {"topics": [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 7}]}]}, [(*C, DESCRIBE)]),
    ("UpdateFeatures", 1, lambda s: {"timeoutMs": 5000, "validateOnly": True, "featureUpdates": [{"feature": "group.version", "maxVersionLevel": 1, "upgradeType": 1}]}, [(*C, ALTER)]),
    ("DescribeCluster", 1, lambda s: {"includeClusterAuthorizedOperations": True}, [(*C, DESCRIBE)]),
    ("DescribeProducers", 0, lambda s: {"topics": [{"name": s.t, "partitionIndexes": [0]}]}, [(*T, READ)]),
    ("UnregisterBroker", 0, lambda s: {"brokerId": 77}, [(*C, ALTER)]),
    ("DescribeTransactions", 0, lambda s: {"transactionalIds": [s.x]}, [(*X, DESCRIBE)]),
    ("ListTransactions", 0, lambda s: {}, [(*X, DESCRIBE)]),
    ("ConsumerGroupHeartbeat", 0, lambda s: {"groupId": s.g, "memberEpoch": 0, "rebalanceTimeoutMs": 10000, "topicPartitions": [], "subscribedTopicNames": [s.t]}, [(*G, READ), (*T, DESCRIBE)]),
    ("ConsumerGroupDescribe", 0, lambda s: {"groupIds": [s.g], "includeAuthorizedOperations": True}, [(*G, DESCRIBE)]),
    ("ListConfigResources", 1, lambda s: {"resourceTypes": [16]}, [(*C, DESCRIBE_CONFIGS)]),
    ("DescribeTopicPartitions", 0, lambda s: {"topics": [{"name": s.t}], "responsePartitionLimit": 10}, [(*T, DESCRIBE)]),
]  # fmt: skip
LISTS = {"ListGroups": {"groups": "groupId"}, "ListTransactions": {"transactionStates": "transactionalId"}}
WITHOUT_TOPIC = {"CreateTopics", "ListGroups", "FindCoordinator", "Heartbeat", "LeaveGroup", "SyncGroup", "JoinGroup", "DescribeGroups", "EndTxn", "WriteTxnMarkers", "DescribeAcls", "CreateAcls", "DeleteAcls", "DescribeLogDirs", "DeleteGroups", "DescribeClientQuotas", "AlterClientQuotas", "DescribeUserScramCredentials", "AlterUserScramCredentials", "DescribeQuorum", "UpdateFeatures", "DescribeCluster", "UnregisterBroker", "DescribeTransactions", "ListTransactions", "ConsumerGroupDescribe", "ListConfigResources", "InitProducerId"}  # fmt: skip


def cell(api, version, body, needs, label, rules):
    s = Scenario(f"acl/{label}", user="admin")
    s.u = s.slug
    s.t, s.g, s.x = s.name_of("t"), s.name_of("g"), s.name_of("x")
    rules(s)
    if api not in WITHOUT_TOPIC:
        s.topic(what="t")
    if api == "ListGroups":
        s.prepare("JoinGroup", 3, {"groupId": s.g, **JOIN})
    if api == "ListTransactions":
        s.prepare("InitProducerId", 4, {"transactionalId": s.x, "transactionTimeoutMs": 60000})
    more = {"only": LISTS[api]} if api in LISTS else {}
    if api == "DescribeLogDirs":
        # Where, and how full the disk is.
        more = {"drop": ["logDir", "totalBytes", "usableBytes"]}
    s.ask(api, version, body(s), user=s.u, retry=SETTLING if api != "FindCoordinator" else [14, 15], **more)


def named(s, what):
    return SELF if what == SELF else s.name_of(what)


seen = {}
for api, version, body, needs in CELLS:
    seen[api] = seen.get(api, 0) + 1
    label = f"{api}/{seen[api]}"
    cell(api, version, body, needs, f"{label}/nothing", lambda s: None)

    def literal(s):
        for kind, what, operation in needs:
            rule(s.u, kind, named(s, what), operation)

    def prefixed(s):
        for kind, what, operation in needs:
            rule(s.u, kind, SELF[:6] if what == SELF else s.slug, operation, pattern=PREFIXED)

    def wildcard(s):
        for kind, what, operation in needs:
            rule(s.u, kind, "*", operation)

    def other_host(s):
        for kind, what, operation in needs:
            rule(s.u, kind, named(s, what), operation, host="10.9.8.7")

    def denied(s):
        for kind, what, operation in needs:
            rule(s.u, kind, "*", ALL)
        kind, what, operation = needs[-1]
        rule(s.u, kind, named(s, what), operation, permission=DENY)

    for name, rules in (("literal", literal), ("prefixed", prefixed), ("wildcard", wildcard), ("other-host", other_host), ("denied", denied)):
        cell(api, version, body, needs, f"{label}/{name}", rules)
    if len(needs) > 1:
        for at in range(len(needs)):

            def without(s):
                for kind, what, operation in needs[:at] + needs[at + 1 :]:
                    rule(s.u, kind, named(s, what), operation)

            cell(api, version, body, needs, f"{label}/without-{at}", without)

# What one operation says about another, on each kind of resource.
for kind, name in ((TOPIC, "topic"), (GROUP, "group"), (TXN, "transactional-id"), (CLUSTER, "cluster")):
    for operation in range(ALL, IDEMPOTENT_WRITE + 1):
        s = Scenario(f"acl/implied/{name}/{operation}", user="admin")
        if kind == TOPIC:
            t = s.topic()
            rule(s.slug, kind, t, operation)
            s.ask("Metadata", 10, {"topics": [{"name": t}], "allowAutoTopicCreation": False, "includeTopicAuthorizedOperations": True}, user=s.slug)
            s.ask("DescribeConfigs", 4, {"resources": [{"resourceType": TOPIC, "resourceName": t, "configurationKeys": ["retention.ms"]}]}, user=s.slug)
        elif kind == GROUP:
            g = s.name_of("g")
            rule(s.slug, kind, g, operation)
            s.ask("DescribeGroups", 5, {"groups": [g], "includeAuthorizedOperations": True}, user=s.slug)
            s.ask("OffsetFetch", 7, {"groupId": g, "topics": None}, user=s.slug)
        elif kind == TXN:
            x = s.name_of("x")
            rule(s.slug, kind, x, operation)
            s.ask("FindCoordinator", 3, {"keyType": 1, "key": x}, user=s.slug)
            s.ask("DescribeTransactions", 0, {"transactionalIds": [x]}, user=s.slug)
        else:
            rule(s.slug, kind, SELF, operation)
            s.ask("DescribeCluster", 1, {"includeClusterAuthorizedOperations": True}, user=s.slug)
            s.ask("DescribeQuorum", 1, {"topics": [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 7}]}]}, user=s.slug)
        # Denied: what follows from it is denied too.
        s = Scenario(f"acl/implied/{name}/{operation}/denied", user="admin")
        what = SELF if kind == CLUSTER else s.name_of("t1")
        rule(s.slug, kind, "*", ALL)
        rule(s.slug, kind, what, operation, permission=DENY)
        if kind == TOPIC:
            s.topic()
            s.ask("Metadata", 10, {"topics": [{"name": what}], "allowAutoTopicCreation": False, "includeTopicAuthorizedOperations": True}, user=s.slug)
        elif kind == GROUP:
            s.ask("DescribeGroups", 5, {"groups": [what], "includeAuthorizedOperations": True}, user=s.slug)
        elif kind == TXN:
            s.ask("DescribeTransactions", 0, {"transactionalIds": [what]}, user=s.slug)
        else:
            s.ask("DescribeCluster", 1, {"includeClusterAuthorizedOperations": True}, user=s.slug)

# ── the rules themselves ────────────────────────────────────────────────────────────────────────────────────────────


def made(**more):
    return {"resourceType": TOPIC, "resourceName": "oracle-r", "principal": "User:nobody", "host": "*", "operation": READ, "permissionType": ALLOW, "resourcePatternType": LITERAL, **more}


def looked(**more):
    return {"resourceTypeFilter": 1, "resourceNameFilter": None, "patternTypeFilter": ANY, "principalFilter": None, "hostFilter": None, "operation": 1, "permissionType": 1, **more}


BAD = {
    "principal": {"principal": "nobody"}, "empty-principal": {"principal": ""}, "no-type": {"principal": ":x"}, "empty-name": {"resourceName": ""}, "pattern-any": {"resourcePatternType": ANY}, "pattern-match": {"resourcePatternType": MATCH},
    "pattern-9": {"resourcePatternType": 9}, "pattern-0": {"resourcePatternType": 0}, "type-any": {"resourceType": 1}, "type-0": {"resourceType": 0}, "type-9": {"resourceType": 99}, "operation-any": {"operation": 1}, "operation-0": {"operation": 0}, "operation-99": {"operation": 99},
    "permission-any": {"permissionType": 1}, "permission-0": {"permissionType": 0}, "permission-9": {"permissionType": 9}, "cluster-name": {"resourceType": CLUSTER, "resourceName": "other"}, "cluster-prefixed": {"resourceType": CLUSTER, "resourceName": SELF, "resourcePatternType": PREFIXED},
    "host": {"host": "not an address"}, "empty-host": {"host": ""}, "group-write": {"resourceType": GROUP, "operation": WRITE}, "bad-topic-name": {"resourceName": "a b/"}, "prefixed-star": {"resourceName": "*", "resourcePatternType": PREFIXED}, "other-type": {"principal": "Role:x"},
}  # fmt: skip
for name, more in BAD.items():
    for v in (1, 3):
        s = Scenario(f"acl/create/{name}/v{v}", user="admin")
        s.ask("CreateAcls", v, {"creations": [made(**{"resourceName": s.name_of("r"), **more})]})
for v in (1, 2, 3):
    s = Scenario(f"acl/life/v{v}", user="admin")
    a, b = s.name_of("a"), s.name_of("b")
    s.ask("CreateAcls", v, {"creations": [made(resourceName=a), made(resourceName=a, operation=WRITE), made(resourceName=s.slug, resourcePatternType=PREFIXED), made(resourceName=b, principal="")]})
    s.ask("CreateAcls", v, {"creations": [made(resourceName=a)]})
    s.ask("CreateAcls", v, {"creations": []})
    s.wait(300)
    for more in (
        {"resourceNameFilter": a}, {"resourceNameFilter": a, "patternTypeFilter": MATCH, "principalFilter": "User:nobody"}, {"resourceNameFilter": a, "patternTypeFilter": LITERAL}, {"resourceNameFilter": s.slug, "patternTypeFilter": PREFIXED},
        {"resourceNameFilter": a, "operation": WRITE}, {"resourceNameFilter": a, "operation": ALL}, {"resourceNameFilter": a, "permissionType": DENY}, {"resourceNameFilter": a, "principalFilter": "User:nobody"}, {"resourceNameFilter": a, "principalFilter": "User:other"},
        {"resourceNameFilter": a, "hostFilter": "*"}, {"resourceNameFilter": a, "hostFilter": "1.2.3.4"}, {"resourceNameFilter": a, "resourceTypeFilter": GROUP}, {"resourceNameFilter": a, "resourceTypeFilter": 0}, {"resourceNameFilter": a, "operation": 0}, {"resourceNameFilter": a, "permissionType": 0},
        {"resourceNameFilter": a, "patternTypeFilter": 0}, {"resourceNameFilter": a, "patternTypeFilter": 9}, {"resourceNameFilter": ""}, {"principalFilter": ""},
    ):  # fmt: skip
        s.ask("DescribeAcls", v, looked(**more))
    s.ask("DeleteAcls", v, {"filters": [looked(resourceNameFilter=a, operation=WRITE), looked(resourceNameFilter=s.name_of("none")), looked(resourceNameFilter=a, operation=0)]})
    s.ask("DeleteAcls", v, {"filters": [looked(resourceNameFilter=a, patternTypeFilter=MATCH, principalFilter="User:nobody"), looked(resourceNameFilter=a)]})
    s.ask("DeleteAcls", v, {"filters": []})

# ── who is there ────────────────────────────────────────────────────────────────────────────────────────────────────

for v in (0, 1):
    for mechanism in ("PLAIN", "NONE", "SCRAM-SHA-512", ""):
        s = Scenario(f"acl/sasl/handshake/{mechanism or 'empty'}/v{v}")
        s.ask("SaslHandshake", v, {"mechanism": mechanism})
for v in (0, 1, 2):
    for name, proof in {"good": "\0admin\0admin-secret", "wrong": "\0admin\0wrong", "unknown": "\0nobody\0x", "other-id": "other\0admin\0admin-secret", "same-id": "admin\0admin\0admin-secret", "nothing": "", "two-parts": "admin\0x", "four-parts": "\0a\0b\0c", "no-password": "\0admin\0", "no-name": "\0\0x"}.items():
        s = Scenario(f"acl/sasl/{name}/v{v}")
        s.ask("SaslHandshake", 1, {"mechanism": "PLAIN"})
        s.ask("SaslAuthenticate", v, {"authBytes": proof})
        s.ask("Metadata", 1, {"topics": []})
for name, steps in {
    "authenticate-first": [("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"})],
    "metadata-first": [("Metadata", 1, {"topics": []})],
    "versions-first": [("ApiVersions", 0, {}), ("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"}), ("Metadata", 1, {"topics": []})],
    "versions-between": [("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("ApiVersions", 0, {}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"})],
    "versions-twice": [("ApiVersions", 0, {}), ("ApiVersions", 0, {})],
    "handshake-twice": [("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("SaslHandshake", 1, {"mechanism": "PLAIN"})],
    "metadata-between": [("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("Metadata", 1, {"topics": []})],
    "again": [("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"}), ("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"}), ("Metadata", 1, {"topics": []})],
    "authenticate-again": [("SaslHandshake", 1, {"mechanism": "PLAIN"}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"}), ("SaslAuthenticate", 1, {"authBytes": "\0admin\0admin-secret"})],
}.items():  # fmt: skip
    s = Scenario(f"acl/sasl/order/{name}")
    for api, v, body in steps:
        s.ask(api, v, body, drop=["apiKeys"])

for at in range(0, len(RULES), 100):
    start.ask("CreateAcls", 2, {"creations": RULES[at : at + 100]}, hide=True)
last = RULES[-1]
start.prepare("DescribeAcls", 2, {**looked(), "resourceNameFilter": last["resourceName"], "principalFilter": last["principal"], "patternTypeFilter": LITERAL}, until={"/resources/0/resourceName": last["resourceName"]})
start.prepare("FindCoordinator", 3, {"key": "g", "keyType": 0})
start.prepare("FindCoordinator", 3, {"key": "x", "keyType": 1})
many = [f"start-{number}" for number in range(600)]
start.prepare("DescribeGroups", 4, {"groups": many}, retry=SETTLING)
start.prepare("DescribeTransactions", 0, {"transactionalIds": many}, retry=SETTLING)
