//! The command line: what was asked for, and the texts of every source, by precedence flag, environment, file.
//! Flags and `--help` come from the keys' declarations; a flag is never declared here a second time.
//!
//! Reads arguments, environment and the configuration file. Starts nothing and types nothing: that is
//! [`config::server`](crate::config::server)'s.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::config::keys::nearest;
use crate::config::server::{Origin, ServerSettings, Text, from_environment, from_toml};
use crate::config::{Effect, Key, Kind, Section, Unit, server_keys};

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    Serve {
        settings: Box<ServerSettings>,
        ready_json: bool,
    },
    /// Copy what a running server holds into a directory.
    Backup {
        to: PathBuf,
        settings: Box<ServerSettings>,
    },
    /// Make a new data directory from a backup.
    Restore {
        from: PathBuf,
        settings: Box<ServerSettings>,
    },
    /// Read a whole data directory and say what is wrong with it.
    Check {
        dir: PathBuf,
        json: bool,
    },
    /// Print this and exit with 0.
    Print(String),
}

/// Why nothing was done: what to say on stderr, line by line. The exit code is [`USAGE`].
#[derive(Debug)]
pub struct Misuse(pub String);

/// Exit code: the command line or the configuration was refused.
pub const USAGE: u8 = 2;
/// Exit code: the server could not start, or had to stop; or a check found damage.
pub const FAILED: u8 = 1;

const COMMANDS: &[(&str, &str)] = &[
    ("serve", "run the server (the default command)"),
    ("check DATA_DIR", "read everything in the directory of a stopped server; 1: damage found, 2: cannot be read"),
    ("backup DIR", "copy what the server running on --data-dir holds; again: only what is new"),
    ("restore DIR", "make a new --data-dir from a backup"),
    ("version", "print the version"),
];

/// Flags that are a shorter name of a key.
const SHORT: &[(&str, &str)] = &[("log.format", "log")];
/// Flags that are understood and not shown: what people write who have one listener.
const UNDERSTOOD: &[(&str, &str)] = &[("kafka.listeners", "kafka-listen")];

