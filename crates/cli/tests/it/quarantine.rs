//! `tidewater quarantine`: rows that a file could not take are listed, tried again, and given up. At a server:
//! `postgres/quarantine.rs`.

use crate::given::{Place, given, until};

/// Two rows of the shop cannot be written: the till has rows of its own with their codes.
fn two_rows_in_quarantine() -> Place {
    let table = "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT UNIQUE, v TEXT);";
    let place = given(&format!("{table} INSERT INTO t VALUES (1,'a','x'), (2,'b','x'), (3,'c','x');"));
    place.sql("till.db", &format!("{table} INSERT INTO t VALUES (7,'a','own'), (8,'b','own');"));
    place.tries_to_sync("--existing overwrite").exits(1).says("see: tidewater quarantine list sqlite:till.db");
    place
}

fn rows(place: &Place) -> String {
    place.sql("till.db", "SELECT group_concat(id || v, ' ') FROM (SELECT * FROM t ORDER BY id);")
}

#[test]
fn rows_in_quarantine_are_listed_page_by_page_with_what_to_do() {
    let place = two_rows_in_quarantine();

    let list = place.tidewater("quarantine list sqlite:till.db").exits(0);

    list.clone().says("table  key  since (UTC)").says("UNIQUE constraint failed: t.code");
    list.clone().says("At once: tidewater quarantine retry SOURCE sqlite:till.db");
    list.says("Give one up: tidewater quarantine discard sqlite:till.db --table t --key 1");
    let first = place.tidewater("quarantine list sqlite:shop.db sqlite:till.db --limit 1").exits(0);
    let next = "the next page: tidewater quarantine list sqlite:shop.db sqlite:till.db --limit 1 --page 2";
    first.clone().says("Showing 1 to 1 of 2; ").says(next);
    let line = first.out.split("the next page: ").nth(1).and_then(|rest| rest.lines().next()).expect("a command");
    place.copies_and_runs(line).exits(0).says("Showing 2 to 2 of 2, the last page.");
    let facts = place.tidewater("quarantine list sqlite:till.db --json").exits(0).json();
    assert_eq!((&facts["total"], &facts["rows"][1]["key"]), (&2.into(), &"2".into()), "{facts}");
    assert_eq!(facts["rows"][0]["source"], "shop.db", "{facts}");
    let status = place.tidewater("status sqlite:till.db").exits(1);
    status.says("2 rows in quarantine; see: tidewater quarantine list sqlite:till.db");
    place.tidewater("quarantine list sqlite:till.db --table other").exits(0).says("no rows in quarantine");
    place.tidewater("quarantine list sqlite:shop.db").exits(0).says("no rows in quarantine");
    place.tidewater("quarantine list sqlite:nowhere.db").exits(3).says("E0010");
    place.sql("other.db", "CREATE TABLE t(id INTEGER PRIMARY KEY);");
    place
        .tidewater("quarantine list sqlite:other.db sqlite:till.db")
        .exits(2)
        .says("till.db has no sync from other.db");
}

#[test]
fn a_row_is_tried_again_now_when_somebody_asks() {
    let place = two_rows_in_quarantine();
    place.tidewater("quarantine retry sqlite:till.db").exits(2).says("Write SOURCE sqlite:till.db");
    let retry = "quarantine retry sqlite:shop.db sqlite:till.db";
    place.tidewater(retry).exits(1).says("2 rows tried again · 0 written").says("E0050 t key 1: UNIQUE");
    place.sql("till.db", "DELETE FROM t WHERE id IN (7, 8);");
    place.sql("shop.db", "UPDATE t SET v = 'new' WHERE id = 2;");

    place.tidewater(&format!("{retry} --table t --key 2")).exits(0).says("1 row tried again · 1 written");

    assert_eq!(rows(&place), "2new 3x");
    place.tidewater(&format!("{retry} --table t --key 2")).exits(2).says("no row of t in quarantine with the key 2");
    let rest = place.tidewater(&format!("{retry} --json")).exits(0);
    assert_eq!((rest.count("tried"), rest.count("written")), (1, 1), "{rest}");
    assert_eq!(rows(&place), "1x 2new 3x");
    place.tidewater(retry).exits(0).says("no rows in quarantine");
    place.tidewater("status sqlite:till.db").exits(0);
}

