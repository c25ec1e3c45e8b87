//! The house rules that a machine can check, over our own sources. Each test is one rule and reports everything it finds
//! at once. `UPDATE_DOCS=1 cargo test --test tidy` writes the generated pages of `docs/` anew.

#[path = "tidy/source.rs"]
mod source;

use std::fs;

use source::{Source, root, sources};

/// Where a text is found, as `path:line: text`.
fn lines_with<'a>(
    source: &'a Source,
    within: &'a str,
    found: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = String> + 'a {
    let hits = within.lines().enumerate().filter(move |(_, line)| found(line));
    hits.map(move |(number, _)| {
        let line = source.text.lines().nth(number).unwrap_or("").trim();
        format!("{}:{}: {line}", source.path, number + 1)
    })
}

fn report(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}: {} found\n{}\n", findings.len(), findings.join("\n"));
}

/// Whether `word` stands in `line` with nothing of a longer name around it.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

// ── what a file looks like

#[test]
fn a_file_opens_by_saying_what_it_is() {
    let files = sources(&["src", "tests", "benches"]);
    let bare = files.iter().filter(|source| !source.text.starts_with("//! "));
    report("a file begins with //! and what it is", bare.map(|source| source.path.clone()).collect());
}

#[test]
fn no_file_is_longer_than_700_lines() {
    let long = sources(&["src"]).into_iter().map(|source| (source.text.lines().count(), source.path));
    let long = long.filter(|(lines, _)| *lines > 700);
    report("at most 700 lines", long.map(|(lines, path)| format!("{path}: {lines}")).collect());
}

/// Code is broken at 120 by rustfmt; this is for what rustfmt leaves alone, comments and texts, and is a little kinder.
#[test]
fn no_line_is_much_wider_than_120() {
    let files = sources(&["src", "tests", "benches"]);
    let wide = files.iter().flat_map(|source| lines_with(source, &source.text, |line| line.chars().count() > 140));
    report("at most 140 characters", wide.collect());
}

// ── who may know whom

/// Floors from the top. An import goes down, or stays in its own module.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["server", "cli"],
    &["kafka", "kinesis", "firehose", "analytics", "video", "console", "leases"],
    &["aws"],
    &["engine"],
    &["log", "share", "auth"],
    &["accept", "caught", "record", "store", "ledger", "config", "metrics", "clock", "chance", "ids", "trace"],
];
/// Floors whose modules may know each other.
const NEIGHBOURS: [usize; 2] = [1, 6];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules named after `crate::` (or, in `main`, `interfluve::`), each with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate::", "interfluve::"] {
        for (at, _) in source.code.match_indices(start) {
            let line = source.code[..at].matches('\n').count() + 1;
            let rest = &source.code[at + start.len()..];
            for name in rest.strip_prefix('{').map_or_else(|| vec![rest], top_names) {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                found.push((line, name[..end].to_string()));
            }
        }
    }
    found
}

