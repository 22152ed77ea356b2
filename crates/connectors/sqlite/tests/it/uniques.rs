//! Unique values that stand in each other's way, and rows that cannot be written.

use crate::given::{given, overwriting, shell};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, u INT UNIQUE, v);
    INSERT INTO t VALUES (1,1,'a'),(2,2,'b'),(3,3,'c');";

/// Three rows pass their unique values round.
const ROUND: &str = "BEGIN; UPDATE t SET u = -1 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 3;
    UPDATE t SET u = 3 WHERE id = 2; UPDATE t SET u = 2 WHERE id = 1; COMMIT;";

#[test]
fn swapped_unique_values_arrive() {
    given(SCHEMA).follows(ROUND);
}

#[test]
fn swapped_unique_values_arrive_also_one_row_at_a_time() {
    // Ten rows a second make batches of one row: each is in the way of the next until the last has come.
    let pair = given(SCHEMA).with(|settings| settings.rows_per_second_max = Some(10));
    let report = pair.follows(ROUND);
    assert!(report.held.is_empty(), "{report:?}");
}

/// The same rows after they have passed their unique values round.
const PASSED_ROUND: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, u INT UNIQUE, v);
    INSERT INTO t VALUES (1,2,'a'),(2,3,'b'),(3,1,'x');";

#[test]
fn a_comparison_mends_swapped_unique_values_and_can_be_undone() {
    // All in one batch, and one row at a time.
    for rows_per_second_max in [None, Some(10)] {
        let pair = given(SCHEMA).with(overwriting).with(|settings| settings.rows_per_second_max = rows_per_second_max);
        pair.target_writes(PASSED_ROUND);
        let before = crate::given::rows(&pair.target, "t");
        let report = pair.syncs();
        assert!(report.held.is_empty(), "{report:?}");
        pair.same();
        assert_eq!(report.journaled, 3, "each replaced row once: {report:?}");
        assert_eq!(pair.restores(&report.run), 3);
        assert_eq!(crate::given::rows(&pair.target, "t"), before);
    }
}

#[test]
fn a_row_held_while_tables_are_compared_is_tried_again_in_the_same_run() {
    let pair = given(SCHEMA).with(overwriting).with(|settings| settings.rows_per_second_max = Some(10));
    pair.target_writes(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u INT UNIQUE, v); INSERT INTO t VALUES (1,0,'a'),(2,1,'b'),(3,2,'c');",
    );
    // 1 waits for the value of 2, and 2 for the value of 3.
    let report = pair.syncs();
    assert!(report.held.is_empty(), "{report:?}");
    pair.same();
}

#[test]
fn columns_of_the_targets_own_survive_swapped_unique_values() {
    let pair = given(SCHEMA);
    pair.target_writes("CREATE TABLE t(id INTEGER PRIMARY KEY, u INT UNIQUE, v, own);");
    pair.syncs();
    pair.target_writes("UPDATE t SET own = 'mine ' || id;");
    let own = "SELECT group_concat(own) FROM (SELECT own FROM t ORDER BY id);";
    pair.writes(ROUND);
    assert!(pair.syncs().held.is_empty());
    assert_eq!(pair.at_target("SELECT group_concat(u) FROM (SELECT u FROM t ORDER BY id);"), "2,3,1");
    assert_eq!(pair.at_target(own), "mine 1,mine 2,mine 3");
    // A comparison does the same, and so does undoing it.
    pair.writes("DROP TRIGGER _tidewater_1_u; UPDATE t SET u = -u; UPDATE t SET u = 1 + (id + 2) % 3;");
    let report = pair.syncs();
    assert_eq!((report.held.len(), report.journaled), (0, 3), "{report:?}");
    assert_eq!(pair.at_target("SELECT group_concat(u) FROM (SELECT u FROM t ORDER BY id);"), "1,2,3");
    assert_eq!(pair.restores(&report.run), 3);
    assert_eq!(pair.at_target("SELECT group_concat(u) FROM (SELECT u FROM t ORDER BY id);"), "2,3,1");
    assert_eq!(pair.at_target(own), "mine 1,mine 2,mine 3");
}

#[test]
fn a_row_that_only_the_target_has_is_never_overwritten_for_its_unique_value() {
    let pair = given(SCHEMA);
    pair.syncs();
    pair.target_writes("INSERT INTO t VALUES (100, 77, 'local');");
    pair.writes(
        "UPDATE t SET v = 'x' WHERE id = 1; INSERT INTO t VALUES (4, 77, 'd'); UPDATE t SET v = 'y' WHERE id = 2;",
    );
    let report = pair.syncs();
    assert_eq!(report.held.len(), 1, "{report:?}");
    assert_eq!(report.held[0].key.to_string(), "4");
    assert!(report.held[0].reason.contains("UNIQUE"), "{report:?}");
    assert!(report.needs_attention());
    assert_eq!(pair.at_target("SELECT v FROM t WHERE id IN (1, 2, 100) ORDER BY id;"), "x\ny\nlocal", "others flow");
    // Still in the way.
    assert_eq!(pair.syncs().held.len(), 1);
    pair.target_writes("DELETE FROM t WHERE id = 100;");
    let report = pair.syncs();
    assert!(report.held.is_empty(), "{report:?}");
    pair.same();
}

#[test]
fn a_held_row_is_read_again_and_its_newest_state_is_written() {
    let pair = given(SCHEMA);
    pair.syncs();
    pair.target_writes("INSERT INTO t VALUES (100, 77, 'local');");
    pair.writes("INSERT INTO t VALUES (4, 77, 'd');");
    assert_eq!(pair.syncs().held.len(), 1);
    pair.writes("UPDATE t SET u = 78, v = 'newest' WHERE id = 4;");
    assert!(pair.syncs().held.is_empty());
    assert_eq!(pair.at_target("SELECT u || v FROM t WHERE id = 4;"), "78newest");
    pair.target_writes("INSERT INTO t VALUES (101, 79, 'local');");
    pair.writes("UPDATE t SET u = 79 WHERE id = 4;");
    assert_eq!(pair.syncs().held.len(), 1);
    assert_eq!(pair.at_target("SELECT u FROM t WHERE id = 4;"), "78", "the row keeps what it had");
    pair.writes("DELETE FROM t WHERE id = 4;");
    assert!(pair.syncs().held.is_empty(), "a row that is gone needs no place");
    assert_eq!(pair.at_target("SELECT count(*) FROM t WHERE id = 4;"), "0");
}

#[test]
fn a_row_that_breaks_a_constraint_of_the_target_is_held_and_others_flow() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1,1);");
    shell(&pair.target, "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT NOT NULL CHECK (n < 100));");
    pair.syncs();
    pair.writes("INSERT INTO t VALUES (2,NULL),(3,1000),(4,4);");
    let report = pair.syncs();
    assert_eq!(report.held.len(), 2, "{report:?}");
    assert_eq!(pair.at_target("SELECT group_concat(id) FROM t;"), "1,4");
    pair.writes("UPDATE t SET n = 5;");
    assert!(pair.syncs().held.is_empty());
    pair.same();
}
