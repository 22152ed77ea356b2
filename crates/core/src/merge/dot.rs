//! The identity of one write, and its rank.
//!
//! The two are separate: a [`Dot`] says which write it is and decides nothing else; a [`Stamp`] says when it was made
//! and only ranks what is concurrent. A clock that is wrong can make the wrong side win; it can lose nothing.

use crate::change::{Key, Row};

/// A node's incarnation: 16 random bytes, given from outside. A clone or a restored backup is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub [u8; 16]);

/// The identity of one write. Never used twice for different contents of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dot {
    /// A write that a node sealed.
    Write {
        /// Who wrote.
        node: Node,
        /// The number of this write among all writes of that node, to any row; from 1.
        counter: u64,
    },
    /// Content that was there before the first contact.
    Genesis(Genesis),
}

/// The hash of a key and the content it was found with, so that equal rows are one and the same write wherever they
/// were found. The first 128 bits of BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Genesis(pub [u8; 16]);

impl Genesis {
    /// The identity of `content` under `key`. Both sides must hash the same columns.
    pub fn of(key: &Key, content: &Row) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidewater genesis 1");
        hasher.update(&(key.as_bytes().len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
        hasher.update(content.as_bytes());
        Self(first_128_bits(&hasher))
    }
}

/// The first 16 bytes of a hash.
pub(super) fn first_128_bits(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    first
}

/// When a write was made, as a hybrid logical clock: milliseconds since 1970 UTC in the upper 48 bits, and in the
/// lower 16 a number that keeps a write later than all that its writer had seen. For ranking only; never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp of content that was there before the first contact: earlier than any write.
    pub const GENESIS: Self = Self(0);
    /// Milliseconds that fit; later ones count as this, which is the year 10889.
    const MS_MAX: u64 = (1 << 48) - 1;

    /// The stamp of a new write: at or after the wall clock, and after everything the row has seen.
    ///
    /// At the end of time it stays where it is: ranks are equal then and dots break the tie, but nothing is lost.
    pub fn next(wall_ms: u64, seen_max: Option<Self>) -> Self {
        let wall = Self(wall_ms.min(Self::MS_MAX) << 16);
        seen_max.map_or(wall, |seen| wall.max(Self(seen.0.saturating_add(1))))
    }

    /// Milliseconds since 1970 UTC.
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }
}

/// The write that a value comes from. Ordered by rank: the later stamp, and of equal stamps the greater dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// When it was written.
    pub stamp: Stamp,
    /// Which write it was.
    pub dot: Dot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_clock_and_all_that_was_seen() {
        assert_eq!(Stamp::next(1_000, None), Stamp(1_000 << 16));
        assert_eq!(Stamp::next(1_000, Some(Stamp(999 << 16))), Stamp(1_000 << 16));
        assert_eq!(Stamp::next(1_000, Some(Stamp(1_000 << 16))), Stamp((1_000 << 16) + 1));
        assert_eq!(Stamp::next(1_000, Some(Stamp(5_000 << 16))).ms(), 5_000);
        assert!(Stamp::next(0, Some(Stamp::GENESIS)) > Stamp::GENESIS);
        assert_eq!(Stamp::next(u64::MAX, Some(Stamp(u64::MAX))), Stamp(u64::MAX));
        assert_eq!(Stamp::next(u64::MAX, None).ms(), Stamp::MS_MAX);
    }
}
