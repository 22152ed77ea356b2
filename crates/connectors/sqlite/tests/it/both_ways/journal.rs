//! The journal: who has what, and for how long.

use super::group::{Group, group, later, member_in};
use crate::given::block_on;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tidewater_core::env::{Clock, Env};
use tidewater_core::link::{Exchange, Run, Unwatched};
use tidewater_core::merge::{Kind, Policy, Rule};
use tidewater_core::replica::Choice;

const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, mail TEXT UNIQUE);
                 CREATE TABLE m(id INTEGER PRIMARY KEY, v TEXT);";

/// Members with ten rows, which keep the journal for 90 days; `m` waits for a person.
fn met(members: &str) -> Group {
    let mut g = group(members, T);
    g.settings.journal_keep_days = Some(90);
    g.settings.policies = BTreeMap::from([("m".into(), Policy { row: Rule::Manual, ..Policy::default() })]);
    g.write('a', "INSERT INTO t(id, v) SELECT value, 'v' FROM generate_series(1, 10); INSERT INTO m VALUES (1, 'v')");
    g.meet(members);
    g
}

/// `a` and `b` write the same row of a table, b later, and meet.
fn conflict(g: &Group, table: &str, id: u32) {
    g.write('a', &format!("UPDATE {table} SET v = 'a' WHERE id = {id}"));
    later();
    g.write('b', &format!("UPDATE {table} SET v = 'b' WHERE id = {id}"));
    g.meet("ab");
}

/// Keys of the conflicts in a journal, with their tables and kinds.
fn journal(g: &Group, member: char) -> Vec<String> {
    let entries = g.conflicts(member);
    let mut said: Vec<String> = entries.iter().map(|e| format!("{} {} {:?}", e.table, e.key, e.kind)).collect();
    said.sort();
    said
}

#[test]
fn what_ended_long_ago_is_forgotten_and_what_has_not_ended_never() {
    let mut g = met("ab");
    // Over: a later write took its place.
    conflict(&g, "t", 1);
    g.write('a', "UPDATE t SET v = 'later' WHERE id = 1");
    // Settled by the rule, and the row has both siblings still; open, until a person chooses; a row that stands aside.
    conflict(&g, "t", 2);
    conflict(&g, "m", 1);
    g.write('a', "INSERT INTO t VALUES (20, 'first', 'x')");
    later();
    g.write('b', "INSERT INTO t VALUES (21, 'second', 'x')");
    g.meet("ab");
    let all = ["m 1 Update", "t 1 Update", "t 2 Update", "t 21 Unique"];
    for member in ['a', 'b'] {
        assert_eq!(journal(&g, member), all, "{member}");
    }
    g.days = 89;
    g.meet("ab");
    assert_eq!((journal(&g, 'a').len(), journal(&g, 'b').len()), (4, 4), "89 days are not 90");
    g.days = 91;
    g.meet("ab");
    for member in ['a', 'b'] {
        assert_eq!(journal(&g, member), [all[0], all[2], all[3]], "{member}");
    }
    g.days = 100_000;
    g.meet("ab");
    assert_eq!(journal(&g, 'a'), [all[0], all[2], all[3]], "what has not ended has no age");
    // It ends now, and its time begins now.
    let open = g.conflicts('a').into_iter().find(|entry| entry.open).expect("m waits");
    g.settle('a', &open, Choice::Take(1));
    g.write('b', "UPDATE t SET v = 'later' WHERE id = 2; DELETE FROM t WHERE id = 20");
    g.meet("ab");
    assert_eq!(journal(&g, 'b').len(), 3);
    g.days += 91;
    g.meet("ab");
    assert_eq!((journal(&g, 'a'), journal(&g, 'b')), (vec![], vec![]));
    assert!(g.same("ab", "t").contains("21|second|x") && g.same("ab", "m") == "1|a", "{}", g.same("ab", "t"));
}