/// The first names of `a::b, c::{d, e}, f}`.
fn top_names(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(group[from..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(group[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

#[test]
fn no_import_runs_up_and_no_facade_knows_another() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let own = source.module();
        if own == "lib" {
            continue;
        }
        let Some(own_floor) = floor(own) else {
            findings.push(format!("{}: the module {own} stands on no floor (tests/tidy.rs)", source.path));
            continue;
        };
        for (line, module) in imports(&source) {
            let Some(its_floor) = floor(&module) else { continue };
            let stays = its_floor == own_floor && (module == own || NEIGHBOURS.contains(&own_floor));
            if its_floor <= own_floor && !stays {
                findings.push(format!("{}:{line}: {own} imports {module}", source.path));
            }
        }
    }
    report("imports go down", findings);
}

#[test]
fn imports_are_found_in_groups_too() {
    let source = Source::new("src/x/y.rs", "use crate::{a::b, c::{d, e}, f};\nlet g = crate::g::h();".into());
    let names: Vec<String> = imports(&source).into_iter().map(|(line, name)| format!("{line}{name}")).collect();
    assert_eq!(names, ["1a", "1c", "1f", "2g"]);
}

/// Folders and files that decide and never do: no IO, no clock, no chance, no waiting. (What makes random numbers is a
/// dependency of tests only.)
const PURE: &[&str] = &[
    "src/record/",
    "src/log/",
    "src/ledger/",
    "src/auth/",
    "src/config/",
    "src/ids.rs",
    "src/engine/catalog.rs",
    "src/engine/frame.rs",
    "src/kafka/frame.rs",
    "src/kafka/sasl/",
    "src/kafka/session.rs",
    "src/kafka/session/",
    "src/kafka/error.rs",
    "src/kafka/wire/",
    "src/kafka/group/mod.rs",
    "src/kafka/group/live.rs",
    "src/kafka/group/membership.rs",
    "src/kafka/group/offsets.rs",
    "src/kafka/group/record.rs",
    "src/kafka/group/state.rs",
    "src/aws/error.rs",
    "src/aws/write.rs",
    "src/kinesis/target.rs",
    "src/aws/sigv4.rs",
    "src/aws/json.rs",
    "src/kinesis/sequence.rs",
    "src/kinesis/iterator.rs",
    "src/kinesis/limits.rs",
    "src/kinesis/mapping.rs",
    "src/kinesis/validate.rs",
];

const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "rustix",
    "RandomState",
    "Clock",
];

#[test]
fn pure_files_have_no_io_no_clock_no_chance() {
    let mut findings = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| PURE.iter().any(|pure| source.path.starts_with(pure))) {
        for word in IMPURE {
            let hits = lines_with(source, &source.shipped, |line| match word.contains("::") {
                true => line.contains(word),
                false => has_word(line, word),
            });
            findings.extend(hits.map(|hit| format!("{word}: {hit}")));
        }
    }
    report("pure files only decide", findings);
}

#[test]
fn only_the_clock_asks_for_the_time() {
    let asks = ["SystemTime::now", "Instant::now", "Utc::now", "Local::now"];
    let mut findings = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| source.path != "src/clock.rs") {
        findings.extend(lines_with(source, &source.code, |line| asks.iter().any(|ask| line.contains(ask))));
    }
    report("only clock.rs asks for the time", findings);
}

// ── words

/// Words that belong to one folder, in code, comments and texts: (word, folders it may stand in).
const FOREIGN: &[(&str, &[&str])] = &[
    ("topic", &["src/kafka/"]),
    ("partition", &["src/kafka/"]),
    // Kafka's own names of errors have it too.
    ("sequence number", &["src/kinesis/", "src/aws/", "src/kafka/"]),
    ("sequence_number", &["src/kinesis/", "src/aws/", "src/kafka/"]),
    ("sequencenumber", &["src/kinesis/", "src/aws/", "src/kafka/"]),
];

/// What looks like a foreign word and is none: names of the standard library, keys that bear Kafka's name, and what the
/// other face calls a record's key.
const NATIVE: &[(&str, &[&str])] = &[
    ("partition_point", &["src/"]),
    (".partition(", &["src/"]),
    ("num.partitions", &["src/"]),
    ("num_partition", &["src/cli.rs", "src/config/"]),
    ("num-partition", &["src/cli.rs", "src/config/"]),
    ("auto.create.topics.enable", &["src/"]),
    ("topicconfig", &["src/config/stream_keys.rs"]),
    ("topic configs", &["src/config/stream_keys.rs"]),
    ("what one face calls partition", &["src/engine/catalog.rs"]),
    // A field of the crate that tests compare with.
    ("partition_leader_epoch", &["src/record/tests.rs"]),
    ("partition.key", &["src/kinesis/"]),
    ("partition key", &["src/kinesis/", "src/aws/"]),
    ("partition_key", &["src/kinesis/", "src/aws/"]),
    ("partitionkey", &["src/kinesis/", "src/aws/"]),
];

#[test]
fn foreign_words_stay_in_their_folders() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let inside = |folders: &[&str]| folders.iter().any(|folder| source.path.starts_with(folder));
        let native: Vec<&str> = NATIVE.iter().filter(|(_, places)| inside(places)).map(|(word, _)| *word).collect();
        let words: Vec<&str> = FOREIGN.iter().filter(|(_, places)| !inside(places)).map(|(word, _)| *word).collect();
        let foreign = |line: &str| {
            let line = native.iter().fold(line.to_lowercase(), |line, word| line.replace(word, ""));
            words.iter().any(|word| line.contains(word))
        };
        findings.extend(lines_with(&source, &source.text, foreign));
    }
    report("foreign words stay in their folders", findings);
}

