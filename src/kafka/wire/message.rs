//! Stating a message as Kafka's published definitions do: one row per field with its name, type and versions. The
//! macro makes the struct, its defaults, reading and writing of it. Nothing about any one message is known here.
//!
//! ```text
//! message! {
//!     request 3, versions 0..=13, flexible 9;          or `response 3`, or `data` for what has no API key
//!
//!     struct MetadataRequest {                         the message itself comes first
//!         topics: Option<Vec<MetadataRequestTopic>> [0..]    null [1..];
//!         field:  type                              [versions] null [versions] tag 0 [versions] = default, ignorable;
//!     }
//!     struct MetadataRequestTopic { … }                structs it holds
//! }
//! ```
//! Versions are patterns of an `i16`. `null`: where null is allowed. `tag`: the number of a tagged field and where it
//! is tagged; rows of one struct stand in the order of their tags. Without `=`, the default is zero, empty, or a
//! struct of defaults; a nullable field's default is null only if `= None` says so (as in Kafka). Writing a version
//! that lacks a field refuses a value other than the default, unless the field is `ignorable`.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::error::WireError;

/// `flexible NEVER`: a message without compact lengths and tagged fields at any version.
pub const NEVER: i16 = i16::MAX;

/// A whole message, for code that treats all of them alike. The same items exist on every message itself.
pub trait Message: Sized {
    /// As Kafka's definition names it.
    const NAME: &'static str;
    /// The versions we can read and write.
    const RANGE: RangeInclusive<i16>;
    const FLEXIBLE: i16;

    fn decode(r: &mut Reader, version: i16) -> Result<Self, WireError>;
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), WireError>;

    /// Reads exactly `bytes`.
    fn from_bytes(bytes: Bytes, version: i16) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let message = Self::decode(&mut r, version)?;
        r.at(Self::NAME, "");
        r.finish()?;
        Ok(message)
    }

    /// Bytes that `encode` will write at this version.
    fn wire_bytes(&self, version: i16) -> Result<usize, WireError> {
        let mut w = Writer::counting();
        self.encode(&mut w, version)?;
        Ok(w.written())
    }

    /// Says that the client has to wait at least so long, where the message can; answers how long it says now.
    fn throttle(&mut self, at_least_ms: i32) -> i32;

    /// A random message that this version can carry.
    #[cfg(test)]
    fn sample_message(rng: &mut fastrand::Rng, version: i16) -> Self;
    /// Every leaf as `.path.to.it=value`.
    #[cfg(test)]
    fn description(&self) -> Vec<String>;
}

/// A message that asks.
pub trait Request: Message {
    const API_KEY: i16;
}

