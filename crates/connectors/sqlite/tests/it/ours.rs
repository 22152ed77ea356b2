//! What several links share in one database, and what other programs do there meanwhile.

use crate::given::{given, overwriting, run, shell, try_shell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidewater_core::change::{Deletes, Pattern, Scope, TableScope};
use tidewater_core::code;
use tidewater_core::link::{Event, Existing, Run, Settings, State};

/// A table without a key whose row numbers have gaps, which VACUUM closes.
const KEYLESS: &str =
    "CREATE TABLE n(v); INSERT INTO n VALUES ('a'),('b'),('c'),('d'); CREATE TABLE t(id INTEGER PRIMARY KEY, v);
    INSERT INTO t VALUES (1,'a');";

#[test]
fn a_row_that_another_program_writes_during_the_first_copy_is_kept_in_the_journal() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i \
         WHERE n < 2000) INSERT INTO t SELECT n, 'v' || n FROM i;",
    )
    .with(|settings| settings.rows_per_second_max = Some(5_000));
    let (target, first) = (pair.target.clone(), AtomicBool::new(true));
    let report = pair.syncs_while(move |event| {
        if matches!(event, Event::Progress { .. }) && first.swap(false, Ordering::Relaxed) {
            shell(&target, "INSERT INTO t VALUES (1998, 'v1998'), (1999, 'its own');");
        }
    });
    pair.same();
    assert_eq!((report.journaled, report.copied), (1, 2_000), "an equal row needs no entry: {report:?}");
    assert_eq!(pair.restores(&report.run), 1);
    assert_eq!(pair.at_target("SELECT v FROM t WHERE id IN (1998, 1999) ORDER BY id;"), "v1998\nits own");
}

#[test]
fn a_link_that_leaves_hides_no_vacuum_and_costs_the_others_no_comparison() {
    let pair = given(KEYLESS);
    let other = pair.folder.path().join("other.db");
    let only =
        Settings { scope: Scope { tables: vec![Pattern::new("n")], ..Default::default() }, ..Settings::default() };
    let follows = || run(&pair.source, &other, &only, pair.log_rows_max).expect("runs");
    let link = pair.syncs().link;
    follows();
    pair.writes("DELETE FROM n WHERE v = 'b';");
    follows();
    pair.source_forgets(&link);
    assert_eq!(follows().compared, 0, "its triggers on t were ours to take out");
    let link = pair.syncs().link;
    follows();
    pair.writes("VACUUM;");
    pair.source_forgets(&link);
    assert_eq!(follows().compared, 3, "row numbers are not what they were");
    pair.writes("UPDATE n SET v = 'C' WHERE v = 'c';");
    follows();
    assert_eq!(shell(&other, "SELECT group_concat(v) FROM n;"), "a,C,d");
}

#[test]
fn a_database_that_becomes_a_source_costs_the_link_that_writes_it_no_comparison() {
    let pair = given(KEYLESS);
    let third = pair.folder.path().join("third.db");
    pair.syncs();
    run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
    pair.writes("UPDATE n SET v = 'C' WHERE v = 'c';");
    let report = pair.syncs();
    assert_eq!((report.compared, report.upserts), (0, 1), "its new log and triggers are ours: {report:?}");
    run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
    assert_eq!(shell(&third, "SELECT group_concat(v) FROM n;"), "a,b,C,d");
}

#[test]
fn a_table_stays_protected_until_the_last_of_its_links_leaves() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a');")
        .with(overwriting)
        .with(|settings| settings.protect = true);
    let other = pair.folder.path().join("other.db");
    shell(&other, "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (2,'b');");
    let (first, second) = (pair.syncs(), run(&other, &pair.target, &pair.settings, pair.log_rows_max).expect("runs"));
    pair.target_forgets(&first.link);
    let refused = try_shell(&pair.target, "INSERT INTO t VALUES (3,'c');").expect_err("it is still a replica");
    assert!(refused.contains("protected"), "{refused}");
    pair.target_forgets(&second.link);
    pair.target_writes("INSERT INTO t VALUES (3,'c');");
}

#[test]
fn once_leaves_no_held_row_behind_for_a_link_that_nobody_knows() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1,'a');");
    pair.syncs();
    let other = pair.folder.path().join("other.db");
    shell(&other, "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (2,'a');");
    let settings = Settings { run: Run::Once, ..pair.settings.clone() };
    let mut settings = settings;
    overwriting(&mut settings);
    run(&other, &pair.target, &settings, pair.log_rows_max).expect_err("a row cannot be written");
    assert_eq!(pair.at_target("SELECT count(*) FROM _tidewater_held;"), "0");
}

