//! What a replica's journal says of a conflict, and what a person may choose.

use crate::change::{Key, Row, Value};
use crate::merge::{Dot, Kind, Stamp};

/// One conflict. The same conflict has the same number in every journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number: a hash of the writes that collided.
    pub id: [u8; 16],
    /// The table.
    pub table: String,
    /// The table's columns, in the order of the rows here: for people that of the table.
    pub columns: Vec<String>,
    /// The row's key.
    pub key: Key,
    /// What collided.
    pub kind: Kind,
    /// The rule of the row, in the words of the configuration.
    pub rule: String,
    /// The columns that collided, as indexes into `columns`. None: it was about whether the row exists.
    pub collided: Vec<usize>,
    /// The sides, in canonical order: the earliest first.
    pub sides: Vec<Side>,
    /// The row that was shown then; `None` where it was deleted.
    pub shown: Option<Row>,
    /// Whether it waits for a person's choice.
    pub open: bool,
    /// When it was seen here, in milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// When a later write took its place, if one did.
    pub ended_ms: Option<i64>,
    /// The run that met it.
    pub run: String,
}

impl Entry {
    /// Whether it is of a row that is not shown, and not about which content it has.
    pub fn stands_aside(&self) -> bool {
        matches!(self.kind, Kind::Unique | Kind::ForeignKey)
    }
}

/// One side of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// The write.
    pub dot: Dot,
    /// The endpoint that wrote it, as rules know it; `None` for content that was there before the first contact.
    pub endpoint: Option<String>,
    /// When it was written.
    pub stamp: Stamp,
    /// The row; `None` for a delete.
    pub content: Option<Row>,
    /// Whether anything of it is shown.
    pub won: bool,
}

/// Which conflicts are asked for. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only of this table.
    pub table: Option<String>,
    /// Only those whose number begins so, in hexadecimal digits.
    pub id: Option<String>,
    /// Only those of this run.
    pub run: Option<String>,
    /// Only those that wait for a person.
    pub open: bool,
    /// Not the first so many, the latest first.
    pub skip: usize,
    /// At most so many; 0 is all.
    pub rows_max: usize,
}

/// What a person chooses.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The content of this side, counted from 1 in the order of [`Entry::sides`].
    Take(usize),
    /// The row as it is now, with these values in these columns.
    Set(Vec<(String, Value<'static>)>),
    /// What lost: the columns that collided as the losing side had them, or the row that was not kept.
    Restore,
}
