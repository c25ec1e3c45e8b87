//! Rates, buckets and who is meant, with time in the test's hand.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::limits::{CONNECTIONS, Kind, Limits};
use super::rate::{Bucket, Rate};
use crate::kafka::overrides::{Clients, Name, State, Thing};

#[test]
fn a_first_burst_is_spread_over_ten_windows() {
    let mut rate = Rate::default();
    rate.record(10_000.0, 5_000);
    assert_eq!(rate.rate(5_000), 1000.0);
    assert_eq!(rate.excess_ms(1000.0, 5_000), 0);
    rate.record(10_000.0, 5_000);
    // 2000 a second over 10 s, where 1000 is allowed: as long again.
    assert_eq!(rate.excess_ms(1000.0, 5_000), 10_000);
}

#[test]
fn a_steady_rate_is_itself_and_is_forgotten_after_eleven_windows() {
    let mut rate = Rate::default();
    for second in 0..100 {
        rate.record(500.0, second * 1000);
    }
    assert_eq!(rate.rate(99_999).round(), 500.0);
    assert_eq!(rate.excess_ms(600.0, 99_999), 0);
    assert!(rate.excess_ms(400.0, 99_999) > 0);
    assert!(!rate.is_silent(109_999));
    assert_eq!(rate.rate(110_000), 0.0);
    assert!(rate.is_silent(110_000));
}

#[test]
fn who_waits_as_often_as_told_is_within_the_quota_again() {
    for (value, limit, first) in [(1e6, 1000.0, 990_000), (123.0, 7.0, 7_571), (5.0, 0.1, 40_000)] {
        let mut rate = Rate::default();
        rate.record(value, 0);
        assert_eq!(rate.excess_ms(limit, 0), first, "{value} at {limit}");
        let (mut now, mut waits) = (0, 0);
        while rate.excess_ms(limit, now) > 0 {
            now += rate.excess_ms(limit, now);
            waits += 1;
        }
        // Windows that pass without anything count whole, so that one wait can be too short, as it is in Kafka.
        assert!(waits <= 2, "{waits} waits for {value} at {limit}");
    }
}

#[test]
fn a_bucket_gives_eleven_seconds_at_once_and_then_makes_wait() {
    let mut bucket = Bucket::full(2.0, 0);
    bucket.draw(22.0, 2.0, 0);
    assert_eq!(bucket.wait_ms(2.0, 0), 0);
    bucket.draw(3.0, 2.0, 0);
    assert_eq!(bucket.wait_ms(2.0, 0), 1500);
    assert_eq!(bucket.wait_ms(2.0, 1_499), 1);
    assert_eq!(bucket.wait_ms(2.0, 1_500), 0);
    // It never holds more than it began with.
    bucket.draw(22.0, 2.0, 1_000_000);
    assert_eq!(bucket.wait_ms(2.0, 1_000_000), 0);
    bucket.draw(1.0, 2.0, 1_000_000);
    assert_eq!(bucket.wait_ms(2.0, 1_000_000), 500);
}

fn state(quotas: &[(Clients, &str, &str)]) -> State {
    let mut state = State::default();
    for (clients, key, value) in quotas {
        let settings = state.things.entry(Thing::Clients(clients.clone())).or_default();
        settings.insert((*key).to_owned(), (*value).to_owned());
    }
    state
}

fn clients(user: Option<&str>, client: Option<&str>) -> Clients {
    let name = |text: &str| if text == "*" { Name::Default } else { Name::Is(text.into()) };
    Clients { user: user.map(name), client: client.map(name), address: None }
}

#[test]
fn the_quota_that_says_most_decides() {
    let in_order = [
        (Some("u"), Some("c"), ("u", "c")),
        (Some("u"), Some("*"), ("u", "c")),
        (Some("u"), None, ("u", "")),
        (Some("*"), Some("c"), ("u", "c")),
        (Some("*"), Some("*"), ("u", "c")),
        (Some("*"), None, ("u", "")),
        (None, Some("c"), ("", "c")),
        (None, Some("*"), ("", "c")),
    ];
    for at in 0..in_order.len() {
        let numbered: Vec<(Clients, String)> =
            in_order[at..].iter().zip(at..).map(|((u, c, _), n)| (clients(*u, *c), n.to_string())).collect();
        let quotas: Vec<_> =
            numbered.iter().map(|(clients, n)| (clients.clone(), "producer_byte_rate", n.as_str())).collect();
        let limits = Limits::of(&state(&quotas));
        let (_, _, (user, client)) = in_order[at];
        let want = Some(((user.to_owned(), client.to_owned()), at as f64));
        assert_eq!(limits.find(Kind::Produce, "u", "c"), want);
        assert_eq!(limits.find(Kind::Fetch, "u", "c"), None, "each kind by itself");
    }
    let limits = Limits::of(&state(&[(clients(Some("u"), None), "consumer_byte_rate", "1")]));
    assert_eq!(limits.find(Kind::Fetch, "somebody", "c"), None);
    assert!(limits.any() && limits.has(Kind::Fetch) && !limits.has(Kind::Produce));
}

#[test]
fn addresses_have_quotas_of_their_own() {
    let from = |text: &str| Clients {
        address: Some(if text == "*" { Name::Default } else { Name::Is(text.into()) }),
        ..Clients::default()
    };
    let limits = Limits::of(&state(&[(from("10.0.0.1"), CONNECTIONS, "5"), (from("*"), CONNECTIONS, "2")]));
    let wanted = BTreeMap::from([("10.0.0.1", 5.0), ("::ffff:10.0.0.1", 5.0), ("10.0.0.2", 2.0)]);
    for (address, want) in wanted {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(limits.of_address(address), Some(want));
    }
    assert!(!limits.any(), "no request is measured for that");
}

#[test]
fn room_is_made_for_who_is_new_and_not_for_who_is_known() {
    let full: BTreeMap<usize, bool> = (0..super::METERS_LIMIT).map(|n| (n, n == 7)).collect();
    let room_for = |key: usize| {
        let mut meters = full.clone();
        super::make_room(&mut meters, &key, |silent| *silent);
        (meters.len(), meters.contains_key(&7))
    };
    assert_eq!(room_for(3), (super::METERS_LIMIT, true));
    assert_eq!(room_for(super::METERS_LIMIT), (super::METERS_LIMIT - 1, false));
}