/// Reads the command line and all sources of configuration.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Asked, Misuse> {
    let mut words = Vec::new();
    for argument in arguments.into_iter().skip(1) {
        let word = argument.into_string();
        words.push(word.map_err(|argument| Misuse(format!("the argument {argument:?} is not UTF-8")))?);
    }
    let command = match words.first() {
        Some(word) if !word.starts_with('-') => words.remove(0),
        _ => "serve".to_string(),
    };
    let flags = Flags::parse(words)?;
    if flags.help.is_some() || command == "help" {
        return Ok(Asked::Print(help(flags.help != Some(Help::Short))));
    }
    match command.as_str() {
        "check" => return check(flags),
        "backup" => {
            let (to, settings) = one_place(flags, environment, "interfluve backup DIR [--data-dir DATA_DIR]")?;
            return Ok(Asked::Backup { to, settings });
        }
        "restore" => {
            let (from, settings) = one_place(flags, environment, "interfluve restore DIR --data-dir NEW")?;
            return Ok(Asked::Restore { from, settings });
        }
        _ => {}
    }
    if let Some(word) = flags.operands.first() {
        return Err(Misuse(format!("the argument {word:?} is not expected here")));
    }
    if flags.version || command == "version" {
        return Ok(Asked::Print(format!("interfluve {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if flags.json {
        return Err(Misuse("--json belongs to check".into()));
    }
    match command.as_str() {
        "serve" => serve(flags, environment),
        other => {
            let meant = nearest(other, COMMANDS.iter().filter_map(|(name, _)| name.split(' ').next()));
            let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
            Err(Misuse(format!("there is no command {other:?}{meant}")))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Help {
    Short,
    Long,
}

/// The flags as they were written, not yet judged.
#[derive(Debug, Default)]
struct Flags {
    help: Option<Help>,
    version: bool,
    ready_json: bool,
    json: bool,
    config: Option<String>,
    /// Flags that are, or should be, keys.
    texts: Vec<Text>,
    /// Words that are no flags.
    operands: Vec<String>,
}

impl Flags {
    /// `--flag value` or `--flag=value`; `-h`, `-V` and the few flags that take no value.
    fn parse(words: Vec<String>) -> Result<Flags, Misuse> {
        let mut flags = Flags::default();
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-h" => flags.help = Some(Help::Short),
                "--help" => flags.help = Some(Help::Long),
                "-V" | "--version" => flags.version = true,
                "--ready-json" => flags.ready_json = true,
                "--json" => flags.json = true,
                _ => {
                    let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
                        flags.operands.push(word);
                        continue;
                    };
                    let (flag, given) = match flag.split_once('=') {
                        Some((flag, value)) => (flag.to_string(), Some(value.to_string())),
                        None => (flag.to_string(), None),
                    };
                    let (written, name) = (format!("--{flag}"), key_of(&flag));
                    let Some(value) = given.or_else(|| words.next()) else {
                        return Err(Misuse(match server_keys::named(&name).is_some() || flag == "config" {
                            true => format!("the flag {written} needs a value"),
                            false => unknown(&written, &flag),
                        }));
                    };
                    if let Some(earlier) = seen.insert(name.clone(), value.clone()) {
                        return Err(Misuse(format!("the flag {written} is given twice: {earlier:?} and {value:?}")));
                    }
                    match flag.as_str() {
                        "config" => flags.config = Some(value),
                        _ => flags.texts.push(Text { written, name, value, origin: Origin::Flag }),
                    }
                }
            }
        }
        Ok(flags)
    }
}

/// The key a flag stands for; not yet known to exist.
fn key_of(flag: &str) -> String {
    let named = SHORT.iter().chain(UNDERSTOOD).find(|(_, other)| *other == flag).map(|(name, _)| *name);
    let key = || server_keys::all().iter().find(|key| key.flag() == flag).map(|key| key.name);
    named.or_else(key).map_or_else(|| flag.replace('-', "."), String::from)
}

fn unknown(written: &str, flag: &str) -> String {
    let meant = nearest(&flag.replace('-', "."), server_keys::all().iter().map(|key| key.name));
    let meant = meant.and_then(server_keys::named).map(|key| format!("; did you mean --{}?", key.flag()));
    format!("there is no flag {written}{}", meant.unwrap_or_default())
}

/// `check DATA_DIR [--json]`: no configuration is read.
fn check(flags: Flags) -> Result<Asked, Misuse> {
    if let Some(text) = flags.texts.first() {
        return Err(Misuse(format!("check takes no {}", text.written)));
    }
    match flags.operands.as_slice() {
        [dir] => Ok(Asked::Check { dir: dir.into(), json: flags.json }),
        [] => Err(Misuse("which directory? interfluve check DATA_DIR".into())),
        [_, other, ..] => Err(Misuse(format!("the argument {other:?} is not expected here"))),
    }
}

/// The one directory a command is about, and the settings that say which server is meant.
fn one_place(
    flags: Flags,
    environment: impl Iterator<Item = (String, String)>,
    usage: &str,
) -> Result<(PathBuf, Box<ServerSettings>), Misuse> {
    match flags.operands.as_slice() {
        [dir] => Ok((PathBuf::from(dir), settings(flags, environment)?)),
        [] => Err(Misuse(format!("which directory? {usage}"))),
        [_, other, ..] => Err(Misuse(format!("the argument {other:?} is not expected here"))),
    }
}

fn serve(flags: Flags, environment: impl Iterator<Item = (String, String)>) -> Result<Asked, Misuse> {
    let ready_json = flags.ready_json;
    Ok(Asked::Serve { settings: settings(flags, environment)?, ready_json })
}

fn settings(flags: Flags, environment: impl Iterator<Item = (String, String)>) -> Result<Box<ServerSettings>, Misuse> {
    let environment: Vec<_> = environment.collect();
    let variable = |name: &str| environment.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    let file = flags.config.or_else(|| variable("INTERFLUVE_CONFIG")).map(PathBuf::from);
    let mut texts = flags.texts;
    texts.extend(from_environment(environment.into_iter()));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Misuse(format!("cannot read the configuration file {}: {error}", path.display())))?;
        texts.extend(from_toml(&path, &text).map_err(Misuse)?);
    }
    match ServerSettings::parse(texts) {
        Ok(settings) => Ok(Box::new(settings)),
        Err(refusals) => Err(Misuse(refusals.iter().map(|r| r.to_string()).collect::<Vec<_>>().join("\n"))),
    }
}

