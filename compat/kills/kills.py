"""Transactions and groups under `kill -9`, and a check of the whole history.

    kills.py HOME KILLS SEED

Writers put records in transactions, some of which they give up on purpose; copiers, members of one group, carry what was
committed from one topic to another, positions within the transactions; meanwhile the broker is killed and started again. A
transaction is `ok` (its commit was answered), `fail` (given up, or its abort was answered) or `info` (nobody knows, because
the producer had to be made anew). When all is quiet, two careful readers read both topics, and each anomaly is a step.
"""

import random
import sys
import threading
import time

from broker import Server
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from steps import done, step

HOME, KILLS, SEED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
INPUT, OUTPUT, GROUP, PARTITIONS = "kills-in", "kills-out", "copiers", 4
WRITERS, COPIERS, PER_TRANSACTION, QUIET_LIMIT_S = 2, 2, 6, 120
server = Server(HOME, kind="interfluve")
quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50, "log_level": 0}
common = lambda: {"bootstrap.servers": server.kafka, "error_cb": lambda error: None, **quick}


class Lost(Exception):
    """A producer that is of no use any more: what became of its transaction is not known to it."""


class Transactional:
    """A producer with one transactional id that is made anew when it must be."""

    def __init__(self, name):
        self.name, self.remade = name, -1
        self.renew()

    def renew(self):
        self.remade += 1
        while True:
            self.client = Producer({**common(), "transactional.id": self.name, "transaction.timeout.ms": 20_000, "linger.ms": 2})
            try:
                self.again(self.client.init_transactions)
                return
            except (Lost, KafkaException):
                time.sleep(0.1)

    @staticmethod
    def again(call, *arguments):
        """Calls until it is answered; raises KafkaException if the transaction must be given up, Lost if the producer must."""
        while True:
            try:
                return call(*arguments, 10)
            except KafkaException as error:
                told = error.args[0]
                if told.retriable():
                    continue
                if told.txn_requires_abort():
                    raise
                raise Lost(str(told)) from error

    def transaction(self, fill, keep):
        """`ok`, `fail` or `info`; `fill(producer)` produces and may add positions."""
        try:
            try:
                self.client.begin_transaction()
                fill(self)
                if keep:
                    self.again(self.client.commit_transaction)
                    return "ok"
            except KafkaException:
                pass
            self.again(self.client.abort_transaction)
            return "fail"
        except (Lost, KafkaException):
            self.renew()
            return "info"


def quiet(client):
    """Waits for all that was produced; what failed is told by the commit."""
    client.flush(30)


history, lock, running, copying = {}, threading.Lock(), threading.Event(), threading.Event()
errors, copied, rebalances = [], [], []


def guarded(run):
    def thread(*arguments):
        try:
            run(*arguments)
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    return thread


@guarded
def write(number, chance):
    producer, turn = Transactional(f"writer-{number}"), 0
    while running.is_set():
        values = [f"{number}-{turn}-{place}" for place in range(PER_TRANSACTION)]
        parts = [chance.randrange(PARTITIONS) for _ in values]
        keep = chance.random() > 0.25

        def fill(own, values=values, parts=parts):
            for value, part in zip(values, parts):
                own.client.produce(INPUT, value, partition=part)
            quiet(own.client)

        outcome = producer.transaction(fill, keep)
        with lock:
            history[number, turn] = (outcome, values, parts)
        turn += 1


@guarded
def copy(number):
    settings = {"group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    reader = Consumer({**common(), **settings, "isolation.level": "read_committed", "session.timeout.ms": 6000})
    reader.subscribe([INPUT], on_assign=lambda *_: rebalances.append(number))
    producer = Transactional(f"copier-{number}")
    while copying.is_set():
        messages = [message for message in reader.consume(50, 0.3) if not message.error()]
        if not messages:
            continue

        def fill(own, messages=messages):
            for message in messages:
                own.client.produce(OUTPUT, message.value(), partition=message.partition())
            ends = {}
            for message in messages:
                ends[message.partition()] = message.offset() + 1
            positions = [TopicPartition(INPUT, part, end) for part, end in ends.items()]
            quiet(own.client)
            own.again(own.client.send_offsets_to_transaction, positions, reader.consumer_group_metadata())

        if producer.transaction(fill, True) == "ok":
            copied.append(len(messages))
        else:
            rewind(reader)
    reader.close()


def rewind(reader):
    """Back to what is committed, by whoever did it."""
    while copying.is_set():
        try:
            for place in reader.committed(reader.assignment(), timeout=10):
                reader.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))
            return
        except KafkaException:
            time.sleep(0.05)


