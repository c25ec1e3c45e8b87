//! The only source of chance. A server draws from the operating system; a simulation from a seed, so that it can be
//! replayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where random numbers come from. Cheap to clone; clones of a seeded one share its sequence.
#[derive(Clone, Debug)]
pub enum Chance {
    System,
    Seeded(Arc<AtomicU64>),
}

impl Chance {
    pub fn seeded(seed: u64) -> Chance {
        Chance::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    /// 64 random bits.
    pub fn draw(&self) -> u64 {
        match self {
            Chance::System => {
                let mut bytes = [0u8; 8];
                // The kernel's source does not fail once it is seeded, which it is before any server starts.
                let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
                assert_eq!(got.ok(), Some(8), "the operating system has no random numbers");
                u64::from_ne_bytes(bytes)
            }
            // SplitMix64 (Steele, Lea, Flood 2014): small, and every seed is a good one.
            Chance::Seeded(state) => {
                let step = 0x9e37_79b9_7f4a_7c15_u64;
                let mut z = state.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    pub fn draw_u128(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }
}