/// The flag a key is shown with.
fn flag(key: &Key) -> String {
    match SHORT.iter().find(|(name, _)| *name == key.name) {
        Some((_, short)) => short.to_string(),
        None => key.flag(),
    }
}

fn placeholder(key: &Key) -> String {
    match key.kind {
        Kind::Bool => "BOOL".into(),
        Kind::Whole { unit: Unit::Bytes, .. } => "BYTES".into(),
        Kind::Whole { unit: Unit::Ms, .. } => "MS".into(),
        Kind::Whole { .. } | Kind::WholeOr { .. } | Kind::Ratio { .. } => "N".into(),
        Kind::Text | Kind::Secret => "TEXT".into(),
        Kind::OneOf(words) if words.len() < 3 => words.join("|"),
        Kind::OneOf(_) => "WORD".into(),
        Kind::ListOf(_) | Kind::Texts | Kind::Replicas | Kind::Listeners => "LIST".into(),
        Kind::Address => "ADDR".into(),
        Kind::Directory => "DIR".into(),
    }
}

/// A default as people say it: 64MiB, 7d.
fn human(key: &Key) -> String {
    let Kind::Whole { unit, .. } = key.kind else { return key.default.into() };
    let Ok(number) = key.default.parse::<i64>() else { return key.default.into() };
    let units: &[(i64, &str)] = match unit {
        Unit::Bytes => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")],
        Unit::Ms => &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")],
        Unit::Count | Unit::Minutes | Unit::Hours => &[],
    };
    match units.iter().find(|(size, _)| number > 0 && number % size == 0) {
        _ if number == i64::MAX || number == i64::from(i32::MAX) => "no limit".into(),
        Some((size, name)) => format!("{}{name}", number / size),
        None => key.default.into(),
    }
}

/// The help page; the short one shows what most people need.
pub fn help(long: bool) -> String {
    let mut page = format!(
        "interfluve {}: one log engine with two faces.\n\
         Kafka clients and Kinesis SDKs read and write the same records.\n\n\
         Usage: interfluve [COMMAND] [OPTIONS]\n\nCommands:\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, what) in COMMANDS {
        line(&mut page, name, what, "");
    }
    page.push_str("\nOptions:\n");
    line(&mut page, "--config FILE", "read settings from a TOML file (also INTERFLUVE_CONFIG)", "");
    line(&mut page, "--json", "check: print the report as JSON", "");
    line(&mut page, "--ready-json", "print one JSON line with the real addresses on stdout when ready", "");
    line(&mut page, "-h, --help", "the most useful options; every option", "");
    line(&mut page, "-V, --version", "print the version", "");
    let mut section = None;
    for key in server_keys::all() {
        let essential = matches!(key.section, Section::Place | Section::Listening);
        if !long && !essential || matches!(key.effect, Effect::Shown(_)) {
            continue;
        }
        if section.replace(key.section) != Some(key.section) {
            let _ = writeln!(page, "\n{}:", key.section.title());
        }
        line(&mut page, &format!("--{} {}", flag(key), placeholder(key)), &brief(key), &human(key));
    }
    page.push_str(
        "\nEvery option is also an environment variable (--data-dir: INTERFLUVE_DATA_DIR) and a key of the\n\
         configuration file (data.dir). A flag wins over the environment, and that over the file. Sizes may be\n\
         written 64MiB, times 10s. All keys, with ranges: docs/configuration.md.\n\n\
         Exit codes: 0 stopped cleanly; 1 could not start, or had to stop; 2 refused options or settings.\n",
    );
    page
}

/// One line of help; a default too long for it is left to the reference.
fn line(page: &mut String, left: &str, what: &str, default: &str) {
    let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let _ = writeln!(page, "  {left:<42} {what}{default}");
}

fn brief(key: &Key) -> String {
    let text = match key.section {
        Section::StreamDefaults => match key.name.starts_with("log.r") && key.default.is_empty() {
            true => key.brief(),
            false => return stream_key(key),
        },
        _ => key.brief(),
    };
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    // A name in capitals stays as it is.
    match letters.clone().next().is_some_and(char::is_uppercase) {
        true => text.to_string(),
        false => first + letters.as_str(),
    }
}

