"""What scenarios are made of. `python3 make.py` writes them as JSON lines for Runner.java; diff.py compares the answers.

A step is one request: {"api", "v", "body"} with Kafka's field names, everything that is not named having its default, and

    conn, user     which connection of the scenario, and as whom (SASL PLAIN; the password is NAME-secret)
    save           {variable: pointer into the answer}; "${variable}", "${variable+1}", "${variable-1}" in later bodies
    retry          error codes on which it is asked again (the servers' background work is not what is compared)
    until          {pointer: value}: asked again until the answer says so
    hide           the answer is not compared (it only prepares)
    later, await   sent without waiting; the answer taken by a later step
    silent         no answer is wanted
    raw            hexadecimal body, whatever the version says
    bytes          a whole frame; only whether it is answered is compared
    only           {list: field}: of that list, only what has this scenario's name in that field is compared
    drop           fields that are not compared in this step, with the reason beside it

Times are "T+5" (an hour before the run, plus 5 ms) or "now". Record batches: see `batch`.
"""

import base64
import re
import struct

SCENARIOS = []
# What a server says while it is getting ready: loading, not available, not coordinator, concurrent transactions, …
SETTLING = [14, 15, 16, 51]
# … and while a new topic is on its way from Kafka's controller to its broker.
NEW_TOPIC = [3, 5, 6, 9, 100]

# Kafka's numbers.
TOPIC, GROUP, CLUSTER, TXN, TOKEN, USER = 2, 3, 4, 5, 6, 7
ALL, READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, CLUSTER_ACTION = 2, 3, 4, 5, 6, 7, 8, 9
DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE = 10, 11, 12
ANY, MATCH, LITERAL, PREFIXED = 1, 2, 3, 4
DENY, ALLOW = 2, 3


def slug(name):
    return re.sub(r"[^a-zA-Z0-9-]+", "-", name)


