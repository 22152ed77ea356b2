//! The machine's clock and randomness.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is the seam that the ban points to")]

use super::{Clock, Random};
use async_trait::async_trait;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks.
pub(super) struct RealClock {
    start: Instant,
}

impl RealClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for RealClock {
    fn now_ms(&self) -> i64 {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => ms(after),
            Err(before) => -ms(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn stand_still(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The operating system's randomness.
pub(super) struct RealRandom;

impl Random for RealRandom {
    fn bits(&self) -> u64 {
        let mut bytes = [0; 8];
        // Without randomness identities could repeat, and a repeated identity can lose data: stop instead.
        getrandom::fill(&mut bytes).expect("the operating system gives no randomness");
        u64::from_le_bytes(bytes)
    }
}
