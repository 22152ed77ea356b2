//! Rows per second, kept by waiting between batches.

use std::time::Duration;

/// A budget of rows over time. Does not save up: a pause earns no burst beyond one second's worth.
#[derive(Debug, Clone)]
pub(super) struct Throttle {
    rows_per_second_max: Option<u64>,
    /// When everything written so far will have been paid for.
    paid: Duration,
}

impl Throttle {
    pub(super) fn new(rows_per_second_max: Option<u64>) -> Self {
        Self { rows_per_second_max: rows_per_second_max.filter(|r| *r > 0), paid: Duration::ZERO }
    }

    /// Whether rows may come as fast as they can.
    pub(super) fn is_open(&self) -> bool {
        self.rows_per_second_max.is_none()
    }

    /// The most rows that one batch may have: a tenth of a second's worth.
    pub(super) fn rows_max(&self) -> usize {
        self.rows_per_second_max.map_or(usize::MAX, |r| usize::try_from(r / 10).unwrap_or(usize::MAX).max(1))
    }

    /// `rows` were written at `now`: how long to wait before more may be.
    pub(super) fn wait(&mut self, rows: u64, now: Duration) -> Duration {
        let Some(most) = self.rows_per_second_max else { return Duration::ZERO };
        let cost = Duration::from_secs_f64(rows as f64 / most as f64);
        self.paid = self.paid.max(now) + cost;
        self.paid.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_carries_no_more_than_its_rows() {
        let mut throttle = Throttle::new(Some(1_000));
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            now += throttle.wait(100, now);
        }
        assert_eq!(now, Duration::from_secs(10));
        assert_eq!(Throttle::new(None).wait(1_000_000, now), Duration::ZERO);
    }
}
