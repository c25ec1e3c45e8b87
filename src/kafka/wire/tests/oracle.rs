//! Cases for Kafka's own Java classes (`compat/wire-oracle/run.sh`): our bytes of random values, and what we say is in
//! them. Then the other way: random values that those classes made, which we must read and write as they do.
//!
//! ```text
//! ours:
//! value   ⇥ message ⇥ version ⇥ seed ⇥ bytes in hex ⇥ .path.to.a_leaf=value;…      texts and bytes in hex
//! moved   ⇥ the same ⇥ another version ⇥ what we write of this value at that version, or `refused`
//! default ⇥ message ⇥ ⇥ ⇥ ⇥ .path.to.a_leaf=value;…                                what a new message holds
//! theirs:
//! made    ⇥ message ⇥ version ⇥ seed ⇥ bytes ⇥ .path.to.a_leaf=value;… ⇥ bytes that this value becomes again
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::kafka::table;
use crate::kafka::wire::field::hex;
use crate::kafka::wire::header::{RequestHeader, ResponseHeader};
use crate::kafka::wire::{Message, Reader, Writer};

/// What real clients said and heard (`tests/wire/goldens/`), in the same lines; the seed is the line of the recording.
fn add_goldens<M: Message>(lines: &mut String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/goldens");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("goldens").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        for (number, line) in text.lines().enumerate() {
            let parts: Vec<&str> = line.split(' ').collect();
            let ["kafka", _, asked, heard] = parts[..] else { continue };
            let asked = Bytes::from(STANDARD.decode(asked).expect("base64"));
            let mut request = Reader::new(asked);
            let header = RequestHeader::read(&mut request).expect("a header");
            let (key, version) = (header.request_api_key, header.request_api_version);
            let Some(row) = table::find(key).filter(|row| row.versions.contains(&version)) else { continue };
            let mut reader = match M::NAME.strip_prefix(row.name) {
                Some("Request") => request,
                Some("Response") if heard != "-" => {
                    let mut response = Reader::new(Bytes::from(STANDARD.decode(heard).expect("base64")));
                    ResponseHeader::read(&mut response, key, version).expect("a header");
                    response
                }
                _ => continue,
            };
            let body = reader.rest();
            let message = M::decode(&mut reader, version).expect("a golden that can be read");
            let bytes = hex(&body[..body.len() - reader.remaining()]);
            let said = message.description().join(";");
            writeln!(lines, "value\t{}\t{version}\t{}\t{bytes}\t{said}", M::NAME, number + 1).expect("memory");
        }
    }
}

fn add<M: Message + Default>(lines: &mut String) {
    let description = |message: &M| message.description().join(";");
    writeln!(lines, "default\t{}\t\t\t\t{}", M::NAME, description(&M::default())).expect("memory");
    super::each_value::<M>(|version, seed, value| {
        let mut w = Writer::new();
        value.encode(&mut w, version).expect("a sampled value can be written");
        let bytes = hex(&w.finish().into_bytes());
        let said = format!("{}\t{version}\t{seed}\t{bytes}\t{}", M::NAME, description(value));
        writeln!(lines, "value\t{said}").expect("memory");
        let other = fastrand::Rng::with_seed(seed).i16(M::RANGE);
        let mut w = Writer::new();
        let moved = match value.encode(&mut w, other) {
            Ok(()) => hex(&w.finish().into_bytes()),
            Err(_) => "refused".to_owned(),
        };
        writeln!(lines, "moved\t{said}\t{other}\t{moved}").expect("memory");
    });
    add_goldens::<M>(lines);
}

#[test]
fn cases_are_written_when_a_file_is_named() {
    let mut lines = String::new();
    macro_rules! cases {
        ($($module:ident: $($message:ident)*;)*) => {
            $($(add::<crate::kafka::wire::messages::$module::$message>(&mut lines);)*)*
        };
    }
    let Ok(file) = std::env::var("WIRE_ORACLE_CASES") else {
        cases! { metadata: MetadataRequest MetadataResponse; }
        assert!(lines.lines().all(|line| [6, 8].contains(&line.split('\t').count())));
        return;
    };
    every_message!(cases);
    every_record!(cases);
    std::fs::write(file, lines).expect("the file of cases can be written");
}

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// What is wrong with one value that Kafka made, if anything.
fn judge<M: Message>(version: i16, bytes: &str, said: &str, again: &str) -> Result<(), String> {
    let message = M::from_bytes(unhex(bytes), version).map_err(|error| error.to_string())?;
    let ours: BTreeSet<String> = message.description().into_iter().collect();
    if let Some(leaf) = said.split(';').find(|leaf| !leaf.is_empty() && !ours.contains(*leaf)) {
        return Err(format!("{leaf} is not in it"));
    }
    let mut w = Writer::new();
    message.encode(&mut w, version).map_err(|error| error.to_string())?;
    let written = hex(&w.finish().into_bytes());
    if written == again { Ok(()) } else { Err(format!("written again as {written}, not {again}")) }
}

fn judge_by_name(name: &str, version: i16, bytes: &str, said: &str, again: &str) -> Result<(), String> {
    macro_rules! by_name {
        ($($module:ident: $($message:ident)*;)*) => {
            $($(if name == stringify!($message) {
                return judge::<crate::kafka::wire::messages::$module::$message>(version, bytes, said, again);
            })*)*
        };
    }
    every_message!(by_name);
    every_record!(by_name);
    Err("no message of ours".to_owned())
}

#[test]
fn what_kafka_made_is_read_and_written_as_kafka_does() {
    let Ok(file) = std::env::var("WIRE_ORACLE_MADE") else {
        let judge = |said, again| judge_by_name("HeartbeatResponse", 0, "0007", said, again);
        assert_eq!(judge(".error_code=7", "0007"), Ok(()));
        judge(".error_code=8", "0007").expect_err("another value");
        judge(".error_code=7", "0008").expect_err("other bytes");
        return;
    };
    let lines = BufReader::new(File::open(file).expect("the file that the Java classes wrote"));
    let mut wrong = Vec::new();
    for line in lines.lines().map(|line| line.expect("text")) {
        let ["made", name, version, seed, bytes, said, again] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a value: {line}");
        };
        if let Err(why) = judge_by_name(name, version.parse().expect("a number"), bytes, said, again) {
            wrong.push(format!("{name} version {version} seed {seed}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong, among them\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
