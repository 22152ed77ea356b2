//! Rows that are written on several sides: what a node knows of a row, how two such states join, and the row shown.
//!
//! Concurrent writes of a row are kept as *siblings* until a later write has seen them. Joining sets of siblings is
//! commutative, associative and idempotent, and the row shown is a function of the set. So every rule converges, in
//! any topology and order; `docs/decisions/0006-siblings.md` says why nothing less does.
//!
//! Architecture invariant: this module is pure. No clock, no input or output, nothing that waits, no randomness: time
//! and identity are arguments. It never looks at a clock's reading but to rank, and never drops a sibling that no
//! later write had seen.
//! Tests: `tests/it/merge.rs` and `tests/it/merge/`, every schedule of a small world among them.

mod choice;
mod columns;
mod conflict;
mod dot;
mod encoding;
mod part;
mod rules;
mod shown;
mod state;
mod vector;

pub use choice::BelongsTo;
pub use conflict::{Collision, Conflict, Kind};
pub use dot::{Dot, Genesis, Node, Origin, Stamp};
pub use encoding::StateDecodeError;
pub use rules::{DeleteUpdate, Orphans, Policy, PolicyError, Rule, Rules};
pub use shown::Shown;
pub use state::{Joined, Sibling, State, Write};
pub use vector::Vector;
