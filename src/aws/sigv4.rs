//! Who signed a request, and whether the signature is complete enough to be one. Pure; verifies nothing (yet): any key
//! is accepted, as long as the request is signed at all.
//!
//! ```text
//! Authorization: AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…, Signature=…
//! ?X-Amz-Algorithm=…&X-Amz-Credential=KEY%2FDATE%2F…&X-Amz-Date=…&X-Amz-SignedHeaders=…&X-Amz-Signature=…
//! ```

use super::error::Failure;

/// Longest header or query we look at; a signature is a few hundred bytes.
const LIMIT_BYTES: usize = 16 * 1024;

/// What the credential scope of a signed request claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub access_key: String,
    pub date: String,
    /// Empty for a signature that names no region (SigV4a).
    pub region: String,
    pub service: String,
}

impl Claim {
    /// The account a request speaks for: the access key where it is 12 digits, as local stacks have it, else `fallback`.
    pub fn account<'a>(&'a self, fallback: &'a str) -> &'a str {
        let digits = self.access_key.len() == 12 && self.access_key.bytes().all(|b| b.is_ascii_digit());
        if digits { &self.access_key } else { fallback }
    }

    /// The region of the scope, where it can stand in an ARN, else `fallback`.
    pub fn region<'a>(&'a self, fallback: &'a str) -> &'a str {
        let plain = (1..=32).contains(&self.region.len())
            && self.region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if plain { &self.region } else { fallback }
    }
}

/// Reads the claim of a request.
///
/// `dated` says whether an `X-Amz-Date` or a `Date` header is there. Errors: `MissingAuthenticationTokenException`,
/// `InvalidSignatureException` (signed twice), `IncompleteSignatureException` (a sentence per missing part).
pub fn claim(authorization: Option<&str>, query: Option<&str>, dated: bool) -> Result<Claim, Failure> {
    let pairs = query_pairs(query.unwrap_or(""));
    let in_query = pairs.iter().any(|(name, _)| name == "X-Amz-Algorithm");
    match (authorization.filter(|text| !text.is_empty()), in_query) {
        (Some(_), true) => Err(Failure::client(
            "InvalidSignatureException",
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        )),
        (None, false) => Err(Failure::client("MissingAuthenticationTokenException", "Missing Authentication Token")),
        (Some(text), false) => from_header(text, dated),
        (None, true) => from_query(&pairs),
    }
}

fn from_header(text: &str, dated: bool) -> Result<Claim, Failure> {
    if text.len() > LIMIT_BYTES {
        return Err(incomplete("Authorization header is too long."));
    }
    let parts: Vec<(&str, &str)> = text
        .split([',', ' '])
        .skip(1)
        .filter(|part| !part.is_empty())
        .filter_map(|part| part.split_once('='))
        .collect();
    let find = |name: &str| parts.iter().find(|(n, v)| *n == name && !v.is_empty()).map(|(_, v)| *v);
    let mut missing = String::new();
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if find(name).is_none() {
            missing += &format!("Authorization header requires '{name}' parameter. ");
        }
    }
    if !dated {
        missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    }
    match find("Credential") {
        Some(credential) if missing.is_empty() => scope(credential, text.starts_with("AWS4-ECDSA")),
        _ => Err(incomplete(format!("{missing}Authorization={text}"))),
    }
}

