//! What is written reads back as the same value, in as many bytes as were counted, and no shorter.

use std::fmt::Debug;

use crate::kafka::wire::{Message, Writer};

/// Values of each version that are cut at every byte.
const CUT: u64 = 12;

fn check<M: Message + Debug + PartialEq>() {
    let mut seen = 0;
    super::each_value::<M>(|version, _, value| {
        let mut w = Writer::new();
        value.encode(&mut w, version).expect("a sampled value can be written");
        let bytes = w.finish().into_bytes();
        assert_eq!(value.wire_bytes(version), Ok(bytes.len()), "version {version}");
        let back = M::from_bytes(bytes.clone(), version).expect("what was written can be read");
        assert_eq!(*value, back, "version {version}");
        seen += 1;
        if seen % (super::VALUES / CUT) == 0 {
            for cut in 0..bytes.len() {
                M::from_bytes(bytes.slice(..cut), version).expect_err("a truncated message is an error");
            }
        }
    });
}

macro_rules! identity {
    ($($module:ident: $($message:ident)*;)*) => {$(
        #[test]
        fn $module() {
            $(check::<crate::kafka::wire::messages::$module::$message>();)*
        }
    )*};
}

every_message!(identity);
every_record!(identity);
