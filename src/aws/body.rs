//! Reads the body of a request: as it arrives, never more than a limit, every byte paid for before it is kept.
//!
//! Memory is asked of the engine in steps that double, and only once the bytes of the step before have arrived: a client
//! that announces 16 MiB and sends nothing holds 64 KiB.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::engine::{Engine, Permit};

/// What is charged before the first byte arrives.
const FIRST_STEP_BYTES: usize = 64 * 1024;

/// A body, and the memory it was charged for. The charge is given back when this is dropped.
#[derive(Debug)]
pub struct Paid {
    pub bytes: Bytes,
    charge: Vec<Permit>,
}

impl Paid {
    /// A body that costs nothing, for tests and for callers that hold its bytes anyway.
    pub fn free(bytes: Bytes) -> Paid {
        Paid { bytes, charge: Vec::new() }
    }

    /// How many steps it was charged in.
    pub fn steps(&self) -> usize {
        self.charge.len()
    }
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    /// The client went away or broke the protocol.
    Broken,
}

/// Reads a whole body of at most `limit_bytes`; `declared` is its Content-Length, where there is one.
pub async fn read(
    engine: &Engine,
    mut body: Body,
    declared: Option<u64>,
    limit_bytes: usize,
) -> Result<Paid, BodyError> {
    if declared.is_some_and(|length| length > limit_bytes as u64) {
        return Err(BodyError::TooLarge);
    }
    // A declared length bounds what will come; without one the limit does.
    let most = declared.map_or(limit_bytes, |length| length as usize);
    let mut paid = 0;
    let mut charge = Vec::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let length = all.len() + data.len();
        if length > limit_bytes {
            return Err(BodyError::TooLarge);
        }
        if length > paid {
            let step = length.max(paid * 2).max(FIRST_STEP_BYTES).min(most.max(length)) - paid;
            charge.push(engine.admit(u32::try_from(step).unwrap_or(u32::MAX)).await);
            paid += step;
        }
        all.extend_from_slice(&data);
    }
    Ok(Paid { bytes: all.freeze(), charge })
}
