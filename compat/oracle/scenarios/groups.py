"""Groups: classic and KIP-848, offsets, and requests in orders that cannot be."""

from lib import SETTLING, Scenario, assignment, batch, subscription

OTHER_ID = "x7jHRVXYQm2bq7DXWVhcGw"
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
READY = {"retry": SETTLING}

for v in range(7):
    s = Scenario(f"find-coordinator/v{v}")
    one = (lambda key, kind: {"key": key, "keyType": kind}) if v < 4 else (lambda key, kind: {"coordinatorKeys": [key], "keyType": kind})
    s.ask("FindCoordinator", v, one("g", 0) if v else {"key": "g"})
    s.ask("FindCoordinator", v, one("", 0) if v else {"key": ""})
    if v:
        for kind in (1, 2, 3, 9, -1):
            s.ask("FindCoordinator", v, one("x", kind))
        s.ask("FindCoordinator", v, one("", 1))
    if v >= 4:
        s.ask("FindCoordinator", v, {"keyType": 0, "coordinatorKeys": ["a", "b", "a"]})
        s.ask("FindCoordinator", v, {"keyType": 0, "coordinatorKeys": []})
        s.ask("FindCoordinator", v, {"keyType": 2, "coordinatorKeys": ["g:x7jHRVXYQm2bq7DXWVhcGw:0", "g:0"]})

# ── classic: joining ────────────────────────────────────────────────────────────────────────────────────────────────

for v in range(10):
    s = Scenario(f"join-group/v{v}")
    g = s.name_of("g")
    s.coordinator(g)
    s.join(g, v=v, save={"member": "/memberId"}, **READY)
    if v >= 4:
        s.join(g, "${member}", v=v, save={"generation": "/generationId"})
    else:
        s.ask("DescribeGroups", 4, {"groups": [g]}, save={"x": "/groups/0/groupState"})
    s.join(g, "unknown-member", v=v)
    s.join("", v=v)
    s.join(s.name_of("g2"), "unknown-member", v=v)
    for session in (5999, 1800001, 0, -1):
        s.join(s.name_of("g3"), v=v, session=session)
    s.join(s.name_of("g4"), v=v, protocols=[("", subscription(["t"]))])
    s.ask("JoinGroup", v, {"groupId": s.name_of("g5"), "sessionTimeoutMs": 10000, "protocolType": "consumer", "protocols": []})
    s.ask("JoinGroup", v, {"groupId": s.name_of("g6"), "sessionTimeoutMs": 10000, "protocolType": "", "protocols": [{"name": "a", "metadata": ""}]})
    # Somebody with other protocols, and somebody of another type.
    s.join(g, v=v, protocols=[("other", subscription(["t"]))], conn="b")
    s.join(g, v=v, kind="connect", conn="b")
for v in (0, 1, 2, 3, 4, 5):
    s = Scenario(f"sync-group/v{v}")
    g = s.name_of("g")
    s.member(g)
    body = {"groupId": g, "memberId": "${member}", "generationId": "${generation}"}
    if v >= 5:
        body |= {"protocolType": "consumer", "protocolName": "range"}
    s.ask("SyncGroup", v, body)
    s.ask("SyncGroup", v, {**body, "generationId": "${generation+1}"})
    s.ask("SyncGroup", v, {**body, "memberId": "nobody"})
    s.ask("SyncGroup", v, {**body, "groupId": s.name_of("none")})
    s.ask("SyncGroup", v, {**body, "groupId": ""})
    s.ask("SyncGroup", v, {**body, "assignments": [{"memberId": "${member}", "assignment": "other bytes"}]})
    s.ask("SyncGroup", v, {**body, "assignments": [{"memberId": "nobody", "assignment": "other bytes"}]})
    if v >= 5:
        s.ask("SyncGroup", v, {**body, "protocolType": "connect"})
        s.ask("SyncGroup", v, {**body, "protocolName": "roundrobin"})
        s.ask("SyncGroup", v, {**body, "protocolType": None, "protocolName": None})
    s = Scenario(f"sync-group/opaque/v{v}")
    g = s.name_of("g")
    s.coordinator(g)
    s.join(g, v=5, save={"member": "/memberId"}, hide=True, **READY)
    s.join(g, "${member}", v=5, save={"generation": "/generationId"})
    body = {"groupId": g, "memberId": "${member}", "generationId": "${generation}"}
    if v >= 5:
        body |= {"protocolType": "consumer", "protocolName": "range"}
    s.ask("Heartbeat", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})
    s.ask("SyncGroup", v, {**body, "assignments": [{"memberId": "${member}", "assignment": "hex:00ff01fe"}, {"memberId": "stranger", "assignment": "hex:11"}]})
    s.ask("SyncGroup", v, body)
    s.ask("DescribeGroups", 4, {"groups": [g]})
    s = Scenario(f"sync-group/nothing-sent/v{v}")
    g = s.name_of("g")
    s.coordinator(g)
    s.join(g, v=5, save={"member": "/memberId"}, hide=True, **READY)
    s.join(g, "${member}", v=5, save={"generation": "/generationId"})
    s.ask("SyncGroup", v, {"groupId": g, "memberId": "${member}", "generationId": "${generation}", **({"protocolType": "consumer", "protocolName": "range"} if v >= 5 else {})})
