//! Writes the JSON of an answer straight into one buffer. Pure; no tree is ever built.
//!
//! Members that have no value are not written (`null` appears nowhere in AWS's answers): a caller leaves them out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// JSON text being written, front to back.
#[derive(Debug, Default)]
pub struct Out {
    buf: Vec<u8>,
    /// Whether the next value needs a comma before it.
    comma: bool,
}

impl Out {
    /// A buffer that will not grow before it holds `bytes`.
    pub fn with_capacity(bytes: usize) -> Out {
        Out { buf: Vec::with_capacity(bytes), comma: false }
    }

    pub fn finish(self) -> Vec<u8> {
        self.buf
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// What the buffer can hold without growing.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Makes the buffer hold `bytes` in all, and no more than that.
    pub fn reserve_upto(&mut self, bytes: usize) {
        self.buf.reserve_exact(bytes.saturating_sub(self.buf.len()));
    }

    /// Begins an object as the next value.
    pub fn begin(&mut self) {
        self.separate();
        self.buf.push(b'{');
        self.comma = false;
    }

    pub fn end(&mut self) {
        self.buf.push(b'}');
        self.comma = true;
    }

    /// Begins an object under `name`.
    pub fn begin_in(&mut self, name: &str) {
        self.name(name);
        self.buf.push(b'{');
        self.comma = false;
    }

    /// Begins a list under `name`.
    pub fn list(&mut self, name: &str) {
        self.name(name);
        self.buf.push(b'[');
        self.comma = false;
    }

    pub fn end_list(&mut self) {
        self.buf.push(b']');
        self.comma = true;
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// A text as an element of a list.
    pub fn item(&mut self, value: &str) {
        self.separate();
        self.quoted(value);
    }

    pub fn integer(&mut self, name: &str, value: i64) {
        self.name(name);
        self.buf.extend_from_slice(value.to_string().as_bytes());
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.buf.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Milliseconds since the epoch, written as seconds with three decimals: what JSON 1.1 calls a timestamp.
    pub fn time_ms(&mut self, name: &str, ms: i64) {
        self.name(name);
        let sign = if ms < 0 { "-" } else { "" };
        let ms = ms.unsigned_abs();
        self.buf.extend_from_slice(format!("{sign}{}.{:03}", ms / 1000, ms % 1000).as_bytes());
    }

    /// Bytes as base64, encoded in place.
    pub fn blob(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.buf.push(b'"');
        let at = self.buf.len();
        let length = value.len().div_ceil(3) * 4;
        self.buf.resize(at + length, 0);
        let written = STANDARD.encode_slice(value, &mut self.buf[at..]);
        assert_eq!(written.ok(), Some(length), "the room for base64 is computed exactly");
        self.buf.push(b'"');
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.quoted(name);
        self.buf.push(b':');
    }

    fn separate(&mut self) {
        if self.comma {
            self.buf.push(b',');
        }
        self.comma = true;
    }

    fn quoted(&mut self, text: &str) {
        self.buf.push(b'"');
        let bytes = text.as_bytes();
        let mut copied = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let short: Option<&[u8]> = match byte {
                b'"' => Some(b"\\\""),
                b'\\' => Some(b"\\\\"),
                b'\n' => Some(b"\\n"),
                b'\r' => Some(b"\\r"),
                b'\t' => Some(b"\\t"),
                0..=0x1f => None,
                _ => continue,
            };
            self.buf.extend_from_slice(&bytes[copied..at]);
            match short {
                Some(escape) => self.buf.extend_from_slice(escape),
                None => self.buf.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
            copied = at + 1;
        }
        self.buf.extend_from_slice(&bytes[copied..]);
        self.buf.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_nest_with_commas_where_they_belong() {
        let mut out = Out::default();
        out.begin();
        out.integer("a", -3);
        out.list("b");
        out.item("x");
        out.item("y");
        out.begin();
        out.boolean("c", true);
        out.end();
        out.end_list();
        out.begin_in("d");
        out.end();
        out.blob("e", b"hi");
        out.end();
        let text = String::from_utf8(out.finish()).unwrap();
        assert_eq!(text, r#"{"a":-3,"b":["x","y",{"c":true}],"d":{},"e":"aGk="}"#);
    }

    #[test]
    fn times_are_seconds_with_three_decimals() {
        let cases = [(0, "0.000"), (1, "0.001"), (1_700_000_000_123, "1700000000.123"), (-1_500, "-1.500")];
        for (ms, text) in cases {
            let mut out = Out::default();
            out.begin();
            out.time_ms("t", ms);
            out.end();
            assert_eq!(String::from_utf8(out.finish()).unwrap(), format!(r#"{{"t":{text}}}"#));
        }
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_read_back(text in ".*", bytes: Vec<u8>) {
            let mut out = Out::default();
            out.begin();
            out.text(&text, &text);
            out.blob("\u{1}blob", &bytes);
            out.end();
            let value: serde_json::Value = serde_json::from_slice(&out.finish()).unwrap();
            prop_assert_eq!(value[&text].as_str(), Some(text.as_str()));
            let expected = STANDARD.encode(&bytes);
            prop_assert_eq!(value["\u{1}blob"].as_str(), Some(expected.as_str()));
        }
    }
}