/// Which stream key a server key is the default of.
fn stream_key(key: &Key) -> String {
    let of = crate::config::stream_keys::STREAM_KEYS.iter().find(|stream| stream.server_key == Some(key.name));
    of.map_or_else(String::new, |stream| format!("default of a stream's {}", stream.name))
}

const REFERENCE: &str = "\
# Configuration

This page is generated from the declarations in `src/config/` (`UPDATE_DOCS=1 cargo test --test tidy`).

A key of the server is a flag (`--data-dir`), an environment variable (`INTERFLUVE_DATA_DIR`) and a key of the TOML file
named by `--config` (`data.dir = \"…\"`, or `dir = \"…\"` under `[data]`; a name that is also the beginning of another,
such as `max.connections`, in quotes). A flag wins over the environment, the environment over the file, the file over the
default. Sizes may be written `64MiB`, times `10s`, lists as TOML arrays. An unknown key or a bad value is refused, with
its place and the nearest right name; nothing is started then. A key of the server takes effect at the next start.

A key of a stream is set when the stream is created or later by Kafka's admin calls, in plain numbers, and takes effect
at once. Names, types, defaults and ranges are Kafka's own; keys that begin with `interfluve.` are ours. *Shown* means:
checked, kept and shown to clients that expect it, without any effect here.

# The server
";

/// The reference page of all keys, `docs/configuration.md`.
pub fn reference() -> String {
    let mut page = String::from(REFERENCE);
    let mut section = None;
    for key in server_keys::all() {
        if section.replace(key.section) != Some(key.section) {
            let _ = writeln!(
                page,
                "\n## {}\n\n| key | flag | type | default | meaning |\n|---|---|---|---|---|",
                key.section.title()
            );
        }
        let kind = kind(key);
        let meaning = match key.section {
            Section::StreamDefaults if !stream_key(key).is_empty() => {
                let text = stream_key(key);
                let (of, name) = text.rsplit_once(' ').unwrap_or(("", &text));
                format!("D{} `{name}`.", of.trim_start_matches('d'))
            }
            _ => meaning(key),
        };
        let _ = writeln!(page, "| `{}` | `--{}` | {kind} | {} | {meaning} |", key.name, flag(key), code(key.default));
    }
    page.push_str("\n# Streams\n");
    let mut keys: Vec<&Key> = crate::config::stream_keys::STREAM_KEYS.iter().collect();
    keys.sort_by_key(|key| (key.section, key.name));
    let mut section = None;
    for key in keys {
        if section.replace(key.section) != Some(key.section) {
            let _ =
                writeln!(page, "\n## {}\n\n| key | type | default | meaning |\n|---|---|---|---|", key.section.title());
        }
        let _ = writeln!(page, "| `{}` | {} | {} | {} |", key.name, kind(key), code(key.default), meaning(key));
    }
    page
}

fn kind(key: &Key) -> String {
    let range = key.kind.range();
    if range.is_empty() { key.kind.describe() } else { format!("{}, {range}", key.kind.describe()) }
}

