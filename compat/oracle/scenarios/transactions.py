"""Transactions: both versions, impossible orders, fencing, wrong epochs, markers, offsets."""

from lib import SETTLING, Scenario, batch

READY = {"retry": SETTLING}
EPOCHS = {"pid": "/producerId", "epoch": "/producerEpoch"}


def add(x, *topics, v=3, pid="${pid}", epoch="${epoch}", **more):
    named = [{"name": name, "partitions": list(parts)} for name, parts in topics]
    if v < 4:
        return {"v3AndBelowTransactionalId": x, "v3AndBelowProducerId": pid, "v3AndBelowProducerEpoch": epoch, "v3AndBelowTopics": named}
    return {"transactions": [{"transactionalId": x, "producerId": pid, "producerEpoch": epoch, "topics": named, **more}]}


def end(x, committed=True, pid="${pid}", epoch="${epoch}"):
    return {"transactionalId": x, "producerId": pid, "producerEpoch": epoch, "committed": committed}


def one(value="a", seq=0, pid="${pid}", epoch="${epoch}"):
    return [batch(value, pid=pid, epoch=epoch, seq=seq, txn=True)]


for v in range(6):
    s = Scenario(f"init-producer-id/v{v}")
    x = s.name_of("x")
    s.coordinator(x, 1)
    s.ask("InitProducerId", v, {"transactionalId": None, "transactionTimeoutMs": 60000})
    s.ask("InitProducerId", v, {"transactionalId": x, "transactionTimeoutMs": 60000}, save=EPOCHS, **READY)
    s.ask("InitProducerId", v, {"transactionalId": x, "transactionTimeoutMs": 60000}, save=EPOCHS, **READY)
    for timeout in (900001, 0, -1, 900000):
        s.ask("InitProducerId", v, {"transactionalId": s.name_of(f"y{timeout}"), "transactionTimeoutMs": timeout}, **READY)
    s.ask("InitProducerId", v, {"transactionalId": "", "transactionTimeoutMs": 60000})
    s.ask("InitProducerId", v, {"transactionalId": None, "transactionTimeoutMs": -5})
    if v >= 3:
        body = {"transactionalId": x, "transactionTimeoutMs": 60000}
        for pid, epoch in (("${pid}", "${epoch}"), ("${pid}", "${epoch}"), ("${pid}", "${epoch-1}"), ("${pid}", 99), (123456, 0), ("${pid}", -1), (-1, 3)):
            s.ask("InitProducerId", v, {**body, "producerId": pid, "producerEpoch": epoch}, retry=[51])
        s.ask("InitProducerId", v, {"transactionalId": None, "transactionTimeoutMs": 60000, "producerId": 5, "producerEpoch": 1})
        s.ask("InitProducerId", v, {"transactionalId": s.name_of("new"), "transactionTimeoutMs": 60000, "producerId": 5, "producerEpoch": 1})

