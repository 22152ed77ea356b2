//! One replica of one row, for stories told by hand.

use super::world::{Case, dot, join, key, row, shown, tokens};
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{Conflict, Dot, Shown, Stamp, State, Write};

#[derive(Clone)]
pub(crate) struct Replica<'a> {
    pub(crate) state: State,
    case: &'a Case,
    number: usize,
    counter: u64,
}

impl<'a> Replica<'a> {
    /// A replica that does not have the row.
    pub(crate) fn new(case: &'a Case, number: usize) -> Self {
        Self { state: State::default(), case, number, counter: 0 }
    }

    pub(crate) fn three(case: &'a Case) -> [Self; 3] {
        [0, 1, 2].map(|number| Self::new(case, number))
    }

    /// Three replicas that hold the same row, written by node 0 at second 1.
    pub(crate) fn three_with(case: &'a Case, content: [i64; 3]) -> [Self; 3] {
        let [mut a, mut b, mut c] = Self::three(case);
        a.write(1, content);
        b.hear(&a);
        c.hear(&a);
        [a, b, c]
    }

    /// The row was there before the first contact.
    pub(crate) fn found(mut self, content: [i64; 3], stamp: Stamp) -> Self {
        self.state = State::genesis(&key(), row(content), stamp);
        self
    }

    /// Writes the row at that second of this replica's clock; the write's dot.
    pub(crate) fn write(&mut self, second: u64, content: [i64; 3]) -> Dot {
        self.put(second, Some(row(content)))
    }

    /// Writes some columns; `None` is a column that the change does not carry.
    pub(crate) fn write_some(&mut self, second: u64, content: [Option<i64>; 3]) -> Dot {
        self.put(second, Some(content.into_iter().map(|cell| cell.map_or(Value::Unchanged, Value::I64)).collect()))
    }

    pub(crate) fn delete(&mut self, second: u64) -> Dot {
        self.put(second, None)
    }

    /// A person's choice.
    pub(crate) fn resolve(&mut self, second: u64, content: [i64; 3]) -> Dot {
        let write = self.next(second, Some(row(content)));
        let dot = write.dot;
        self.state = self.state.resolve(write, &self.shown(), &self.case.rules);
        dot
    }

    pub(crate) fn put(&mut self, second: u64, content: Option<Row>) -> Dot {
        let write = self.next(second, content);
        let dot = write.dot;
        self.state = self.state.write(write, &self.shown(), &self.case.rules);
        dot
    }

    fn next(&mut self, second: u64, content: Option<Row>) -> Write {
        self.counter += 1;
        let stamp = Stamp::next(second * 1000, self.state.stamp_max());
        Write { dot: dot(self.number, self.counter), stamp, content }
    }

    /// Hears all that the other knows.
    pub(crate) fn hear(&mut self, other: &Self) {
        self.state = join(&self.state, &other.state, &self.case.rules);
    }

    pub(crate) fn shown(&self) -> Shown {
        shown(&self.state, &self.case.rules)
    }

    /// The row shown: three numbers.
    pub(crate) fn row(&self) -> Option<[i64; 3]> {
        self.shown().content.as_ref().map(tokens)
    }

    pub(crate) fn conflict(&self) -> Option<Conflict> {
        self.shown().conflict
    }

    /// The writes of the siblings, in canonical order.
    pub(crate) fn siblings(&self) -> Vec<Dot> {
        self.state.siblings().iter().map(|sibling| sibling.dot).collect()
    }
}

/// Everybody hears of everything.
#[track_caller]
pub(crate) fn meet(replicas: &mut [Replica<'_>]) {
    for _ in 0..2 {
        for to in 0..replicas.len() {
            for from in 0..replicas.len() {
                let other = replicas[from].clone();
                replicas[to].hear(&other);
            }
        }
    }
    assert!(replicas.iter().all(|replica| replica.state == replicas[0].state), "they know the same");
}
