//! Tables that do not fit: a parent outside the sync, or a target's table with other columns. The message holds
//! the statements that mend it, and here they are carried out.

use crate::given::{given, statements_in};

const PARENT_AND_CHILD: &str = "CREATE TABLE customers(id INTEGER PRIMARY KEY);
    CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id));";

#[test]
fn a_foreign_key_to_a_table_left_out_is_refused() {
    let place = given(PARENT_AND_CHILD);
    let refused = place.tries_to_sync("--tables orders").exits(2);
    refused
        .says("E0025 orders refers to customers, which this sync does not carry")
        .says("Add customers to the tables, or leave orders out.");
    assert_eq!((place.files(), place.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
    place.tries_to_sync("--tables customers").exits(0);
    place.tries_to_sync("--tables orders,customers").exits(0);
    place.same_rows("shop.db", "till.db");
}

/// Refused with E0023 and nothing written; then the printed statements are carried out, and it goes.
#[track_caller]
fn is_refused_and_mended(source: &str, target: &str, said: &str, flags: &str) {
    let place = given(source);
    place.sql("till.db", target);
    let before = (place.dump("shop.db"), place.dump("till.db"));
    let refused = place.tries_to_sync(flags).exits(1);
    let refused = refused.says("E0023 till.db: the table t does not fit").says(said);
    assert_eq!((place.dump("shop.db"), place.dump("till.db")), before, "nothing was written");
    let statements = statements_in(&refused.err);
    assert!(!statements.is_empty(), "the statements that mend it are named: {refused}");

    place.sql("till.db", &statements);

    place.tries_to_sync(flags).exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn missing_columns_are_named_with_the_statements_that_add_them() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER DEFAULT 7, \"c d\" REAL);
        INSERT INTO t VALUES (1,'a',2,3.5);";
    let target = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);";
    is_refused_and_mended(source, target, "columns are missing at the target", "");
    let filled = format!("{target} INSERT INTO t VALUES (1,'a');");
    is_refused_and_mended(source, &filled, "columns are missing at the target", "--existing overwrite");
}

#[test]
fn a_missing_column_that_refuses_null_can_be_added_too() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL); INSERT INTO t VALUES (1,'a');";
    let target = "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);";
    is_refused_and_mended(source, target, "columns are missing at the target", "--existing overwrite");
}

#[test]
fn a_key_that_nothing_makes_unique_is_named_with_its_index() {
    let source = "CREATE TABLE t(k TEXT NOT NULL PRIMARY KEY, v); INSERT INTO t VALUES ('a',1);";
    let target = "CREATE TABLE t(k TEXT NOT NULL, v);";
    is_refused_and_mended(source, target, "nothing makes (k) unique at the target", "");
}

#[test]
fn a_column_type_that_would_change_values_is_refused() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1,'007');";
    let target = "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER);";
    is_refused_and_mended(source, target, "column a is TEXT at the source and INTEGER at the target", "");
}

#[test]
fn a_column_of_the_targets_own_that_demands_a_value_is_refused() {
    let place = given("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1,1);");
    place.sql("till.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, a, own TEXT NOT NULL);");
    place.tries_to_sync("").exits(1).says("E0023").says("column own is only at the target, refuses NULL");
}

#[test]
fn columns_of_the_targets_own_stay_as_they_are() {
    let place = given("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1,1),(2,2);");
    place.sql(
        "till.db",
        "CREATE TABLE t(own TEXT DEFAULT 'd', id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES ('mine',1,1);",
    );
    place.syncs();
    place.sql("shop.db", "UPDATE t SET a = 9;");
    place.syncs();
    assert_eq!(place.sql("till.db", "SELECT own, id, a FROM t ORDER BY id;"), "mine|1|9\nd|2|9");
}

#[test]
fn a_view_in_the_place_of_the_table_is_refused() {
    let place = given("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);");
    place.sql("till.db", "CREATE VIEW t AS SELECT 1 AS id;");
    place.tries_to_sync("").exits(1).says("E0023").says("t is a view at the target, not a table");
}

#[test]
fn plan_says_beforehand_what_does_not_fit() {
    let place = given("CREATE TABLE t(id INTEGER PRIMARY KEY, a);");
    place.sql("till.db", "CREATE TABLE t(id INTEGER PRIMARY KEY);");
    let plan = place.tidewater("plan sqlite:shop.db sqlite:till.db").exits(1).says("t does not fit");
    place.sql("till.db", &statements_in(&plan.out));
    place.tidewater("plan sqlite:shop.db sqlite:till.db").exits(0);
}
