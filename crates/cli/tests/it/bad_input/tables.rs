//! Tables that cannot be carried are left out with the reason, everything else goes on.

use crate::given::given;

#[test]
fn views_and_virtual_tables_are_skipped_with_the_reason() {
    let shop = given(
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT); INSERT INTO notes VALUES (1,'hello');
         CREATE VIEW short AS SELECT * FROM notes;
         CREATE VIRTUAL TABLE found USING fts5(text, content='notes', content_rowid='id');",
    );
    let done = shop.syncs();
    done.says("1 table (1 created)")
        .says("  skipped short: a view; its tables are carried\n")
        .says("  skipped found: a virtual table")
        .says("  skipped found_data: belongs to a virtual table");
    shop.same_rows("shop.db", "till.db");
    let skipped = shop.tidewater("plan sqlite:shop.db sqlite:till.db --json").exits(0).json()["skipped"].clone();
    assert!(skipped.as_array().is_some_and(|all| all.iter().any(|one| one["table"] == "short")), "{skipped}");
    shop.tries_to_sync("--tables short").exits(2).says("E0042 short cannot be carried: a view");
}

#[test]
fn a_table_with_null_in_its_key_is_skipped_with_the_reason() {
    let shop = given(
        "CREATE TABLE codes(code TEXT PRIMARY KEY, v); INSERT INTO codes VALUES ('a',1), (NULL,2);
         CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);",
    );
    shop.syncs().says("  skipped codes: rows with NULL in their key cannot be told apart (E0041)");
    assert_eq!(shop.sql("till.db", "SELECT count(*) FROM t;"), "1");
    shop.tries_to_sync("--tables codes").exits(2).says("E0042 codes cannot be carried");

    shop.sql("shop.db", "DELETE FROM codes WHERE code IS NULL;");
    shop.syncs();
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn a_null_in_a_key_that_comes_later_halts_only_its_table_until_it_is_gone() {
    let shop = given(
        "CREATE TABLE codes(code TEXT PRIMARY KEY, v); INSERT INTO codes VALUES ('a',1);
         CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);",
    );
    shop.syncs();
    shop.sql("shop.db", "INSERT INTO codes VALUES (NULL,2); INSERT INTO t VALUES (2);");
    shop.tries_to_sync("").exits(1).says("E0040 codes is halted, everything else goes on").says("NULL in their key");
    assert_eq!(shop.sql("till.db", "SELECT count(*) FROM t;"), "2");
    shop.sql("shop.db", "INSERT INTO codes VALUES ('b',3); UPDATE codes SET v = 9 WHERE code = 'a';");
    shop.tries_to_sync("").exits(1);

    shop.sql("shop.db", "DELETE FROM codes WHERE code IS NULL;");
    shop.syncs();

    shop.same_rows("shop.db", "till.db");
}

#[test]
fn a_parent_that_is_skipped_is_refused_with_the_cause() {
    let shop = given(
        "CREATE TABLE parents(name TEXT PRIMARY KEY); INSERT INTO parents VALUES (NULL);
         CREATE TABLE children(id INTEGER PRIMARY KEY, parent TEXT REFERENCES parents(name));",
    );
    let refused = shop.tries_to_sync("").exits(2).says("E0025 children refers to parents");
    refused.says("NULL in their key").never_says("Add parents to the tables");
}
