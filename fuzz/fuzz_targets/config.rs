//! A configuration file, judged as the server judges it at its start, and the settings of a stream, one `name=value` a
//! line. Input: which (1 byte), text.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use interfluve::config::server::{ServerSettings, from_toml};
use interfluve::config::stream::StreamSettings;
use interfluve_fuzz::counted;
use libfuzzer_sys::fuzz_target;

counted!();

fuzz_target!(|data: &[u8]| {
    let [which, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if which % 2 == 0 {
        match from_toml(Path::new("i.toml"), text).map(ServerSettings::parse) {
            Ok(Err(refusals)) => assert!(refusals.iter().all(|refusal| !refusal.to_string().is_empty())),
            Ok(Ok(settings)) => drop(settings.values().count()),
            Err(words) => assert!(!words.is_empty()),
        }
    } else {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let set: BTreeMap<String, String> = lines.map(|(name, value)| (name.into(), value.into())).collect();
        if let Err(bad) = StreamSettings::parse(&set) {
            assert!(!bad.to_string().is_empty());
        }
    }
});
