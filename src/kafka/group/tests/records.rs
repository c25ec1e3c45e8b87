//! The bytes of `__consumer_offsets`, against layouts written down by hand from the published schemas.

use super::*;
use crate::ledger::Record as _;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap_or_default(), 16).unwrap_or_default();
    digits.chunks(2).map(pair).collect()
}

fn offset(expire: Option<i64>, topic_id: u128) -> Record {
    let committed = Committed {
        offset: 258,
        leader_epoch: if expire.is_some() { -1 } else { 7 },
        metadata: "m".into(),
        time: Timestamp(16),
        expire: expire.map(Timestamp),
        topic_id,
    };
    Record::Offset { group: "g".into(), topic: "t".into(), partition: 5, committed: Some(committed) }
}

fn group(members: Vec<state::Member>) -> Record {
    let meta = state::Meta {
        protocol_type: Some("c".into()),
        generation: 3,
        protocol: Some("r".into()),
        leader: Some("m".into()),
        since: Timestamp(9),
        members,
    };
    Record::Group { group: "g".into(), meta: Some(meta.into()) }
}

fn member(instance: Option<&str>) -> state::Member {
    state::Member {
        id: "m".into(),
        instance: instance.map(Name::from),
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout_ms: 2,
        session_timeout_ms: 1,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b"as"),
    }
}

#[test]
fn records_have_the_published_layout() {
    let cases = [
        (
            "0001 000167 000174 00000005",
            Some("0004 0000000000000102 00000007 026d 0000000000000010 00"),
            offset(None, 0),
        ),
        (
            "0001 000167 000174 00000005",
            Some("0004 0000000000000102 00000007 026d 0000000000000010 01 00 10 0000000000000000000000000000002a"),
            offset(None, 42),
        ),
        (
            "0001 000167 000174 00000005",
            Some("0001 0000000000000102 00016d 0000000000000010 0000000000000020"),
            offset(Some(32), 0),
        ),
        (
            "0002 000167",
            Some(
                "0003 000163 00000003 000172 00016d 0000000000000009 00000001
                 00016d 000169 000163 000168 00000002 00000001 0000000173 000000026173",
            ),
            group(vec![member(Some("i"))]),
        ),
        (
            "0002 000167",
            Some(
                "0003 000163 00000003 000172 00016d 0000000000000009 00000001
                 00016d ffff 000163 000168 00000002 00000001 0000000173 000000026173",
            ),
            group(vec![member(None)]),
        ),
        ("0002 000167", None, Record::Group { group: "g".into(), meta: None }),
    ];
    for (key, value, record) in cases {
        let (key, value) = (hex(key), value.map(hex));
        let entry = record.encode();
        assert_eq!((entry.key.as_deref(), entry.value.as_deref()), (Some(&key[..]), value.as_deref()), "{record:?}");
        assert_eq!(Record::decode(Some(&key), value.as_deref()), Ok(Some(record)));
    }
}

#[test]
fn older_and_newer_layouts_are_read() {
    let offset_key = hex("0000 000167 000174 00000005");
    for (value, epoch) in [
        ("0000 0000000000000102 00016d 0000000000000010", -1),
        ("0002 0000000000000102 00016d 0000000000000010", -1),
        ("0003 0000000000000102 00000007 00016d 0000000000000010", 7),
        ("0001 0000000000000102 00016d 0000000000000010 ffffffffffffffff", -1),
        ("0004 0000000000000102 00000007 026d 0000000000000010 01 05 01 ff", 7),
    ] {
        let read = Record::decode(Some(&offset_key), Some(&hex(value)));
        let Ok(Some(Record::Offset { committed: Some(committed), .. })) = read else { panic!("{value}: {read:?}") };
        assert_eq!((committed.offset, committed.leader_epoch, committed.expire), (258, epoch, None), "{value}");
    }
    let session_only = state::Member { rebalance_timeout_ms: 1, instance: None, ..member(None) };
    for (value, since, expected) in [
        (
            "0000 000163 00000003 000172 00016d 00000001 00016d 000163 000168 00000001 0000000173 000000026173",
            -1,
            session_only,
        ),
        (
            "0004 0263 00000003 0272 026d 0000000000000009 02 026d 0269 0263 0268 00000002 00000001 0273 036173 00 00",
            9,
            member(Some("i")),
        ),
    ] {
        let read = Record::decode(Some(&hex("0002 000167")), Some(&hex(value)));
        let Ok(Some(Record::Group { meta: Some(meta), .. })) = read else { panic!("{value}: {read:?}") };
        assert_eq!((meta.since.0, &meta.members[..]), (since, &[expected][..]));
    }
}

#[test]
fn kinds_that_are_not_served_are_skipped_and_broken_bytes_are_refused() {
    for kind in [4u8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20] {
        assert_eq!(Record::decode(Some(&[0, kind, 0, 1, b'g']), None), Ok(None), "{kind}");
    }
    let whole = group(vec![member(Some("i"))]).encode();
    let (key, value) = (whole.key.unwrap_or_default(), whole.value.unwrap_or_default());
    for cut in 0..value.len() {
        assert!(Record::decode(Some(&key), Some(&value[..cut])).is_err(), "cut at {cut}");
    }
    let broken = [(None, None), (Some(&b"\0\x01\0\x01"[..]), None), (Some(&key[..]), Some(&b"\0\x05"[..]))];
    for (key, value) in broken {
        assert!(Record::decode(key, value).is_err(), "{key:?} {value:?}");
    }
}

#[test]
fn a_count_that_lies_reserves_nothing() {
    let value = hex("0003 000163 00000003 000172 00016d 0000000000000009 7fffffff");
    assert!(Record::decode(Some(&hex("0002 000167")), Some(&value)).is_err());
    let mut lying = subscription(&["t"]).to_vec();
    lying[2] = 0x7f;
    assert_eq!(record::subscribed_topics(&lying), None);
}

#[test]
fn a_foreign_group_without_a_known_leader_comes_alive() {
    let meta = state::Meta {
        protocol_type: Some("consumer".into()),
        generation: 3,
        protocol: None,
        leader: Some("gone".into()),
        since: Timestamp(-1),
        members: vec![member(Some("i")), state::Member { id: "n".into(), ..member(Some("i")) }],
    };
    let live = Live::restored("g".into(), &meta, START);
    assert_eq!(live.leader.as_deref(), Some("m"));
    assert_eq!(live.instances.len(), 1, "an instance belongs to one member");
}

#[test]
fn a_group_and_its_offsets_go_by_their_own_tombstones() {
    let mut state = State::default();
    for record in [group(Vec::new()), offset(None, 0), Record::Group { group: "g".into(), meta: None }] {
        state.apply(&record);
    }
    assert_eq!((state.groups["g"].meta.is_none(), state.offset("g", "t", 5).is_some()), (true, true));
    state.apply(&Record::Offset { group: "g".into(), topic: "t".into(), partition: 5, committed: None });
    assert_eq!(state, State::default());
}
