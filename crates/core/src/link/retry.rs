//! How long to wait before trying again. The only retries are here.

use crate::env::Env;
use crate::error::{Error, Kind, code};
use std::time::Duration;

/// Doubling waits with jitter, from [`Backoff::FIRST`] to [`Backoff::LONGEST`].
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Long enough for a server to be restarted, short enough not to be noticed.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// A target that was away for hours is found again within this time.
    pub const LONGEST: Duration = Duration::from_secs(10);
    /// After this many failures in a row a link that does not watch gives up.
    pub const TRIES_MAX: u32 = 4;

    /// Something worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often in a row it failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait after a failure; `None` where that is the end: it does not pass by itself, or it came too often
    /// in a row to somebody who is not `watching`. What is missing passes only where it was there once, or is `awaited`.
    pub fn after(&mut self, error: &Error, awaited: bool, watching: bool, env: &Env) -> Option<Duration> {
        let passes = matches!(error.kind, Kind::Unavailable | Kind::Lost) && (awaited || error.code != code::MISSING);
        if !passes || (!watching && self.failures + 1 >= Self::TRIES_MAX) {
            return None;
        }
        tracing::info!(code = %error.code, what = %error.what, "trying again");
        Some(self.next(env))
    }

    /// The next wait: between half and the whole of the doubled time, so that many links do not come back at once.
    fn next(&mut self, env: &Env) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(16)).min(Self::LONGEST);
        self.failures += 1;
        let half = doubled / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(env.random.bits() % micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again_after_a_success() {
        let env = Env::seeded(7);
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.next(&env)).collect();
        assert!(waits[0] >= Backoff::FIRST / 2 && waits[0] <= Backoff::FIRST);
        assert!(waits.iter().all(|w| *w <= Backoff::LONGEST));
        assert!(waits[11] >= Backoff::LONGEST / 2);
        backoff.reset();
        assert!(backoff.next(&env) <= Backoff::FIRST);
    }

    #[test]
    fn who_watches_waits_for_ever_and_nobody_for_what_does_not_pass() {
        let env = Env::seeded(7);
        let after = |backoff: &mut Backoff, kind, code, awaited, watching| {
            backoff.after(&Error::new(kind, code, "it failed"), awaited, watching, &env).is_some()
        };
        let mut backoff = Backoff::default();
        let tries = (0..10).map(|_| after(&mut backoff, Kind::Unavailable, code::BUSY, false, false));
        assert_eq!(tries.filter(|again| *again).count(), 3, "four tries");
        assert!(after(&mut backoff, Kind::Lost, code::POSITION_LOST, false, true));
        assert!(!after(&mut backoff, Kind::Conflict, code::HALTED, true, true));
        assert!(!after(&mut backoff, Kind::Unavailable, code::MISSING, false, true), "it was never there");
        assert!(after(&mut backoff, Kind::Unavailable, code::MISSING, true, true));
    }
}
