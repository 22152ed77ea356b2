//! A position in a server's log: the end of a transaction, and how far into the next one.

use crate::lsn::Lsn;
use std::cmp::Ordering;
use std::fmt;
use tidewater_core::change::Position;

/// Everything that committed up to `end` is in, and of the transaction that commits at `commit` the first changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Point {
    pub(crate) end: Lsn,
    /// Only while a transaction is carried in parts.
    pub(crate) within: Option<Within>,
}

/// A transaction that is carried in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Within {
    /// Where it commits.
    pub(crate) commit: Lsn,
    /// So many of its changes are in.
    pub(crate) changes: u64,
}

impl Point {
    pub(crate) fn at(end: Lsn) -> Self {
        Self { end, within: None }
    }

    pub(crate) fn position(&self) -> Position {
        Position(self.to_string())
    }

    /// Which comes first: transactions are carried in the order in which they commit, each from its first change.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        // Nothing commits between the end and the transaction that is carried in parts.
        let place = |point: &Self| point.within.map_or((point.end, 0), |within| (within.commit, within.changes));
        place(self).cmp(&place(other))
    }

    pub(crate) fn read(position: &Position) -> Option<Self> {
        let (end, within) =
            position.0.split_once('+').map_or((position.0.as_str(), None), |(end, rest)| (end, Some(rest)));
        let within = match within.map(|rest| rest.split_once('@')) {
            None => None,
            Some(Some((changes, commit))) => {
                Some(Within { commit: commit.parse().ok()?, changes: changes.parse().ok()? })
            }
            Some(None) => return None,
        };
        Some(Self { end: end.parse().ok()?, within })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.end)?;
        match self.within {
            Some(Within { commit, changes }) => write!(f, "+{changes}@{commit}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_in_the_order_of_commits() {
        let inside =
            |end, commit, changes| Point { end: Lsn(end), within: Some(Within { commit: Lsn(commit), changes }) };
        let ordered = [Point::at(Lsn(10)), inside(10, 50, 1), inside(20, 50, 7), Point::at(Lsn(51)), inside(51, 90, 1)];
        for (at, one) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(one.order(other), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn points_come_back() {
        let within = Some(Within { commit: Lsn(0x16_0000_0010), changes: 500 });
        for point in [Point::at(Lsn(0x16_B374_D848)), Point { end: Lsn(7), within }] {
            assert_eq!(Point::read(&point.position()), Some(point));
        }
        for wrong in ["", "x", "0/1+", "0/1+5", "0/1+5@", "0/1+@0/2"] {
            assert_eq!(Point::read(&Position(wrong.to_owned())), None, "{wrong}");
        }
    }
}
