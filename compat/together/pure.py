"""One participant with kafka-python, 2.0 or newer: a writer, or a reader (see together.py). 2.0 knows no transactions: it
writes without them, and reads what was given up too."""

import sys

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

ROLE, SERVER, TOPIC, NAME, CODEC, ROUNDS, OUT = sys.argv[1:8]
OLD = kafka.__version__.startswith("2.0")


def write(out):
    settings = {"bootstrap_servers": SERVER, "compression_type": CODEC, "acks": "all", "linger_ms": 2}
    if OLD:
        plain, careful = KafkaProducer(**settings, max_in_flight_requests_per_connection=1), None
    else:
        plain = KafkaProducer(**settings, enable_idempotence=True)
        careful = KafkaProducer(**settings, transactional_id=f"{TOPIC}-{NAME}")
        careful.init_transactions()
    for number in range(int(ROUNDS)):
        commit, kept, futures = number % 3 != 2, [], []
        if careful:
            careful.begin_transaction()
        for place in range(10):
            alone, value = f"{NAME}-p-{number}-{place}", f"{NAME}-{'t' if commit else 'aborted'}-{number}-{place}"
            futures.append(plain.send(TOPIC, alone.encode(), key=alone.encode()))
            kept.append(alone)
            if careful:
                futures.append(careful.send(TOPIC, value.encode(), key=value.encode()))
                kept += [value] if commit else []
        for future in futures:
            future.get(60)
        if careful:
            (careful.commit_transaction if commit else careful.abort_transaction)()
        out.writelines(f"{value}\n" for value in kept)
    plain.close()
    if careful:
        careful.close()


def read(out):
    settings = {} if OLD else {"isolation_level": "read_committed"}
    reader = KafkaConsumer(bootstrap_servers=SERVER, enable_auto_commit=False, **settings)
    parts = [TopicPartition(TOPIC, number) for number in sorted(reader.partitions_for_topic(TOPIC))]
    reader.assign(parts)
    reader.seek_to_beginning(*parts)
    ended = set()
    while len(ended) < len(parts):
        for records in reader.poll(200).values():
            for record in records:
                out.write(f"{record.partition} {record.offset} {record.value.decode()}\n")
                if record.value == b"END":
                    ended.add(record.partition)


with open(OUT, "w") as file:
    (write if ROLE == "write" else read)(file)
