//! Three replicas of one row, and an oracle that never looks at a vector.
//!
//! Every value written is a token of its own. The oracle keeps, for each group of columns, the tokens written and
//! those that a later write knowingly replaced: they were among the siblings of that replica at that moment (under
//! `manual`: they were shown in columns that were written).

use tidewater_core::change::{Key, Row, Value};
use tidewater_core::merge::{
    DeleteUpdate, Dot, Joined, Node, Policy, Rule, Rules, Shown, Sibling, Stamp, State, Write,
};

pub(crate) const REPLICAS: usize = 3;
const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) fn node(number: usize) -> Node {
    Node([u8::try_from(number).expect("a small number") + 1; 16])
}

pub(crate) fn dot(number: usize, counter: u64) -> Dot {
    Dot::Write { node: node(number), counter }
}

pub(crate) fn key() -> Key {
    Row::new([Value::I64(1)])
}

/// Node 1 is all there is of the endpoint `hq`.
pub(crate) fn belongs_to(of: &Node, endpoint: &str) -> bool {
    endpoint == "hq" && *of == node(1)
}

pub(crate) fn shown(state: &State, rules: &Rules) -> Shown {
    Shown::new(state, rules, &belongs_to)
}

/// How two states become one: the real join, or a planted one.
pub(crate) type Merge = fn(&State, &State, &Rules) -> State;

pub(crate) fn join(left: &State, right: &State, _: &Rules) -> State {
    match State::join(left, right) {
        Joined::Same | Joined::Left => left.clone(),
        Joined::Right => right.clone(),
        Joined::New(state) => state,
    }
}

/// A rule to try, with what the oracle must know of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) policy: Policy,
    pub(crate) rules: Rules,
    /// The columns of each group, and its rule.
    groups: Vec<(Vec<usize>, Rule)>,
}

impl Case {
    pub(crate) fn of(policy: Policy) -> Self {
        let rules = Rules::new(&policy, &NAMES).expect("a policy that fits");
        let index = |name: &String| NAMES.iter().position(|known| known == name).expect("a name");
        let together: Vec<Vec<usize>> = policy.together.iter().map(|g| g.iter().map(index).collect()).collect();
        let mut groups: Vec<Vec<usize>> = together;
        let free = |groups: &Vec<Vec<usize>>, column: &usize| !groups.iter().any(|group| group.contains(column));
        let own = |column: &usize| policy.row == Rule::Merge || policy.columns.iter().any(|c| index(&c.0) == *column);
        for column in (0..NAMES.len()).filter(own) {
            if free(&groups, &column) {
                groups.push(vec![column]);
            }
        }
        let rest: Vec<usize> = (0..NAMES.len()).filter(|column| free(&groups, column)).collect();
        groups.extend((!rest.is_empty()).then_some(rest));
        let rule = |group: &Vec<usize>| {
            let own = policy.columns.iter().find(|(name, _)| group.contains(&index(name)));
            own.map_or(&policy.row, |(_, rule)| rule).clone()
        };
        let groups = groups.into_iter().map(|group| (group.clone(), rule(&group))).collect();
        Self { policy, rules, groups }
    }

    fn by_hand(&self) -> bool {
        self.groups.iter().any(|(_, rule)| *rule == Rule::Manual)
    }
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A replica writes the first columns: `a`, or under `together` now `a`, now `b`.
    First(usize),
    /// A replica writes the last column.
    Last(usize),
    Delete(usize),
    /// The second hears all that the first knows.
    Sync(usize, usize),
}

pub(crate) fn events() -> Vec<Event> {
    let each = |event: fn(usize) -> Event| (0..REPLICAS).map(event);
    let syncs = (0..REPLICAS).flat_map(|i| (0..REPLICAS).filter(move |j| *j != i).map(move |j| Event::Sync(i, j)));
    each(Event::First).chain(each(Event::Last)).chain(each(Event::Delete)).chain(syncs).collect()
}

/// What a group of columns held: the tokens of its columns, 0 elsewhere.
type Tokens = [i64; 3];

/// What was written to a group of columns, and what of it was knowingly replaced.
#[derive(Clone, Default)]
struct Record {
    written: Vec<Tokens>,
    replaced: Vec<Tokens>,
    /// What a write of other columns carried on although it knew of another value.
    preferred: Vec<Tokens>,
}

#[derive(Clone)]
pub(crate) struct World<'a> {
    case: &'a Case,
    merge: Merge,
    pub(crate) states: [State; REPLICAS],
    /// For each group of columns, and at the end for whole rows.
    records: Vec<Record>,
    writes: u64,
    deletes: u64,
}

pub(crate) fn tokens(row: &Row) -> Tokens {
    let mut tokens = row.values().map(|value| if let Value::I64(token) = value { token } else { 0 });
    [(); 3].map(|()| tokens.next().expect("three columns"))
}

