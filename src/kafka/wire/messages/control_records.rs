//! What a control record says about the end of a transaction (KIP-98): its key and its value, each preceded by a
//! version as an i16 (`versioned`).

use crate::kafka::wire::NEVER;

message! {
    data, versions 0..=0, flexible NEVER;

    struct ControlRecordTypeSchema {
        r#type: i16 [0..];
    }
}

message! {
    data, versions 0..=0, flexible NEVER;

    struct EndTxnMarker {
        coordinator_epoch: i32 [0..];
    }
}
