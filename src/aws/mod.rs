//! What every AWS façade needs of HTTP and JSON: the door, signatures, shapes of requests, answers and errors.
//!
//! A library of façades, not one itself: it knows no operation, no stream and no record. One face more means one more
//! entry in the table of operations that [`door::serve`] is given.

pub mod begun;
pub mod body;
pub mod door;
pub mod error;
pub mod json;
pub mod sending;
pub mod sigv4;
pub mod write;
