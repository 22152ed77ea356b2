//! The comparison of two sides: exactly the rows that differ are found, in bounded steps, with few calls.

use crate::given::{Dice, Notes, Watched, key, rounds, row, table};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use tidewater_core::apply::MemoryTarget;
use tidewater_core::capture::MemorySource;
use tidewater_core::change::{Key, Mapping, Row, TableScope};
use tidewater_core::env::Env;
use tidewater_core::verify::{Comparison, DifferenceKind, LEAF_ROWS, Step};

const NAME: &str = "products";

type Rows = BTreeMap<Key, Row>;
type Differences = BTreeSet<(Key, DifferenceKind)>;

/// Two sides of one table.
struct Sides {
    source: MemorySource,
    target: MemoryTarget,
    mapping: Mapping,
    notes: Arc<Notes>,
}

/// What a whole comparison found.
#[derive(Default)]
struct Found {
    differences: Vec<(Key, DifferenceKind)>,
    source_rows: u64,
    target_rows: u64,
}

impl Found {
    fn take(&mut self, step: Step, of: &str) {
        let most = 2 * LEAF_ROWS;
        assert!(step.differences.len() <= most, "{of}: {} differences in one step", step.differences.len());
        self.source_rows += step.source_rows;
        self.target_rows += step.target_rows;
        self.differences.extend(step.differences.into_iter().map(|d| (d.key, d.kind)));
    }

    /// Each key once, and no others than these.
    #[track_caller]
    fn is_exactly(&self, planted: &Differences, of: &str) {
        let found: Differences = self.differences.iter().cloned().collect();
        assert_eq!(found.len(), self.differences.len(), "{of}: a key was found twice");
        let missed: Vec<_> = planted.difference(&found).take(5).collect();
        let invented: Vec<_> = found.difference(planted).take(5).collect();
        assert!(missed.is_empty() && invented.is_empty(), "{of}: missed {missed:?}, invented {invented:?}");
    }
}

impl Sides {
    fn new(source: Rows, target: Rows) -> Self {
        let sides = Self {
            source: MemorySource::default(),
            target: MemoryTarget::default(),
            mapping: TableScope::default().resolve(&table(NAME)).expect("a plain table"),
            notes: Arc::new(Notes::new(&Env::seeded(0))),
        };
        sides.source.with(|state| *state.rows.table(NAME) = source);
        sides.target.with(|state| *state.rows.table(NAME) = target);
        sides
    }

    /// Compares all of it; `between` is called after every step.
    async fn compare(&self, of: &str, mut between: impl FnMut(&Step)) -> Found {
        let mut source = Watched::new(self.source.clone(), &self.notes);
        let mut target = Watched::new(self.target.clone(), &self.notes);
        let (mut comparison, mut found) = (Comparison::default(), Found::default());
        while let Some(step) = comparison.step(&self.mapping, &mut source, &mut target).await.expect("both are there") {
            between(&step);
            found.take(step, of);
        }
        found
    }

    /// The same, and `meanwhile` is called before every poll, with its number.
    async fn compare_while(&self, of: &str, mut meanwhile: impl FnMut(u64)) -> Found {
        let mut comparison = pin!(self.compare(of, |_| {}));
        let mut polls = 0;
        poll_fn(|context| {
            meanwhile(polls);
            polls += 1;
            comparison.as_mut().poll(context)
        })
        .await
    }

    /// An application writes new rows, and a running link has brought them over.
    fn written_on_both(&self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            self.source.with(|state| state.rows.table(NAME).insert(key(id), row(id, "meanwhile")));
            self.target.with(|state| state.rows.table(NAME).insert(key(id), row(id, "meanwhile")));
        }
    }
}

/// Which rows of a table differ, and how often.
enum Spread {
    /// One in so many, anywhere.
    OneIn(u64),
    /// All of one stretch.
    Stretch(i64, i64),
}

impl Spread {
    fn any(dice: &Dice, rows: i64) -> Self {
        match dice.below(3) {
            0 => Spread::OneIn(1 + dice.below(4)),
            1 => Spread::OneIn(1 + dice.below(5_000)),
            _ => {
                let start = dice.id_below(rows + 1);
                Spread::Stretch(start, start + dice.id_below(3_000))
            }
        }
    }

