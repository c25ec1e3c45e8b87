#!/usr/bin/env bash
# Who is there, as real clients say it: delegation tokens (Kafka's own tool makes, shows, prolongs and ends them, and a tool
# logs in by one) and OAUTHBEARER (librdkafka, with tokens signed here and keys in a file). Needs openssl.
. "$(dirname "$0")/../lib/common.sh"
client security "tools 4.3.1 over kafka-clients 4.4.0, confluent-kafka $CONFLUENT_KAFKA"
need debian openssl openssl
need maven java-4
TOOLS=$JARS
need maven client-4
CLASS_PATH="$JARS/*:$TOOLS/*"
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
[ "$BROKER" = interfluve ] || { skip all "the options are interfluve's"; passed=1 finish; }

python3 "$COMPAT/security/keys.py" "$WORK" one >"$WORK/jwks.json" || need false
printf 'alice=alicesecret\n' >"$WORK/users"
PORT=$(cd "$COMPAT/lib" && python3 -c 'import broker; print(broker.free_ports(1)[0])')
export INTERFLUVE_DELEGATION_TOKEN_SECRET_KEY=compat-secret
export BROKER_ARGS="--kafka-listeners SASL_PLAINTEXT://127.0.0.1:$PORT --sasl-users-file $WORK/users
    --super-users User:alice;User:app --sasl-enabled-mechanisms SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
    --sasl-oauthbearer-jwks-endpoint-url file://$WORK/jwks.json --sasl-oauthbearer-expected-audience kafka
    --sasl-oauthbearer-expected-issuer compat"
broker
KAFKA=127.0.0.1:$PORT

# ── delegation tokens

JAVA=(timeout 60 java -Xshare:auto -XX:TieredStopAtLevel=1 -Xmx256m -cp "$CLASS_PATH")
# login FILE MECHANISM USER PASSWORD [OPTION]
login() {
    printf 'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=%s\nsasl.jaas.config=%s required username="%s" password="%s" %s;\n' \
        "$2" org.apache.kafka.common.security.scram.ScramLoginModule "$3" "$4" "${5:-}" >"$WORK/$1"
}
login alice SCRAM-SHA-512 alice alicesecret
tokens() {
    "${JAVA[@]}" org.apache.kafka.tools.DelegationTokenCommand --bootstrap-server "$KAFKA" --command-config "$WORK/$1" "${@:2}" 2>&1
}
topics() {
    "${JAVA[@]}" org.apache.kafka.tools.TopicCommand --bootstrap-server "$KAFKA" --command-config "$WORK/$1" "${@:2}" 2>&1
}
has() { grep -Eq -- "$2" <<<"$1" || { echo "no match for: $2"; echo "$1"; return 1; }; }

create() {
    local text
    text=$(tokens alice --create --max-life-time-period -1 --renewer-principal User:bob)
    ID=$(sed -n 's/.*tokenId : //p' <<<"$text") HMAC=$(grep -oE '[A-Za-z0-9+/]{86}==' <<<"$text")
    has "$text" 'User:alice +User:alice +\[User:bob\]' && [ -n "$ID" ] && [ -n "$HMAC" ]
}
show() { has "$(tokens alice --describe --owner-principal User:alice)" "^$ID"; }
renew() { has "$(tokens alice --renew --renew-time-period 3600000 --hmac "$HMAC")" 'Completed renew'; }
by_token() {
    login token "$1" "$ID" "$HMAC" 'tokenauth="true"'
    topics token --create --topic "token-$1" --partitions 1 && has "$(topics token --list)" "^token-$1\$"
}
no_more_by_token() { has "$(tokens token --create --max-life-time-period -1)" 'not allowed on'; }
expire() {
    has "$(tokens alice --expire --expiry-time-period -1 --hmac "$HMAC")" 'Completed expire' || return
    has "$(topics token --list)" 'Authentication failed' && has "$(tokens alice --renew --renew-time-period -1 --hmac "$HMAC")" 'not found'
}
# Not in a subshell: what it finds out is for the others.
check token-create create
check token-describe show
check token-renew renew
for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do check "token-$mechanism" by_token $mechanism; done
check token-makes-no-token no_more_by_token
check token-expire expire

# ── OAUTHBEARER

result_lines timeout 240 env PYTHONPATH="$COMPAT/lib:$COMPAT/security" "$PYTHON" "$COMPAT/security/oauth.py" "$KAFKA" "$WORK"
finish
