//! Clock and randomness from a seed: the same seed, the same run.

use super::{Clock, Random};
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time passes only while somebody sleeps, and sleeping takes no time.
#[derive(Default)]
pub(super) struct SeededClock {
    micros: AtomicU64,
}

#[async_trait]
impl Clock for SeededClock {
    fn now_ms(&self) -> i64 {
        // 2026-01-01, so that dates look like dates.
        1_767_225_600_000 + i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

/// SplitMix64: every seed gives a full-period sequence of well-mixed bits.
pub(super) struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Random for SeededRandom {
    fn bits(&self) -> u64 {
        const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