def careful(topic):
    """Every (partition, offset, value) up to the end, as a careful reader finds it."""
    reader = Consumer({**common(), "group.id": "none", "isolation.level": "read_committed", "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, part, 0) for part in range(PARTITIONS)])
    rows, ended, limit = [], set(), time.monotonic() + 60
    while len(ended) < PARTITIONS:
        assert time.monotonic() < limit, f"the ends of {topic} were not reached: {sorted(ended)}"
        message = reader.poll(0.5)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        else:
            rows.append((message.partition(), message.offset(), message.value().decode()))
    reader.close()
    return rows


found = {}


def live():
    chance = random.Random(SEED)
    server.start()
    admin = AdminClient(common())
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (INPUT, OUTPUT)]).values():
        future.result(20)
    running.set()
    copying.set()
    threads = [threading.Thread(target=write, args=(n, random.Random(SEED + n)), daemon=True) for n in range(WRITERS)]
    copiers = [threading.Thread(target=copy, args=(n,), daemon=True) for n in range(COPIERS)]
    for thread in threads + copiers:
        thread.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 2.5))
        server.kill9()
        server.start()
    time.sleep(2)
    running.clear()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a writer does not end"
    limit = time.monotonic() + QUIET_LIMIT_S
    while not errors:
        found["in"] = careful(INPUT)
        found["out"] = careful(OUTPUT)
        if len(found["out"]) >= len(found["in"]):
            break
        assert time.monotonic() < limit, f"only {len(found['out'])} of {len(found['in'])} were copied"
        time.sleep(0.5)
    copying.clear()
    for thread in copiers:
        thread.join(60)
    if errors:
        raise errors[0]
    time.sleep(0.5)
    for name, topic in (("in", INPUT), ("out", OUTPUT)):
        found[name], found[f"{name} again"] = careful(topic), careful(topic)
    tally = {outcome: sum(entry[0] == outcome for entry in history.values()) for outcome in ("ok", "fail", "info")}
    print(f"# seed {SEED}: {KILLS} kills, transactions {tally}, {len(found['in'])} records, {len(copied)} copies, "
          f"{len(rebalances)} assignments", file=sys.stderr)  # fmt: skip
    assert tally["ok"] > KILLS and tally["fail"], f"too little happened: {tally}"


def values(name):
    return [value for _, _, value in found[name]]


def inconsistent_offsets():
    for name in ("in", "out"):
        assert found[name] and sorted(found[name]) == sorted(found[f"{name} again"]), f"two readers of {name} differ"


def duplicates():
    for name in ("in", "out"):
        twice = len(values(name)) - len(set(values(name)))
        assert not twice, f"{twice} of {name} came twice"


def aborted_reads():
    given_up = {value for outcome, own, _ in history.values() if outcome == "fail" for value in own}
    seen = given_up & (set(values("in")) | set(values("out")))
    assert not seen, f"{len(seen)} of given up transactions, {sorted(seen)[:3]}"


def lost_writes():
    acknowledged = {value for outcome, own, _ in history.values() if outcome == "ok" for value in own}
    missing = acknowledged - set(values("in"))
    assert not missing, f"{len(missing)} of {len(acknowledged)} committed are missing, {sorted(missing)[:3]}"


def torn_transactions():
    seen = set(values("in"))
    for key, (_, own, _) in history.items():
        there = sum(value in seen for value in own)
        assert there in (0, len(own)), f"{there} of {len(own)} of transaction {key}"


def order():
    for name in ("in", "out"):
        last = {}
        for part, offset, value in sorted(found[name]):
            writer, turn, place = map(int, value.split("-"))
            assert last.get((part, writer), (-1, -1)) < (turn, place), f"{name}, partition {part}, offset {offset}: {value}"
            last[part, writer] = (turn, place)


def placed():
    where = {value: part for _, own, parts in history.values() for value, part in zip(own, parts)}
    astray = [row for name in ("in", "out") for row in found[name] if where.get(row[2]) != row[0]]
    assert not astray, f"{len(astray)} are where nobody put them, {astray[:3]}"


def copied_exactly_once():
    assert sorted(values("in")) == sorted(values("out")), f"{len(values('in'))} in, {len(values('out'))} out"


try:
    step("live", live)
    for check in (
        inconsistent_offsets, duplicates, aborted_reads, lost_writes, torn_transactions, order, placed, copied_exactly_once,
    ):  # fmt: skip
        step(check.__name__.replace("_", "-"), check)
finally:
    server.kill9()
done()
