//! An AWS error as a client sees it: a status, a type and (mostly) a sentence. Pure; decides nothing about when.
//!
//! Rendered as `{"__type":"…","message":"…"}`, without a namespace before the type. SerializationException alone spells
//! its member `Message`, as the service does.

use super::write::Out;

/// What an operation answers when it does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub kind: &'static str,
    pub message: Option<String>,
}

impl Failure {
    /// A client's mistake: status 400.
    pub fn client(kind: &'static str, message: impl Into<String>) -> Failure {
        Failure { status: 400, kind, message: Some(message.into()) }
    }

    /// A 400 whose body holds the type and nothing else.
    pub fn bare(kind: &'static str) -> Failure {
        Failure { status: 400, kind, message: None }
    }

    /// Our own failure: status 500. Whether the request took effect is unknown to the client, who retries.
    pub fn internal(message: impl Into<String>) -> Failure {
        Failure { status: 500, kind: "InternalFailure", message: Some(message.into()) }
    }

    /// Too much at once: status 503, which every SDK retries with backoff.
    pub fn unavailable(message: impl Into<String>) -> Failure {
        Failure { status: 503, kind: "ServiceUnavailable", message: Some(message.into()) }
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.begin();
        out.text("__type", self.kind);
        if let Some(message) = &self.message {
            let name = if self.kind == "SerializationException" { "Message" } else { "message" };
            out.text(name, message);
        }
        out.end();
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_spelled_as_the_service_spells_them() {
        let cases = [
            (
                Failure::client("ResourceNotFoundException", "gone"),
                r#"{"__type":"ResourceNotFoundException","message":"gone"}"#,
            ),
            (
                Failure::client("SerializationException", "bad"),
                r#"{"__type":"SerializationException","Message":"bad"}"#,
            ),
            (Failure::bare("UnknownOperationException"), r#"{"__type":"UnknownOperationException"}"#),
            (Failure::internal("a \"b\"\n"), r#"{"__type":"InternalFailure","message":"a \"b\"\n"}"#),
        ];
        for (failure, body) in cases {
            assert_eq!(String::from_utf8(failure.body()).unwrap(), body);
        }
    }
}
