//! A row's state: the contents that nothing has superseded, and all that was seen. Joining and writing.
//!
//! This is a dotted version vector set (Preguiça et al., *Dotted Version Vectors*, 2010; Almeida et al., *Scalable and
//! Accurate Causality Tracking for Eventually Consistent Stores*, 2014): a join-semilattice by construction.
//! Invariants: a sibling's dot is in its own `past`, every `past` is within `seen`, no dot stands twice, and
//! siblings are in canonical order.

use super::columns::{Columns, fill};
use super::dot::{Dot, Genesis, Origin, Stamp};
use super::rules::{Group, Rule, Rules};
use super::shown::Shown;
use super::vector::Vector;
use crate::change::{Key, Row, Value};

/// One of several concurrent contents of a row; the only one, where there is no conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Which write made it.
    pub dot: Dot,
    /// When.
    pub stamp: Stamp,
    /// The row's columns; `None` for a delete. A column that is [`Value::Unchanged`], or behind the last value, is
    /// absent: a partial replica does not hold it. Whoever has its value, by its origin, fills it in when joining.
    pub content: Option<Row>,
    /// All that the writer had seen of this row, this write included.
    pub past: Vector,
    /// The write that each column's value comes from. Empty: all come from this one.
    pub origins: Vec<Origin>,
    /// Values that the writer had seen lose and deliberately left standing: a column of the group, and the write that
    /// the value comes from. Although in `past`, they are not settled by this write. Only under `manual`.
    pub open: Vec<(usize, Dot)>,
}

impl Sibling {
    /// The write that the value in `column` comes from.
    pub fn origin(&self, column: usize) -> Origin {
        self.origins.get(column).copied().unwrap_or(self.own())
    }

    /// Its own write, which is also its place in canonical order.
    pub(super) fn own(&self) -> Origin {
        Origin { stamp: self.stamp, dot: self.dot }
    }

    /// What two nodes hold of one write. It is the same, but for two things: a partial replica lacks columns, and
    /// equal rows found at first contact may have been given different stamps.
    #[must_use]
    fn complete(&self, other: &Self) -> Self {
        let content = match (&self.content, &other.content) {
            (Some(ours), Some(theirs)) if ours != theirs => Some(fill(ours, theirs)),
            (ours, theirs) => ours.clone().or_else(|| theirs.clone()),
        };
        Self { content, stamp: self.stamp.max(other.stamp), ..self.clone() }
    }

    /// Whether `other`, of the same dot, adds nothing.
    fn dominates(&self, other: &Self) -> bool {
        self.stamp >= other.stamp && (self.content == other.content || self.complete(other).content == self.content)
    }
}

/// All that a node knows about one row. The default is a row that nobody ever wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Ascending by (stamp, dot): the canonical order.
    siblings: Vec<Sibling>,
    seen: Vector,
}

/// What joining two states gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// Both were the same.
    Same,
    /// The left one: the right one brought nothing new.
    Left,
    /// The right one: the left one holds nothing that is missing there.
    Right,
    /// Neither.
    New(State),
}

/// A local write of one row.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its identity: the node's next counter.
    pub dot: Dot,
    /// [`Stamp::next`] after [`State::stamp_max`].
    pub stamp: Stamp,
    /// The row as it stands now; `None` where it was deleted. A column that is [`Value::Unchanged`] is filled in with
    /// what was shown. Not called for where the row is the one shown: nothing was written.
    pub content: Option<Row>,
}

impl State {
    /// The state of a row that was there before the first contact.
    ///
    /// `stamp` must follow from the content alone ([`Stamp::GENESIS`], or the value of a column): equal rows are one
    /// write, and if two nodes rank it differently, the later stamp counts.
    pub fn genesis(key: &Key, content: Row, stamp: Stamp) -> Self {
        let dot = Dot::Genesis(Genesis::of(key, &content));
        let past: Vector = [dot].into_iter().collect();
        let seen = past.clone();
        Self {
            siblings: vec![Sibling { dot, stamp, content: Some(content), past, origins: vec![], open: vec![] }],
            seen,
        }
    }

    /// Puts a state together from its parts, which must keep the invariants of this module; siblings in any order.
    pub fn from_parts(mut siblings: Vec<Sibling>, seen: Vector) -> Self {
        siblings.sort_unstable_by_key(Sibling::own);
        Self { siblings, seen }
    }

    /// The contents that nothing has superseded, ascending by (stamp, dot).
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// The writes seen, superseded ones included.
    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// The latest stamp seen. A write is later than all that it supersedes, so the siblings' stamps are enough.
    pub fn stamp_max(&self) -> Option<Stamp> {
        self.siblings.last().map(|sibling| sibling.stamp)
    }

