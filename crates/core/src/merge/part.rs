//! Contents that lack columns: those of a member that holds some columns of a table only.
//!
//! Such a member's write supersedes contents whose other columns it does not know. Nothing of them is lost: of each
//! column that a content lacks it is known which write its value comes from, and whoever joins that content with one
//! that still has the value fills it in. So a state may lack columns for a while, at full members too, and what they
//! end up with does not depend on who met whom first.

use super::columns::Columns;
use super::dot::Origin;
use super::rules::Rules;
use super::shown::Shown;
use super::state::{Joined, Sibling, State, Write};
use super::vector::Vector;
use crate::change::{Row, RowBuilder};

impl Sibling {
    fn is_taken_back(&self) -> bool {
        self.content.as_ref().is_some_and(|row| row.encodings().all(|value| value == Row::ABSENT))
    }
}

impl State {
    /// What a member sees of this that holds only `columns`, which are ascending.
    #[must_use]
    pub fn projected(&self, columns: &[usize]) -> Self {
        self.with_columns(|_, column, value| value.filter(|_| columns.binary_search(&column).is_ok()))
    }

    /// Whether any content lacks one of the first `columns` columns.
    pub fn lacks_columns(&self, columns: usize) -> bool {
        self.siblings().iter().filter_map(|sibling| sibling.content.as_ref()).any(|row| row.lacks_columns(columns))
    }

    /// [`State::join`] where contents may lack columns: what one lacks and the other has is filled in. What was taken
    /// back comes back as a whole, or not at all.
    pub fn join_filling(left: &Self, right: &Self) -> Joined {
        let state = match Self::join(left, right) {
            Joined::Same | Joined::Left => left.clone(),
            Joined::Right => right.clone(),
            Joined::New(state) => state,
        };
        let filled = state.with_columns(|sibling, column, value| {
            if sibling.is_taken_back() {
                return None;
            }
            let origin = sibling.origin(column);
            value.or_else(|| left.value_of(column, origin)).or_else(|| right.value_of(column, origin))
        });
        match (filled == *left, filled == *right) {
            (true, true) => Joined::Same,
            (true, false) => Joined::Left,
            (false, true) => Joined::Right,
            (false, false) => Joined::New(filled),
        }
    }

    /// [`State::join_filling`] where writes may have been taken back from `ours`: they take the place of nothing that a
    /// full member shows, since it may not have heard of them yet, or never will. They stay known beside it until `theirs`
    /// has seen them.
    pub fn join_beside(ours: &Self, theirs: &Self) -> Joined {
        if !ours.has_taken_back() {
            return Self::join_filling(ours, theirs);
        }
        let joined = match Self::join_filling(&ours.known(), theirs) {
            Joined::Same | Joined::Right => theirs.clone(),
            Joined::Left => ours.known(),
            Joined::New(state) => state,
        };
        let unseen = |sibling: &&Sibling| sibling.is_taken_back() && !theirs.seen().saw(&sibling.dot);
        let beside = ours.siblings().iter().filter(unseen).chain(joined.siblings()).cloned().collect();
        let state = Self::from_parts(beside, ours.seen().join(theirs.seen()));
        match (state == *ours, state == *theirs) {
            (true, true) => Joined::Same,
            (true, false) => Joined::Left,
            (false, true) => Joined::Right,
            (false, false) => Joined::New(state),
        }
    }

    /// Whether it knows of writes that were taken back: of those it has no column at all.
    pub fn has_taken_back(&self) -> bool {
        self.siblings().iter().any(Sibling::is_taken_back)
    }

    /// The state without writes that were taken back, as if they had never been heard of.
    #[must_use]
    pub fn known(&self) -> Self {
        if !self.has_taken_back() {
            return self.clone();
        }
        let known: Vec<Sibling> = self.siblings().iter().filter(|sibling| !sibling.is_taken_back()).cloned().collect();
        let seen = known.iter().fold(Vector::default(), |seen, sibling| seen.join(&sibling.past));
        Self::from_parts(known, seen)
    }

    /// The state after a local write by somebody who does not know of writes that were taken back: it stands beside
    /// them. `shown` is the row shown for [`State::known`]. The write's node must not have written this row before,
    /// since its later writes would count as having seen its earlier ones.
    #[must_use]
    pub fn write_beside(&self, write: Write, shown: &Shown, rules: &Rules) -> Self {
        let next = self.known().write(write, shown, rules);
        let unknown = self.siblings().iter().filter(|sibling| sibling.is_taken_back());
        let siblings = unknown.chain(next.siblings()).cloned().collect();
        Self::from_parts(siblings, self.seen().join(next.seen()))
    }

    /// The state after hearing of `other`, of which nothing is new but its dots: it says what is here already.
    #[must_use]
    pub fn absorbed(&self, other: &Self) -> Self {
        Self::from_parts(self.siblings().to_vec(), self.seen().join(other.seen()))
    }

    /// The value that a write put into a column, if a sibling still has it.
    fn value_of(&self, column: usize, origin: Origin) -> Option<&[u8]> {
        let same = self.siblings().iter().filter(|sibling| sibling.origin(column).dot == origin.dot);
        same.filter_map(|sibling| sibling.content.as_ref()).find_map(|row| Columns::of(row).value(column))
    }

    fn with_columns<'a>(&'a self, value: impl Fn(&'a Sibling, usize, Option<&'a [u8]>) -> Option<&'a [u8]>) -> Self {
        let siblings = self.siblings().iter().map(|sibling| {
            let content = sibling.content.as_ref().map(|row| {
                let columns = Columns::of(row);
                let mut builder = RowBuilder::default();
                for column in 0..columns.len() {
                    builder.push_encoded(value(sibling, column, columns.value(column)).unwrap_or(Row::ABSENT));
                }
                builder.take()
            });
            Sibling { content, ..sibling.clone() }
        });
        Self::from_parts(siblings.collect(), self.seen().clone())
    }
}