for v in range(5):
    s = Scenario(f"heartbeat/v{v}")
    g = s.name_of("g")
    s.member(g)
    body = {"groupId": g, "memberId": "${member}", "generationId": "${generation}"}
    s.ask("Heartbeat", v, body)
    for wrong in ({"generationId": 99}, {"generationId": 0}, {"generationId": -1}, {"memberId": "nobody"}, {"memberId": ""}, {"groupId": s.name_of("none")}, {"groupId": ""}):
        s.ask("Heartbeat", v, {**body, **wrong})
    if v >= 3:
        s.ask("Heartbeat", v, {**body, "groupInstanceId": "unknown-instance"})
for v in range(6):
    s = Scenario(f"leave-group/v{v}")
    g = s.name_of("g")
    s.member(g)
    one = (lambda member: {"memberId": member}) if v < 3 else (lambda member: {"members": [{"memberId": member}]})
    s.ask("LeaveGroup", v, {"groupId": g, **one("nobody")})
    s.ask("LeaveGroup", v, {"groupId": s.name_of("none"), **one("nobody")})
    s.ask("LeaveGroup", v, {"groupId": "", **one("nobody")})
    if v >= 3:
        s.ask("LeaveGroup", v, {"groupId": g, "members": []})
        s.ask("LeaveGroup", v, {"groupId": g, "members": [{"memberId": "", "groupInstanceId": "no-such-instance"}, {"memberId": "nobody"}]})
        s.ask("LeaveGroup", v, {"groupId": g, "members": [{"memberId": "${member}", "groupInstanceId": "no-such-instance"}]})
    s.ask("LeaveGroup", v, {"groupId": g, **one("${member}")})
    s.ask("LeaveGroup", v, {"groupId": g, **one("${member}")})
    s.ask("DescribeGroups", 4, {"groups": [g]})
    s.ask("Heartbeat", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})

for v in (5, 6, 7, 9):
    s = Scenario(f"static-member/v{v}")
    g = s.name_of("g")
    s.coordinator(g)
    s.join(g, v=v, instance="i1", save={"old": "/memberId", "generation": "/generationId"}, **READY)
    sync = {"groupId": g, "generationId": "${generation}", "groupInstanceId": "i1"}
    s.ask("SyncGroup", 3, {**sync, "memberId": "${old}", "assignments": [{"memberId": "${old}", "assignment": assignment({"t": [0]})}]})
    # A second process with the same instance takes its place; the first is fenced.
    s.join(g, v=v, instance="i1", save={"new": "/memberId", "generation2": "/generationId"})
    s.ask("Heartbeat", 3, {**sync, "memberId": "${old}"})
    s.ask("Heartbeat", 3, {"groupId": g, "generationId": "${generation}", "memberId": "${old}"})
    s.ask("SyncGroup", 3, {**sync, "memberId": "${old}"})
    s.ask("OffsetCommit", 7, {"groupId": g, "generationIdOrMemberEpoch": "${generation}", "memberId": "${old}", "groupInstanceId": "i1", "topics": [{"name": "t", "partitions": [{"partitionIndex": 0, "committedOffset": 1}]}]})
    s.ask("LeaveGroup", 3, {"groupId": g, "members": [{"memberId": "${old}", "groupInstanceId": "i1"}]})
    s.join(g, "${old}", v=v, instance="i1")
    s.ask("SyncGroup", 3, {**sync, "generationId": "${generation2}", "memberId": "${new}"})
    s.ask("Heartbeat", 3, {**sync, "generationId": "${generation2}", "memberId": "${new}"})
    s.join(g, "${new}", v=v, instance="unknown-instance")
    s.ask("LeaveGroup", 3, {"groupId": g, "members": [{"memberId": "", "groupInstanceId": "i1"}]})
    s.ask("LeaveGroup", 3, {"groupId": g, "members": [{"memberId": "", "groupInstanceId": "i1"}]})

