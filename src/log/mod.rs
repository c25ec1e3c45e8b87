//! What one log is, without any IO: the line that batches are placed on, what producers wrote, the layout of segments,
//! and what may be forgotten.

pub mod compact;
pub mod line;
pub mod pack;
pub mod producers;
pub mod retain;
pub mod segment;
pub mod transactions;
