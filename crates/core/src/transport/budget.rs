//! How much is carried at once.

use std::time::Duration;

/// The size of one read, chunk or batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At most this many rows.
    pub rows_max: usize,
    /// Stop after the row that passes this many bytes.
    pub bytes_max: usize,
}

/// Finds the number of rows that takes about [`Pace::TARGET`] to write, so that no lock is held for long.
#[derive(Debug, Clone)]
pub struct Pace {
    rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: Self::ROWS_FIRST }
    }
}

impl Pace {
    /// Below the 100 ms for which a lock may be held: measured times vary.
    pub const TARGET: Duration = Duration::from_millis(70);
    /// One batch in flight, one being read: with this bound both stay far below the memory promised.
    pub const BYTES_MAX: usize = 8 << 20;
    const ROWS_FIRST: usize = 2_000;
    const ROWS_MIN: usize = 16;
    const ROWS_MAX: usize = 50_000;

    /// The next budget.
    pub fn budget(&self) -> Budget {
        Budget { rows_max: self.rows, bytes_max: Self::BYTES_MAX }
    }

    /// Learns from a write of `rows` that took `took`. Grows at most twofold, and shrinks at once.
    pub fn learn(&mut self, rows: usize, took: Duration) {
        // A batch far below the budget says little about how long a full one takes.
        if rows * 2 < self.rows && took < Self::TARGET {
            return;
        }
        let per_row = took.as_secs_f64() / rows.max(1) as f64;
        let fitting = Self::TARGET.as_secs_f64() / per_row.max(1e-9);
        let most = self.rows.saturating_mul(2).min(Self::ROWS_MAX);
        self.rows = (fitting as usize).clamp(Self::ROWS_MIN, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_settles_near_the_target_and_shrinks_at_once() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            let rows = pace.budget().rows_max;
            pace.learn(rows, Duration::from_micros(10) * u32::try_from(rows).unwrap());
        }
        assert!((6_000..=8_000).contains(&pace.budget().rows_max), "{pace:?}");
        pace.learn(pace.budget().rows_max, Duration::from_secs(5));
        assert!(pace.budget().rows_max < 100, "{pace:?}");
    }
}
