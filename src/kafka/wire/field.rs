//! How a value of each field type stands on the wire. Plain implementations, one per type; versions are decided by the
//! message that holds the field.

use std::fmt;

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::error::{What, WireError};
use super::rope::Rope;

/// A 128-bit identifier, as Kafka's message definitions type it. All zero means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl Uuid {
    pub const ZERO: Uuid = Uuid(0);

    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Which form a field takes at the version being read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub version: i16,
    /// Compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
    /// Null is allowed.
    pub nullable: bool,
    /// In a tagged field, where Kafka writes null structs otherwise.
    pub tagged: bool,
}

impl Form {
    pub fn of(version: i16, flexible: bool) -> Form {
        Form { version, flexible, nullable: false, tagged: false }
    }

    pub fn nullable(self, nullable: bool) -> Form {
        Form { nullable, tagged: false, ..self }
    }

    pub fn tagged(self) -> Form {
        Form { tagged: true, ..self }
    }
}

/// A value that can stand in a message.
pub trait Field: Sized + PartialEq {
    /// The value a field has when its definition names no default.
    fn zero() -> Self;
    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError>;
    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError>;
    /// The fewest bytes any value takes: what bounds a count.
    fn min_bytes(form: Form) -> usize;
    fn is_null(&self) -> bool {
        false
    }
    /// Of a struct with a `throttle_time_ms`: makes it at least this. Answers what it is, or would be.
    fn throttle(&mut self, at_least_ms: i32) -> i32 {
        at_least_ms
    }
    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, form: Form) -> Self;
    /// Adds one `path=value` for every leaf: what another implementation should see in the same bytes.
    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>);
}

/// A value that may be null at some versions.
pub trait Nullable: Field {
    /// Null as `None`, whether allowed or not.
    fn take_option(r: &mut Reader, form: Form) -> Result<Option<Self>, WireError>;
    fn put_null(w: &mut Writer, form: Form) -> Result<(), WireError>;
    /// A value where null could have stood.
    fn put_some(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        self.put(w, form)
    }
}

impl<T: Nullable> Field for Option<T> {
    fn zero() -> Self {
        Some(T::zero())
    }

    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError> {
        let value = T::take_option(r, form)?;
        if value.is_none() && !form.nullable { Err(r.error(What::Null)) } else { Ok(value) }
    }

    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        match self {
            Some(value) => value.put_some(w, form),
            None if form.nullable => T::put_null(w, form),
            None => Err(w.error(What::Null)),
        }
    }

    fn min_bytes(form: Form) -> usize {
        if form.nullable { 1 } else { T::min_bytes(form) }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, form: Form) -> Self {
        if form.nullable && rng.u8(..) < 64 { None } else { Some(T::sample(rng, form.nullable(false))) }
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        match self {
            Some(value) => value.describe(path, out),
            None => out.push(format!("{path}=null")),
        }
    }
}

fn not_null<T>(r: &Reader, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| r.error(What::Null))
}

macro_rules! number {
    ($($t:ident $random:expr, $said:expr;)*) => {$(
        impl Field for $t {
            fn zero() -> Self {
                $t::default()
            }

            fn take(r: &mut Reader, _: Form) -> Result<Self, WireError> {
                Ok($t::from_be_bytes(r.fixed()?))
            }

            fn put(&self, w: &mut Writer, _: Form) -> Result<(), WireError> {
                w.put(&self.to_be_bytes());
                Ok(())
            }

            fn min_bytes(_: Form) -> usize {
                size_of::<$t>()
            }

            #[cfg(test)]
            fn sample(rng: &mut fastrand::Rng, _: Form) -> Self {
                let random: fn(&mut fastrand::Rng) -> $t = $random;
                match rng.u8(0..6) {
                    0 => $t::MAX,
                    1 => $t::MIN,
                    2 => $t::default(),
                    _ => random(rng),
                }
            }

            #[cfg(test)]
            fn describe(&self, path: &str, out: &mut Vec<String>) {
                let said: fn(&$t) -> String = $said;
                out.push(format!("{path}={}", said(self)));
            }
        }
    )*};
}

number! {
    i8 |rng| rng.i8(..), i8::to_string;
    i16 |rng| rng.i16(..), i16::to_string;
    i32 |rng| rng.i32(..), i32::to_string;
    i64 |rng| rng.i64(..), i64::to_string;
    u16 |rng| rng.u16(..), u16::to_string;
    // As bits, since every language has digits of its own for these.
    f64 |rng| rng.f64() * 1e6, |value| format!("{:016x}", value.to_bits());
}

impl Field for bool {
    fn zero() -> Self {
        false
    }

    fn take(r: &mut Reader, _: Form) -> Result<Self, WireError> {
        Ok(r.i8()? != 0)
    }

    fn put(&self, w: &mut Writer, _: Form) -> Result<(), WireError> {
        w.put(&[u8::from(*self)]);
        Ok(())
    }

    fn min_bytes(_: Form) -> usize {
        1
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, _: Form) -> Self {
        rng.bool()
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}={self}"));
    }
}

