//! What the server writes about itself: lines on stderr, for people or as JSON. Stdout is left to what was asked for.
//!
//! Nothing is collected or sent anywhere, and no line is needed to understand a client's error: the answer says it.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::server::LogFormat;

/// Begins writing lines. `level` is `info`, or a list such as `info,interfluve::kafka=debug`; a text that is neither is
/// the error.
pub fn begin(format: LogFormat, level: &str) -> Result<(), String> {
    let targets = targets(level)?;
    let registry = tracing_subscriber::registry().with(targets);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    crate::caught::quiet();
    // A second subscriber in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Human => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_target(false).with_ansi(ansi)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    Ok(())
}

fn targets(level: &str) -> Result<Targets, String> {
    let wrong = || format!("log.level = {level:?}: expected error, warn, info, debug or trace, or a list by module");
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for item in level.split(',').map(str::trim) {
        let (module, level) = item.split_once('=').unwrap_or(("", item));
        let level = match level {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(wrong()),
        };
        targets = match module {
            "" => targets.with_default(level),
            module => targets.with_target(module, level),
        };
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_by_module() {
        for (level, good) in [
            ("info", true),
            ("warn,interfluve::kafka=debug", true),
            ("", false),
            ("loud", false),
            ("info,interfluve=loud", false),
        ] {
            assert_eq!(targets(level).is_ok(), good, "{level:?}");
        }
    }
}