s = Scenario("group/two-members")
g = s.name_of("g")
s.member(g)
s.join(g, v=5, conn="b", save={"second": "/memberId"})
s.join(g, "${second}", v=5, conn="b", later=True)
s.wait(200)
s.ask("Heartbeat", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})
s.ask("OffsetCommit", 7, {"groupId": g, "generationIdOrMemberEpoch": "${generation}", "memberId": "${member}", "topics": [{"name": "t", "partitions": [{"partitionIndex": 0, "committedOffset": 1}]}]})
s.ask("SyncGroup", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})
s.join(g, "${member}", v=5, save={"generation": "/generationId"})
s.answer("b")
s.ask("SyncGroup", 3, {"groupId": g, "memberId": "${second}", "generationId": "${generation}"}, conn="b", later=True)
s.wait(100)
s.ask("SyncGroup", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}", "assignments": [{"memberId": "${member}", "assignment": "one"}, {"memberId": "${second}", "assignment": "two"}]})
s.answer("b")
s.ask("DescribeGroups", 4, {"groups": [g]})
s.ask("LeaveGroup", 3, {"groupId": g, "members": [{"memberId": "${second}"}]}, conn="b")
s.ask("Heartbeat", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})

s = Scenario("group/follower-joins-again")
g = s.name_of("g")
s.member(g)
s.join(g, "${member}", v=5)
s.join(g, "${member}", v=5, protocols=[("range", subscription(["t", "u"]))])
s.ask("Heartbeat", 3, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})

for kind in ("connect", "other-type", "sr"):
    s = Scenario(f"group/type/{kind}")
    g = s.name_of("g")
    s.coordinator(g)
    s.join(g, v=3, kind=kind, protocols=[("v0", "metadata"), ("v1", "other")], save={"m": "/memberId", "generation": "/generationId"}, **READY)
    s.ask("SyncGroup", 3, {"groupId": g, "memberId": "${m}", "generationId": "${generation}", "assignments": [{"memberId": "${m}", "assignment": "hex:0102"}]})
    s.ask("DescribeGroups", 5, {"groups": [g]})
    s.ask("ListGroups", 5, {}, only={"groups": "groupId"})

# ── describing, listing, deleting ───────────────────────────────────────────────────────────────────────────────────

for v in range(7):
    s = Scenario(f"describe-groups/v{v}")
    g = s.name_of("g")
    s.member(g)
    s.ask("DescribeGroups", v, {"groups": [g, s.name_of("none"), ""]})
    s.ask("DescribeGroups", v, {"groups": []})
    s.ask("DescribeGroups", v, {"groups": [g, g]})
    if v >= 3:
        s.ask("DescribeGroups", v, {"groups": [g, s.name_of("none")], "includeAuthorizedOperations": True})
for v in range(6):
    s = Scenario(f"list-groups/v{v}")
    s.member(s.name_of("g"))
    s.ask("OffsetCommit", 2, {"groupId": s.name_of("simple"), "generationIdOrMemberEpoch": -1, "topics": []})
    s.ask("ListGroups", v, {}, only={"groups": "groupId"})
    if v >= 4:
        for states in (["Stable"], ["stable"], ["Empty", "Dead"], ["Nonsense"], [""]):
            s.ask("ListGroups", v, {"statesFilter": states}, only={"groups": "groupId"})
    if v >= 5:
        for types in (["classic"], ["Classic"], ["consumer"], ["nonsense"], ["share"]):
            s.ask("ListGroups", v, {"typesFilter": types}, only={"groups": "groupId"})