for committed in (True, False):
    for v in (0, 2, 3):
        s = Scenario(f"transaction/{'commit' if committed else 'abort'}/tv1/v{v}")
        t = s.topic(2)
        x = s.name_of("x")
        s.producer(x)
        s.ask("AddPartitionsToTxn", v, add(x, (t, [0, 1]), v=v))
        s.produce(t, one("a"), txn=x, v=9)
        s.produce(t, one("b", 1), txn=x, v=9)
        s.produce(t, one("c"), txn=x, v=9, partition=1)
        s.fetch(t, level=1)
        s.fetch(t, level=0)
        s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]})
        s.ask("DescribeTransactions", 0, {"transactionalIds": [x]})
        s.ask("ListTransactions", 0, {}, only={"transactionStates": "transactionalId"})
        s.ask("DescribeProducers", 0, {"topics": [{"name": t, "partitionIndexes": [0]}]})
        s.ask("EndTxn", v, end(x, committed))
        s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, until={"/topics/0/partitions/0/offset": 3})
        s.ask("DescribeTransactions", 0, {"transactionalIds": [x]}, until={"/transactionStates/0/transactionState": "CompleteCommit" if committed else "CompleteAbort"})
        for offset in (0, 1, 2, 3):
            s.fetch(t, offset, level=1)
        s.fetch(t, 0, level=0)
        s.ask("EndTxn", v, end(x, committed))
        s.ask("EndTxn", v, end(x, not committed))
        s.ask("DescribeProducers", 0, {"topics": [{"name": t, "partitionIndexes": [0]}]})
        s.produce(t, one("late", 2), txn=x, v=9)
    for v in (5,):
        s = Scenario(f"transaction/{'commit' if committed else 'abort'}/tv2")
        t = s.topic()
        x = s.name_of("x")
        s.producer(x, v=5)
        for turn in range(3):
            s.produce(t, one(f"a{turn}"), txn=x, v=12)
            s.produce(t, one(f"b{turn}", 1), txn=x, v=12)
            s.ask("DescribeTransactions", 0, {"transactionalIds": [x]})
            s.ask("EndTxn", 5, end(x, committed), save={"epoch2": "/producerEpoch", "pid": "/producerId"})
            # The same again, as after a lost answer.
            s.ask("EndTxn", 5, end(x, committed), retry=[51])
            s.ask("EndTxn", 5, end(x, not committed), retry=[51])
            s.produce(t, one(f"old{turn}", 2), txn=x, v=12)
            s.ask("InitProducerId", 0, {"transactionalId": None, "transactionTimeoutMs": 1000}, hide=True)
            s.ask("DescribeTransactions", 0, {"transactionalIds": [x]}, save={"epoch": "/transactionStates/0/producerEpoch"}, until={"/transactionStates/0/transactionState": "CompleteCommit" if committed else "CompleteAbort"})
        s.fetch(t, level=1)
        s = Scenario(f"transaction/{'commit' if committed else 'abort'}/tv2/nothing-written")
        x = s.name_of("x")
        s.producer(x, v=5)
        s.ask("EndTxn", 5, end(x, committed), save=EPOCHS)
        s.ask("EndTxn", 5, end(x, committed), retry=[51])

for v in range(6):
    s = Scenario(f"end-txn/errors/v{v}")
    x = s.name_of("x")
    t = s.topic()
    s.producer(x)
    s.ask("EndTxn", v, end(s.name_of("none"), pid=5, epoch=0))
    s.ask("EndTxn", v, end("", pid=5, epoch=0))
    s.ask("EndTxn", v, end(x, pid=987654))
    s.ask("EndTxn", v, end(x, epoch=77))
    s.ask("EndTxn", v, end(x, epoch=-1))
    if v < 5:
        s.ask("EndTxn", v, end(x, True))
        s.ask("EndTxn", v, end(x, False))
    s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
    s.ask("EndTxn", v, end(x, epoch=77))
    s.ask("EndTxn", v, end(x, True))

for v in range(6):
    s = Scenario(f"add-partitions-to-txn/v{v}")
    t = s.topic()
    x = s.name_of("x")
    s.producer(x)
    s.ask("AddPartitionsToTxn", v, add(x, (t, [0, 7]), v=v))
    s.ask("AddPartitionsToTxn", v, add(x, (s.name_of("none"), [0]), (t, [0]), v=v))
    s.ask("AddPartitionsToTxn", v, add(x, (t, [0]), v=v))
    s.ask("AddPartitionsToTxn", v, add(x, (t, [0]), v=v))
    s.ask("AddPartitionsToTxn", v, add(x, (t, [0]), v=v, epoch=99))
    s.ask("AddPartitionsToTxn", v, add(x, (t, [0]), v=v, pid=987654))
    s.ask("AddPartitionsToTxn", v, add(s.name_of("other"), (t, [0]), v=v))
    s.ask("AddPartitionsToTxn", v, add("", (t, [0]), v=v))
    s.ask("AddPartitionsToTxn", v, add(x, v=v))
    if v >= 4:
        s.ask("AddPartitionsToTxn", v, add(x, (t, [0]), v=v, verifyOnly=True))
        s.ask("AddPartitionsToTxn", v, {})
        two = add(x, (t, [0]), v=v)
        two["transactions"] += add(s.name_of("other"), (t, [0]), v=v)["transactions"]
        s.ask("AddPartitionsToTxn", v, two)
