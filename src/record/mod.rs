//! A batch of bytes and the records in it: pure, no IO, no clock, no chance.

pub mod batch;
pub mod compress;