for v in range(4):
    s = Scenario(f"delete-groups/v{v}")
    t = s.topic()
    g, e = s.name_of("g"), s.name_of("empty")
    s.member(g)
    s.prepare("OffsetCommit", 7, {"groupId": e, "generationIdOrMemberEpoch": -1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "committedOffset": 5}]}]})
    s.ask("DeleteGroups", v, {"groupsNames": [g, e, s.name_of("none"), ""]})
    s.ask("DeleteGroups", v, {"groupsNames": [e, e]})
    s.ask("DeleteGroups", v, {"groupsNames": []})
    s.ask("OffsetFetch", 7, {"groupId": e, "topics": None})

# ── offsets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def commit(group, topic, offset=5, v=7, member="", generation=-1, metadata="", epoch=-1, partition=0):
    part = {"partitionIndex": partition, "committedOffset": offset, "committedMetadata": metadata}
    if v >= 6:
        part["committedLeaderEpoch"] = epoch
    topics = [{**({"topicId": f"${{id-{topic}}}"} if v >= 10 else {"name": topic}), "partitions": [part]}]
    return {"groupId": group, "generationIdOrMemberEpoch": generation, "memberId": member, "topics": topics}


def look(group, topic, v=7, partitions=(0,), **more):
    if v >= 8:
        named = {"topicId": f"${{id-{topic}}}"} if v >= 10 and topic else {"name": topic}
        topics = None if topic is None else [{**named, "partitionIndexes": list(partitions)}]
        stable = {"requireStable": more.pop("requireStable")} if "requireStable" in more else {}
        return {"groups": [{"groupId": group, "topics": topics, **more}], **stable}
    return {"groupId": group, "topics": None if topic is None else [{"name": topic, "partitionIndexes": list(partitions)}], **more}


for v in range(2, 11):
    s = Scenario(f"offset-commit/v{v}")
    t = s.topic(2)
    g = s.name_of("g")
    s.coordinator(g)
    s.ask("OffsetCommit", v, commit(g, t, 5, v, metadata="said \u00e9", epoch=0), **READY)
    s.ask("OffsetFetch", min(v, 7) if v < 9 else v, look(g, t, min(v, 7) if v < 9 else v, (0, 1, 9)))
    s.ask("OffsetCommit", v, commit(g, t, 3, v, metadata=None))
    s.ask("OffsetFetch", 7, look(g, t))
    for name, body in {
        "long": commit(g, t, 5, v, metadata="x" * 4097), "fits": commit(g, t, 6, v, metadata="x" * 4096), "no-partition": commit(g, t, 5, v, partition=9),
        "negative": commit(g, t, -1, v), "very-negative": commit(g, t, -7, v), "member": commit(g, t, 5, v, member="nobody", generation=1), "generation": commit(g, t, 5, v, generation=3),
        "member-only": commit(g, t, 5, v, member="nobody"), "no-group": commit("", t, 5, v), "generation-0": commit(g, t, 5, v, generation=0),
    }.items():  # fmt: skip
        s.ask("OffsetCommit", v, body)
    if v < 10:
        s.ask("OffsetCommit", v, commit(g, s.name_of("none"), 5, v))
        s.ask("OffsetCommit", v, commit(g, "bad name", 5, v))
        two = commit(g, t, 8, v)
        two["topics"] += commit(g, s.name_of("none"), 8, v)["topics"] + commit(g, t, 9, v, metadata="x" * 5000, partition=1)["topics"]
        s.ask("OffsetCommit", v, two)
    else:
        for id in (OTHER_ID, NO_ID):
            body = commit(g, t, 5, v)
            body["topics"][0]["topicId"] = id
            s.ask("OffsetCommit", v, body)
    s.ask("OffsetCommit", v, {"groupId": g, "generationIdOrMemberEpoch": -1, "topics": []})
    s.ask("OffsetFetch", 7, look(g, None))
for v in (7, 9):
    s = Scenario(f"offset-commit/by-member/v{v}")
    t = s.topic()
    g = s.name_of("g")
    s.member(g)
    for member, generation in (("${member}", "${generation}"), ("${member}", "${generation+1}"), ("${member}", "${generation-1}"), ("nobody", "${generation}"), ("", "${generation}"), ("", -1), ("${member}", -1)):
        s.ask("OffsetCommit", v, commit(g, t, 5, v, member, generation))
    s.ask("OffsetCommit", v, {**commit(g, t, 5, v, "${member}", "${generation}"), "groupInstanceId": "unknown"})
    s.ask("OffsetFetch", 9, look(g, t, 9))