macro_rules! message {
    (request $key:literal, versions $versions:expr, flexible $flexible:expr;
     $(#[$meta:meta])* struct $name:ident { $($body:tt)* } $($rest:tt)*) => {
        message!(@message $versions, $flexible, $name);
        structs!($flexible; $(#[$meta])* struct $name { $($body)* } $($rest)*);

        impl $name {
            pub const KEY: i16 = $key;
        }

        impl $crate::kafka::wire::Request for $name {
            const API_KEY: i16 = $key;
        }
    };
    (response $key:literal, versions $versions:expr, flexible $flexible:expr;
     $(#[$meta:meta])* struct $name:ident { $($body:tt)* } $($rest:tt)*) => {
        message!(@message $versions, $flexible, $name);
        structs!($flexible; $(#[$meta])* struct $name { $($body)* } $($rest)*);

        impl $name {
            pub const KEY: i16 = $key;
        }
    };
    (data, versions $versions:expr, flexible $flexible:expr;
     $(#[$meta:meta])* struct $name:ident { $($body:tt)* } $($rest:tt)*) => {
        message!(@message $versions, $flexible, $name);
        structs!($flexible; $(#[$meta])* struct $name { $($body)* } $($rest)*);
    };
    (@message $versions:expr, $flexible:expr, $name:ident) => {
        impl $name {
            /// The versions that can be read and written.
            pub const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            /// The first version with compact lengths and tagged fields.
            pub const FLEXIBLE_FROM: i16 = $flexible;

            fn form(version: i16) -> Option<$crate::kafka::wire::field::Form> {
                let known = Self::VERSIONS.contains(&version);
                known.then(|| $crate::kafka::wire::field::Form::of(version, version >= Self::FLEXIBLE_FROM))
            }

            /// Reads this message at one version; errors name the struct, the field and the byte.
            pub fn read(
                r: &mut $crate::kafka::wire::Reader,
                version: i16,
            ) -> Result<Self, $crate::kafka::wire::WireError> {
                r.at(stringify!($name), "");
                let form = Self::form(version).ok_or_else(|| r.error($crate::kafka::wire::What::Version(version)))?;
                $crate::kafka::wire::field::Field::take(r, form)
            }

            /// Writes this message at one version; an error leaves the writer useless.
            pub fn write(
                &self,
                w: &mut $crate::kafka::wire::Writer,
                version: i16,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                w.at(stringify!($name), "");
                let form = Self::form(version).ok_or_else(|| w.error($crate::kafka::wire::What::Version(version)))?;
                $crate::kafka::wire::field::Field::put(self, w, form)
            }

            /// Bytes that `write` will write at this version.
            pub fn size(&self, version: i16) -> Result<usize, $crate::kafka::wire::WireError> {
                $crate::kafka::wire::Message::wire_bytes(self, version)
            }
        }

        impl $crate::kafka::wire::Message for $name {
            const NAME: &'static str = stringify!($name);
            const RANGE: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE: i16 = $flexible;

            fn decode(
                r: &mut $crate::kafka::wire::Reader,
                version: i16,
            ) -> Result<Self, $crate::kafka::wire::WireError> {
                Self::read(r, version)
            }

            fn encode(
                &self,
                w: &mut $crate::kafka::wire::Writer,
                version: i16,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                self.write(w, version)
            }

            fn throttle(&mut self, at_least_ms: i32) -> i32 {
                $crate::kafka::wire::field::Field::throttle(self, at_least_ms)
            }

            #[cfg(test)]
            fn sample_message(rng: &mut fastrand::Rng, version: i16) -> Self {
                let form = Self::form(version).expect("only versions in the range are sampled");
                $crate::kafka::wire::field::Field::sample(rng, form)
            }

            #[cfg(test)]
            fn description(&self) -> Vec<String> {
                let mut out = Vec::new();
                $crate::kafka::wire::field::Field::describe(self, "", &mut out);
                out
            }
        }
    };
}

/// The structs of one message.
macro_rules! structs {
    ($flexible:expr; $(
        $(#[$meta:meta])*
        struct $name:ident {
            $(
                $field:ident : $type:ty [$versions:pat]
                $(null [$null:pat])? $(tag $tag:literal [$tagged:pat])? $(= $default:expr)? $(, $ignorable:ident)? ;
            )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: default!($type $(, $default)?),)* }
            }
        }

        impl $crate::kafka::wire::field::Field for $name {
            fn zero() -> Self {
                Self::default()
            }

            fn take(
                r: &mut $crate::kafka::wire::Reader,
                form: $crate::kafka::wire::field::Form,
            ) -> Result<Self, $crate::kafka::wire::WireError> {
                let form = form.nullable(false);
                $(let $field = form.nullable(false $(|| matches!(form.version, $null))?);)*
                let mut this = Self::default();
                $(
                    if matches!(form.version, $versions) $(&& !matches!(form.version, $tagged))? {
                        r.at(stringify!($name), stringify!($field));
                        this.$field = $crate::kafka::wire::field::Field::take(r, $field)?;
                    }
                )*
                if form.flexible {
                    r.at(stringify!($name), "");
                    let mut tags = r.tags()?;
                    while let Some(tag) = r.next_tag(&mut tags)? {
                        match tag.number {
                            $($(
                                $tag if matches!(form.version, $tagged) => {
                                    r.at(stringify!($name), stringify!($field));
                                    this.$field = $crate::kafka::wire::field::Field::take(r, $field.tagged())?;
                                    r.end_tag(tag)?;
                                }
                            )?)*
                            _ => r.skip_tag(tag),
                        }
                        r.at(stringify!($name), "");
                    }
                }
                Ok(this)
            }

            fn put(
                &self,
                w: &mut $crate::kafka::wire::Writer,
                form: $crate::kafka::wire::field::Form,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                let form = form.nullable(false);
                $(let $field = form.nullable(false $(|| matches!(form.version, $null))?);)*
                let base = Self::default();
                let mut tags = 0;
                $(
                    if matches!(form.version, $versions) {
                        if false $(|| matches!(form.version, $tagged))? {
                            tags += u32::from(self.$field != base.$field);
                        } else {
                            w.at(stringify!($name), stringify!($field));
                            $crate::kafka::wire::field::Field::put(&self.$field, w, $field)?;
                        }
                    } else if true $(&& !$crate::kafka::wire::message::$ignorable())? && self.$field != base.$field {
                        w.at(stringify!($name), stringify!($field));
                        return Err(w.error($crate::kafka::wire::What::Absent { version: form.version }));
                    }
                )*
                if form.flexible {
                    w.uvarint(tags);
                    $($(
                        if matches!(form.version, $tagged) && self.$field != base.$field {
                            w.at(stringify!($name), stringify!($field));
                            let form = $field.tagged();
                            let mut counter = $crate::kafka::wire::Writer::counting();
                            $crate::kafka::wire::field::Field::put(&self.$field, &mut counter, form)?;
                            w.tag($tag, counter.written())?;
                            $crate::kafka::wire::field::Field::put(&self.$field, w, form)?;
                        }
                    )?)*
                }
                Ok(())
            }

            fn throttle(&mut self, at_least_ms: i32) -> i32 {
                $(
                    let field: &mut dyn std::any::Any = &mut self.$field;
                    if stringify!($field) == "throttle_time_ms" && let Some(ms) = field.downcast_mut::<i32>() {
                        *ms = at_least_ms.max(*ms);
                        return *ms;
                    }
                )*
                at_least_ms
            }

            fn min_bytes(form: $crate::kafka::wire::field::Form) -> usize {
                let form = form.nullable(false);
                let mut bytes = usize::from(form.flexible);
                $(
                    if matches!(form.version, $versions) $(&& !matches!(form.version, $tagged))? {
                        let form = form.nullable(false $(|| matches!(form.version, $null))?);
                        bytes += <$type as $crate::kafka::wire::field::Field>::min_bytes(form);
                    }
                )*
                bytes
            }

            #[cfg(test)]
            fn sample(rng: &mut fastrand::Rng, form: $crate::kafka::wire::field::Form) -> Self {
                let form = form.nullable(false);
                let mut this = Self::default();
                $(
                    let $field = form.nullable(false $(|| matches!(form.version, $null))?);
                    let fixed = $crate::kafka::wire::field::Field::is_null(&this.$field) && !$field.nullable;
                    if matches!(form.version, $versions) && (fixed || rng.u8(..) > 32) {
                        this.$field = $crate::kafka::wire::field::Field::sample(rng, $field);
                    }
                )*
                this
            }

            #[cfg(test)]
            fn describe(&self, path: &str, out: &mut Vec<String>) {
                $(
                    let path_of_field = format!("{path}.{}", stringify!($field).trim_start_matches("r#"));
                    $crate::kafka::wire::field::Field::describe(&self.$field, &path_of_field, out);
                )*
            }
        }

        /// A nullable struct is preceded by one byte: 1 for a value; for null -1, or 0 in a tagged field.
        impl $crate::kafka::wire::field::Nullable for $name {
            fn take_option(
                r: &mut $crate::kafka::wire::Reader,
                form: $crate::kafka::wire::field::Form,
            ) -> Result<Option<Self>, $crate::kafka::wire::WireError> {
                match if form.nullable { r.i8()? } else { 1 } {
                    1 => $crate::kafka::wire::field::Field::take(r, form).map(Some),
                    0 if form.tagged => Ok(None),
                    -1 if !form.tagged => Ok(None),
                    other => Err(r.error($crate::kafka::wire::What::Length(i64::from(other)))),
                }
            }

            fn put_null(
                w: &mut $crate::kafka::wire::Writer,
                form: $crate::kafka::wire::field::Form,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                w.put(if form.tagged { &[0] } else { &[0xff] });
                Ok(())
            }

            fn put_some(
                &self,
                w: &mut $crate::kafka::wire::Writer,
                form: $crate::kafka::wire::field::Form,
            ) -> Result<(), $crate::kafka::wire::WireError> {
                if form.nullable {
                    w.put(&[1]);
                }
                $crate::kafka::wire::field::Field::put(self, w, form)
            }
        }
    )*};
}

macro_rules! default {
    ($type:ty) => {
        <$type as $crate::kafka::wire::field::Field>::zero()
    };
    ($type:ty, $default:expr) => {
        $default
    };
}

/// The word `ignorable` of a row: a misspelt one does not compile.
pub(super) const fn ignorable() -> bool {
    true
}
