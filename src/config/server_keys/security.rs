//! The keys of security: who may come in, and how that is found out. Declarations only.

use super::super::keys::{Key, Kind, Section, Unit};
use super::{INT, MAX, key, whole};

pub const KEYS: &[Key] = &[
    key(
        "listener.security.protocol.map",
        Section::Security,
        Kind::Text,
        "",
        "What each listener asks of clients: NAME:PROTOCOL, comma-separated. PLAINTEXT, SASL_PLAINTEXT, SSL and SASL_SSL \
         are known. A listener that bears the \
         name of a protocol needs no entry; others are PLAINTEXT. As soon as one asks who is there, nobody may do what \
         no access rule allows, on any listener, but super.users.",
    ),
    key(
        "sasl.enabled.mechanisms",
        Section::Security,
        Kind::ListOf(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]),
        "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        "How Kafka clients may say who they are, where a listener asks.",
    ),
    key(
        "sasl.users.file",
        Section::Security,
        Kind::Text,
        "",
        "A file of users for SASL, name=password a line, # for comments. Passwords are salted at start and then forgotten. \
         A user who is set by an administrator (AlterUserScramCredentials) hides the one of the file.",
    ),
    key(
        "ssl.certificate",
        Section::Security,
        Kind::Text,
        "",
        "A PEM file: the certificate that listeners with TLS show, and those between it and its root. It is read again \
         within ten seconds when it has changed, and so are the key and the client CA.",
    ),
    key("ssl.key", Section::Security, Kind::Text, "", "A PEM file: the private key of ssl.certificate, not encrypted."),
    key(
        "ssl.client.auth",
        Section::Security,
        Kind::OneOf(&["none", "requested", "required"]),
        "none",
        "Whether clients show a certificate on SSL listeners. Who shows one is known by its subject; as soon as certificates \
         are asked for, nobody may do what no access rule allows.",
    ),
    key(
        "ssl.client.ca",
        Section::Security,
        Kind::Text,
        "",
        "A PEM file: the certificates of those who sign clients' certificates.",
    ),
    key(
        "ssl.principal.mapping.rules",
        Section::Security,
        Kind::Text,
        "DEFAULT",
        "How a user's name is made of a certificate's subject. RULE:pattern/replacement/[LU] and DEFAULT, \
         comma-separated; the first that fits decides (KIP-371).",
    ),
    key("super.users", Section::Security, Kind::Text, "", "Who may do everything: User:name, separated by semicolons."),
    key(
        "allow.everyone.if.no.acl.found",
        Section::Security,
        Kind::Bool,
        "false",
        "Whether everybody who is known may do what no access rule is about.",
    ),
    key(
        "connections.max.reauth.ms",
        Section::Security,
        whole(0, MAX, Unit::Ms),
        "0",
        "How long a client stays known before it has to say anew who it is (KIP-368). 0: as long as it is connected.",
    ),
    key(
        "connection.failed.authentication.delay.ms",
        Section::Security,
        whole(0, 60_000, Unit::Ms),
        "100",
        "How long a client that could not prove who it is waits for the answer.",
    ),
    // ── delegation tokens
    key(
        "delegation.token.secret.key",
        Section::Security,
        Kind::Secret,
        "",
        "What delegation tokens are made with (KIP-48). Empty: there are none. Better given by the variable or the file than \
         by a flag, which others on the machine can see. It is never kept; with another one, tokens that were made are lost.",
    ),
    key(
        "delegation.token.max.lifetime.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "604800000",
        "How long a delegation token can be prolonged at most.",
    ),
    key(
        "delegation.token.expiry.time.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "86400000",
        "How long a delegation token is good before it must be prolonged.",
    ),
    key(
        "delegation.token.expiry.check.interval.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "3600000",
        "How often delegation tokens that have expired are removed.",
    ),
    // ── OAUTHBEARER
    key(
        "sasl.oauthbearer.jwks.endpoint.url",
        Section::Security,
        Kind::Text,
        "",
        "Where the public keys are that sign tokens of OAUTHBEARER: a JWKS at a file:, http: or https: address. Signed \
         tokens only are taken: RS, PS, ES (not ES512) and EdDSA.",
    ),
    key(
        "sasl.oauthbearer.jwks.endpoint.ca",
        Section::Security,
        Kind::Text,
        "/etc/ssl/certs/ca-certificates.crt",
        "A PEM file: who signs the certificate of an https: address of keys.",
    ),
    key(
        "sasl.oauthbearer.jwks.endpoint.refresh.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "3600000",
        "How often keys are fetched again from an http: or https: address. A token of an unknown key brings that forward, once \
         a minute. A file is read again within ten seconds when it has changed.",
    ),
    key(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "100",
        "First pause between tries to fetch keys; it doubles.",
    ),
    key(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        Section::Security,
        whole(1, MAX, Unit::Ms),
        "10000",
        "Longest pause between tries to fetch keys.",
    ),
    key(
        "sasl.oauthbearer.expected.audience",
        Section::Security,
        Kind::Texts,
        "",
        "Whom a token of OAUTHBEARER must be for (aud): one of these.",
    ),
    key(
        "sasl.oauthbearer.expected.issuer",
        Section::Security,
        Kind::Text,
        "",
        "Who must have made a token of OAUTHBEARER (iss).",
    ),
    key(
        "sasl.oauthbearer.allow.unverified.audience",
        Section::Security,
        Kind::Bool,
        "false",
        "Whether sasl.oauthbearer.expected.audience may be empty, and tokens may be for anybody.",
    ),
    key(
        "sasl.oauthbearer.allow.unverified.issuer",
        Section::Security,
        Kind::Bool,
        "false",
        "Whether any issuer whose key is known will do, if none is expected.",
    ),
    key(
        "sasl.oauthbearer.clock.skew.seconds",
        Section::Security,
        whole(0, INT, Unit::Count),
        "30",
        "How many seconds the clock of who makes tokens may differ from ours.",
    ),
    key(
        "sasl.oauthbearer.scope.claim.name",
        Section::Security,
        Kind::Text,
        "scope",
        "The claim in which a token's scope stands.",
    ),
    key(
        "sasl.oauthbearer.sub.claim.name",
        Section::Security,
        Kind::Text,
        "sub",
        "The claim in which the name of a token's user stands.",
    ),
];
