"""librdkafka logs in by tokens that are signed here: oauth.py BROKER FOLDER."""

import pathlib
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import keys
from steps import done, equal, step, within

BROKER, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
TOPIC = "by-oauth"


def settings(life_s=300, key="one", user="app", asked=None, **claims):
    def give(_):
        if asked is not None:
            asked.append(time.monotonic())
        return keys.token(FOLDER, key, user, life_s, **claims)

    return {
        "bootstrap.servers": BROKER,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "oauth_cb": give,
    }


def send(producer, count):
    errors = []
    for number in range(count):
        producer.produce(TOPIC, str(number), on_delivery=lambda error, _: errors.append(error))
    within(20, lambda: producer.poll(0.1) is not None and len(errors) == count, "deliveries")
    equal([error for error in errors if error], [], "errors of deliveries")


def log_in():
    admin = AdminClient(settings())
    admin.poll(1)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)
    send(Producer(settings()), 10)
    consumer = Consumer(settings() | {"group.id": "by-oauth", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    seen = []
    within(20, lambda: seen.extend(m for m in [consumer.poll(0.5)] if m and not m.error()) or len(seen) >= 10, "records")
    consumer.close()


def refused(**changes):
    errors = []
    producer = Producer(settings(**changes) | {"error_cb": errors.append, "log_level": 0})
    is_refusal = lambda error: error.code() == KafkaError._AUTHENTICATION
    within(20, lambda: producer.poll(0.1) is not None and any(map(is_refusal, errors)), f"a refusal, not {errors}")


def goes_on():
    """Short tokens are renewed on the same connection (KIP-368), and no record is lost."""
    asked = []
    # librdkafka renews after four fifths of a token's life, and does not take one of a few seconds.
    producer = Producer(settings(life_s=15, asked=asked))
    end = time.monotonic() + 20
    while time.monotonic() < end:
        send(producer, 5)
        time.sleep(0.2)
    assert len(asked) >= 2, f"asked for {len(asked)} tokens"


def keys_change():
    """Another key signs from now on: it is read within ten seconds, and the first is nobody's any more."""
    (FOLDER / "new.json").write_text(keys.jwks(FOLDER, "two"))
    (FOLDER / "new.json").rename(FOLDER / "jwks.json")
    time.sleep(12)
    send(Producer(settings(key="two")), 5)
    refused(key="one")


step("oauth-log-in", log_in)
step("oauth-other-audience-is-refused", lambda: refused(aud="x"))
step("oauth-other-issuer-is-refused", lambda: refused(iss="x"))
step("oauth-renewed-while-it-works", goes_on)
step("oauth-keys-change", keys_change)
done()