/// Places of one machine mean nothing on another.
#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let places = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let mut findings = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        findings.extend(lines_with(&source, &source.text, |line| places.iter().any(|place| line.contains(place))));
    }
    report("no absolute paths of one machine", findings);
}

// ── what is not done here

#[test]
fn no_shortcuts() {
    let attributes = ["#[allow(", "#![allow(", "#[ignore"];
    let macros = ["todo!", "dbg!", "unimplemented!"];
    let mut findings = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        let shortcut =
            |line: &str| attributes.iter().chain(&macros).any(|short| line.contains(short)) || has_word(line, "unsafe");
        findings.extend(lines_with(&source, &source.code, shortcut));
    }
    report("no unsafe, allow, ignore, todo or dbg", findings);
}

#[test]
fn tests_wait_for_what_happens_and_not_for_time() {
    let mut findings = Vec::new();
    for source in sources(&["src"]) {
        let (shipped, all) = (source.shipped.matches('\n').count(), source.code.as_str());
        let sleeps = all.lines().enumerate().skip(shipped).filter(|(_, line)| line.contains("thread::sleep"));
        findings.extend(sleeps.map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim())));
    }
    report("no test sleeps", findings);
}

/// A metric that nothing counts would always be 0, and be believed.
#[test]
fn every_metric_is_counted() {
    let files = sources(&["src"]);
    let (declared, others): (Vec<_>, Vec<_>) = files.iter().partition(|source| source.path == "src/metrics.rs");
    let names = declared.iter().flat_map(|source| source.shipped.lines()).filter_map(|line| {
        let (name, kind) = line.trim().split_once(": ")?;
        let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        (is_name && kind.trim_end_matches([',', ' ']).ends_with('=')).then_some(name)
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 10, "the declarations were not found: {names:?}");
    let counted = |name: &str| others.iter().any(|source| source.shipped.contains(&format!("metrics::{name}")));
    let unused = names.iter().filter(|name| !counted(name)).map(|name| name.to_string());
    report("every metric is counted", unused.collect());
}

// ── docs

#[test]
fn generated_pages_are_up_to_date() {
    let pages = [
        ("docs/configuration.md", interfluve::cli::reference() + &interfluve::kafka::configs::markdown()),
        ("docs/metrics.md", interfluve::metrics::reference()),
        ("docs/protocol.md", interfluve::kafka::table::protocol_markdown()),
    ];
    let mut findings = Vec::new();
    for (path, want) in pages {
        let file = root().join(path);
        if fs::read_to_string(&file).is_ok_and(|is| is == want) {
            continue;
        }
        match std::env::var_os("UPDATE_DOCS") {
            Some(_) => fs::write(&file, want).expect("written"),
            None => findings.push(format!("{path} is not what the code says")),
        }
    }
    report("generated pages are up to date (UPDATE_DOCS=1 cargo test --test tidy)", findings);
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let entries = fs::read_dir(root().join("docs/decisions")).expect("decisions").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let wrong = names.iter().enumerate().filter(|(at, name)| !name.starts_with(&format!("{:04}-", at + 1)));
    report("decisions count 0001, 0002, …", wrong.map(|(_, name)| name.clone()).collect());
}

/// Every direct dependency has its line in the decision about dependencies, and no line outlives its dependency.
#[test]
fn every_dependency_has_its_reason() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("readable");
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let reasons = read("docs/decisions/0001-dependencies.md");
    let listed: Vec<&str> = reasons.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let table = |kind| manifest.get(kind).and_then(|table: &toml::Value| table.as_table());
    let used: Vec<&str> = ["dependencies", "dev-dependencies"]
        .into_iter()
        .filter_map(table)
        .flat_map(|table| table.keys())
        .map(String::as_str)
        .collect();
    let missing = used.iter().filter(|name| !listed.contains(name)).map(|name| format!("{name} has no reason"));
    let stale = listed.iter().filter(|name| !used.contains(name)).map(|name| format!("{name} is not used"));
    report("dependencies and their reasons", missing.chain(stale).collect());
}