#[test]
fn a_vacuum_of_the_target_while_the_link_meets_is_noticed() {
    let pair = given(KEYLESS).with_scope(|scope| scope.tables = vec![Pattern::new("n")]);
    pair.target_writes("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a');");
    pair.syncs();
    pair.writes("DELETE FROM n WHERE v = 'b';");
    pair.syncs();
    // A table that meets is compared after the ledger was read, and before anything is recorded.
    let pair = pair.with_scope(|scope| scope.tables = vec![]);
    let (target, first) = (pair.target.clone(), AtomicBool::new(true));
    pair.syncs_while(move |event| {
        if *event == Event::State(&State::Comparing) && first.swap(false, Ordering::Relaxed) {
            shell(&target, "VACUUM;");
        }
    });
    pair.writes("UPDATE n SET v = 'C' WHERE v = 'c';");
    pair.syncs();
    pair.same();
}

#[test]
fn the_first_entry_of_a_journal_is_no_vacuum() {
    let pair = given(KEYLESS).with(overwriting).with_scope(|scope| scope.tables = vec![Pattern::new("n")]);
    pair.target_writes("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'its own');");
    pair.syncs();
    pair.writes("INSERT INTO n VALUES ('e');");
    let pair = pair.with_scope(|scope| scope.tables = vec![]);
    let report = pair.syncs();
    assert_eq!((report.journaled, report.compared), (1, 1), "only t may differ: {report:?}");
    pair.same();
    assert_eq!(pair.restores(&report.run), 1);
    assert_eq!(pair.syncs().compared, 0, "neither is its last");
}

#[test]
fn a_link_that_begins_hides_no_vacuum_from_the_others() {
    let pair = given(KEYLESS);
    let other = pair.folder.path().join("other.db");
    let only =
        Settings { scope: Scope { tables: vec![Pattern::new("t")], ..Default::default() }, ..Settings::default() };
    pair.syncs();
    pair.writes("DELETE FROM n WHERE v = 'b';");
    pair.syncs();
    pair.writes("VACUUM;");
    run(&pair.source, &other, &only, pair.log_rows_max).expect("runs");
    pair.writes("UPDATE n SET v = 'C' WHERE v = 'c';");
    assert!(pair.syncs().compared > 0, "row numbers are not what they were");
    assert_eq!(pair.at_target("SELECT group_concat(v) FROM n;"), "a,C,d");
}

#[test]
fn rows_put_back_reach_links_further_on() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'src');").with(overwriting);
    shell(&pair.target, "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'own');");
    let third = pair.folder.path().join("third.db");
    let onwards = || run(&pair.target, &third, &Settings::default(), pair.log_rows_max).expect("runs");
    let report = pair.syncs();
    onwards();
    assert_eq!(pair.restores(&report.run), 1);
    onwards();
    assert_eq!(shell(&third, "SELECT v FROM t;"), "own");
}

#[test]
fn what_was_logged_for_one_table_is_never_read_as_anothers() {
    let pair = given(
        "CREATE TABLE t1(id INTEGER PRIMARY KEY, v); CREATE TABLE t2(id INTEGER PRIMARY KEY, v);
        CREATE TABLE t3(id INTEGER PRIMARY KEY, v); INSERT INTO t1 VALUES (1,1);",
    );
    let scope = |tables: &[&str]| Settings {
        scope: Scope { tables: tables.iter().map(|t| Pattern::new(t)).collect(), ..Default::default() },
        existing: Existing::Keep,
        ..Settings::default()
    };
    let other = pair.folder.path().join("other.db");
    run(&pair.source, &pair.target, &scope(&["t1"]), pair.log_rows_max).expect("runs");
    let second = run(&pair.source, &other, &scope(&["t2"]), pair.log_rows_max).expect("runs");
    pair.writes("INSERT INTO t2 VALUES (5, 5);");
    pair.source_forgets(&second.link);
    pair.target_writes("CREATE TABLE t3(id INTEGER PRIMARY KEY, v); INSERT INTO t3 VALUES (5,'mine');");
    run(&pair.source, &pair.target, &scope(&["t1", "t3"]), pair.log_rows_max).expect("runs");
    assert_eq!(pair.at_target("SELECT v FROM t3;"), "mine");
}