    fn hits(&self, dice: &Dice, id: i64) -> bool {
        match *self {
            Spread::OneIn(many) => dice.one_in(many),
            Spread::Stretch(from, to) => (from..to).contains(&id),
        }
    }
}

/// Two sides that differ in a known way.
fn planted(dice: &Dice, rows: i64) -> (Rows, Rows, Differences) {
    let kinds = [DifferenceKind::Missing, DifferenceKind::Differs, DifferenceKind::Extra];
    // Often one kind only: then the sides are of very different sizes.
    let kinds: Vec<_> = kinds.into_iter().filter(|_| dice.one_in(2)).collect();
    let spread = Spread::any(dice, rows);
    let (mut source, mut target, mut differences) = (Rows::new(), Rows::new(), Differences::new());
    // Keys of both signs, near or far apart, so that their order is not that of their making.
    let step = 1 + dice.id_below(1_000_000);
    for n in 0..rows {
        let id = (n - rows / 3) * step;
        let (at, here) = (key(id), row(id, "as it is"));
        let kind = kinds.get(usize::try_from(dice.below(3)).expect("small")).filter(|_| spread.hits(dice, n));
        differences.extend(kind.map(|kind| (at.clone(), *kind)));
        if kind != Some(&DifferenceKind::Missing) {
            let there = if kind == Some(&DifferenceKind::Differs) { row(id, "otherwise") } else { here.clone() };
            target.insert(at.clone(), there);
        }
        if kind != Some(&DifferenceKind::Extra) {
            source.insert(at, here);
        }
    }
    (source, target, differences)
}

/// Small tables often, large ones sometimes.
fn some_rows(dice: &Dice) -> i64 {
    const ROWS_MAX: i64 = 20_000;
    let bound = [3, 600, 3_000, ROWS_MAX, ROWS_MAX][usize::try_from(dice.below(5)).expect("small")];
    dice.id_below(bound + 1)
}

fn same_rows(ids: impl Iterator<Item = i64>) -> Rows {
    ids.map(|id| (key(id), row(id, "as it is"))).collect()
}

#[tokio::test]
async fn exactly_the_planted_differences_are_found() {
    for seed in 0..u64::from(rounds()) {
        let dice = Dice::new(seed);
        let rows = some_rows(&dice);
        let (source, target, differences) = planted(&dice, rows);
        let counts = (source.len() as u64, target.len() as u64);
        let of = format!("seed {seed}, {rows} rows");
        let found = Sides::new(source, target).compare(&of, |_| {}).await;
        found.is_exactly(&differences, &of);
        assert_eq!((found.source_rows, found.target_rows), counts, "{of}: every row is counted once");
    }
}

#[tokio::test]
async fn mending_between_the_steps_disturbs_nothing() {
    for seed in 0..u64::from(rounds()) {
        let dice = Dice::new(seed);
        let (source, target, differences) = planted(&dice, some_rows(&dice));
        let sides = Sides::new(source.clone(), target);
        let of = format!("seed {seed}");
        let mend = |step: &Step| {
            sides.target.with(|state| {
                let rows = state.rows.table(NAME);
                for difference in &step.differences {
                    match source.get(&difference.key) {
                        Some(row) => drop(rows.insert(difference.key.clone(), row.clone())),
                        None => drop(rows.remove(&difference.key)),
                    }
                }
            });
        };
        sides.compare(&of, mend).await.is_exactly(&differences, &of);
        assert!(sides.target.with(|state| *state.rows.table(NAME) == source), "{of}: the target is mended");
    }
}