fn part(tokens: Tokens, columns: &[usize]) -> Tokens {
    [0, 1, 2].map(|column| if columns.contains(&column) { tokens[column] } else { 0 })
}

fn contents(state: &State) -> impl Iterator<Item = Tokens> {
    state.siblings().iter().filter_map(|sibling| sibling.content.as_ref()).map(tokens)
}

impl<'a> World<'a> {
    /// Nobody has the row.
    pub(crate) fn empty(case: &'a Case, merge: Merge) -> Self {
        let records = vec![Record::default(); case.groups.len() + 1];
        Self { case, merge, states: Default::default(), records, writes: 0, deletes: 0 }
    }

    /// Everybody had the row before they met: two replicas the same, the third another.
    pub(crate) fn first_contact(case: &'a Case, merge: Merge) -> Self {
        let mut world = Self::empty(case, merge);
        for (replica, token) in [(0, 2000), (1, 2000), (2, 2001)] {
            let tokens = [token; 3];
            world.states[replica] = State::genesis(&key(), row(tokens), Stamp::GENESIS);
            world.note_written(tokens);
        }
        world
    }

    /// What happens after `event`; `None` where nothing does.
    pub(crate) fn after(&self, event: Event) -> Option<Self> {
        let mut world = self.clone();
        match event {
            Event::Sync(from, to) => {
                world.states[to] = (world.merge)(&self.states[to], &self.states[from], &self.case.rules);
                (world.states[to] != self.states[to]).then_some(world)
            }
            Event::First(at) => world.write(at, |before, token| {
                let together = !self.case.policy.together.is_empty() && token % 2 == 0;
                if together { [before[0], token, before[2]] } else { [token, before[1], before[2]] }
            }),
            Event::Last(at) => world.write(at, |before, token| [before[0], before[1], token]),
            Event::Delete(at) => {
                let shown = shown(&self.states[at], &self.case.rules);
                shown.content.as_ref()?;
                world.deletes += 1;
                world.put(at, &shown, None);
                Some(world)
            }
        }
    }

    fn write(mut self, at: usize, change: impl Fn(Tokens, i64) -> Tokens) -> Option<Self> {
        let shown = shown(&self.states[at], &self.case.rules);
        // Unique, and not in time's order.
        let token = i64::try_from((self.writes + 1) * 617 % 1009).expect("a small number");
        let before = shown.content.as_ref().map_or([token; 3], tokens);
        self.put(at, &shown, Some(change(before, token)));
        Some(self)
    }

    /// A local write, with a clock that is ahead at the first node and behind at the last.
    fn put(&mut self, at: usize, shown: &Shown, content: Option<Tokens>) {
        self.writes += 1;
        let state = &self.states[at];
        self.note_replaced(&state.clone(), shown.content.as_ref().map(tokens), content);
        let wall_ms = self.writes + [13, 10, 7][at];
        let write = Write {
            dot: dot(at, self.writes),
            stamp: Stamp::next(wall_ms, self.states[at].stamp_max()),
            content: content.map(row),
        };
        self.states[at] = self.states[at].write(write, shown, &self.case.rules);
    }

    fn note_written(&mut self, content: Tokens) {
        for (record, columns) in self.records.iter_mut().zip(columns_of(self.case)) {
            let part = part(content, &columns);
            if !record.written.contains(&part) {
                record.written.push(part);
            }
        }
    }

    fn note_replaced(&mut self, state: &State, shown: Option<Tokens>, content: Option<Tokens>) {
        let all: Vec<Tokens> = contents(state).collect();
        let only_shown: Vec<Tokens> = shown.into_iter().collect();
        let row_by_hand = self.case.policy.row == Rule::Manual;
        // A row goes as a whole only if it holds what was shown in all groups that are settled by hand.
        let as_shown = |row: &&Tokens| {
            let mut by_hand = self.case.groups.iter().filter(|(_, rule)| *rule == Rule::Manual);
            content.is_none()
                || by_hand.all(|(columns, _)| shown.is_none_or(|s| part(s, columns) == part(**row, columns)))
        };
        let whole: Vec<Tokens> =
            if row_by_hand { only_shown.clone() } else { all.iter().filter(as_shown).copied().collect() };
        let of_group = |(_, rule): &(Vec<usize>, Rule)| {
            if *rule == Rule::Manual && (content.is_some() || row_by_hand) { only_shown.clone() } else { all.clone() }
        };
        let superseded: Vec<Vec<Tokens>> = self.case.groups.iter().map(of_group).chain([whole]).collect();
        for ((record, columns), rows) in self.records.iter_mut().zip(columns_of(self.case)).zip(superseded) {
            let new = content.map(|content| part(content, &columns));
            let parts = rows.into_iter().map(|tokens| part(tokens, &columns));
            record.replaced.extend(parts.filter(|part| Some(*part) != new));
            let carried = new.filter(|new| shown.map(|shown| part(shown, &columns)) == Some(*new));
            let knew_another = |carried: &Tokens| all.iter().any(|tokens| part(*tokens, &columns) != *carried);
            record.preferred.extend(carried.filter(knew_another));
        }
        if let Some(content) = content {
            self.note_written(content);
        }
    }

