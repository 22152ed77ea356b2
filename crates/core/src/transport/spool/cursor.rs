//! A place in a spool, from which it is read record by record.

use super::segment::{Found, Segment, name};
use super::{Spool, damaged, record, unusable};
use crate::change::{Position, Transaction};
use crate::error::Result;

/// A place in a spool.
#[derive(Debug)]
pub struct Cursor {
    segment: u64,
    at: u64,
    /// After the last record that was read.
    position: Position,
}

impl Cursor {
    pub(super) fn new(segment: &Segment) -> Self {
        Self { segment: segment.number, at: segment.begin, position: segment.base.clone() }
    }

    /// The segment that it is in: those before it were handed out whole.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    pub(super) fn next(&mut self, spool: &Spool) -> Result<Option<Transaction>> {
        loop {
            let found = spool.segments.iter().find(|segment| segment.number == self.segment);
            let Some(segment) = found else { return Err(damaged(&spool.folder, "a segment is missing")) };
            let path = spool.folder.join(name(self.segment));
            let mut file = spool.disk.open(&path, false).map_err(|error| unusable(&spool.folder, &error))?;
            let found = segment.find(&mut *file, &spool.link, self.at);
            match found.map_err(|error| unusable(&spool.folder, &error))? {
                Found::Record(payload, next) => {
                    let read = record::decode(&payload);
                    let transaction = read.ok_or_else(|| segment.not_understood(&spool.folder, self.at))?;
                    (self.at, self.position) = (next, transaction.position.clone());
                    return Ok(Some(transaction));
                }
                Found::End => match spool.segments.iter().find(|next| next.number == self.segment + 1) {
                    Some(next) if next.base == self.position => *self = Self::new(next),
                    None if spool.end.as_ref() == Some(&self.position) => return Ok(None),
                    _ => return Err(damaged(&spool.folder, &format!("segment {} ends too early", self.segment))),
                },
                Found::Torn(_) => return Err(segment.not_as_written(&spool.folder, self.at)),
            }
        }
    }
}
