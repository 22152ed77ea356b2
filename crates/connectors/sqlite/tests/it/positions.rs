//! Positions that are lost: noticed, never skipped, and recovered by sending only what differs.

use crate::given::{Step, given, same, shell};
use tidewater_core::link::Existing;
use tidewater_core::{Kind, code};

const ROWS: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t SELECT i, i FROM n;";

#[test]
fn a_restored_source_is_noticed_even_when_its_log_has_grown_past_the_position() {
    let pair = given(ROWS);
    pair.syncs();
    pair.writes("UPDATE t SET v = -1 WHERE id <= 5;");
    pair.syncs();
    let backup = pair.folder.path().join("backup.db");
    shell(&pair.source, &format!("VACUUM INTO '{}';", backup.display()));
    pair.writes("UPDATE t SET v = -2 WHERE id <= 50; DELETE FROM t WHERE id > 1990;");
    pair.syncs();
    pair.same();
    // The backup comes back, and a program writes more than had been logged since.
    std::fs::rename(&backup, &pair.source).expect("restored");
    pair.writes("UPDATE t SET v = -3 WHERE id BETWEEN 500 AND 1500;");
    let report = pair.syncs();
    assert!(report.compared > 0, "{report:?}");
    assert!(report.mended > 0 && report.mended < 1_200, "only what differs is sent: {report:?}");
    pair.same();
    pair.writes("UPDATE t SET v = 0 WHERE id = 1;");
    assert_eq!(pair.syncs().compared, 0, "and then changes again");
    pair.same();
}

#[test]
fn a_restored_target_is_noticed() {
    let pair = given(ROWS);
    pair.syncs();
    let backup = pair.folder.path().join("backup.db");
    shell(&pair.target, &format!("VACUUM INTO '{}';", backup.display()));
    for round in 0..6 {
        pair.writes(&format!("UPDATE t SET v = {round} WHERE id % 7 = {round};"));
        pair.syncs();
    }
    for side in ["target.db-wal", "target.db-shm"] {
        let _ = std::fs::remove_file(pair.folder.path().join(side));
    }
    std::fs::rename(&backup, &pair.target).expect("restored");
    let report = pair.syncs();
    assert!(report.compared > 0 && report.mended > 0, "{report:?}");
    pair.same();
}

#[test]
fn a_full_log_stops_growing_and_leads_to_a_comparison() {
    let mut pair = given(ROWS);
    pair.log_rows_max = 100;
    pair.syncs();
    pair.writes("UPDATE t SET v = v + 1; DELETE FROM t WHERE id % 10 = 0;");
    let entries: u64 = shell(&pair.source, "SELECT count(*) FROM _tidewater_log;").parse().expect("a number");
    assert!(entries <= 117, "{entries} entries: the limit, an eighth of it, and entry 0");
    let report = pair.syncs();
    assert!(report.compared > 0, "{report:?}");
    pair.same();
    pair.writes("UPDATE t SET v = 0 WHERE id = 1;");
    assert_eq!(pair.syncs().compared, 0, "the log takes entries again");
    pair.same();
}

#[test]
fn a_log_that_only_the_engine_writes_is_bounded_too() {
    let mut pair = given(ROWS);
    pair.log_rows_max = 100;
    let third = pair.folder.path().join("third.db");
    let onwards = || crate::given::run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
    pair.syncs();
    onwards();
    for round in 0..3 {
        pair.writes(&format!("UPDATE t SET v = {round} WHERE id % 10 = 0;"));
        pair.syncs();
    }
    let entries: u64 = pair.at_target("SELECT count(*) FROM _tidewater_log;").parse().expect("a number");
    assert!(entries <= 117, "{entries} entries: the limit, an eighth of it, and entry 0");
    assert!(onwards().compared > 0, "what was forgotten is compared");
    same(&pair.source, &third);
}

#[test]
fn what_another_link_found_void_stays_void_until_this_one_has_seen_it() {
    let pair = given(ROWS);
    let (mut one, mut other) = (Step::of(&pair.source, "one"), Step::of(&pair.source, "other"));
    let began = one.begins(None).position;
    one.confirms(&began);
    assert_eq!(one.begins(Some(&began)).void, Vec::<usize>::new(), "confirmed, and known to the target");
    pair.writes("DROP TRIGGER _tidewater_1_u; UPDATE t SET v = -1 WHERE id = 7;");
    other.begins(None);
    one.confirms(&began);
    assert_eq!(one.begins(Some(&began)).void, [0], "the other link put the trigger back; this one missed a change");
}

#[test]
fn a_target_that_is_away_does_not_stop_the_log_for_another() {
    let mut pair = given(ROWS);
    pair.log_rows_max = 1_000;
    let other = pair.folder.path().join("other.db");
    let second = || crate::given::run(&pair.source, &other, &pair.settings, pair.log_rows_max).expect("runs");
    pair.syncs();
    second();
    for round in 0..8 {
        pair.writes(&format!("UPDATE t SET v = v + 1 WHERE id <= 300 AND {round} = {round};"));
        assert_eq!(pair.syncs().compared, 0, "round {round}");
    }
    pair.same();
    let report = second();
    assert!(report.compared > 0, "it was away for too long: {report:?}");
    same(&pair.source, &other);
}

#[test]
fn a_log_that_was_emptied_by_hand_is_noticed() {
    let pair = given(ROWS);
    pair.syncs();
    pair.writes("UPDATE t SET v = -1 WHERE id = 7; DELETE FROM _tidewater_log; UPDATE t SET v = -1 WHERE id = 8;");
    pair.syncs();
    pair.same();
    pair.writes("UPDATE t SET v = -9 WHERE id = 9;");
    pair.syncs();
    pair.same();
}

#[test]
fn triggers_that_were_dropped_by_hand_are_noticed() {
    let pair = given(ROWS);
    pair.syncs();
    pair.writes("DROP TRIGGER _tidewater_1_u; UPDATE t SET v = -1 WHERE id = 7;");
    let report = pair.syncs();
    assert!(report.compared > 0, "{report:?}");
    pair.same();
}

#[test]
fn an_emptied_source_does_not_empty_the_target() {
    let pair = given(ROWS);
    pair.syncs();
    std::fs::remove_file(&pair.source).expect("removed");
    shell(&pair.source, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);");
    // A new file has a new identity: to the target this is a first contact.
    let error = pair.tries().expect_err("refused");
    assert_eq!((error.kind, error.code), (Kind::Conflict, code::FIRST_CONTACT_DIFFERS), "{error}");
    assert_eq!(pair.at_target("SELECT count(*) FROM t;"), "2000");
    let pair = pair.with(|settings| settings.existing = Existing::Mirror);
    let report = pair.syncs();
    assert_eq!((report.removed, report.journaled), (2_000, 2_000), "{report:?}");
    pair.same();
}

#[test]
fn a_source_that_lost_its_position_and_is_empty_is_refused() {
    let pair = given(ROWS);
    pair.syncs();
    pair.writes("DROP TRIGGER _tidewater_1_d; DELETE FROM t;");
    let report = pair.syncs();
    assert!(report.halted.get("t").is_some_and(|why| why.starts_with("E0024")), "{report:?}");
    assert_eq!(pair.at_target("SELECT count(*) FROM t;"), "2000");
    let pair = pair.with(|settings| settings.existing = Existing::Mirror);
    assert_eq!(pair.syncs().removed, 2_000, "and mirror is the way out");
    pair.same();
}
