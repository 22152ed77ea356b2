//! What a link tells those who watch it.

use super::spooling::Spooling;
use crate::apply::Written;
use std::fmt;

/// Where a link stands. Kept in memory only; what is durable is the target's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Set when an attempt begins: both ends are opened and looked at.
    Starting,
    /// Set while tables are compared: first contact, or after a position was lost.
    Comparing,
    /// Set while tables are copied.
    Copying,
    /// Set while changes are read and applied.
    Following,
    /// Set when all changes of the source at that moment are applied.
    InStep,
    /// Set when an end is away, until the next try. The text is the error.
    Waiting(String),
    /// Set when the target is away and the source is read on into the spool, and whenever that comes further.
    Spooling(Spooling),
    /// Set at the end.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Starting => "starting",
            State::Comparing => "comparing",
            State::Copying => "copying",
            State::Following => "following",
            State::InStep => "in step",
            State::Waiting(_) => "waiting",
            State::Spooling(_) => "spooling",
            State::Stopped => "stopped",
        })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The link changed its state.
    State(&'a State),
    /// A table is being copied or compared: rows done, and how many there are, about.
    Progress {
        /// The table's name at the source.
        table: &'a str,
        /// Rows done in this phase.
        done: u64,
        /// Rows to do, about; `None` where there are too many to be counted first.
        total: Option<u64>,
    },
    /// Changes were applied.
    Applied {
        /// What the batch did.
        written: &'a Written,
        /// At most so many milliseconds from the oldest change's write at the source to now, if known.
        lag_ms: Option<i64>,
    },
    /// Something that a person should know, and that stops nothing.
    Notice(&'a str),
}

/// Who watches a link. Called from the link's task: must not block.
pub trait Observer: Send + Sync {
    /// Called for every event.
    fn on(&self, link: &str, event: Event<'_>);
}

/// Nobody watches.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn on(&self, _: &str, _: Event<'_>) {}
}
