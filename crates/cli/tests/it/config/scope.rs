//! What the keys of a table do to its rows, by plain SQL at both ends: which columns and rows arrive, under which
//! names, what a delete becomes, and what is left out.

use crate::given::{Outcome, Place, given};

/// A shop with one sync to `till.db`, whose table `t` is described by `keys`; `sync` has keys of the sync itself.
fn configured(source: &str, sync: &str, keys: &str) -> Place {
    let place = given(source);
    place.file(
        "tidewater.toml",
        &format!(
            "[endpoint.hq]\nurl = \"sqlite:shop.db\"\n[endpoint.till]\nurl = \"sqlite:till.db\"\nvars = {{ store = 7 }}\n\
             [sync.x]\nfrom = \"hq\"\nto = \"till\"\n{sync}\n[sync.x.table.t]\n{keys}\n"
        ),
    );
    place
}

#[track_caller]
fn runs(place: &Place) -> Outcome {
    place.tidewater("run --until-in-step").exits(0)
}

#[track_caller]
fn becomes(place: &Place, change: &str, query: &str, wanted: &str) {
    place.sql("shop.db", change);
    runs(place);
    assert_eq!(place.sql("till.db", query), wanted, "after {change}");
    place.tidewater("verify").exits(0);
}

#[test]
fn rows_columns_and_names_are_those_of_the_scope() {
    let place = configured(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, store INTEGER, descr TEXT, cost REAL, price REAL);
         INSERT INTO t VALUES (1,7,'one',1,10), (2,8,'two',2,20), (3,7,'three',3,30), (4,NULL,'four',4,40);",
        "tables = [\"t\"]",
        "name = { till = \"artikel\" }\nrename = { till = { descr = \"text\" } }\ncolumns = { exclude = [\"cost\"] }\n\
         where = \"store = :store\"",
    );
    runs(&place);
    let rows = "SELECT group_concat(id || ':' || text || ':' || price, ' ') FROM artikel;";
    assert_eq!(place.sql("till.db", rows), "1:one:10.0 3:three:30.0");
    let columns = "SELECT group_concat(name, ' ') FROM pragma_table_info('artikel');";
    assert_eq!(place.sql("till.db", columns), "id store text price");
    place.try_sql("till.db", "SELECT * FROM t;").expect_err("only under its new name");

    becomes(&place, "UPDATE t SET cost = 99;", rows, "1:one:10.0 3:three:30.0");
    becomes(&place, "UPDATE t SET store = 8 WHERE id = 1;", rows, "3:three:30.0");
    becomes(&place, "UPDATE t SET descr = 'ONE' WHERE id = 1;", rows, "3:three:30.0");
    becomes(&place, "UPDATE t SET store = 7 WHERE id IN (1, 2);", rows, "1:ONE:10.0 2:two:20.0 3:three:30.0");
    becomes(&place, "UPDATE t SET id = 30 WHERE id = 3;", rows, "1:ONE:10.0 2:two:20.0 30:three:30.0");
    becomes(&place, "DELETE FROM t WHERE id = 2;", rows, "1:ONE:10.0 30:three:30.0");
    becomes(&place, "UPDATE t SET store = NULL;", rows, "");
}

#[test]
fn rows_of_the_targets_own_outside_the_scope_are_left_alone() {
    let source =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, store INTEGER, v TEXT); INSERT INTO t VALUES (1,7,'a'), (2,8,'b');";
    let place = configured(source, "existing = \"mirror\"", "where = \"store = :store\"");
    place.sql(
        "till.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, store INTEGER, v TEXT);
        INSERT INTO t VALUES (100,9,'other'), (101,7,'extra');",
    );
    runs(&place);
    assert_eq!(place.sql("till.db", "SELECT group_concat(id) FROM t;"), "1,100");
    place.tidewater("verify").exits(0);
}