for v in range(5):
    s = Scenario(f"add-offsets-to-txn/v{v}")
    x, g = s.name_of("x"), s.name_of("g")
    s.coordinator(g)
    s.producer(x)
    body = {"transactionalId": x, "producerId": "${pid}", "producerEpoch": "${epoch}", "groupId": g}
    s.ask("AddOffsetsToTxn", v, body)
    s.ask("AddOffsetsToTxn", v, body)
    for wrong in ({"producerEpoch": 99}, {"producerId": 987654}, {"transactionalId": s.name_of("none")}, {"transactionalId": ""}, {"groupId": ""}):
        s.ask("AddOffsetsToTxn", v, {**body, **wrong})


def offsets(x, g, t, offset=5, v=3, pid="${pid}", epoch="${epoch}", metadata="", partition=0, **more):
    named = {"topicId": f"${{id-{t}}}"} if v >= 6 else {"name": t}
    part = {"partitionIndex": partition, "committedOffset": offset, "committedMetadata": metadata}
    return {"transactionalId": x, "groupId": g, "producerId": pid, "producerEpoch": epoch, "topics": [{**named, "partitions": [part]}], **more}


for v in range(7):
    s = Scenario(f"txn-offset-commit/v{v}")
    t = s.topic()
    x, g = s.name_of("x"), s.name_of("g")
    s.coordinator(g)
    s.producer(x, v=5 if v >= 5 else 4)
    s.prepare("OffsetCommit", 7, {"groupId": g, "generationIdOrMemberEpoch": -1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "committedOffset": 1}]}]})
    if v < 5:
        s.ask("AddOffsetsToTxn", 3, {"transactionalId": x, "producerId": "${pid}", "producerEpoch": "${epoch}", "groupId": g})
    s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, metadata="said"))
    look = {"groupId": g, "topics": [{"name": t, "partitionIndexes": [0]}]}
    s.ask("OffsetFetch", 7, look)
    s.ask("OffsetFetch", 7, {**look, "requireStable": True})
    s.ask("OffsetFetch", 7, {"groupId": g, "topics": None, "requireStable": True})
    s.ask("OffsetDelete", 0, {"groupId": g, "topics": [{"name": t, "partitions": [{"partitionIndex": 0}]}]}) if v == 0 else None
    s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, partition=9))
    s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, metadata="x" * 4097))
    s.ask("TxnOffsetCommit", v, offsets(x, "", t, v=v))
    s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, epoch=99))
    if v >= 3:
        s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, memberId="nobody", generationIdOrMemberEpoch=1))
        s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, memberId="nobody"))
        s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, generationIdOrMemberEpoch=1))
        s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v, memberId="nobody", groupInstanceId="i"))
    if v < 6:
        s.ask("TxnOffsetCommit", v, offsets(x, g, s.name_of("none"), v=v))
    s.ask("EndTxn", 5 if v >= 5 else 3, end(x))
    s.ask("OffsetFetch", 7, {**look, "requireStable": True}, until={"/topics/0/partitions/0/committedOffset": 5})
    s = Scenario(f"txn-offset-commit/aborted/v{v}")
    t = s.topic()
    x, g = s.name_of("x"), s.name_of("g")
    s.coordinator(g)
    s.producer(x, v=5 if v >= 5 else 4)
    if v < 5:
        s.ask("AddOffsetsToTxn", 3, {"transactionalId": x, "producerId": "${pid}", "producerEpoch": "${epoch}", "groupId": g})
    s.ask("TxnOffsetCommit", v, offsets(x, g, t, v=v), **READY)
    s.ask("EndTxn", 5 if v >= 5 else 3, end(x, False))
    s.ask("OffsetFetch", 7, {"groupId": g, "topics": None, "requireStable": True}, retry=[88])
s = Scenario("txn-offset-commit/not-added")
t = s.topic()
x, g = s.name_of("x"), s.name_of("g")
s.coordinator(g)
s.producer(x)
s.ask("TxnOffsetCommit", 3, offsets(x, g, t))
s.ask("TxnOffsetCommit", 4, offsets(x, g, t, v=4))

