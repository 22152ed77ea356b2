//! `tidewater resync`: some tables are read again as a whole, and what differs is sent. At a server:
//! `postgres/quarantine.rs`.

use crate::given::{Place, given, numbered};

/// Two tables in step; then another program changes a row of each at the target.
fn changed_at_the_target() -> Place {
    let place =
        given(&format!("{} CREATE TABLE u(id INTEGER PRIMARY KEY, v); INSERT INTO u VALUES (1,'x');", numbered(50)));
    place.syncs();
    place
        .sql("till.db", "UPDATE t SET v = 'wrong' WHERE id = 7; DELETE FROM t WHERE id = 9; UPDATE u SET v = 'wrong';");
    place
}

const T: &str = "resync sqlite:shop.db sqlite:till.db t";

#[test]
fn a_table_is_read_again_and_what_differs_is_sent() {
    let place = changed_at_the_target();
    place.sql("shop.db", "CREATE TABLE later(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (51, 'new');");

    let done = place.tidewater(&format!("{T} --json")).exits(0);

    assert_eq!((done.count("rows_compared"), done.count("rows_mended")), (51, 3), "{done}");
    assert_eq!(place.rows_of("shop.db", "t", "*"), place.rows_of("till.db", "t", "*"));
    assert_eq!(place.sql("till.db", "SELECT v FROM u;"), "wrong", "nobody asked for it");
    place.try_sql("till.db", "SELECT * FROM later;").expect_err("a resync begins no table");
    let undo = place
        .tidewater(&format!("conflicts restore sqlite:till.db --run {}", done.json()["run"].as_str().expect("a run")));
    undo.exits(0).says("1 row put back");
    place.tidewater("resync sqlite:shop.db sqlite:till.db --all").exits(0).says("52 rows compared · 2 rows mended");
    place.same_rows("till.db", "till.db");
    assert_eq!(place.sql("till.db", "SELECT v FROM u;"), "x");
}

#[test]
fn what_is_not_said_or_not_there_is_refused() {
    let place = changed_at_the_target();
    for wrong in ["resync", "resync sqlite:shop.db sqlite:till.db", "resync sqlite:shop.db t", &format!("{T} --all")] {
        place.tidewater(wrong).exits(2);
    }
    place.tidewater(&format!("{T} z")).exits(2).says("gets no table z from shop.db").says("This sync carries: t, u");
    place.tidewater("resync sqlite:till.db sqlite:shop.db t").exits(1).says("E0022");
    place.sql("other.db", "CREATE TABLE t(id INTEGER PRIMARY KEY);");
    place.tidewater("resync sqlite:other.db sqlite:till.db t").exits(2).says("till.db has no sync from other.db");
    place.tidewater("resync sqlite:shop.db sqlite:nowhere.db t").exits(3).says("E0010");
    assert!(!place.files().contains(&"nowhere.db".to_owned()));
    assert_eq!(place.sql("till.db", "SELECT v FROM t WHERE id = 7;"), "wrong");
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.tidewater(T).exits(3).says("E0030");
    watcher.gets("TERM").ends().exits(0);
}

#[test]
fn a_resync_leaves_the_protection_as_it_is_and_takes_up_a_halted_table_that_was_mended() {
    let place = given(&numbered(5));
    place.tries_to_sync("--protect").exits(0);
    place.sql("shop.db", "ALTER TABLE t RENAME COLUMN v TO w;");
    let halted = place.tidewater(T).exits(1);
    halted.says("E0040 t is halted");
    place.sql("till.db", "ALTER TABLE t RENAME COLUMN v TO w;");
    place.sql("shop.db", "UPDATE t SET w = 'new' WHERE id = 1;");

    place.tidewater(T).exits(0).says("5 rows compared");

    place.same_rows("shop.db", "till.db");
    place.try_sql("till.db", "DELETE FROM t;").expect_err("it is still protected");
}