#[test]
fn links_that_disagree_about_the_logs_limit_leave_each_other_alone() {
    let pair = given(KEYLESS);
    let other = pair.folder.path().join("other.db");
    let version = || shell(&pair.source, "PRAGMA schema_version;");
    pair.syncs();
    run(&pair.source, &other, &pair.settings, 5_000).expect("runs");
    let before = version();
    pair.syncs();
    run(&pair.source, &other, &pair.settings, 5_000).expect("runs");
    assert_eq!(version(), before);
}

#[test]
fn a_replace_clause_at_the_target_deletes_no_row_of_its_own() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE ON CONFLICT REPLACE);");
    pair.syncs();
    pair.target_writes("INSERT INTO t VALUES (100,'mine');");
    pair.writes("INSERT INTO t VALUES (2,'mine');");
    let report = pair.syncs();
    assert_eq!(report.held.len(), 1, "{report:?}");
    assert_eq!(pair.at_target("SELECT id FROM t;"), "100");
}

#[test]
fn a_row_put_back_is_whole_and_its_mark_is_taken_back() {
    let target = "CREATE TABLE t(id INTEGER PRIMARY KEY, v, own, gone);
        INSERT INTO t VALUES (1,'b','o1',NULL),(2,'b','o2',NULL);";
    let before = "1|b|o1|\n2|b|o2|";
    let mark = Deletes::Mark { column: "gone".into(), value: None };
    for (deletes, after) in [(mark, "1|a|o1|0\n2|b|o2|1"), (Deletes::Apply, "1|a|o1|0")] {
        let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a');").with(|settings| {
            settings.existing = Existing::Mirror;
            settings.scope.special.insert("t".into(), TableScope { deletes, ..TableScope::default() });
        });
        shell(&pair.target, target);
        let report = pair.syncs();
        assert_eq!(pair.at_target("SELECT id, v, own, gone IS NOT NULL FROM t;"), after);
        assert_eq!(pair.restores(&report.run), 2);
        assert_eq!(pair.at_target("SELECT * FROM t;"), before);
    }
}

#[test]
fn rows_without_a_key_are_not_put_back_over_others_after_a_vacuum() {
    let pair = given("CREATE TABLE n(v); INSERT INTO n VALUES ('x'),('x'),('x');").with(overwriting);
    shell(&pair.target, "CREATE TABLE n(v); INSERT INTO n VALUES ('a'),('b'),('c'),('d'); DELETE FROM n WHERE v='a';");
    let report = pair.syncs();
    pair.target_writes("VACUUM;");
    let error = pair.tries_to_restore(&report.run).expect_err("refused");
    assert_eq!(error.code, code::ROW_HELD, "{error}");
}

#[test]
fn a_table_that_is_followed_again_is_logged_by_a_link_that_already_writes() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a'); CREATE TABLE u(id INTEGER PRIMARY KEY, v);
         WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000) INSERT INTO u SELECT n, 0 FROM i;",
    );
    let third = pair.folder.path().join("third.db");
    let only = Settings { scope: Scope { tables: vec![Pattern::new("u")], ..Scope::default() }, ..Settings::default() };
    let (middle, most) = (pair.target.clone(), pair.log_rows_max);
    let onwards = move |settings: &Settings| run(&middle, &third, settings, most).expect("runs");
    pair.syncs();
    onwards(&Settings::default());
    onwards(&only);
    pair.writes("UPDATE u SET v = 1;");
    let (source, again, first) = (pair.source.clone(), onwards.clone(), AtomicBool::new(true));
    pair.syncs_while(move |event| {
        if matches!(event, Event::Applied { .. }) && first.swap(false, Ordering::Relaxed) {
            let again = again.clone();
            std::thread::spawn(move || again(&Settings::default())).join().expect("runs");
            shell(&source, "UPDATE t SET v = 'later';");
        }
    });
    assert_eq!(pair.at_target("SELECT v FROM t;"), "later", "it came in a later batch of the same run");
    onwards(&Settings::default());
    assert_eq!(shell(&pair.folder.path().join("third.db"), "SELECT v FROM t;"), "later");
}

#[test]
fn a_large_table_shows_how_far_its_copy_is() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY); WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i \
         WHERE n < 250000) INSERT INTO t SELECT n FROM i;",
    );
    let (shown, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (right, any) = (shown.clone(), seen.clone());
    pair.syncs_while(move |event| {
        if let Event::Progress { total, .. } = event {
            any.store(true, Ordering::Relaxed);
            right.store(*total == Some(250_000), Ordering::Relaxed);
        }
    });
    assert!(seen.load(Ordering::Relaxed) && shown.load(Ordering::Relaxed), "the key's range says how many rows come");
}