fn meaning(key: &Key) -> String {
    match key.effect {
        Effect::Acts => key.doc.to_string(),
        Effect::Shown(why) => format!("{} *Shown*: {why}.", key.doc),
    }
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server::DataDir;

    fn read_all(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Asked, Misuse> {
        let arguments = ["interfluve"].iter().chain(arguments).map(OsString::from);
        read(arguments, environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> ServerSettings {
        match read_all(arguments, environment) {
            Ok(Asked::Serve { settings, .. }) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn misuse(arguments: &[&str], want: &str) {
        match read_all(arguments, &[]) {
            Err(Misuse(text)) => assert!(text.contains(want), "{want:?} in {text:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn serve_is_the_default_command() {
        for arguments in [&[][..], &["serve"], &["--node-id", "1"], &["serve", "--node-id=1"]] {
            assert_eq!(settings(arguments, &[]).node_id, 1, "{arguments:?}");
        }
    }

    #[test]
    fn every_key_is_a_flag_and_a_variable() {
        for key in server_keys::all().iter().filter(|key| !key.default.is_empty()) {
            settings(&[&format!("--{}", key.flag()), key.default], &[]);
            settings(&[], &[(&key.env(), key.default)]);
        }
    }

    #[test]
    fn flag_wins_over_variable_and_variable_over_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("i.toml");
        std::fs::write(&file, "node.id = 3\nnum.partitions = 3\nworker.threads = 3").expect("written");
        let file = file.to_str().expect("UTF-8");
        let s = settings(
            &["--node-id", "1", "--config", file],
            &[("INTERFLUVE_NODE_ID", "2"), ("INTERFLUVE_NUM_PARTITIONS", "2"), ("OTHER", "x")],
        );
        assert_eq!((s.node_id, s.num_logs, s.worker_threads), (1, 2, 3));
        assert_eq!(settings(&[], &[("INTERFLUVE_CONFIG", file)]).worker_threads, 3);
    }

    #[test]
    fn check_takes_one_directory() {
        match read_all(&["check", "d", "--json"], &[]) {
            Ok(Asked::Check { dir, json }) => assert_eq!((dir, json), (PathBuf::from("d"), true)),
            other => panic!("{other:?}"),
        }
        misuse(&["check"], "which directory?");
        misuse(&["check", "a", "b"], "\"b\" is not expected");
        misuse(&["check", "a", "--node-id", "1"], "no --node-id");
        misuse(&["serve", "--json"], "belongs to check");
    }

    #[test]
    fn backup_and_restore_take_one_directory_and_the_servers_settings() {
        match read_all(&["backup", "b", "--data-dir", "d"], &[]) {
            Ok(Asked::Backup { to, settings }) => {
                assert_eq!((to, settings.data_dir), (PathBuf::from("b"), DataDir::Directory("d".into())));
            }
            other => panic!("{other:?}"),
        }
        match read_all(&["restore", "b"], &[("INTERFLUVE_DATA_DIR", "d")]) {
            Ok(Asked::Restore { from, settings }) => {
                assert_eq!((from, settings.data_dir), (PathBuf::from("b"), DataDir::Directory("d".into())));
            }
            other => panic!("{other:?}"),
        }
        misuse(&["backup"], "which directory?");
        misuse(&["restore", "a", "b"], "\"b\" is not expected");
    }

    #[test]
    fn a_short_flag_means_its_key() {
        for name in ["--log", "--log-format"] {
            assert_eq!(settings(&[name, "json"], &[]).log_format, crate::config::server::LogFormat::Json);
        }
    }

    #[test]
    fn negative_numbers_are_values() {
        assert_eq!(settings(&["--log-retention-ms", "-1"], &[]).stream_defaults.get("retention.ms"), Some("-1"));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_nearest_right_name() {
        misuse(
            &["--kafka-listener", "x:1"],
            "the flag --kafka-listener: \"x:1\": there is no such key; did you mean --kafka-listeners?",
        );
        misuse(&["--kafka-listener"], "there is no flag --kafka-listener; did you mean --kafka-listeners?");
        misuse(&["--node-id", "x"], "the flag --node-id: \"x\": expected a whole number");
        misuse(&["srve"], "did you mean serve?");
        misuse(&["serve", "more"], "\"more\" is not expected");
        misuse(&["--node-id", "1", "--node-id=2"], "given twice");
        misuse(&["--config", "/no/such/file"], "/no/such/file");
        misuse(&["--node-id"], "--node-id needs a value");
    }

    #[test]
    fn help_shows_every_option_once_on_one_line() {
        let page = help(true);
        for key in server_keys::all().iter().filter(|key| key.effect == Effect::Acts) {
            let shown = page.lines().filter(|line| line.trim_start().starts_with(&format!("--{} ", flag(key)))).count();
            assert_eq!(shown, 1, "{}", key.name);
        }
        let long: Vec<_> = page.lines().filter(|line| line.chars().count() > 160).collect();
        assert!(long.is_empty(), "{long:?}");
    }

    #[test]
    fn help_and_version_are_asked_for_in_the_usual_ways() {
        for arguments in [&["-h"][..], &["--help"], &["help"], &["serve", "--help"], &["serve", "-h"]] {
            assert!(matches!(read_all(arguments, &[]), Ok(Asked::Print(_))), "{arguments:?}");
        }
        for arguments in [&["version"][..], &["--version"], &["-V"]] {
            let want = concat!("interfluve ", env!("CARGO_PKG_VERSION"), "\n");
            assert!(matches!(read_all(arguments, &[]), Ok(Asked::Print(text)) if text == want), "{arguments:?}");
        }
    }
}