fn from_query(pairs: &[(String, String)]) -> Result<Claim, Failure> {
    let find = |name: &str| pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
    let mut missing = String::new();
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"] {
        if find(name).is_none() {
            missing += &format!("AWS query-string parameters must include '{name}'. ");
        }
    }
    match (find("X-Amz-Credential"), find("X-Amz-Algorithm")) {
        (Some(credential), Some(algorithm)) if missing.is_empty() => {
            scope(credential, algorithm.starts_with("AWS4-ECDSA"))
        }
        _ => Err(incomplete(format!("{missing}Re-examine the query-string parameters."))),
    }
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`; the asymmetric kind (SigV4a) has no region.
fn scope(credential: &str, without_region: bool) -> Result<Claim, Failure> {
    let parts: Vec<&str> = credential.split('/').collect();
    match parts[..] {
        [access_key, date, region, service, _term] => Ok(Claim {
            access_key: access_key.to_string(),
            date: date.to_string(),
            region: region.to_string(),
            service: service.to_string(),
        }),
        [access_key, date, service, _term] if without_region => Ok(Claim {
            access_key: access_key.to_string(),
            date: date.to_string(),
            region: String::new(),
            service: service.to_string(),
        }),
        _ => Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
        ))),
    }
}

fn incomplete(message: impl Into<String>) -> Failure {
    Failure::client("IncompleteSignatureException", message)
}

/// The name-value pairs of a query, percent-decoded; a broken escape stands for itself.
fn query_pairs(query: &str) -> Vec<(String, String)> {
    if query.len() > LIMIT_BYTES {
        return Vec::new();
    }
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], pair.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kinesis/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=abc";

    #[test]
    fn a_whole_header_names_key_region_and_service() {
        let claim = claim(Some(WHOLE), None, true).unwrap();
        assert_eq!((claim.access_key.as_str(), claim.region.as_str()), ("AKID", "eu-west-1"));
        assert_eq!((claim.date.as_str(), claim.service.as_str()), ("20260101", "kinesis"));
    }

    #[test]
    fn a_whole_query_names_them_too() {
        let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=123456789012%2F20260101%2Fus-gov-west-1%2Fkinesis\
                     %2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=ff";
        let claim = claim(None, Some(query), false).unwrap();
        assert_eq!(claim.account("000000000000"), "123456789012");
        assert_eq!(claim.region("us-east-1"), "us-gov-west-1");
    }

    #[test]
    fn account_and_region_fall_back_when_the_scope_cannot_name_them() {
        let cases = [
            ("AKIAEXAMPLE1", "eu-west-1", "000000000000", "eu-west-1"),
            ("12345678901", "", "000000000000", "us-east-1"),
            ("123456789012", "EU WEST", "123456789012", "us-east-1"),
        ];
        for (key, region, account, shown) in cases {
            let claim = Claim {
                access_key: key.into(),
                date: "20260101".into(),
                region: region.into(),
                service: "kinesis".into(),
            };
            assert_eq!((claim.account("000000000000"), claim.region("us-east-1")), (account, shown));
        }
    }

    #[test]
    fn what_is_missing_is_said_part_by_part() {
        let date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        let need = |name: &str| format!("Authorization header requires '{name}' parameter. ");
        let query = |name: &str| format!("AWS query-string parameters must include '{name}'. ");
        /// Header, query, dated; type and sentence.
        type Case<'a> = (Option<&'a str>, Option<&'a str>, bool, &'a str, String);
        let cases: Vec<Case<'_>> = vec![
            (None, None, true, "MissingAuthenticationTokenException", "Missing Authentication Token".into()),
            (
                Some(WHOLE),
                Some("X-Amz-Algorithm"),
                true,
                "InvalidSignatureException",
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".into(),
            ),
            (
                Some("AWS4-"),
                None,
                false,
                "IncompleteSignatureException",
                format!(
                    "{}{}{}{date}Authorization=AWS4-",
                    need("Credential"),
                    need("Signature"),
                    need("SignedHeaders")
                ),
            ),
            (
                Some("AWS4- Signature=b Credential=a"),
                None,
                false,
                "IncompleteSignatureException",
                format!("{}{date}Authorization=AWS4- Signature=b Credential=a", need("SignedHeaders")),
            ),
            (Some(WHOLE), None, false, "IncompleteSignatureException", format!("{date}Authorization={WHOLE}")),
            (
                Some("AWS4- Credential=a,SignedHeaders=b,Signature=c"),
                None,
                true,
                "IncompleteSignatureException",
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a'"
                    .into(),
            ),
            (
                None,
                Some("X-Amz-Algorithm=a&X-Amz-Signature=c"),
                true,
                "IncompleteSignatureException",
                format!(
                    "{}{}{}Re-examine the query-string parameters.",
                    query("X-Amz-Credential"),
                    query("X-Amz-SignedHeaders"),
                    query("X-Amz-Date")
                ),
            ),
        ];
        for (header, query, dated, kind, message) in cases {
            let failure = claim(header, query, dated).unwrap_err();
            assert_eq!((failure.kind, failure.message.as_deref()), (kind, Some(message.as_str())));
        }
    }

    #[test]
    fn a_signature_without_region_is_read() {
        let text = "AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/kinesis/aws4_request, SignedHeaders=a, Signature=b";
        let claim = claim(Some(text), None, true).unwrap();
        assert_eq!((claim.service.as_str(), claim.region("us-east-1")), ("kinesis", "us-east-1"));
    }

    #[test]
    fn broken_percent_escapes_stand_for_themselves() {
        for (text, out) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("a%2Fb+c", "a/b c"), ("%é", "%é")] {
            assert_eq!(percent_decoded(text), out);
        }
    }
}
