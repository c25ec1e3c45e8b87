//! Cases for Kafka's own Java classes (`compat/wire-oracle/run.sh`): our bytes of random values, and what we say is in
//! them. Nothing is judged here.
//!
//! ```text
//! value   ⇥ message ⇥ version ⇥ seed ⇥ bytes in hex ⇥ .path.to.a_leaf=value;…      texts and bytes in hex
//! moved   ⇥ the same ⇥ another version ⇥ what we write of this value at that version, or `refused`
//! default ⇥ message ⇥ ⇥ ⇥ ⇥ .path.to.a_leaf=value;…                                what a new message holds
//! ```

use std::fmt::Write;

use crate::kafka::wire::field::hex;
use crate::kafka::wire::{Message, Writer};

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
    cases! { group_records: OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue; }
    std::fs::write(file, lines).expect("the file of cases can be written");
}
