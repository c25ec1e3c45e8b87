//! A batch of bytes and the records in it: pure, no IO, no clock, no chance.

pub mod batch;
pub mod build;
pub mod compress;
pub mod hash;
pub mod records;
pub mod rewrite;
pub(crate) mod varint;

#[cfg(test)]
mod tests;
