//! How far a first copy has come, where several parts of a table are copied beside each other.
//!
//! Only the endpoint knows the order of its keys. Stretches are therefore numbered in that order, and what is missing
//! between two of them is found by where the one ends and the next begins.

use crate::change::Key;
use crate::verify::Range;

/// A part of a first copy: where it began, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Stretches are numbered in the order of their keys; a number may be missing.
    pub number: u32,
    /// Its keys.
    pub range: Range,
}

impl Stretch {
    /// Adds this to what is there: to the stretch of its number, or as a new one.
    pub fn join(&self, done: &mut Vec<Stretch>) {
        match done.binary_search_by_key(&self.number, |other| other.number) {
            Ok(at) => done[at].range.through.clone_from(&self.range.through),
            Err(at) => done.insert(at, self.clone()),
        }
    }

    /// What is there where a table is copied in one stretch only.
    pub fn up_to(through: Key) -> Vec<Stretch> {
        vec![Stretch { number: 0, range: Range { after: None, through: Some(through) } }]
    }

    /// How far that one came.
    pub fn reach(done: &[Stretch]) -> Option<&Key> {
        done.first()?.range.through.as_ref()
    }

    /// What is missing of a table, in order. The last one has no end, unless the table's end is there. A gap goes on
    /// with the stretch before it.
    pub fn missing(done: &[Stretch]) -> Vec<Stretch> {
        let mut missing = Vec::new();
        let mut before = Stretch { number: 0, range: Range::default() };
        for next in done {
            if next.range.after != before.range.through {
                let range = Range { after: before.range.through.take(), through: next.range.after.clone() };
                missing.push(Stretch { number: before.number, range });
            }
            before = next.clone();
            if before.range.through.is_none() {
                return missing;
            }
        }
        missing.push(Stretch { number: before.number, range: Range { after: before.range.through, through: None } });
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Value;

    fn stretch(number: u32, after: Option<i64>, through: Option<i64>) -> Stretch {
        let key = |key: Option<i64>| key.map(|key| Key::from_iter([Value::I64(key)]));
        Stretch { number, range: Range { after: key(after), through: key(through) } }
    }

    #[test]
    fn what_is_missing_is_what_lies_between() {
        let all = stretch(0, None, None);
        assert_eq!(Stretch::missing(&[]), std::slice::from_ref(&all));
        assert_eq!(Stretch::missing(&[all]), []);
        assert_eq!(Stretch::missing(&[stretch(0, None, Some(5))]), [stretch(0, Some(5), None)]);
        let done = [stretch(1, Some(5), Some(10)), stretch(2, Some(10), Some(12)), stretch(4, Some(20), Some(30))];
        let missing = [stretch(0, None, Some(5)), stretch(2, Some(12), Some(20)), stretch(4, Some(30), None)];
        assert_eq!(Stretch::missing(&done), missing);
        assert_eq!(Stretch::missing(&[stretch(0, None, Some(5)), stretch(3, Some(5), None)]), []);
    }

    #[test]
    fn what_was_missing_joins_what_is_there() {
        let mut done = vec![stretch(1, Some(5), Some(10)), stretch(4, Some(20), Some(30))];
        for part in [
            stretch(0, None, Some(3)),
            stretch(0, Some(3), Some(5)),
            stretch(1, Some(10), Some(20)),
            stretch(5, Some(30), None),
        ] {
            part.join(&mut done);
        }
        assert_eq!(Stretch::missing(&done), []);
        assert_eq!(done.len(), 4);
    }
}