    /// The states after everybody has heard of everything, each in an order of its own.
    fn healed(&self) -> [State; REPLICAS] {
        let [a, b, c] = &self.states;
        let merge = |left: &State, right: &State| (self.merge)(left, right, &self.case.rules);
        [merge(&merge(a, b), c), merge(&merge(b, c), a), merge(&merge(c, a), b)]
    }

    /// What is wrong once everybody has heard of everything.
    pub(crate) fn violation(&self) -> Option<String> {
        let healed = self.healed();
        let [state, ..] = &healed;
        let row = shown(state, &self.case.rules).content.as_ref().map(tokens);
        let found = self.diverges(&healed).or_else(|| self.lost(state)).or_else(|| self.came_back(state));
        found.or_else(|| self.hidden(row)).or_else(|| self.wrongly_shown(row))
    }

    /// The first only: replicas that have heard of the same show different rows.
    pub(crate) fn divergence(&self) -> Option<String> {
        self.diverges(&self.healed())
    }

    fn diverges(&self, healed: &[State; REPLICAS]) -> Option<String> {
        let rows = healed.each_ref().map(|state| shown(state, &self.case.rules).content);
        rows.iter().any(|row| *row != rows[0]).then(|| format!("diverges: {rows:?}"))
    }

    /// A token that nobody replaced is gone.
    fn lost(&self, state: &State) -> Option<String> {
        // Where a group is settled by hand, the whole row may be superseded while that group's token stays.
        let looked_at = if self.case.by_hand() { self.case.groups.len() } else { self.records.len() };
        for (record, columns) in self.records.iter().zip(columns_of(self.case)).take(looked_at) {
            let here = |tokens: &Tokens| contents(state).any(|content| part(content, &columns) == *tokens);
            let gone = |tokens: &&Tokens| !record.replaced.contains(tokens) && !here(tokens);
            if let Some(tokens) = record.written.iter().find(gone) {
                return Some(format!("loses {tokens:?}"));
            }
        }
        None
    }

    /// A row that was replaced is there again.
    fn came_back(&self, state: &State) -> Option<String> {
        let whole = self.records.last()?;
        contents(state).find(|tokens| whole.replaced.contains(tokens)).map(|tokens| format!("brings back {tokens:?}"))
    }

    /// There is no row, though not everything was deleted.
    fn hidden(&self, row: Option<Tokens>) -> Option<String> {
        let whole = self.records.last()?;
        let survives = whole.written.iter().any(|tokens| !whole.replaced.contains(tokens));
        let kept = self.case.policy.delete_update == DeleteUpdate::KeepUpdate || self.deletes == 0;
        (row.is_none() && survives && kept && !self.case.by_hand()).then(|| "hides the row".to_owned())
    }

    /// A column shows what nobody wrote, or what was knowingly replaced.
    fn wrongly_shown(&self, row: Option<Tokens>) -> Option<String> {
        let row = row?;
        for (record, (columns, rule)) in self.records.iter().zip(&self.case.groups) {
            let part = part(row, columns);
            if !record.written.contains(&part) {
                return Some(format!("shows {part:?}, which nobody wrote"));
            }
            // A row that comes back after a delete comes with what its writer knew. And of two first-writer columns,
            // one replaced here and one preferred there, neither writer had seen the other: either may be shown.
            let either = *rule == Rule::FirstWriter && record.preferred.contains(&part);
            if self.deletes == 0 && record.replaced.contains(&part) && !either {
                return Some(format!("shows {part:?} again"));
            }
        }
        None
    }
}

/// The columns of each group, and at the end of the whole row.
fn columns_of(case: &Case) -> impl Iterator<Item = Vec<usize>> {
    case.groups.iter().map(|(columns, _)| columns.clone()).chain([vec![0, 1, 2]])
}

pub(crate) fn row(tokens: Tokens) -> Row {
    tokens.into_iter().map(Value::I64).collect()
}

/// The state as a partial replica without those columns holds it.
pub(crate) fn lacking(state: &State, columns: &[usize]) -> State {
    let siblings = state.siblings().iter().map(|sibling| {
        let keep = |(column, value)| if columns.contains(&column) { Value::Unchanged } else { value };
        let content = sibling.content.as_ref().map(|row| row.values().enumerate().map(keep).collect());
        Sibling { content, ..sibling.clone() }
    });
    State::from_parts(siblings.collect(), state.seen().clone())
}