    fn sibling(&self, dot: &Dot) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.dot == *dot)
    }

    /// The state of a row whose table has got more columns, which makes no write: `places` are the new places of those
    /// there were, and `added` is what the others hold in rows that were there, the other columns absent.
    #[must_use]
    pub fn widened(&self, places: &[usize], added: &Row) -> Self {
        let columns = Columns::of(added).len();
        let place = |column: usize| places.get(column).copied().unwrap_or(column);
        let siblings = self.siblings.iter().map(|sibling| {
            let mut origins = vec![sibling.own(); if sibling.origins.is_empty() { 0 } else { columns }];
            for (column, origin) in sibling.origins.iter().enumerate() {
                origins[place(column)] = *origin;
            }
            let mut open: Vec<(usize, Dot)> = sibling.open.iter().map(|(column, dot)| (place(*column), *dot)).collect();
            open.sort_unstable();
            let content = sibling.content.as_ref().map(|row| fill(&row.spread(places, columns), added));
            Sibling { content, origins, open, ..sibling.clone() }
        });
        Self { siblings: siblings.collect(), seen: self.seen.clone() }
    }

    /// Whether both know of the same writes, all complete: then they are the same, whatever of their contents was read.
    pub fn is_of_the_same_writes(&self, other: &Self) -> bool {
        let write = |sibling: &Sibling| (sibling.dot, sibling.stamp);
        self.seen == other.seen && self.siblings.iter().map(write).eq(other.siblings.iter().map(write))
    }

    /// Whether joining `other` would change nothing.
    pub fn dominates(&self, other: &Self) -> bool {
        self.seen.dominates(&other.seen)
            && self.siblings.iter().all(|sibling| match other.sibling(&sibling.dot) {
                Some(theirs) => sibling.dominates(theirs),
                None => !other.seen.saw(&sibling.dot),
            })
    }

    /// Everything that both know. A sibling survives if both have it, or if the other has not seen it.
    ///
    /// Commutative, associative and idempotent, so replicas that have heard of the same writes, in whatever order and
    /// however often, hold the same state.
    pub fn join(left: &Self, right: &Self) -> Joined {
        match (left.dominates(right), right.dominates(left)) {
            (true, true) => Joined::Same,
            (true, false) => Joined::Left,
            (false, true) => Joined::Right,
            (false, false) => Joined::New(left.union(right)),
        }
    }

    fn union(&self, other: &Self) -> Self {
        let ours = self.siblings.iter().filter_map(|sibling| match other.sibling(&sibling.dot) {
            Some(theirs) => Some(sibling.complete(theirs)),
            None => (!other.seen.saw(&sibling.dot)).then(|| sibling.clone()),
        });
        let theirs = other.siblings.iter().filter(|sibling| !self.seen.saw(&sibling.dot)).cloned();
        Self::from_parts(ours.chain(theirs).collect(), self.seen.join(&other.seen))
    }

    /// The state after a local write of the row that was `shown`. It supersedes exactly the siblings seen; under
    /// `manual` only what was shown, so that the conflict stays open.
    ///
    /// A delete of the row settles its columns: it leaves siblings standing only where `manual` is the rule of the row.
    #[must_use]
    pub fn write(&self, write: Write, shown: &Shown, rules: &Rules) -> Self {
        if write.content.is_none() && rules.row() != &Rule::Manual {
            return self.put(write, &[], vec![], shown, rules);
        }
        self.put(write, &shown.kept, shown.open.clone(), shown, rules)
    }

    /// The state after a person's choice: a write that supersedes all siblings and claims what was open, also where
    /// the value chosen is the one shown. Two different choices made at the same time are a conflict again.
    #[must_use]
    pub fn resolve(&self, write: Write, shown: &Shown, rules: &Rules) -> Self {
        let claimed = |column: &usize| shown.open.iter().any(|(open, _)| rules.group_of(*open).contains(column));
        let mut settled = self.put(write, &[], vec![], shown, rules);
        if let Some(sibling) = settled.siblings.last_mut() {
            let own = sibling.own();
            for (_, origin) in sibling.origins.iter_mut().enumerate().filter(|(column, _)| claimed(column)) {
                *origin = own;
            }
            normalize(own, &mut sibling.origins);
        }
        settled
    }

    fn put(&self, write: Write, kept: &[Dot], open: Vec<(usize, Dot)>, shown: &Shown, rules: &Rules) -> Self {
        let Write { dot, stamp, content } = write;
        let mut seen = self.seen.clone();
        seen.add(dot);
        let content = match (content, &shown.content) {
            (Some(content), Some(before)) if content.values().any(|value| value == Value::Unchanged) => {
                Some(fill(&content, before))
            }
            (content, _) => content,
        };
        let origins = origins(Origin { stamp, dot }, content.as_ref(), shown, rules);
        let open = if content.is_some() { open } else { vec![] };
        let sibling = Sibling { dot, stamp, content, past: seen.clone(), origins, open };
        let kept = self.siblings.iter().filter(|sibling| kept.contains(&sibling.dot)).cloned();
        Self::from_parts(kept.chain([sibling]).collect(), seen)
    }
}

/// Where the values of a new content come from: a group of columns that is as it was shown keeps its origins.
fn origins(own: Origin, content: Option<&Row>, shown: &Shown, rules: &Rules) -> Vec<Origin> {
    let (Some(content), Some(before)) = (content, &shown.content) else { return vec![] };
    if shown.origins.is_empty() {
        return vec![];
    }
    let (before, after) = (Columns::of(before), Columns::of(content));
    let kept = |group: &Group| group.columns.iter().all(|column| before.value(*column) == after.value(*column));
    let mut origins = vec![own; rules.columns()];
    for column in rules.groups().iter().filter(|group| kept(group)).flat_map(|group| &group.columns) {
        origins[*column] = shown.origins[*column];
    }
    normalize(own, &mut origins);
    origins
}

/// Nothing is written down where all columns come from the sibling's own write.
fn normalize(own: Origin, origins: &mut Vec<Origin>) {
    if origins.iter().all(|origin| *origin == own) {
        origins.clear();
    }
}
