//! The row shown for a set of siblings: a pure function of the set, so that equal states show equal rows.

use super::choice::{BelongsTo, Candidate, Choice, Live, Pick};
use super::columns::Columns;
use super::conflict::{Collision, Conflict, Kind};
use super::dot::{Dot, Origin};
use super::rules::{DeleteUpdate, Rule, Rules};
use super::state::{Sibling, State};
use crate::change::{Row, RowBuilder};

/// The row shown, and what a write to it must know. The default is the row that nobody ever wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The row; `None` where there is none.
    pub content: Option<Row>,
    /// The writes that the columns' values come from. Empty where a write claims the row as a whole: where the rules do
    /// not look at columns, and for a fallback.
    pub origins: Vec<Origin>,
    /// The siblings that the values come from, ascending indexes. With more than one the row is put together: should
    /// it break a CHECK, the row to show is [`Shown::fallback`].
    pub sources: Vec<usize>,
    /// What collided.
    pub conflict: Option<Conflict>,
    /// The siblings that an ordinary write leaves standing, under `manual`.
    pub(super) kept: Vec<Dot>,
    /// Values not shown that such a write leaves unsettled: the first column of their group, and their write.
    pub(super) open: Vec<(usize, Dot)>,
}

impl Shown {
    /// The row to show for `state`.
    pub fn new(state: &State, rules: &Rules, belongs_to: &BelongsTo<'_>) -> Self {
        match state.siblings() {
            [] => Self::default(),
            [only] => Self::only(only, rules),
            _ => decide(state, rules, &Pick::Rule(belongs_to)),
        }
    }

    /// The row to show instead of one that was put together and breaks a CHECK: the last writer's, whole. All nodes
    /// take it if they have the same constraints.
    pub fn fallback(state: &State, rules: &Rules) -> Self {
        let last = state.siblings().iter().rfind(|sibling| sibling.content.is_some());
        let whole = last.map_or_else(Self::default, |last| decide(state, rules, &Pick::Whole(last.dot)));
        // It may show values that others had already replaced. Only a write that claims them can bring them back.
        Self { origins: vec![], ..whole }
    }

    fn only(sibling: &Sibling, rules: &Rules) -> Self {
        let Some(content) = &sibling.content else { return Self::default() };
        let columns = if rules.by_column() { rules.columns() } else { 0 };
        let origins = (0..columns).map(|column| sibling.origin(column)).collect();
        Self { content: Some(content.clone()), origins, sources: vec![0], ..Self::default() }
    }

    /// Makes an ordinary write leave `candidate` standing, and unsettled.
    fn leave_standing(&mut self, choice: &Choice<'_>, candidate: &Candidate<'_>) {
        self.kept.push(candidate.live.sibling.dot);
        self.open.push((choice.group.columns[0], candidate.origin.dot));
        self.open.sort_unstable();
        self.open.dedup();
    }
}

fn decide(state: &State, rules: &Rules, pick: &Pick<'_>) -> Shown {
    let live: Vec<Live<'_>> = live(state);
    let choices: Vec<Choice<'_>> = rules.groups().iter().filter_map(|group| Choice::new(group, &live, pick)).collect();
    let deleted: Vec<Dot> = state.siblings().iter().filter(|s| s.content.is_none()).map(|s| s.dot).collect();
    let disputed = !live.is_empty() && !deleted.is_empty();
    let gone = live.is_empty() || (disputed && rules.delete_update() == DeleteUpdate::Delete);
    let mut shown = if gone { Shown::default() } else { put_together(&live, &choices, rules) };
    let mut collisions = Vec::new();
    if disputed {
        let alive = live.iter().map(|live| live.sibling.dot).collect();
        let (winners, losers) = if gone { (deleted, alive) } else { (alive, deleted) };
        if rules.row() == &Rule::Manual {
            shown.kept.clone_from(&losers);
        }
        collisions.extend(existence(winners, losers));
    }
    for choice in &choices {
        let manual = choice.group.rule == Rule::Manual;
        if !gone {
            collisions.extend(choice.collision());
            if manual {
                choice.losers().for_each(|loser| shown.leave_standing(choice, loser));
            }
        } else if manual && rules.row() == &Rule::Manual {
            choice.standing.iter().for_each(|candidate| shown.leave_standing(choice, candidate));
        }
    }
    let open = !shown.kept.is_empty();
    shown.conflict = (!collisions.is_empty()).then(|| Conflict {
        kind: if disputed { Kind::DeleteUpdate } else { kind(&live) },
        collisions,
        open,
        siblings: ascending(state.siblings().iter().map(|sibling| sibling.dot).collect()),
    });
    shown
}

fn live(state: &State) -> Vec<Live<'_>> {
    let siblings = state.siblings().iter().enumerate();
    siblings
        .filter_map(|(at, sibling)| Some(Live { at, sibling, columns: Columns::of(sibling.content.as_ref()?) }))
        .collect()
}

/// The live row that the choices make.
fn put_together(live: &[Live<'_>], choices: &[Choice<'_>], rules: &Rules) -> Shown {
    let mut columns: Vec<Option<(&[u8], Origin)>> = vec![None; rules.columns()];
    for choice in choices {
        for column in &choice.group.columns {
            columns[*column] = Some((choice.value(*column).unwrap_or(Row::ABSENT), choice.winner.origin));
        }
    }
    let nobody = live.last().map(|last| last.sibling.own());
    let mut builder = RowBuilder::default();
    columns.iter().for_each(|column| builder.push_encoded(column.map_or(Row::ABSENT, |(value, _)| value)));
    let origins = columns.iter().filter_map(|column| column.map(|(_, origin)| origin).or(nobody));
    let mut sources: Vec<usize> =
        choices.iter().filter(|choice| choice.held).map(|choice| choice.winner.live.at).collect();
    sources.sort_unstable();
    sources.dedup();
    Shown {
        content: Some(builder.take()),
        origins: if rules.by_column() { origins.collect() } else { vec![] },
        sources,
        ..Shown::default()
    }
}

/// The collision about whether the row exists; both sides in canonical order.
fn existence(winners: Vec<Dot>, losers: Vec<Dot>) -> Option<Collision> {
    Some(Collision { columns: vec![], winner: *winners.last()?, losers: ascending(losers) })
}

fn kind(live: &[Live<'_>]) -> Kind {
    if live.iter().all(|live| matches!(live.sibling.dot, Dot::Genesis(_))) {
        return Kind::FirstContact;
    }
    let mut pairs = live.iter().enumerate().flat_map(|(at, one)| live[at + 1..].iter().map(move |other| (one, other)));
    if pairs.any(|(one, other)| one.sibling.past.meets(&other.sibling.past)) { Kind::Update } else { Kind::Insert }
}

fn ascending(mut dots: Vec<Dot>) -> Vec<Dot> {
    dots.sort_unstable();
    dots.dedup();
    dots
}
