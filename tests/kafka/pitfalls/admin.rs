//! Pitfalls 7, 8 and 30: the first things a client asks, and who it is.

use std::io;

use kafka_protocol::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, ListGroupsRequest, MetadataRequest, SaslHandshakeRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::sasl::{NOW, handshake, plain, secured, token};

fn api_versions(version: i16) -> ApiVersionsRequest {
    match version {
        3.. => ApiVersionsRequest::default()
            .with_client_software_name(text("tester"))
            .with_client_software_version(text("1")),
        _ => ApiVersionsRequest::default(),
    }
}

/// Sends a frame and reads the next.
async fn raw(client: &mut Client, frame: &[u8]) -> io::Result<Vec<u8>> {
    client.socket.write_all(&(frame.len() as i32).to_be_bytes()).await?;
    client.socket.write_all(frame).await?;
    let length = client.socket.read_i32().await?;
    let mut frame = vec![0; length as usize];
    client.socket.read_exact(&mut frame).await?;
    Ok(frame)
}

/// A version that is not known is answered with 35 in version 0, and with the versions there are, whatever stands in the
/// body; the next request is served. The header of the answer never has tagged fields.
#[tokio::test]
async fn pitfall_07_unknown_versions_of_api_versions_are_answered_in_version_0() {
    let server = server().await;
    for version in [6i16, 99, i16::MAX, -1] {
        let mut client = server.client().await;
        let mut frame = vec![0, 18];
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 77, 0, 1, b'x', 0xde, 0xad, 0xbe, 0xef]);
        let answer = raw(&mut client, &frame).await.expect("answered");
        // Correlation, code, and an array of three shorts each, to the last byte.
        assert_eq!(answer[..6], [0, 0, 0, 77, 0, 35], "v{version}");
        let count = i32::from_be_bytes([answer[6], answer[7], answer[8], answer[9]]) as usize;
        assert_eq!(answer.len(), 10 + 6 * count, "v{version}");
        let own = answer[10..].chunks_exact(6).find(|api| api[..2] == [0, 18]).expect("its own versions");
        assert_eq!(own, [0, 18, 0, 0, 0, 5], "v{version}");
        assert_eq!(client.ask(3, api_versions(3)).await.error_code, 0, "v{version}: and then one it knows");
    }
    for version in 0..=4 {
        let answer = server.client().await.ask(version, api_versions(version)).await;
        assert_eq!(answer.error_code, 0, "v{version}");
        assert!(answer.api_keys.len() >= 50, "v{version}");
    }
}

/// Clients speak by the finalized features and not by versions: those of what is served whole, with their epoch, from
/// version 3 on. (A Java client that finds TV2: compat/java-4.)
#[tokio::test]
async fn pitfall_08_finalized_features_are_told() {
    let server = server().await;
    for version in 0..=4 {
        let answer = server.client().await.ask(version, api_versions(version)).await;
        let level = |name: &str| {
            let feature = answer.finalized_features.iter().find(|feature| &*feature.name == name);
            feature.map(|feature| (feature.min_version_level, feature.max_version_level))
        };
        if version < 3 {
            assert!(answer.finalized_features.is_empty() && answer.supported_features.is_empty());
            continue;
        }
        assert!(answer.finalized_features_epoch >= 0, "v{version}");
        assert_eq!(level("transaction.version"), Some((2, 2)), "v{version}");
        assert_eq!(level("group.version"), Some((1, 1)), "v{version}");
        // What is not served is not told: keys and features come together.
        let serves = |key: i16| answer.api_keys.iter().any(|api| api.api_key == key);
        for (feature, keys) in [("share.version", [76, 78]), ("streams.version", [88, 89])] {
            let is_told = level(feature).is_some_and(|(_, max)| max > 0);
            assert_eq!([is_told; 2], keys.map(serves), "{feature} v{version}");
        }
        // A level that begins at 0 cannot be said before version 4.
        for feature in answer.finalized_features.iter().filter(|_| version >= 4) {
            let supported = answer.supported_features.iter().find(|s| s.name == feature.name).expect("supported");
            assert!(feature.max_version_level <= supported.max_version, "{feature:?}");
        }
    }
}

/// Handshake 0 is followed by bare tokens, 1 by framed ones; before that only 17, 18 and 36 are answered; a user has
/// credentials of every mechanism; and a connection lives on when its client says again in time who it is, as the same
/// user by the same mechanism. (Every mechanism and refusal: tests/kafka/sasl; real clients: compat.)
#[tokio::test]
async fn pitfall_30_sasl_before_everything_else() {
    let (server, clock) = secured(2000).await;
    let mut bare = server.client().await;
    assert_eq!(bare.ask(3, api_versions(3)).await.error_code, 0);
    let offered = handshake(&mut bare, 0, "PLAIN").await;
    assert_eq!(offered.error_code, 0);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        assert!(offered.mechanisms.iter().any(|offered| &**offered == mechanism), "{mechanism}");
    }
    assert_eq!(raw(&mut bare, b"\0admin\0adminsecret").await.expect("answered"), b"");
    bare.ask(12, MetadataRequest::default()).await;
    let mut framed = server.client().await;
    assert_eq!(handshake(&mut framed, 1, "PLAIN").await.error_code, 0);
    assert_eq!(token(&mut framed, 2, b"\0admin\0adminsecret").await, (0, vec![], 2000));
    framed.ask(12, MetadataRequest::default()).await;
    let mut early = server.client().await;
    early.send(4, &ListGroupsRequest::default()).await;
    assert!(early.is_closed().await);
    let mut early = server.client().await;
    assert_eq!(handshake(&mut early, 1, "PLAIN").await.error_code, 0);
    early.send(4, &FindCoordinatorRequest::default()).await;
    assert!(early.is_closed().await);
    let mut unknown = server.client().await;
    let refused = unknown.ask(1, SaslHandshakeRequest::default().with_mechanism(text("GSSAPI"))).await;
    assert_eq!(refused.error_code, 33, "UNSUPPORTED_SASL_MECHANISM");
    // Both mechanisms of SCRAM begin for a user that was given one password.
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut client = server.client().await;
        assert_eq!(handshake(&mut client, 1, mechanism).await.error_code, 0);
        let (code, first, _) = token(&mut client, 2, b"n,,n=alice,r=nonce").await;
        assert!(code == 0 && first.starts_with(b"r=nonce"), "{mechanism}: {code}");
    }
    clock.set(NOW.plus_ms(1500));
    assert_eq!(plain(&mut framed, "admin", "adminsecret").await, 0);
    clock.set(NOW.plus_ms(3000));
    framed.ask(12, MetadataRequest::default()).await;
    assert_ne!(plain(&mut framed, "alice", "alicesecret").await, 0, "who it is never changes");
    bare.send(12, &MetadataRequest::default()).await;
    assert!(bare.is_closed().await, "it could not know how long its session was, and it is over");
}