#[test]
fn a_changed_filter_is_carried_out_on_the_rows_that_are_there() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, store INTEGER); INSERT INTO t VALUES (1,7), (2,8), (3,9);";
    let place = configured(source, "", "where = \"store = 7 or store = 8\"");
    runs(&place);
    assert_eq!(place.sql("till.db", "SELECT group_concat(id) FROM t;"), "1,2");
    let text = String::from_utf8(place.bytes("tidewater.toml")).expect("text");
    place.file("tidewater.toml", &text.replace("store = 7 or store = 8", "store >= 8"));
    place.sql("shop.db", "UPDATE t SET store = 10 WHERE id = 3;");
    runs(&place);
    let rows = place.sql("till.db", "SELECT group_concat(id || ':' || store) FROM t WHERE store >= 8;");
    assert_eq!(rows, "2:8,3:10");
    place.tidewater("verify").exits(0);
}

#[test]
fn deletes_are_marked_with_their_time_and_come_back_unmarked() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'), (2,'b'), (3,'c');";
    let place = configured(source, "", "deletes = { mark = \"deleted_at\" }");
    runs(&place);
    let marked = "SELECT group_concat(id || iif(deleted_at IS NULL, '', ' gone'), ', ') FROM t;";
    becomes(&place, "DELETE FROM t WHERE id < 3;", marked, "1 gone, 2 gone, 3");
    let recent = "SELECT count(*) FROM t WHERE abs(julianday('now') - julianday(deleted_at)) < 0.01;";
    assert_eq!(place.sql("till.db", recent), "2", "the time of the delete");
    becomes(&place, "INSERT INTO t VALUES (1,'again');", marked, "1, 2 gone, 3");
    becomes(&place, "UPDATE t SET v = 'C' WHERE id = 3;", marked, "1, 2 gone, 3");
}

#[test]
fn deletes_are_marked_with_a_value_in_a_column_that_is_there() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'), (2,'b');";
    let place = configured(source, "", "deletes = { mark = \"status\", value = \"gone\" }");
    place.sql("till.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, status TEXT);");
    runs(&place);
    becomes(
        &place,
        "DELETE FROM t WHERE id = 1;",
        "SELECT group_concat(id || coalesce(status, '-')) FROM t;",
        "1gone,2-",
    );
}

#[test]
fn a_comparison_marks_no_row_a_second_time() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'), (2,'b');";
    let place = configured(source, "", "deletes = { mark = \"deleted_at\" }");
    runs(&place);
    place.sql("shop.db", "DELETE FROM t WHERE id = 1;");
    runs(&place);
    place.sql("till.db", "UPDATE t SET deleted_at = '2020-02-02 20:20:20' WHERE id = 1;");
    place.sql("shop.db", "ALTER TABLE t ADD COLUMN w;");

    runs(&place).never_says("removed").never_says("journal");

    assert_eq!(place.sql("till.db", "SELECT deleted_at FROM t WHERE id = 1;"), "2020-02-02 20:20:20");
}

#[test]
fn ignored_deletes_leave_the_row_where_it_is() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'), (2,'b');";
    let place = configured(source, "", "deletes = \"ignore\"");
    runs(&place);
    becomes(&place, "DELETE FROM t WHERE id = 1;", "SELECT group_concat(id) FROM t;", "1,2");
    becomes(&place, "INSERT INTO t VALUES (1,'new');", "SELECT group_concat(v) FROM t;", "new,b");
    becomes(
        &place,
        "DELETE FROM t WHERE id = 1; ALTER TABLE t ADD COLUMN w;",
        "SELECT group_concat(v) FROM t;",
        "new,b",
    );
}

#[test]
fn first_contact_does_not_count_rows_that_ignored_deletes_would_leave() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (2,'b');";
    let place = configured(source, "", "deletes = \"ignore\"");
    place.sql(
        "till.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'archived'), (2,'b');",
    );
    runs(&place);
    assert_eq!(place.sql("till.db", "SELECT group_concat(v) FROM t;"), "archived,b");
}

