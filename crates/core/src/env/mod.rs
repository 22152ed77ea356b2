//! The only door to clock, randomness and disk. Real here; seeded for tests and the simulator.
//!
//! Architecture invariant: everything else reaches them through [`Env`]; `clippy.toml` bans the direct calls.

mod disk;
mod real;
mod seeded;

pub use disk::{Disk, DiskFile, Held, MemoryDisk, read_text_max};

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall clock: milliseconds since 1970 UTC. May jump; ranks, shows, and says what is old, never what is right.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits. Cancel-safe.
    async fn sleep(&self, duration: Duration);
    /// Stops the thread, which does nothing else, so that what comes meanwhile is taken at once afterwards. Nobody relies
    /// on how long that was.
    fn stand_still(&self, _duration: Duration) {}
}

/// Randomness.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;
}

/// Clock, randomness and disk together, cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Files and folders.
    pub disk: Arc<dyn Disk>,
}

impl Env {
    /// The machine's own. `sleep` needs a tokio runtime with time.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(real::RealClock::new()),
            random: Arc::new(real::RealRandom),
            disk: Arc::new(disk::RealDisk),
        }
    }

    /// A clock that stands still but for sleeps, which end at once, randomness from `seed`, and an empty disk in memory.
    pub fn seeded(seed: u64) -> Self {
        Self {
            clock: Arc::new(seeded::SeededClock::default()),
            random: Arc::new(seeded::SeededRandom::new(seed)),
            disk: Arc::new(MemoryDisk::default()),
        }
    }

    /// 128 random bits as 32 hexadecimal digits: the identity of a file, a mark, a run.
    pub fn token(&self) -> String {
        format!("{:016x}{:016x}", self.random.bits(), self.random.bits())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}
