//! What a log is: decisions about one line of offsets. Pure: no IO, no clock, no chance.

pub mod producers;
