//! The same bytes as another codec, in both directions, wherever that codec has the version.

use std::fmt::Debug;

use bytes::BytesMut;
use kafka_protocol::protocol;

use crate::kafka::wire::{Message, Writer};

fn check<M: Message + Debug + PartialEq, P: protocol::Message + protocol::Encodable + protocol::Decodable>() {
    let mut compared = 0u64;
    super::each_value::<M>(|version, _, value| {
        if !(P::VERSIONS.min..=P::VERSIONS.max).contains(&version) {
            return;
        }
        let mut w = Writer::new();
        value.encode(&mut w, version).expect("a sampled value can be written");
        let ours = w.finish().into_bytes();
        let mut left = ours.clone();
        let theirs = P::decode(&mut left, version);
        let theirs =
            theirs.unwrap_or_else(|error| panic!("{} version {version}: {error}, {value:?} {ours:?}", M::NAME));
        assert!(left.is_empty(), "{} version {version}: the peer left {} bytes", M::NAME, left.len());
        let mut again = BytesMut::new();
        theirs.encode(&mut again, version).expect("the peer writes what it read");
        assert_eq!(ours, again.freeze(), "{} version {version}: {value:?}", M::NAME);
        compared += 1;
    });
    assert!(compared > 0, "the peer has no version of {}", M::NAME);
}

macro_rules! peer {
    ($($module:ident: $($message:ident)*;)*) => {$(
        #[test]
        fn $module() {
            $(check::<crate::kafka::wire::messages::$module::$message, kafka_protocol::messages::$message>();)*
        }
    )*};
}

every_message!(peer);
