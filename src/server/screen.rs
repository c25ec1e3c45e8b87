//! What the server says when it has started: one screen for people, one line for programs. Texts only; `server` prints them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::json;

/// What came back from disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub streams: usize,
    pub logs: usize,
    /// Bytes of the journal that were read again.
    pub replayed_bytes: u64,
    /// What was not as it should be, in words; mostly empty.
    pub notes: Vec<String>,
    pub took_ms: i64,
}

/// Everything that is worth saying.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// `None`: nothing is kept.
    pub data_dir: Option<String>,
    pub new: bool,
    pub recovered: Recovered,
    /// Real addresses by the listener's name, in the order of configuration, with what is advertised instead.
    pub kafka: Vec<(String, SocketAddr, Option<String>)>,
    /// One of them that asks clients neither for TLS nor who they are.
    pub plain_kafka: Option<SocketAddr>,
    pub aws: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

/// One screen.
pub fn screen(started: &Started) -> String {
    let mut text = format!("interfluve {}\n\n", env!("CARGO_PKG_VERSION"));
    let mut line = |left: &str, right: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {left:<9}{right}");
    };
    let Recovered { streams, logs, replayed_bytes, notes, took_ms } = &started.recovered;
    match &started.data_dir {
        None => line("data", "MEMORY ONLY: nothing is kept; all of it is gone when this process ends"),
        Some(dir) if started.new => line("data", &format!("{dir} (new, ready in {took_ms} ms)")),
        Some(dir) => {
            line("data", dir);
            let replayed = bytes(*replayed_bytes);
            line("", &format!("{streams} streams, {logs} logs; {replayed} of journal recovered in {took_ms} ms"));
        }
    }
    for note in notes {
        line("", note);
    }
    for (name, address, advertised) in &started.kafka {
        let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
        let advertised = advertised.as_ref().map_or_else(String::new, |to| format!(", advertised as {to}"));
        line("Kafka", &format!("{address}{name}{advertised}"));
    }
    let own = started.metrics.is_some();
    if let Some(address) = started.aws {
        let pages = if own { "" } else { "  (also /metrics, /healthz, /readyz)" };
        line("AWS", &format!("http://{address}{pages}"));
    }
    if let Some(address) = started.metrics {
        line("metrics", &format!("http://{address}/metrics  (also /healthz, /readyz)"));
    }
    line("", "");
    line("Try", "");
    if let Some(address) = started.plain_kafka {
        line("", &format!("echo hello | kcat -b {} -t greetings -P", reachable(address)));
    }
    if let Some(address) = started.aws {
        let credentials = "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any";
        let endpoint = reachable(address);
        line(
            "",
            &format!("{credentials} aws --region us-east-1 --endpoint-url http://{endpoint} kinesis list-streams"),
        );
    }
    if started.data_dir.is_some() {
        line("", "");
        line("One disk, no replica: a lost disk loses what was not backed up.", "");
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// One JSON object on one line, for programs that start a server and wait for it.
pub fn ready_line(started: &Started) -> String {
    let names: BTreeMap<&str, String> =
        started.kafka.iter().map(|(name, address, _)| (name.as_str(), address.to_string())).collect();
    let line = json!({
        "ready": true,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "data_dir": started.data_dir,
        "recovered_ms": started.recovered.took_ms,
        "kafka": started.kafka.first().map(|(_, address, _)| address.to_string()),
        "kafka_listeners": names,
        "aws": started.aws.map(|address| format!("http://{address}")),
        "metrics": started.metrics.or(started.aws).map(|address| format!("http://{address}/metrics")),
    });
    line.to_string()
}

/// Where a client on this machine reaches a listener.
fn reachable(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("127.0.0.1:{}", address.port()),
        false => address.to_string(),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        1024..1_048_576 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Started {
        Started {
            data_dir: Some("./interfluve-data".into()),
            new: false,
            recovered: Recovered { streams: 3, logs: 7, replayed_bytes: 5 << 20, notes: vec![], took_ms: 12 },
            kafka: vec![
                ("internal".into(), "127.0.0.1:9092".parse().expect("an address"), None),
                ("external".into(), "0.0.0.0:9093".parse().expect("an address"), Some("b.example:9093".into())),
            ],
            plain_kafka: Some("127.0.0.1:9092".parse().expect("an address")),
            aws: Some("127.0.0.1:4566".parse().expect("an address")),
            metrics: None,
        }
    }

    #[test]
    fn the_screen_says_what_is_where_and_how_to_try_it() {
        let text = screen(&started());
        for part in [
            concat!("interfluve ", env!("CARGO_PKG_VERSION")),
            "./interfluve-data",
            "3 streams, 7 logs; 5 MiB of journal recovered in 12 ms",
            "127.0.0.1:9092 (internal)",
            "0.0.0.0:9093 (external), advertised as b.example:9093",
            "http://127.0.0.1:4566  (also /metrics, /healthz, /readyz)",
            "kcat -b 127.0.0.1:9092",
            "--endpoint-url http://127.0.0.1:4566",
            "One disk, no replica",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(text.lines().count() <= 24, "more than a screen:\n{text}");
    }

    #[test]
    fn what_cannot_be_tried_without_a_password_is_not_shown() {
        assert!(!screen(&Started { plain_kafka: None, ..started() }).contains("kcat"));
    }

    #[test]
    fn memory_is_said_loudly() {
        let text = screen(&Started { data_dir: None, ..started() });
        assert!(text.contains("MEMORY ONLY: nothing is kept") && !text.contains("One disk"), "{text}");
    }

    #[test]
    fn the_ready_line_is_one_json_object() {
        let line = ready_line(&started());
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&value["kafka"], &value["aws"]), (&json!("127.0.0.1:9092"), &json!("http://127.0.0.1:4566")));
        assert_eq!(value["kafka_listeners"]["external"], "0.0.0.0:9093");
        assert_eq!(value["metrics"], "http://127.0.0.1:4566/metrics");
    }
}