impl Field for Uuid {
    fn zero() -> Self {
        Uuid::ZERO
    }

    fn take(r: &mut Reader, _: Form) -> Result<Self, WireError> {
        Ok(Uuid(u128::from_be_bytes(r.fixed()?)))
    }

    fn put(&self, w: &mut Writer, _: Form) -> Result<(), WireError> {
        w.put(&self.0.to_be_bytes());
        Ok(())
    }

    fn min_bytes(_: Form) -> usize {
        16
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, _: Form) -> Self {
        if rng.u8(..) < 32 { Uuid::ZERO } else { Uuid(rng.u128(..)) }
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}={self:?}"));
    }
}

impl Field for String {
    fn zero() -> Self {
        String::new()
    }

    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError> {
        let value = r.string(form.flexible)?;
        not_null(r, value)
    }

    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.string(Some(self), form.flexible)
    }

    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 2 }
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, _: Form) -> Self {
        // Around 127 bytes the compact length takes its second byte.
        let longest = if rng.u8(..) < 16 { 300 } else { 12 };
        (0..rng.usize(..=longest)).map(|_| if rng.u8(..) < 16 { rng.char(..) } else { rng.alphanumeric() }).collect()
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}={}", hex(self.as_bytes())));
    }
}

impl Nullable for String {
    fn take_option(r: &mut Reader, form: Form) -> Result<Option<Self>, WireError> {
        r.string(form.flexible)
    }

    fn put_null(w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.string(None, form.flexible)
    }
}

impl Field for Bytes {
    fn zero() -> Self {
        Bytes::new()
    }

    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError> {
        let value = Bytes::take_option(r, form)?;
        not_null(r, value)
    }

    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.bytes_length(Some(self.len()), form.flexible)?;
        w.share(self);
        Ok(())
    }

    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 4 }
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, _: Form) -> Self {
        let longest = if rng.u8(..) < 16 { 2_000 } else { 20 };
        (0..rng.usize(..=longest)).map(|_| rng.u8(..)).collect()
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}={}", hex(self)));
    }
}

impl Nullable for Bytes {
    fn take_option(r: &mut Reader, form: Form) -> Result<Option<Self>, WireError> {
        match r.bytes_length(form.flexible)? {
            None => Ok(None),
            Some(length) => r.slice(length).map(Some),
        }
    }

    fn put_null(w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.bytes_length(None, form.flexible)
    }
}

/// Records of a response: several batches in a row, each where it lies.
impl Field for Rope {
    fn zero() -> Self {
        Rope::new()
    }

    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError> {
        Bytes::take(r, form).map(Rope::from)
    }

    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.bytes_length(Some(self.len()), form.flexible)?;
        self.parts().iter().for_each(|part| w.share(part));
        Ok(())
    }

    fn min_bytes(form: Form) -> usize {
        Bytes::min_bytes(form)
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, form: Form) -> Self {
        (0..rng.usize(..4)).map(|_| Bytes::sample(rng, form)).collect::<Vec<_>>().into()
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}={}", hex(&self.clone().into_bytes())));
    }
}

impl Nullable for Rope {
    fn take_option(r: &mut Reader, form: Form) -> Result<Option<Self>, WireError> {
        Ok(Bytes::take_option(r, form)?.map(Rope::from))
    }

    fn put_null(w: &mut Writer, form: Form) -> Result<(), WireError> {
        Bytes::put_null(w, form)
    }
}

impl<T: Field> Field for Vec<T> {
    fn zero() -> Self {
        Vec::new()
    }

    fn take(r: &mut Reader, form: Form) -> Result<Self, WireError> {
        let value = Vec::take_option(r, form)?;
        not_null(r, value)
    }

    fn put(&self, w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.bytes_length(Some(self.len()), form.flexible)?;
        let form = form.nullable(false);
        self.iter().try_for_each(|element| element.put(w, form))
    }

    fn min_bytes(form: Form) -> usize {
        if form.flexible { 1 } else { 4 }
    }

    #[cfg(test)]
    fn sample(rng: &mut fastrand::Rng, form: Form) -> Self {
        (0..rng.usize(..4)).map(|_| T::sample(rng, form)).collect()
    }

    #[cfg(test)]
    fn describe(&self, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path}=[{}]", self.len()));
        self.iter().enumerate().for_each(|(index, element)| element.describe(&format!("{path}.{index}"), out));
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn take_option(r: &mut Reader, form: Form) -> Result<Option<Self>, WireError> {
        let Some(count) = r.bytes_length(form.flexible)? else { return Ok(None) };
        let form = form.nullable(false);
        r.fits(count, T::min_bytes(form))?;
        let mut elements = Vec::new();
        for left in (1..=count).rev() {
            r.grow(&mut elements, left)?;
            elements.push(T::take(r, form)?);
        }
        Ok(Some(elements))
    }

    fn put_null(w: &mut Writer, form: Form) -> Result<(), WireError> {
        w.bytes_length(None, form.flexible)
    }
}

/// Bytes as lower-case hexadecimal digits.
#[cfg(test)]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
