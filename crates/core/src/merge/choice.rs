//! What is shown of one group of columns: causality first, then the group's rule ranks what is left.
//!
//! A sibling *overrules* another on a group if its writer had seen the other's value and has a different one, and not
//! the other way round. That can be mutual: two writers had seen both values, and each kept another one, because to
//! each of them the other's row had been deleted. Then neither overrules, and rank decides.

use super::columns::Columns;
use super::conflict::Collision;
use super::dot::{Dot, Node, Origin};
use super::rules::{Group, Rule};
use super::state::Sibling;
use std::collections::BTreeSet;

/// Whether a node belongs to the endpoint of that name. All nodes of a sync must answer alike.
pub type BelongsTo<'a> = dyn Fn(&Node, &str) -> bool + 'a;

/// A live sibling, taken apart.
pub(super) struct Live<'a> {
    /// Its index in canonical order.
    pub(super) at: usize,
    pub(super) sibling: &'a Sibling,
    pub(super) columns: Columns<'a>,
}

/// A live sibling's value for a group.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) live: &'a Live<'a>,
    /// The write that it comes from.
    pub(super) origin: Origin,
}

/// What is shown of a group.
pub(super) struct Choice<'a> {
    pub(super) group: &'a Group,
    pub(super) winner: Candidate<'a>,
    /// Those that causality leaves.
    pub(super) standing: Vec<Candidate<'a>>,
    /// Whether any sibling has a value. A partial replica has none in columns that it does not hold, but must know
    /// whose they are.
    pub(super) held: bool,
}

fn has(group: &Group, live: &Live<'_>) -> bool {
    group.columns.iter().any(|column| live.columns.value(*column).is_some())
}

/// Those that have a value; all, where nobody has.
fn candidates<'a>(group: &'a Group, live: &'a [Live<'a>]) -> impl Iterator<Item = Candidate<'a>> {
    let held = live.iter().any(|live| has(group, live));
    live.iter().filter(move |live| !held || has(group, live)).filter_map(|live| {
        // The columns of a group are written together and have one origin, unless the rules were others then.
        let origin = group.columns.iter().map(|column| live.sibling.origin(*column)).max()?;
        Some(Candidate { live, origin })
    })
}

/// The candidates that no other overrules; all of them if that leaves none.
fn standing<'a>(group: &'a Group, live: &'a [Live<'a>]) -> Vec<Candidate<'a>> {
    let all: Vec<Candidate<'a>> = candidates(group, live).collect();
    let settled = |by: &Candidate<'_>, other: &Candidate<'_>| {
        let (sibling, dot) = (by.live.sibling, other.origin.dot);
        let left_open = |(column, open): &(usize, Dot)| *open == dot && group.columns.contains(column);
        dot != by.origin.dot && sibling.past.saw(&dot) && !sibling.open.iter().any(left_open)
    };
    let overruled = |one: &Candidate<'_>| all.iter().any(|other| settled(other, one) && !settled(one, other));
    let standing: Vec<Candidate<'a>> = all.iter().filter(|candidate| !overruled(candidate)).copied().collect();
    if standing.is_empty() { all } else { standing }
}

/// What decides among the candidates that stand.
pub(super) enum Pick<'a> {
    /// The group's rule, and what it must ask.
    Rule(&'a BelongsTo<'a>),
    /// All groups from one sibling, whatever their rules.
    Whole(Dot),
}

impl<'a> Choice<'a> {
    /// What is shown of `group`; `None` where there is no sibling.
    pub(super) fn new(group: &'a Group, live: &'a [Live<'a>], pick: &Pick<'_>) -> Option<Self> {
        let standing = standing(group, live);
        let ranked = || standing.iter().copied();
        let winner = match (pick, &group.rule) {
            (Pick::Whole(dot), _) => candidates(group, live).find(|candidate| candidate.live.sibling.dot == *dot),
            (_, Rule::Merge | Rule::LastWriter | Rule::Manual) => ranked().max_by_key(|c| c.origin),
            (_, Rule::FirstWriter) => ranked().min_by_key(|c| c.origin),
            (Pick::Rule(belongs_to), Rule::Prefer(endpoint)) => ranked().max_by_key(|c| {
                let preferred = matches!(&c.origin.dot, Dot::Write { node, .. } if belongs_to(node, endpoint));
                (preferred, c.origin)
            }),
        }?;
        Some(Self { group, winner, standing, held: live.iter().any(|live| has(group, live)) })
    }

    /// Whether `candidate` has another value in `column`; not where either has none.
    fn differs(&self, candidate: &Candidate<'_>, column: usize) -> bool {
        let (ours, theirs) = (self.winner.live.columns.value(column), candidate.live.columns.value(column));
        ours.is_some() && theirs.is_some() && ours != theirs
    }

    /// The candidates with other values that were written at the same time; where values are not held here, those that
    /// may have others.
    pub(super) fn losers(&self) -> impl Iterator<Item = &Candidate<'_>> {
        self.standing.iter().filter(|candidate| {
            candidate.origin.dot != self.winner.origin.dot
                && (!self.held || self.group.columns.iter().any(|column| self.differs(candidate, *column)))
        })
    }

    pub(super) fn collision(&self) -> Option<Collision> {
        if !self.held {
            return None;
        }
        let differs = |column: &usize| self.losers().any(|loser| self.differs(loser, *column));
        let columns: Vec<usize> = self.group.columns.iter().copied().filter(differs).collect();
        let losers = self.losers().map(|loser| loser.origin.dot).collect::<BTreeSet<_>>();
        (!losers.is_empty()).then(|| Collision {
            columns,
            winner: self.winner.origin.dot,
            losers: losers.into_iter().collect(),
        })
    }

    /// The value for a column of the group: the winner's, or where that is absent, what another sibling has of the
    /// same write.
    pub(super) fn value(&self, column: usize) -> Option<&'a [u8]> {
        let same = |candidate: &&Candidate<'_>| candidate.origin.dot == self.winner.origin.dot;
        let others = self.standing.iter().filter(same);
        std::iter::once(&self.winner).chain(others).find_map(|candidate| candidate.live.columns.value(column))
    }
}