for v in range(1, 11):
    s = Scenario(f"offset-fetch/v{v}")
    t = s.topic(2)
    g = s.name_of("g")
    s.coordinator(g)
    s.ask("OffsetFetch", v, look(g, t, v, (0, 9)), **READY)
    s.prepare("OffsetCommit", 7, commit(g, t, 12, metadata="m", epoch=0))
    s.ask("OffsetFetch", v, look(g, t, v, (0, 1, 9)))
    s.ask("OffsetFetch", v, look(g, t, v, ()))
    if v < 10:
        s.ask("OffsetFetch", v, look(g, s.name_of("none"), v))
        s.ask("OffsetFetch", v, look(g, "bad name", v))
    else:
        for id in (OTHER_ID, NO_ID):
            s.ask("OffsetFetch", v, {"groups": [{"groupId": g, "topics": [{"topicId": id, "partitionIndexes": [0]}]}]})
    if v >= 2:
        s.ask("OffsetFetch", v, look(g, None, v))
    s.ask("OffsetFetch", v, look("", t, v))
    s.ask("OffsetFetch", v, look(g, t, v, (0, 0)))
    if v >= 8:
        s.ask("OffsetFetch", v, {"groups": [{"groupId": g, "topics": None}, {"groupId": s.name_of("none"), "topics": None}]})
        s.ask("OffsetFetch", v, {"groups": []})
        s.ask("OffsetFetch", v, {"groups": [{"groupId": g, "topics": None}, {"groupId": g, "topics": None}]})
    if v >= 9:
        s.ask("OffsetFetch", v, look(g, t, v, memberId="nobody", memberEpoch=3))
    if v >= 7:
        s.ask("OffsetFetch", v, look(g, t, v, requireStable=True))
s = Scenario("offset-delete/v0")
t, u = s.topic(), s.topic()
g = s.name_of("g")
s.coordinator(g)
s.prepare("OffsetCommit", 7, commit(g, t, 12))


def forget(group, *topics):
    return {"groupId": group, "topics": [{"name": name, "partitions": [{"partitionIndex": at} for at in parts]} for name, parts in topics]}


s.ask("OffsetDelete", 0, forget(g, (t, [0, 9]), (u, [0]), (s.name_of("none"), [0])))
s.ask("OffsetFetch", 7, look(g, t))
s.ask("OffsetDelete", 0, forget(s.name_of("none"), (t, [0])))
s.ask("OffsetDelete", 0, forget("", (t, [0])))
s.ask("OffsetDelete", 0, forget(g))
s.ask("OffsetDelete", 0, forget(g, (t, [0])))
s = Scenario("offset-delete/subscribed")
t, u = s.topic(), s.topic()
g = s.name_of("g")
s.member(g, protocols=[("range", subscription([t]))])
for topic in (t, u):
    s.prepare("OffsetCommit", 7, commit(g, topic, 12, member="${member}", generation="${generation}"))
s.ask("OffsetDelete", 0, forget(g, (t, [0]), (u, [0])))
s.ask("OffsetFetch", 7, look(g, None))
s = Scenario("offset-delete/other-type")
t = s.topic()
g = s.name_of("g")
s.coordinator(g)
s.join(g, v=3, kind="connect", hide=True, **READY)
s.ask("OffsetDelete", 0, forget(g, (t, [0])))

s = Scenario("offsets/topic-deleted")
t = s.topic()
g = s.name_of("g")
s.coordinator(g)
s.prepare("OffsetCommit", 7, commit(g, t, 12))
s.prepare("DeleteTopics", 5, {"timeoutMs": 5000, "topicNames": [t]}, retry=[])
s.ask("OffsetFetch", 7, look(g, t), until={"/topics/0/partitions/0/committedOffset": -1})
s.ask("DescribeGroups", 6, {"groups": [g]})

# ── KIP-848 ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def beat(group, member="", epoch=0, **more):
    return {"groupId": group, "memberId": member, "memberEpoch": epoch, **more}


