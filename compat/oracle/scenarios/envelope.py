"""What surrounds a request: versions, headers, frames, keys that brokers keep to themselves, SASL where none is asked for."""

from lib import Scenario

for v in (0, 1, 2, 3, 4, 5):
    s = Scenario(f"api-versions/v{v}")
    s.ask("ApiVersions", v, {"clientSoftwareName": "oracle", "clientSoftwareVersion": "1.0"} if v >= 3 else {})
for v in (6, 99, -1, 32767):
    s = Scenario(f"api-versions/too-new/v{v}")
    s.ask("ApiVersions", v, raw="00", drop=["minVersion", "maxVersion"], only={"apiKeys": "apiKey"})
    s.ask("ApiVersions", 0, drop=["minVersion", "maxVersion"], only={"apiKeys": "apiKey"})
for name, version in (("bad name!", "1"), ("", ""), ("ok", "-bad"), ("a" * 300, "1"), ("a.b-c", "1.2.3-x")):
    s = Scenario(f"api-versions/software/{name[:10]}-{version}")
    s.ask("ApiVersions", 3, {"clientSoftwareName": name, "clientSoftwareVersion": version}, only={"apiKeys": "apiKey", "supportedFeatures": "name", "finalizedFeatures": "name"}, drop=["finalizedFeaturesEpoch"])
s = Scenario("api-versions/cluster-of-another")
s.ask("ApiVersions", 5, {"clientSoftwareName": "oracle", "clientSoftwareVersion": "1.0", "clusterId": "another", "nodeId": 7}, only={"apiKeys": "apiKey", "supportedFeatures": "name", "finalizedFeatures": "name"}, drop=["finalizedFeaturesEpoch"])

# One version beyond the newest, and keys nobody has: the connection is closed.
BEYOND = {
    "Produce": 14, "Fetch": 19, "ListOffsets": 12, "Metadata": 14, "OffsetCommit": 11, "OffsetFetch": 11, "FindCoordinator": 7,
    "JoinGroup": 10, "Heartbeat": 5, "LeaveGroup": 6, "SyncGroup": 6, "DescribeGroups": 7, "ListGroups": 6, "SaslHandshake": 2,
    "CreateTopics": 8, "DeleteTopics": 7, "DeleteRecords": 3, "InitProducerId": 7, "OffsetForLeaderEpoch": 5,
    "AddPartitionsToTxn": 6, "AddOffsetsToTxn": 5, "EndTxn": 6, "WriteTxnMarkers": 3, "TxnOffsetCommit": 7, "DescribeAcls": 4,
    "CreateAcls": 4, "DeleteAcls": 4, "DescribeConfigs": 5, "AlterConfigs": 3, "AlterReplicaLogDirs": 3, "DescribeLogDirs": 6,
    "SaslAuthenticate": 3, "CreatePartitions": 4, "DeleteGroups": 4, "ElectLeaders": 3, "IncrementalAlterConfigs": 2,
    "AlterPartitionReassignments": 2, "ListPartitionReassignments": 1, "OffsetDelete": 1, "DescribeClientQuotas": 2,
    "AlterClientQuotas": 2, "DescribeUserScramCredentials": 1, "AlterUserScramCredentials": 1, "DescribeQuorum": 3,
    "UpdateFeatures": 3, "DescribeCluster": 3, "DescribeProducers": 1, "UnregisterBroker": 1, "DescribeTransactions": 1,
    "ListTransactions": 3, "ConsumerGroupHeartbeat": 2, "ConsumerGroupDescribe": 2, "ListConfigResources": 2,
    "DescribeTopicPartitions": 1,
}  # fmt: skip
for api, v in BEYOND.items():
    s = Scenario(f"beyond-the-newest/{api}")
    s.ask(api, v, raw="0000")
for v in (0, 1, 2):
    s = Scenario(f"produce-listed-but-refused/v{v}")
    s.ask("Produce", v, raw="ffff0001000003e800000000")
for v in (0, 3):
    s = Scenario(f"fetch-too-old/v{v}")
    s.ask("Fetch", v, raw="ffffffff0000000000000001" + "00000000")
for key in (4, 5, 6, 7, 52, 56, 58, 62, 63, 67, 70, 73, 94, 95, 1000, -1, 32767):
    s = Scenario(f"not-for-clients/{key}")
    s.ask(key, 0, raw="0000000000000000")
    s.ask("ApiVersions", 0, drop=["minVersion", "maxVersion"], only={"apiKeys": "apiKey"})

FRAMES = {
    "length-0": "00000000",
    "length-negative": "ffffffff",
    "length-huge": "7fffffff00120000",
    "header-cut": "00000003001200",
    "body-missing": "0000000a0003000100000001ffff",
    "list-too-long": "0000000e0003000100000001ffff7fffffff",
    "list-negative": "0000000e0003000100000001fffffffffffe",
    "text-negative": "000000100003000100000001ffff00000001fffe",
    "text-too-long": "000000100003000100000001ffff000000017fff",
    "null-client": "0000000e0003000100000001ffff00000000",
    "trailing-bytes": "000000100003000100000001ffff000000001122",
    "client-id-invalid-utf8": "000000100003000100000001000280ff00000000",
    "name-invalid-utf8": "000000120003000100000001ffff00000001000280ff",
}
for name, frame in FRAMES.items():
    s = Scenario(f"frame/{name}")
    s.frame(frame)

for v in (0, 1):
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "NONE"):
        s = Scenario(f"sasl/on-plaintext/handshake-{mechanism}/v{v}")
        s.ask("SaslHandshake", v, {"mechanism": mechanism})
        s.ask("ApiVersions", 0, drop=["minVersion", "maxVersion"], only={"apiKeys": "apiKey"})
for v in (0, 1, 2):
    s = Scenario(f"sasl/on-plaintext/authenticate/v{v}")
    s.ask("SaslAuthenticate", v, {"authBytes": "\0a\0b"})
    s.ask("ApiVersions", 0, drop=["minVersion", "maxVersion"], only={"apiKeys": "apiKey"})
