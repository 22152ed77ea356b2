//! Joining two states of a row, and finding the row to show: what a replica does for each row that arrives.

use super::{Bench, median};
use crate::Result;
use crate::table::{Line, Target, Unit};
use std::hint::black_box;
use std::time::Instant;
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{Dot, Joined, Node, Policy, Rule, Rules, Shown, Stamp, State, Write};

/// On one core, small rows.
const PER_SECOND_MIN: f64 = 1_000_000.0;

/// Pairs of states: more than fit a cache, few enough to be made quickly.
const PAIRS: u64 = 10_000;

const COLUMNS: [&str; 4] = ["id", "name", "amount", "note"];

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (name, row) in [("last-writer", Rule::LastWriter), ("merge", Rule::Merge)] {
        let rules = Rules::new(&Policy { row, ..Policy::default() }, &COLUMNS)?;
        for (what, concurrent) in [("a later write", false), ("a concurrent write", true)] {
            let pairs: Vec<(State, State)> = (0..PAIRS).map(|id| pair(id, concurrent, &rules)).collect();
            let mut rates = Vec::new();
            for _ in 0..bench.runs {
                rates.push(rate(&pairs, bench.rows, concurrent, &rules)?);
            }
            lines.push(Line {
                work: format!("join and show, {what}, {name}"),
                against: "-".to_owned(),
                theirs: None,
                ours: median(rates),
                unit: Unit::PerSecond,
                target: Target::OursMin(PER_SECOND_MIN),
            });
        }
    }
    Ok(lines)
}

/// Joins a second, one thread. What a join gives is checked as it goes.
fn rate(pairs: &[(State, State)], joins: u64, concurrent: bool, rules: &Rules) -> Result<f64> {
    let start = Instant::now();
    let mut done = 0;
    while done < joins {
        for (ours, theirs) in pairs {
            let shown = match State::join(black_box(ours), black_box(theirs)) {
                Joined::Right if !concurrent => Shown::new(theirs, rules, &|_, _| false),
                Joined::New(state) if concurrent => Shown::new(&state, rules, &|_, _| false),
                other => return Err(format!("not the join that was to be measured: {other:?}").into()),
            };
            black_box(shown);
        }
        done += pairs.len() as u64;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

/// A row that one node inserted, changed by another: after it had seen the first one's own change, or at the same time.
fn pair(id: u64, concurrent: bool, rules: &Rules) -> (State, State) {
    let nodes = [Node([1; 16]), Node([2; 16])];
    let write = |state: &State, node: Node, ms: u64, name: &str, amount: i64| {
        let shown = Shown::new(state, rules, &|_, _| false);
        let row = [
            Value::I64(i64::try_from(id).unwrap_or(i64::MAX)),
            Value::Text(name.into()),
            Value::I64(amount),
            Value::Text("as it was".into()),
        ];
        let dot = Dot::Write { node, counter: state.seen().counter(&node) + 1 };
        let write = Write { dot, stamp: Stamp::next(ms, state.stamp_max()), content: Some(Row::new(row)) };
        state.write(write, &shown, rules)
    };
    let inserted = write(&State::default(), nodes[0], 1_000, "first", 1);
    let ours = write(&inserted, nodes[0], 2_000, "first", 2);
    let theirs = write(if concurrent { &inserted } else { &ours }, nodes[1], 3_000, "second", 1);
    (ours, theirs)
}
