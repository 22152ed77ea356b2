//! What the journal is told of a row with several siblings.

use super::dot::{Dot, first_128_bits};
use crate::change::Key;

/// What collided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Both sides changed the row that they had in common.
    Update,
    /// One side deleted the row, another changed it.
    DeleteUpdate,
    /// Both sides inserted a row of the same key; they had nothing in common.
    Insert,
    /// Both sides held the row, with different contents, before they first met.
    FirstContact,
    /// Another row has a unique value of this one, which stands aside.
    Unique,
    /// The row that this one refers to is not there, and this one stands aside.
    ForeignKey,
}

/// A group of columns for which there were different values at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// Those that differ, ascending. None: it is about whether the row exists.
    pub columns: Vec<usize>,
    /// The write whose values are shown.
    pub winner: Dot,
    /// The writes whose values are not, ascending.
    pub losers: Vec<Dot>,
}

/// Concurrent writes of one row that did not all survive. Changes of different columns do not collide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What kind it is.
    pub kind: Kind,
    /// At least one.
    pub collisions: Vec<Collision>,
    /// Whether it waits for a person's choice.
    pub open: bool,
    /// The siblings, ascending.
    pub siblings: Vec<Dot>,
}

impl Conflict {
    /// The number under which the conflict stands in every journal: of the same siblings the same, wherever they met.
    pub fn id(&self, table: &str, key: &Key) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidewater conflict 1");
        for part in [table.as_bytes(), key.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        for dot in &self.siblings {
            match dot {
                Dot::Write { node, counter } => {
                    hasher.update(&[0]).update(&node.0).update(&counter.to_le_bytes());
                }
                Dot::Genesis(genesis) => {
                    hasher.update(&[1]).update(&genesis.0);
                }
            }
        }
        first_128_bits(&hasher)
    }
}