FIRST = {"rebalanceTimeoutMs": 30000, "topicPartitions": []}
for v in (0, 1):
    mine = {"memberId": "AAAAAAAAAAAAAAAAAAAAAQ"} if v else {}
    s = Scenario(f"consumer-group/life/v{v}")
    t = s.topic(2)
    g = s.name_of("g")
    s.coordinator(g)
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **mine}, save={"m": "/memberId", "e": "/memberEpoch"}, **READY)
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}"))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}", topicPartitions=[{"topicId": f"${{id-{t}}}", "partitions": [0, 1]}]))
    s.ask("ConsumerGroupDescribe", 1, {"groupIds": [g]})
    s.ask("ConsumerGroupDescribe", 0, {"groupIds": [g], "includeAuthorizedOperations": True})
    s.ask("DescribeGroups", 6, {"groups": [g]})
    s.ask("ListGroups", 5, {}, only={"groups": "groupId"})
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e+1}"))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e-1}"))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e-1}", topicPartitions=[{"topicId": f"${{id-{t}}}", "partitions": [0, 1]}]))
    s.ask("OffsetCommit", 9, commit(g, t, 5, 9, "${m}", "${e}"))
    s.ask("OffsetCommit", 9, commit(g, t, 5, 9, "${m}", "${e+1}"))
    s.ask("OffsetCommit", 9, commit(g, t, 5, 9, "nobody", "${e}"))
    s.ask("OffsetCommit", 8, commit(g, t, 5, 8, "${m}", "${e+1}"))
    s.ask("OffsetFetch", 9, look(g, t, 9, memberId="${m}", memberEpoch="${e}"))
    s.ask("OffsetFetch", 9, look(g, t, 9, memberId="${m}", memberEpoch="${e+1}"))
    s.ask("OffsetFetch", 9, look(g, t, 9, memberId="nobody", memberEpoch="${e}"))
    s.ask("OffsetFetch", 9, look(g, t, 9))
    s.ask("DeleteGroups", 2, {"groupsNames": [g]})
    s.ask("OffsetDelete", 0, forget(g, (t, [0])))
    s.join(g, v=3, protocols=[("range", subscription([t]))], conn="b", session=10000, later=True)
    s.ask("Heartbeat", 4, {"groupId": g, "memberId": "${m}", "generationId": "${e}"})
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", -1))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", -1))
    s.ask("ConsumerGroupDescribe", 1, {"groupIds": [s.name_of("none"), ""]})
    s = Scenario(f"consumer-group/invalid/v{v}")
    t = s.topic()
    g = s.name_of("g")
    s.coordinator(g)
    full = {**beat(g, **FIRST, subscribedTopicNames=[t]), **mine}
    for name, wrong in {
        "no-group": {"groupId": ""}, "no-timeout": {"rebalanceTimeoutMs": -1}, "timeout-0": {"rebalanceTimeoutMs": 0}, "no-topics": {"subscribedTopicNames": None}, "no-owned": {"topicPartitions": None},
        "owned": {"topicPartitions": [{"topicId": f"${{id-{t}}}", "partitions": [0]}]}, "epoch-minus-3": {"memberEpoch": -3}, "epoch-1": {"memberEpoch": 1}, "epoch-minus-1": {"memberEpoch": -1},
        "epoch-minus-2": {"memberEpoch": -2}, "assignor": {"serverAssignor": "none-such"}, "empty-instance": {"instanceId": ""}, "empty-assignor": {"serverAssignor": ""}, "empty-rack": {"rackId": ""}, "no-member-1": {"memberId": "", "memberEpoch": 1},
        "empty-topics": {"subscribedTopicNames": [], "groupId": s.name_of("g2")}, "bad-topic-name": {"subscribedTopicNames": ["a b/"], "groupId": s.name_of("g3")},
    }.items():  # fmt: skip
        s.ask("ConsumerGroupHeartbeat", v, {**full, **wrong}, **READY)
    if v:
        s.ask("ConsumerGroupHeartbeat", v, {**full, "memberId": ""})
        for regex in ("(((", "a.*", "", "(a{1000}){1000}", "[", "(?=x)", "\\1"):
            s.ask("ConsumerGroupHeartbeat", v, {**full, "groupId": s.name_of("g4"), "subscribedTopicNames": None, "subscribedTopicRegex": regex})
        s.ask("ConsumerGroupHeartbeat", v, {**full, "groupId": s.name_of("g5"), "memberId": "x" * 40})
    s = Scenario(f"consumer-group/two-members/v{v}")
    t = s.topic(2)
    g = s.name_of("g")
    s.coordinator(g)
    other = {"memberId": "AAAAAAAAAAAAAAAAAAAAAg"} if v else {}
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **mine}, save={"m": "/memberId", "e": "/memberEpoch"}, **READY)
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **other}, save={"n": "/memberId", "f": "/memberEpoch"})
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}", topicPartitions=[{"topicId": f"${{id-{t}}}", "partitions": [0, 1]}]), drop=["partitions"])
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${n}", "${f}"), drop=["partitions"])
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${n}", -1))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${n}", "${f}"))
    s = Scenario(f"consumer-group/static/v{v}")
    t = s.topic()
    g = s.name_of("g")
    s.coordinator(g)
    static = {"instanceId": "i1"}
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **mine, **static}, save={"m": "/memberId", "e": "/memberEpoch"}, **READY)
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **other, **static})
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}", **static))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}", instanceId="i2"))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "nobody", "${e}", **static))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", -2, **static))
    s.ask("ConsumerGroupDescribe", 1, {"groupIds": [g]})
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **other, **static})
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "${m}", "${e}", **static))
    s.ask("ConsumerGroupHeartbeat", v, beat(g, "nobody", -1, **static))
    s = Scenario(f"consumer-group/on-classic/v{v}")
    t = s.topic()
    g, plain = s.name_of("g"), s.name_of("connect")
    s.member(g, protocols=[("range", subscription([t]))])
    s.ask("ConsumerGroupHeartbeat", v, {**beat(g, **FIRST, subscribedTopicNames=[t]), **mine}, save={"m": "/memberId"})
    s.ask("ConsumerGroupDescribe", 1, {"groupIds": [g]})
    s.ask("Heartbeat", 4, {"groupId": g, "memberId": "${member}", "generationId": "${generation}"})
    s.coordinator(plain)
    s.join(plain, v=3, kind="connect", protocols=[("v0", "metadata")], hide=True, **READY)
    s.ask("ConsumerGroupHeartbeat", v, {**beat(plain, **FIRST, subscribedTopicNames=[t]), **mine})
    s.ask("ConsumerGroupDescribe", v, {"groupIds": [plain, g, s.name_of("none")]}, drop=["members", "groupEpoch", "assignmentEpoch"])
