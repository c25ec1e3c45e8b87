//! Reads our own sources, and tells code from comments and strings, and what is shipped from its tests. Judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file, three times: as it is, and with everything blanked that is not code, or not outside of tests.
pub struct Source {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
    /// Comments, strings and character literals are spaces; lines are where they were.
    pub code: String,
    /// The same up to the module of unit tests; empty for a file of tests.
    pub shipped: String,
}

impl Source {
    pub fn new(path: &str, text: String) -> Source {
        let code = code_only(&text);
        let tests = !path.starts_with("src/")
            || path.ends_with("/tests.rs")
            || path.contains("/tests/")
            || path.ends_with("/laws.rs");
        let shipped = if tests { String::new() } else { before_tests(&code) };
        Source { path: path.into(), text, code, shipped }
    }

    /// The module directly under the crate: `kafka` of `src/kafka/api/fetch.rs`.
    pub fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or("");
        inside.split('/').next().unwrap_or("").trim_end_matches(".rs")
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files in these folders, in order.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root()).expect("inside the project").to_str().expect("UTF-8");
        Source::new(name, fs::read_to_string(path).expect("readable"))
    };
    paths.iter().map(read).collect()
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

/// Blanks comments, strings and character literals.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let raw = !word_before && (rest.starts_with('r') || rest.starts_with("br"));
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => block_comment(rest),
            b'"' => string(rest),
            b'\'' => character(rest),
            _ if raw => raw_string(rest),
            _ => 0,
        };
        if length > 0 {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += length;
        } else {
            let c = rest.chars().next().expect("not at the end");
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let (bytes, mut at) = (rest.as_bytes(), 1);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a raw string, 0 if it is none (`r#type`, `break`).
fn raw_string(rest: &str) -> usize {
    let Some(start) = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')) else { return 0 };
    let hashes = start.len() - start.trim_start_matches('#').len();
    if !start[hashes..].starts_with('"') {
        return 0;
    }
    let begin = rest.len() - start.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begin..].find(&end).map_or(rest.len(), |found| begin + found + end.len())
}

/// Length of a character literal, 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |found| 3 + found + 1),
        Some((at, c)) if rest[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 0,
    }
}

/// Everything before `#[cfg(test)] mod name {`: by our custom, the end of the file.
fn before_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    for (at, _) in code.match_indices(MARK) {
        let line = code[at + MARK.len()..].trim_start().lines().next().unwrap_or("");
        if line.split("mod ").next().is_some_and(|before| before.trim().is_empty() || before.starts_with("pub"))
            && line.contains('{')
        {
            return code[..at].to_string();
        }
    }
    code.to_string()
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    for (text, want) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("a(\"b \\\" c\") d", "a(        ) d"),
        ("r#\"x \" y\"# z", "           z"),
        ("br\"x\" z", "      z"),
        ("break 'a; 'b' x", "break 'a;     x"),
        ("'\\'' x", "     x"),
        ("'\\u{1f}' r#type", "         r#type"),
    ] {
        assert_eq!(code_only(text), want, "{text}");
    }
}

#[test]
fn tests_are_told_from_what_is_shipped() {
    let text = "a\n#[cfg(test)]\nfn b() {}\n#[cfg(test)]\nmod tests {\nc\n}\n";
    assert_eq!(Source::new("src/x.rs", text.into()).shipped, "a\n#[cfg(test)]\nfn b() {}\n");
    assert_eq!(Source::new("src/x/tests.rs", "a".into()).shipped, "");
}