s = Scenario("transaction/fenced-by-new-producer")
t = s.topic()
x = s.name_of("x")
s.producer(x)
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.produce(t, one("old"), txn=x)
s.ask("InitProducerId", 4, {"transactionalId": x, "transactionTimeoutMs": 60000}, retry=[51], save={"pid2": "/producerId", "epoch2": "/producerEpoch"})
s.produce(t, one("older", 1), txn=x)
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.ask("AddPartitionsToTxn", 0, add(x, (t, [0]), v=0))
s.ask("EndTxn", 3, end(x))
s.ask("EndTxn", 0, end(x))
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0]), pid="${pid2}", epoch="${epoch2}"), **READY)
s.produce(t, one("new", pid="${pid2}", epoch="${epoch2}"), txn=x)
s.ask("EndTxn", 3, end(x, pid="${pid2}", epoch="${epoch2}"))
s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, until={"/topics/0/partitions/0/offset": 4})
s.fetch(t, level=1)
s = Scenario("transaction/fenced-by-new-producer/tv2")
t = s.topic()
x = s.name_of("x")
s.producer(x, v=5)
s.produce(t, one("old"), txn=x, v=12)
s.ask("InitProducerId", 5, {"transactionalId": x, "transactionTimeoutMs": 60000}, retry=[51], save={"pid2": "/producerId", "epoch2": "/producerEpoch"})
s.produce(t, one("older", 1), txn=x, v=12)
s.produce(t, one("older", 1), txn=x, v=9)
s.ask("EndTxn", 5, end(x))
s.produce(t, one("new", pid="${pid2}", epoch="${epoch2}"), txn=x, v=12)
s.ask("EndTxn", 5, end(x, pid="${pid2}", epoch="${epoch2}"))
s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, until={"/topics/0/partitions/0/offset": 4})
s.fetch(t, level=1)

for v in (3, 9, 11, 12, 13):
    s = Scenario(f"transaction/produce-not-added/v{v}")
    t = s.topic()
    x = s.name_of("x")
    s.producer(x, v=5 if v >= 12 else 4)
    s.produce(t, one(), txn=x, v=v)
    s.produce(t, one(), txn=None, v=v)
    s.produce(t, one(pid=987654, epoch=0), txn=x, v=v)
    s.produce(t, one(), txn=s.name_of("other"), v=v)
    s.produce(t, [batch("plain", pid="${pid}", epoch="${epoch}", seq=0)], txn=x, v=v)
    s.produce(t, one(), txn="", v=v)
    s.fetch(t, v=12)
    s.fetch(t, v=12, level=1)
s = Scenario("transaction/plain-record-inside")
t = s.topic()
x = s.name_of("x")
s.producer(x)
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.produce(t, one(), txn=x)
s.produce(t, [batch("plain", pid="${pid}", epoch="${epoch}", seq=1)])
s.produce(t, [batch("nobody's")])
s.ask("EndTxn", 3, end(x, False))
s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, drop=["offset"])
s = Scenario("transaction/interleaved")
t = s.topic()
x, y = s.name_of("x"), s.name_of("y")
s.producer(x)
s.producer(y, save="y")
for name, pid, epoch in ((x, "${pid}", "${epoch}"), (y, "${pidy}", "${epochy}")):
    s.ask("AddPartitionsToTxn", 3, add(name, (t, [0]), pid=pid, epoch=epoch))