/// Applications write on at both sides, between any two calls. What they write may differ for the moment; of the rows
/// that they leave alone exactly those that differ are found.
#[tokio::test]
async fn writes_meanwhile_hide_no_difference_and_make_none_up() {
    for seed in 0..u64::from(rounds()) {
        let dice = Dice::new(seed);
        let rows = some_rows(&dice);
        let (source, target, differences) = planted(&dice, rows);
        let left_alone: BTreeSet<Key> = source.keys().chain(target.keys()).cloned().collect();
        let of = format!("seed {seed}, {rows} rows");
        let sides = Sides::new(source, target);
        let (often, many) = (1 + dice.below(20), 1 + dice.below(1_500));
        // A comparison can only end when writers do.
        let mut left = 4_000;
        let write = |_| {
            let burst = if dice.one_in(often) { many.min(left) } else { 0 };
            left -= burst;
            let ids = (0..burst).map(|_| dice.id_below(1 << 40) - (1 << 39));
            sides.written_on_both(ids.filter(|id| !left_alone.contains(&key(*id))));
        };
        let mut found = sides.compare_while(&of, write).await;
        found.differences.retain(|(key, _)| left_alone.contains(key));
        found.is_exactly(&differences, &of);
    }
}

/// A list that is cut off at its bound must not be taken for all there is.
#[tokio::test]
async fn a_range_that_grows_past_a_leaf_before_it_is_listed() {
    for poll in 0..20 {
        let source = same_rows((0..1_000).map(|n| n * 1_000));
        let mut target = source.clone();
        let (missing, _) = target.pop_first().expect("a row");
        let sides = Sides::new(source, target);
        let of = format!("written at poll {poll}");
        let write = |now| {
            if now == poll {
                sides.written_on_both((0..1_000).map(|n| n * 1_000 + 500));
            }
        };
        let found = sides.compare_while(&of, write).await;
        found.is_exactly(&[(missing, DifferenceKind::Missing)].into(), &of);
    }
}

#[tokio::test]
async fn one_side_empty() {
    let rows = same_rows(0..5_000);
    let all = |kind| rows.keys().map(|key| (key.clone(), kind)).collect::<Differences>();

    let found = Sides::new(rows.clone(), Rows::new()).compare("no target", |_| {}).await;
    found.is_exactly(&all(DifferenceKind::Missing), "no target");
    assert_eq!((found.source_rows, found.target_rows), (5_000, 0));

    let found = Sides::new(Rows::new(), rows.clone()).compare("no source", |_| {}).await;
    found.is_exactly(&all(DifferenceKind::Extra), "no source");
    assert_eq!((found.source_rows, found.target_rows), (0, 5_000));
}

#[tokio::test]
async fn a_target_much_larger_than_its_source() {
    let (source, target) = (same_rows((0..20_000).step_by(2_000)), same_rows(0..20_000));
    let extra = target.keys().filter(|key| !source.contains_key(*key));
    let extra: Differences = extra.map(|key| (key.clone(), DifferenceKind::Extra)).collect();
    let found = Sides::new(source, target).compare("10 and 20000 rows", |_| {}).await;
    found.is_exactly(&extra, "10 and 20000 rows");
    assert_eq!((found.source_rows, found.target_rows), (10, 20_000));
}

#[tokio::test]
async fn both_sides_empty() {
    let found = Sides::new(Rows::new(), Rows::new()).compare("nothing", |_| {}).await;
    assert_eq!((found.source_rows, found.target_rows, found.differences.len()), (0, 0, 0));
}

#[tokio::test]
async fn equal_tables_need_few_calls() {
    let rows = same_rows(0..100_000);
    let sides = Sides::new(rows.clone(), rows);
    let found = sides.compare("equal", |_| {}).await;
    assert_eq!((found.source_rows, found.target_rows, found.differences.len()), (100_000, 100_000, 0));
    // 100,000 rows are 7 parts of 16,384, each hashed once on either side.
    assert_eq!(sides.notes.calls(), 14);
}

#[tokio::test]
async fn one_row_in_many_is_found_with_few_calls() {
    let source = same_rows(0..100_000);
    let mut target = source.clone();
    target.insert(key(54_321), row(54_321, "otherwise"));
    let sides = Sides::new(source, target);
    let found = sides.compare("one of many", |_| {}).await;
    found.is_exactly(&[(key(54_321), DifferenceKind::Differs)].into(), "one of many");
    // The 14 of the equal case, 16 parts of the one that differs, and two lists.
    assert!(sides.notes.calls() <= 14 + 2 * 17 + 2, "{} calls", sides.notes.calls());
}
