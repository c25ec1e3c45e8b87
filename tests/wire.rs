//! Goldens: what real clients said to the server, and heard, recorded by `compat/lib/record.py` (which describes the
//! files of `tests/wire/goldens/`). Every request is read and written again byte for byte, the handlers answer it, and
//! what they answer is read by another codec too. Nothing in a golden is edited.

#[path = "wire/server.rs"]
mod server;

#[path = "wire/frames.rs"]
mod frames;
#[path = "wire/http.rs"]
mod http;
#[path = "wire/mutate.rs"]
mod mutate;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One exchange of a recording.
struct Exchange {
    client: String,
    /// `kafka`, `http1` or `http2`.
    form: String,
    asked: Vec<u8>,
    heard: Option<Vec<u8>>,
}

/// All exchanges of one form, client by client, in the order in which they were asked.
fn exchanges(form: &str) -> Vec<Exchange> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/goldens");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("goldens").map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let client = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&file).expect("text").lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.split(' ').collect();
            let bytes = |text: &str| STANDARD.decode(text).expect("base64");
            let [its_form, _connection, asked, heard] = parts[..] else { panic!("{client}: {line}") };
            if its_form == form {
                let heard = (heard != "-").then(|| bytes(heard));
                found.push(Exchange { client: client.clone(), form: its_form.into(), asked: bytes(asked), heard });
            }
        }
    }
    assert!(!found.is_empty(), "no goldens of {form}");
    found
}