s.produce(t, one("x1"), txn=x)
s.produce(t, one("y1", pid="${pidy}", epoch="${epochy}"), txn=y)
s.produce(t, one("x2", 1), txn=x)
s.produce(t, [batch("plain")])
s.ask("EndTxn", 3, end(y, True, "${pidy}", "${epochy}"))
s.fetch(t, 0, level=0, until={"/responses/0/partitions/0/highWatermark": 5})
s.fetch(t, 0, level=1)
s.ask("EndTxn", 3, end(x, False))
s.ask("ListOffsets", 6, {"isolationLevel": 1, "topics": [{"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]}, until={"/topics/0/partitions/0/offset": 6})
for offset in range(6):
    s.fetch(t, offset, level=1)
    s.fetch(t, offset, v=4, level=1)

s = Scenario("transaction/times-out")
t = s.topic()
x = s.name_of("x")
s.producer(x, timeout=1000)
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.produce(t, one(), txn=x)
s.ask("DescribeTransactions", 0, {"transactionalIds": [x]}, until={"/transactionStates/0/transactionState": "CompleteAbort"}, pause=200)
s.ask("EndTxn", 3, end(x))
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.produce(t, one("late", 1), txn=x)
s.ask("InitProducerId", 4, {"transactionalId": x, "transactionTimeoutMs": 60000, "producerId": "${pid}", "producerEpoch": "${epoch}"}, save=EPOCHS)
s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
s.produce(t, one("new"), txn=x)
s.ask("EndTxn", 3, end(x))

for v in (1, 2):
    s = Scenario(f"write-txn-markers/v{v}")
    t = s.topic()
    x = s.name_of("x")
    s.producer(x)
    s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])))
    s.produce(t, one(), txn=x)

    def marker(pid="${pid}", epoch="${epoch}", result=False, coordinator=0, topics=((t, [0]),), **more):
        return {"markers": [{"producerId": pid, "producerEpoch": epoch, "transactionResult": result, "coordinatorEpoch": coordinator, "topics": [{"name": name, "partitionIndexes": list(parts)} for name, parts in topics], **more}]}

    s.ask("WriteTxnMarkers", v, marker(epoch=-1 if False else "${epoch-1}"))
    s.ask("WriteTxnMarkers", v, marker(topics=((t, [9]), (s.name_of("none"), [0]))))
    s.ask("WriteTxnMarkers", v, marker())
    s.fetch(t, level=1)
    s.ask("WriteTxnMarkers", v, marker())
    s.ask("WriteTxnMarkers", v, marker(pid=987654, epoch=0))
    s.ask("WriteTxnMarkers", v, marker(coordinator=-1))
    s.ask("WriteTxnMarkers", v, {})
    s.produce(t, one("after", 1), txn=x)
    if v == 2:
        s = Scenario("write-txn-markers/transaction-version-2")
        t = s.topic()
        x = s.name_of("x")
        s.producer(x, v=5)
        s.produce(t, one(), txn=x, v=12)
        s.ask("WriteTxnMarkers", v, marker(topics=((t, [0]),), transactionVersion=2))
        s.ask("WriteTxnMarkers", v, marker(topics=((t, [0]),), epoch="${epoch+1}", transactionVersion=2))
        s.fetch(t, level=1)
s = Scenario("describe-transactions")
x = s.name_of("x")
s.producer(x)
s.ask("DescribeTransactions", 0, {"transactionalIds": [x, s.name_of("none"), ""]})
s.ask("DescribeTransactions", 0, {"transactionalIds": [x, x]})
s.ask("DescribeTransactions", 0, {"transactionalIds": []})
for v in (0, 1, 2):
    s = Scenario(f"list-transactions/v{v}")
    x = s.name_of("x")
    t = s.topic()
    s.producer(x)
    only = {"only": {"transactionStates": "transactionalId"}}
    s.ask("ListTransactions", v, {}, **only)
    s.ask("AddPartitionsToTxn", 3, add(x, (t, [0])), hide=True)
    for states in (["Ongoing"], ["ongoing"], ["Empty"], ["Nonsense"], ["Ongoing", "Nonsense"]):
        s.ask("ListTransactions", v, {"stateFilters": states}, **only)
    s.ask("ListTransactions", v, {"producerIdFilters": ["${pid}"]})
    s.ask("ListTransactions", v, {"producerIdFilters": [-5]})
    if v >= 1:
        # Not 0: whether a millisecond has passed is a matter of chance.
        for longer in (1000000, -1, -2):
            s.ask("ListTransactions", v, {"durationFilter": longer}, **only)
    if v >= 2:
        for pattern in (f"{s.slug}.*", "x", "", "(((", "(?i)LIST-TRANSACTIONS-V2.*", None, ".*-x"):
            s.ask("ListTransactions", v, {"transactionalIdPattern": pattern}, **only)