class Scenario:
    def __init__(self, name, alone=False, user=""):
        assert all(name != other.name for other in SCENARIOS), name
        self.name, self.alone, self.user, self.steps, self.topics = name, alone, user, [], 0
        self.slug = slug(name)
        SCENARIOS.append(self)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, api, v, body=None, **more):
        body = body or {}
        if api == "ListOffsets":
            # The message's own default is replica 0: no client.
            body = {"replicaId": -1, **body}
        step = {"api": api, "v": v, "body": body, **more}
        if self.user and "user" not in step:
            step["user"] = self.user
        self.steps.append(step)
        return self

    def prepare(self, api, v, body=None, **more):
        return self.ask(api, v, body, **{"hide": True, "retry": SETTLING + NEW_TOPIC, **more})

    def frame(self, frame, **more):
        """Bytes as they are; only whether they are answered is compared."""
        self.steps.append({"bytes": frame, "api": "frame", **more})

    def wait(self, ms):
        self.steps.append({"sleep": ms})

    def close(self, conn=""):
        self.steps.append({"close": True, "conn": conn, "user": self.user})

    def answer(self, conn="", **more):
        self.steps.append({"await": True, "conn": conn, "user": self.user, **more})

    def name_of(self, what):
        return f"{self.slug}-{what}"

    def topic(self, partitions=1, what="", **configs):
        """A new topic, there for everybody when this is done; its id is ${id-NAME}."""
        self.topics += 1
        name = self.name_of(what or f"t{self.topics}")
        entries = [{"name": key.replace("_", "."), "value": str(value)} for key, value in configs.items()]
        body = {"timeoutMs": 10000, "topics": [{"name": name, "numPartitions": partitions, "replicationFactor": 1, "configs": entries}]}
        self.prepare("CreateTopics", 5, body, retry=[])
        self.prepare("Metadata", 12, {"topics": [{"name": name}], "allowAutoTopicCreation": False}, save={f"id-{name}": "/topics/0/topicId"})
        # Kafka's broker says the topic is there before it leads its partitions.
        parts = [{"partitionIndex": at, "timestamp": -2} for at in range(partitions)]
        self.prepare("ListOffsets", 6, {"topics": [{"name": name, "partitions": parts}]})
        return name

    def produce(self, topic, batches=None, v=9, partition=0, acks=-1, txn=None, **more):
        records = batches if batches is not None else [batch()]
        data = {"partitionData": [{"index": partition, "records": records}]}
        data |= {"topicId": f"${{id-{topic}}}"} if v >= 13 else {"name": topic}
        return self.ask("Produce", v, {"acks": acks, "timeoutMs": 10000, "transactionalId": txn, "topicData": [data]}, **more)

    def fetch(self, topic, offset=0, v=12, partition=0, level=0, **more):
        fields = {key: more.pop(key) for key in list(more) if key in ("maxBytes", "minBytes", "maxWaitMs", "sessionId", "sessionEpoch", "replicaId")}
        part = {"partition": partition, "fetchOffset": offset, "partitionMaxBytes": more.pop("partitionMaxBytes", 1 << 20)}
        part |= {key: more.pop(key) for key in list(more) if key in ("currentLeaderEpoch", "lastFetchedEpoch", "logStartOffset")}
        data = {"partitions": [part]}
        data |= {"topicId": f"${{id-{topic}}}"} if v >= 13 else {"topic": topic}
        body = {"maxWaitMs": 0, "minBytes": 1, "maxBytes": 1 << 20, "isolationLevel": level, "topics": [data], **fields}
        return self.ask("Fetch", v, body, **more)

    def coordinator(self, key, kind=0):
        """Asked until there is one."""
        return self.prepare("FindCoordinator", 3, {"key": key, "keyType": kind})

    def producer(self, txn=None, v=4, timeout=60000, save="", **more):
        """A producer id: ${pid}, ${epoch} (with `save` behind them)."""
        if txn:
            self.coordinator(txn, 1)
        body = {"transactionalId": txn, "transactionTimeoutMs": timeout}
        return self.prepare("InitProducerId", v, body, save={f"pid{save}": "/producerId", f"epoch{save}": "/producerEpoch"}, **more)

    def join(self, group, member="", v=5, protocols=None, instance=None, session=30000, kind="consumer", **more):
        named = [{"name": name, "metadata": data} for name, data in (protocols or [("range", subscription(["t"]))])]
        body = {"groupId": group, "memberId": member, "sessionTimeoutMs": session, "protocolType": kind, "protocols": named}
        if v >= 1:
            body["rebalanceTimeoutMs"] = more.pop("rebalance", 30000)
        if instance is not None:
            body["groupInstanceId"] = instance
        return self.ask("JoinGroup", v, body, **more)

    def member(self, group, save="", instance=None, v=5, **more):
        """A classic group of one: joined and synced; ${member}, ${generation}."""
        self.coordinator(group)
        hidden = {"hide": True, "retry": SETTLING}
        if not instance:
            self.join(group, v=v, save={f"member{save}": "/memberId"}, **hidden, **more)
        self.join(
            group, f"${{member{save}}}" if not instance else "", v=v, instance=instance,
            save={f"member{save}": "/memberId", f"generation{save}": "/generationId"}, **hidden, **more,
        )
        body = {"groupId": group, "memberId": f"${{member{save}}}", "generationId": f"${{generation{save}}}"}
        body["assignments"] = [{"memberId": f"${{member{save}}}", "assignment": assignment({"t": [0]})}]
        if instance:
            body["groupInstanceId"] = instance
        return self.prepare("SyncGroup", 3, body)

    def as_json(self):
        return {"name": self.name, "alone": self.alone, "steps": self.steps}


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def batch(*records, **more):
    """One batch. A record is a text (its value) or {"k", "v", "h": [[name, value]], "t", "size"}; more: codec, magic, pid,
    epoch, seq, txn, control ("commit", "abort"), base, leader_epoch, append_time, patch ([{at, hex}]), crc, cut."""
    made = [{"k": f"k{at}", "v": one} if isinstance(one, str) else one for at, one in enumerate(records or ("a",))]
    if "control" in more:
        made = []
    return {"records": made, **more}


def b64(data):
    return "b64:" + base64.b64encode(data).decode()


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def subscription(topics, version=0, owned=None):
    """ConsumerProtocolSubscription."""
    out = struct.pack(">hi", version, len(topics)) + b"".join(text(topic) for topic in topics) + struct.pack(">i", -1)
    if version >= 1:
        out += struct.pack(">i", len(owned or {}))
        for topic, partitions in (owned or {}).items():
            out += text(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return b64(out)


def assignment(topics):
    """ConsumerProtocolAssignment, version 0."""
    out = struct.pack(">hi", 0, len(topics))
    for topic, partitions in topics.items():
        out += text(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return b64(out + struct.pack(">i", -1))


def tag(name):
    return name.lower().replace(" ", "-")