#[test]
fn a_row_that_was_given_up_stays_as_it_is_until_it_changes_at_the_source() {
    let place = two_rows_in_quarantine();
    let discard = "quarantine discard sqlite:till.db";
    place.tidewater(discard).exits(2).says("--all");
    place.tidewater(&format!("{discard} --key 1")).exits(2).says("--table");
    place.tidewater(&format!("{discard} --table t --key 9")).exits(2).says("no row of t in quarantine with the key 9");

    place.tidewater(&format!("{discard} --table t --key 1")).exits(0).says("till.db: discarded 1 row out of");

    place.tries_to_sync("").exits(1).says("t key 2").never_says("t key 1");
    place.tidewater(&format!("{discard} --all --json")).exits(0).says("\"discarded\":1");
    place.syncs().never_says("E0050");
    let status = place.tidewater("status sqlite:till.db").exits(0);
    status.says("2 rows were given up; see: tidewater quarantine list sqlite:till.db --discarded");
    let listed = place.tidewater("quarantine list sqlite:till.db --discarded").exits(0);
    listed.says("discarded (UTC)").says("UNIQUE constraint failed");
    assert_eq!(rows(&place), "3x 7own 8own", "the target keeps what it has");
    // One cannot be written even now, the other one can.
    place.sql("till.db", "DELETE FROM t WHERE id = 8;");
    place.sql("shop.db", "UPDATE t SET v = 'new' WHERE id < 3;");
    place.tries_to_sync("").exits(1).says("t key 1").never_says("t key 2");
    assert_eq!(rows(&place), "2new 3x 7own");
    place.tidewater("quarantine list sqlite:till.db --discarded").exits(0).says("no discarded rows");
}

#[test]
fn rows_are_given_up_beside_a_running_engine() {
    let place = two_rows_in_quarantine();
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();

    place.tidewater("quarantine discard sqlite:till.db --all").exits(0).says("discarded 2 rows");

    let retry = place.tidewater("quarantine retry sqlite:shop.db sqlite:till.db").exits(3);
    retry.says("E0030");
    place.sql("shop.db", "INSERT INTO t VALUES (4,'d','x');");
    until("the engine goes on", || rows(&place) == "3x 4x 7own 8own");
    place.tidewater("status sqlite:till.db").exits(0).says("2 rows were given up");
    place.sql("till.db", "DELETE FROM t WHERE id = 7;");
    place.sql("shop.db", "UPDATE t SET v = 'new' WHERE id = 1;");
    until("what changed arrives", || rows(&place) == "1new 3x 4x 8own");
    watcher.gets("TERM").ends().exits(0);
}

#[test]
fn a_sync_of_the_configuration_file_is_named() {
    let place = two_rows_in_quarantine();
    place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    place.file(
        "tidewater.toml",
        "[endpoint.shop]\nurl = \"sqlite:shop.db\"\n[endpoint.till]\nurl = \"sqlite:till.db\"\n\
         [sync.goods]\ntables = [\"t\"]\nfrom = \"shop\"\nto = \"till\"\nexisting = \"overwrite\"\n",
    );
    place.tidewater("run --until-in-step").exits(1);

    place
        .tidewater("quarantine list goods")
        .exits(0)
        .says("UNIQUE")
        .says("quarantine retry goods\n")
        .says("discard goods --table t --key 1");

    place.tidewater("quarantine list").exits(0).says("UNIQUE");
    place.tidewater("quarantine list other").exits(2).says("no sync is called other");
    place.tidewater("quarantine retry goods --table t --key 1").exits(1).says("1 row tried again");
    place.tidewater("quarantine discard goods --all").exits(0).says("discarded 2 rows");
    place.tidewater("run --until-in-step").exits(0);
}

#[test]
fn a_quarantine_that_an_earlier_version_made_is_taken_up() {
    let place = two_rows_in_quarantine();
    place.sql(
        "till.db",
        "ALTER TABLE _tidewater_held DROP COLUMN tries; ALTER TABLE _tidewater_held DROP COLUMN discarded;",
    );
    place.tidewater("status sqlite:till.db").exits(1).says("2 rows in quarantine");
    place.tidewater("quarantine list sqlite:till.db").exits(0).says("UNIQUE");
    place.tidewater("quarantine retry sqlite:shop.db sqlite:till.db").exits(1).says("2 rows tried again");
    place.tidewater("quarantine discard sqlite:till.db --all").exits(0).says("discarded 2 rows");
    place.syncs();
}