#[test]
fn nothing_is_forgotten_unless_somebody_says_so() {
    let mut g = met("ab");
    g.settings.journal_keep_days = None;
    conflict(&g, "t", 1);
    g.write('a', "UPDATE t SET v = 'later' WHERE id = 1");
    g.meet("ab");
    g.days = 100_000;
    g.meet("ab");
    assert_eq!((journal(&g, 'a').len(), journal(&g, 'b').len()), (1, 1));
    // What a person does on one side meanwhile does not change what the sync was told.
    g.settings.journal_keep_days = Some(90);
    conflict(&g, "t", 2);
    g.settle('a', &g.conflicts('a')[0], Choice::Restore);
    assert_eq!(g.count('a', "_tidewater_shared WHERE keep_days = 90"), 2);
}

#[test]
fn more_than_is_forgotten_at_once_is_forgotten_one_after_the_other() {
    let mut g = met("ab");
    g.write('a', "INSERT INTO t(id, v) SELECT value, 'v' FROM generate_series(101, 1300)");
    g.meet("ab");
    for (member, word) in [('a', "a"), ('b', "b")] {
        g.write(member, &format!("UPDATE t SET v = '{word}' || id WHERE id > 100"));
        later();
    }
    g.meet("ab");
    assert_eq!(g.count('a', "_tidewater_conflict"), 1_200);
    g.write('a', "UPDATE t SET v = 'over' WHERE id > 101");
    g.meet("ab");
    g.days = 91;
    g.meet("ab");
    assert_eq!((journal(&g, 'a'), journal(&g, 'b').len()), (vec!["t 101 Update".to_owned()], 1));
}

/// A clock of which a day of rest is over at once; it stops the exchange after some.
struct Resting {
    naps: AtomicU32,
    stop: tokio::sync::watch::Sender<bool>,
}

const NAP: Duration = Duration::from_secs(30 * 24 * 3600);