#[test]
fn the_sources_own_flag_is_read_as_a_delete() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, is_deleted INTEGER, v TEXT);
        INSERT INTO t VALUES (1,0,'a'), (2,1,'b'), (3,NULL,'c');";
    let place = configured(source, "", "deleted_when = \"is_deleted = 1\"");
    runs(&place);
    let rows = "SELECT group_concat(id) FROM t;";
    assert_eq!(place.sql("till.db", rows), "1,3");
    becomes(&place, "UPDATE t SET is_deleted = 1 WHERE id = 1;", rows, "3");
    becomes(&place, "UPDATE t SET is_deleted = 0;", rows, "1,2,3");
    becomes(&place, "DELETE FROM t WHERE id = 3;", rows, "1,2");
}

#[test]
fn local_writes_are_refused_where_the_file_says_so() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a');";
    let place = configured(source, "local_writes = \"refuse\"", "");
    runs(&place);
    let said = place.try_sql("till.db", "UPDATE t SET v = 'x';").expect_err("others may not write");
    assert!(said.contains("protected replica of shop.db"), "{said}");
    becomes(&place, "UPDATE t SET v = 'new';", "SELECT v FROM t;", "new");
    let text = String::from_utf8(place.bytes("tidewater.toml")).expect("text");
    place.file("tidewater.toml", &text.replace("\"refuse\"", "\"allow\""));
    runs(&place);
    place.sql("till.db", "UPDATE t SET v = 'own';");
}

#[test]
fn a_limit_in_the_file_slows_the_copy() {
    let source = crate::given::numbered(150);
    let place = configured(&source, "limit = { rows_per_second_max = 100 }", "");
    let report = place.tidewater("run --until-in-step --json").exits(0).json();
    assert!(report["seconds"].as_f64().expect("a number") > 1.2, "150 rows at 100 a second: {report}");
}

#[test]
fn large_values_are_left_out_and_counted() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, photo BLOB, note TEXT);
        INSERT INTO t VALUES (1,zeroblob(200),'a'), (2,zeroblob(20),'b'), (3,NULL,'c');";
    let place = configured(source, "", "value_bytes_max = 100");
    runs(&place).says("1 value over the size limit left out (NULL at the target); see value_bytes_max");
    let lengths = "SELECT group_concat(coalesce(length(photo), '-')) FROM t;";
    assert_eq!(place.sql("till.db", lengths), "-,20,-");
    becomes(&place, "UPDATE t SET photo = zeroblob(100) WHERE id = 1;", lengths, "100,20,-");
    becomes(&place, "UPDATE t SET photo = zeroblob(101) WHERE id = 2;", lengths, "100,-,-");
    let text = String::from_utf8(place.bytes("tidewater.toml")).expect("text");
    place.file("tidewater.toml", &text.replace("value_bytes_max = 100", "value_bytes_max = \"none\""));
    runs(&place);
    assert_eq!(place.sql("till.db", lengths), "100,101,-");
}

#[test]
fn triggers_that_are_listed_run_and_others_do_not() {
    let source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a fine day');";
    let place = configured(source, "run_triggers = [\"index_it\"]", "");
    place.sql(
        "till.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         CREATE VIRTUAL TABLE words USING fts5(v);
         CREATE TABLE calls(id INTEGER PRIMARY KEY);
         CREATE TRIGGER index_it AFTER INSERT ON t BEGIN INSERT INTO words(rowid, v) VALUES (NEW.id, NEW.v); END;
         CREATE TRIGGER call_it AFTER INSERT ON t BEGIN INSERT INTO calls VALUES (NEW.id); END;",
    );
    runs(&place);
    becomes(
        &place,
        "INSERT INTO t VALUES (2,'a fine night');",
        "SELECT group_concat(rowid) FROM words('fine');",
        "1,2",
    );
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM calls;"), "0");
    place.tidewater("plan").exits(0).says("Trigger call_it on t at the target does not run");
}
