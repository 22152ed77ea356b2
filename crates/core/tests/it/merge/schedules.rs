//! Every schedule of a small world: three replicas, writes of two columns, deletes and one-way syncs.
//!
//! Each prefix of a schedule is healed and held against the oracle of `world.rs`. An event that changes nothing is
//! not followed: the schedule without it is tried anyway. `TIDEWATER_TEST_EVENTS` goes deeper.

use super::world::{Case, Event, Merge, World, events, join};
use tidewater_core::merge::{DeleteUpdate, Policy, Rule};

/// Every pair of concurrent writes, a delete among them, and both ways of hearing of them need five.
pub(super) const EVENTS: usize = 5;

fn depth() -> usize {
    std::env::var("TIDEWATER_TEST_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS)
}

/// What is looked for in a world.
#[derive(Clone, Copy)]
pub(super) enum Check {
    Anything,
    Divergence,
}

/// Tries every schedule of at most `depth` events; what is found and its schedule, or how many worlds there were.
fn search(world: &World<'_>, check: Check, depth: usize, path: &mut Vec<Event>) -> Result<u64, String> {
    let found = match check {
        Check::Anything => world.violation(),
        Check::Divergence => world.divergence(),
    };
    if let Some(found) = found {
        return Err(format!("{found} after {path:?}"));
    }
    let mut worlds = 1;
    if depth > 0 {
        for event in events() {
            if let Some(next) = world.after(event) {
                path.push(event);
                worlds += search(&next, check, depth - 1, path)?;
                path.pop();
            }
        }
    }
    Ok(worlds)
}

/// From a row that nobody has, and, one event less, from rows that were there before first contact.
pub(super) fn try_all(case: &Case, merge: Merge, check: Check, depth: usize) -> Result<u64, String> {
    let empty = search(&World::empty(case, merge), check, depth, &mut vec![])?;
    let first_contact = search(&World::first_contact(case, merge), check, depth - 1, &mut vec![])?;
    Ok(empty + first_contact)
}

fn column(name: &str, rule: Rule) -> (String, Rule) {
    (name.to_owned(), rule)
}

fn a_and_b() -> Vec<Vec<String>> {
    vec![vec!["a".to_owned(), "b".to_owned()]]
}

fn hq() -> Rule {
    Rule::Prefer("hq".to_owned())
}

fn merge() -> Policy {
    Policy::default()
}

#[track_caller]
fn holds(policy: Policy) {
    let case = Case::of(policy);
    let worlds = try_all(&case, join, Check::Anything, depth())
        .unwrap_or_else(|violation| panic!("{:?}: {violation}", case.policy));
    assert!(worlds > 10_000, "only {worlds} worlds were tried");
}

macro_rules! every_schedule {
    ($($name:ident: $policy:expr;)*) => {
        $(
            #[test]
            fn $name() {
                holds($policy);
            }
        )*

        /// The rules tried.
        pub(super) fn policies() -> Vec<Policy> {
            vec![$($policy),*]
        }
    };
}

every_schedule! {
    last_writer: Policy { row: Rule::LastWriter, ..merge() };
    last_writer_where_deletes_win: Policy { row: Rule::LastWriter, delete_update: DeleteUpdate::Delete, ..merge() };
    first_writer: Policy { row: Rule::FirstWriter, ..merge() };
    prefer: Policy { row: hq(), ..merge() };
    manual: Policy { row: Rule::Manual, ..merge() };
    manual_where_deletes_win: Policy { row: Rule::Manual, delete_update: DeleteUpdate::Delete, ..merge() };
    last_writer_with_a_manual_column:
        Policy { row: Rule::LastWriter, columns: vec![column("a", Rule::Manual)], ..merge() };
    merge_by_column: merge();
    merge_where_deletes_win: Policy { delete_update: DeleteUpdate::Delete, ..merge() };
    merge_with_a_manual_column: Policy { columns: vec![column("a", Rule::Manual)], ..merge() };
    merge_with_first_writer_and_prefer:
        Policy { columns: vec![column("a", Rule::FirstWriter), column("c", hq())], ..merge() };
    merge_together: Policy { together: a_and_b(), ..merge() };
    merge_together_by_hand: Policy { together: a_and_b(), columns: vec![column("a", Rule::Manual)], ..merge() };
}