#[async_trait]
impl Clock for Resting {
    fn now_ms(&self) -> i64 {
        Env::real().clock.now_ms() + i64::try_from(self.monotonic().as_millis()).expect("it fits")
    }
    fn monotonic(&self) -> Duration {
        NAP * self.naps.load(Ordering::Relaxed)
    }
    async fn sleep(&self, _: Duration) {
        if self.naps.fetch_add(1, Ordering::Relaxed) == 5 {
            let _ = self.stop.send(true);
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_watching_engine_forgets_from_time_to_time_also_when_nothing_comes() {
    let mut g = met("ab");
    conflict(&g, "t", 1);
    g.write('a', "UPDATE t SET v = 'later' WHERE id = 1");
    g.meet("ab");
    assert_eq!(journal(&g, 'b').len(), 1);
    (g.settings.run, g.settings.every) = (Run::Watch, NAP);
    let (tell, stop) = tokio::sync::watch::channel(false);
    let env = Env { clock: Arc::new(Resting { naps: AtomicU32::new(0), stop: tell }), ..Env::real() };
    let members = ['a', 'b'].map(|member| g.path(member)).iter().map(member_in(&env, g.log_rows_max)).collect();
    let report = block_on(Exchange::new(members, g.settings.clone(), env, Arc::new(Unwatched), stop).run());
    assert!(report.expect("it was stopped").in_step);
    assert_eq!((journal(&g, 'a'), journal(&g, 'b')), (vec![], vec![]));
}

#[test]
fn a_conflict_is_in_every_journal_under_one_number_also_of_who_was_away() {
    let g = met("abcd");
    conflict(&g, "t", 1);
    g.meet("abc");
    g.meet("cd");
    let number = g.conflicts('a')[0].id;
    for member in ['a', 'b', 'c', 'd'] {
        let entries = g.conflicts(member);
        assert_eq!((entries.len(), entries[0].id, entries[0].kind), (1, number, Kind::Update), "{member}");
        let sides: Vec<_> = entries[0].sides.iter().map(|side| side.content.clone()).collect();
        assert_eq!(sides, g.conflicts('a')[0].sides.iter().map(|s| s.content.clone()).collect::<Vec<_>>());
    }
}

/// Keeps a copy of a member's file.
fn keep(g: &Group, member: char) {
    g.write(member, "PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::copy(g.path(member), g.path('x')).expect("it is copied");
}

/// Puts it back.
fn put_back(g: &Group, member: char) {
    std::fs::copy(g.path('x'), g.path(member)).expect("it is put back");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", g.path(member).display()));
    }
}

#[test]
fn a_journal_that_was_put_back_is_told_again_what_has_not_ended() {
    let g = met("ab");
    keep(&g, 'a');
    conflict(&g, "t", 1);
    let number = g.conflicts('a')[0].id;
    put_back(&g, 'a');
    assert!(g.conflicts('a').is_empty());
    g.meet("ab");
    assert_eq!(g.conflicts('a')[0].id, number);
}

#[test]
fn who_hears_only_of_the_write_that_came_after_has_no_entry_of_the_conflict() {
    let g = met("abc");
    conflict(&g, "t", 1);
    g.write('a', "UPDATE t SET v = 'later' WHERE id = 1");
    g.meet("abc");
    assert_eq!((journal(&g, 'a').len(), journal(&g, 'b').len()), (1, 1), "who met them");
    assert!(journal(&g, 'c').is_empty(), "never saw the two side by side");
}

#[test]
fn a_side_that_ended_before_others_heard_of_it_is_in_one_journal() {
    let g = met("abc");
    g.write('a', "UPDATE t SET v = 'a' WHERE id = 1");
    g.meet("ac");
    // Only b takes the other's in, as if the engine had died before a could.
    keep(&g, 'a');
    later();
    g.write('b', "UPDATE t SET v = 'b' WHERE id = 1");
    g.meet("ab");
    put_back(&g, 'a');
    g.write('b', "UPDATE t SET v = 'later' WHERE id = 1");
    g.meet("abc");
    assert!(g.same("abc", "t").starts_with("1|later|"), "{}", g.same("abc", "t"));
    let held = ['a', 'b', 'c'].map(|member| journal(&g, member).len());
    assert_eq!(held, [0, 1, 0]);
    // There it is whole, and can be put back everywhere.
    g.settle('b', &g.conflicts('b')[0], Choice::Take(1));
    g.meet("abc");
    assert!(g.same("abc", "t").starts_with("1|a|"), "{}", g.same("abc", "t"));
}

#[test]
fn columns_are_shown_in_the_order_of_the_table() {
    let g = group("ab", "CREATE TABLE t(id INTEGER PRIMARY KEY, Zone TEXT, name TEXT, amount INTEGER);");
    g.write('a', "INSERT INTO t VALUES (1, 'z', 'n', 1)");
    g.meet("ab");
    g.write('a', "UPDATE t SET name = 'a', Zone = 'A'");
    later();
    g.write('b', "UPDATE t SET name = 'b', Zone = 'B'");
    g.meet("ab");
    let entry = g.conflicts('a').remove(0);
    assert_eq!(entry.columns, ["id", "Zone", "name", "amount"]);
    assert_eq!(entry.collided, [1, 2]);
    let said = |row: &tidewater_core::change::Row| row.values().map(|v| v.to_string()).collect::<Vec<_>>();
    assert_eq!(entry.shown.as_ref().map(said).expect("a row"), ["1", "'B'", "'b'", "1"]);
    assert_eq!(entry.sides[0].content.as_ref().map(said).expect("a row"), ["1", "'A'", "'a'", "1"]);
    // What is chosen by name goes to the column of that name.
    g.settle('a', &entry, Choice::Set(vec![("Zone".into(), tidewater_core::change::Value::Text("C".into()))]));
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|C|b|1");
}