s = Scenario("consumer-group/subscription-changes")
t, u = s.topic(), s.topic()
g = s.name_of("g")
s.coordinator(g)
s.ask("ConsumerGroupHeartbeat", 1, {**beat(g, "AAAAAAAAAAAAAAAAAAAAAQ", **FIRST, subscribedTopicNames=[t])}, save={"m": "/memberId", "e": "/memberEpoch"}, **READY)
s.ask("ConsumerGroupHeartbeat", 1, beat(g, "${m}", "${e}", subscribedTopicNames=[t, u], topicPartitions=[{"topicId": f"${{id-{t}}}", "partitions": [0]}]), save={"e": "/memberEpoch"})
s.ask("ConsumerGroupHeartbeat", 1, beat(g, "${m}", "${e}", subscribedTopicNames=[u], topicPartitions=[{"topicId": f"${{id-{t}}}", "partitions": [0]}, {"topicId": f"${{id-{u}}}", "partitions": [0]}]), save={"e": "/memberEpoch"})
s.ask("ConsumerGroupHeartbeat", 1, beat(g, "${m}", "${e}", topicPartitions=[{"topicId": f"${{id-{u}}}", "partitions": [0]}]), save={"e": "/memberEpoch"})
s.ask("ConsumerGroupHeartbeat", 1, beat(g, "${m}", "${e}", subscribedTopicNames=[s.name_of("none")], topicPartitions=[{"topicId": f"${{id-{u}}}", "partitions": [0]}]))
s.ask("ConsumerGroupDescribe", 1, {"groupIds": [g]})
s = Scenario("consumer-group/topic-comes-later")
g = s.name_of("g")
t = s.name_of("late")
s.coordinator(g)
s.ask("ConsumerGroupHeartbeat", 1, {**beat(g, "AAAAAAAAAAAAAAAAAAAAAQ", **FIRST, subscribedTopicNames=[t])}, save={"m": "/memberId", "e": "/memberEpoch"}, **READY)
s.topic(what="late")
s.ask("ConsumerGroupHeartbeat", 1, beat(g, "${m}", "${e}"), until={"/memberEpoch": 2})
