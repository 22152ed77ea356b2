//! Schemas that change while a sync is established: columns that come are followed, columns that go halt their
//! table with the statements that mend it, and tables that are rebuilt, as migrations do, lose nothing.

mod rebuilt;

use crate::given::{Place, given, numbered, statements_in};

const TWO_TABLES: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT);
    INSERT INTO t VALUES (1,'a1','b1'), (2,'a2','b2');
    CREATE TABLE other(id INTEGER PRIMARY KEY, v);";

/// The change halts `t` and nothing else, with exit code 1; the statements printed mend it, with exit code 0.
#[track_caller]
fn halts_until_mended(place: &Place, change: &str, said: &str) {
    place.syncs();
    place.sql("shop.db", change);
    place.sql("shop.db", "INSERT INTO other(v) VALUES ('goes on'); DELETE FROM t WHERE id = 2;");
    let before = place.dump("till.db");

    let halted = place.tries_to_sync("").exits(1);

    let halted =
        halted.says("shop.db → till.db  needs attention").says("E0040 t is halted, everything else goes on").says(said);
    assert_eq!(place.rows_of("till.db", "other", "*"), place.rows_of("shop.db", "other", "*"));
    let of_t = |dump: &str| {
        dump.lines().filter(|line| line.contains(" t ") || line.contains(" t(")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_t(&place.dump("till.db")), of_t(&before), "the halted table is left alone");
    place.tidewater("status sqlite:till.db").exits(1).says("E0040 t is halted").says("other    following");
    place.sql("shop.db", "UPDATE t SET id = 11 WHERE id = 1; INSERT INTO other(v) VALUES ('still');");
    place.tries_to_sync("").exits(1);
    assert_eq!(place.rows_of("till.db", "other", "*"), place.rows_of("shop.db", "other", "*"));
    let statements = statements_in(&halted.out);
    assert!(!statements.is_empty(), "the statements that mend it are printed: {halted}");

    place.sql("till.db", &statements);

    place.syncs();
    place.same_rows("shop.db", "till.db");
    place.tidewater("status sqlite:till.db").exits(0);
    place.tidewater("verify sqlite:shop.db sqlite:till.db").exits(0);
    place.sql("shop.db", "UPDATE t SET id = 12 WHERE id = 11;");
    let next = place.tries_to_sync("--json").exits(0);
    assert_eq!(next.count("rows_compared"), 0, "and it is followed again: {next}");
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_column_that_was_added_is_followed_with_its_values() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql(
        "shop.db",
        "ALTER TABLE t ADD COLUMN c INTEGER NOT NULL DEFAULT 5; ALTER TABLE t ADD COLUMN \"d e\" TEXT COLLATE NOCASE;
         UPDATE t SET c = 6, \"d e\" = 'x' WHERE id = 1; INSERT INTO t VALUES (3,'a3','b3',7,'y');",
    );
    let done = place.syncs();
    done.says("t: column c added, as at the source").says("t: column d e added, as at the source");
    place.same_rows("shop.db", "till.db");
    let columns = "SELECT name, type, \"notnull\", dflt_value IS NULL FROM pragma_table_info('t');";
    assert_eq!(place.sql("till.db", columns), place.sql("shop.db", columns));
    place.sql("shop.db", "UPDATE t SET c = 8;");
    let next = place.tries_to_sync("--json").exits(0);
    assert_eq!((next.count("changes_applied"), next.count("rows_compared")), (3, 0), "{next}");
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_column_that_was_added_is_followed_by_a_watcher() {
    let place = given(TWO_TABLES);
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 5;");
    place.sql("shop.db", "UPDATE t SET c = 6 WHERE id = 1; INSERT INTO other(v) VALUES (1);");
    watcher.brings("the new column at the target", || {
        place.try_sql("till.db", "SELECT group_concat(c) FROM t;") == Ok("6,5".into())
    });
    place.sql("shop.db", "ALTER TABLE other ADD COLUMN w; UPDATE other SET w = 'live';");
    watcher.brings("the next one too", || place.try_sql("till.db", "SELECT w FROM other;") == Ok("live".into()));
    watcher.gets("TERM").ends().exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_column_that_was_dropped_halts_its_table_until_it_is_dropped_at_the_target() {
    halts_until_mended(&given(TWO_TABLES), "ALTER TABLE t DROP COLUMN b;", "the source dropped columns");
}

#[test]
fn a_column_with_an_index_that_was_dropped_is_mended_by_what_is_printed() {
    let place = given(&format!("{TWO_TABLES} CREATE INDEX t_by_b ON t(b);"));
    halts_until_mended(&place, "DROP INDEX t_by_b; ALTER TABLE t DROP COLUMN b;", "the source dropped columns");
}

#[test]
fn a_column_that_was_renamed_halts_its_table_until_it_is_renamed_at_the_target() {
    halts_until_mended(
        &given(TWO_TABLES),
        "ALTER TABLE t RENAME COLUMN b TO \"new b\";",
        "the source renamed b to new b",
    );
}

#[test]
fn two_columns_that_were_dropped_are_mended_together() {
    let place = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c); INSERT INTO t VALUES (1,1,1,1), (2,2,2,2);
        CREATE TABLE other(id INTEGER PRIMARY KEY, v);",
    );
    halts_until_mended(
        &place,
        "ALTER TABLE t DROP COLUMN b; ALTER TABLE t DROP COLUMN c;",
        "the source dropped columns",
    );
}

#[test]
fn a_column_added_by_a_rebuild_that_refuses_null_is_mended_by_what_is_printed() {
    // As Django does for a field with a default, which stays in the application.
    let change = "BEGIN; CREATE TABLE new__t(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT NOT NULL);
        INSERT INTO new__t SELECT id, a, b, 'given' FROM t; DROP TABLE t; ALTER TABLE new__t RENAME TO t; COMMIT;";
    halts_until_mended(&given(TWO_TABLES), change, "");
}

#[test]
fn a_column_whose_default_is_the_time_stops_no_other_table() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql(
        "shop.db",
        "BEGIN; CREATE TABLE new__t(id INTEGER PRIMARY KEY, a TEXT, b TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO new__t(id, a, b) SELECT * FROM t; DROP TABLE t; ALTER TABLE new__t RENAME TO t; COMMIT;
         INSERT INTO other(v) VALUES ('goes on');",
    );
    let done = place.tries_to_sync("").never_says("E0018");
    assert_eq!(place.rows_of("till.db", "other", "*"), place.rows_of("shop.db", "other", "*"), "{done}");
    let statements = statements_in(&done.out);
    place.sql("till.db", &statements);
    place.syncs();
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_watcher_halts_one_table_and_takes_it_up_once_it_is_mended() {
    let place = given(TWO_TABLES);
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", "ALTER TABLE t DROP COLUMN b; INSERT INTO other(v) VALUES ('goes on');");
    watcher.brings("the other table goes on", || place.sql("till.db", "SELECT count(*) FROM other;") == "1");
    watcher.brings("the table is halted", || {
        place.sql("till.db", "SELECT phase FROM _tidewater_link_table WHERE name = 't';") == "halted"
    });
    let halted = watcher.gets("TERM").ends().exits(1);
    place.sql("till.db", &statements_in(&halted.says("E0040 t is halted").out));
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", "UPDATE t SET a = 'live';");
    watcher.brings("the mended table is followed", || {
        place.sql("till.db", "SELECT group_concat(a) FROM t;") == "live,live"
    });
    watcher.gets("TERM").ends().exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_table_that_is_new_is_created_and_copied() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql(
        "shop.db",
        "CREATE TABLE later(id INTEGER PRIMARY KEY, v); INSERT INTO later VALUES (1,'x'); DELETE FROM t WHERE id = 1;",
    );
    place
        .syncs()
        .says("3 tables (1 created) · 1 row copied · 1 change applied")
        .says("Installed in shop.db: triggers on later");
    place.same_rows("shop.db", "till.db");

    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", "CREATE TABLE last(id INTEGER PRIMARY KEY, v); INSERT INTO last VALUES (1,'x');");
    watcher.brings("the new table at the target", || place.try_sql("till.db", "SELECT v FROM last;") == Ok("x".into()));
    place.sql("shop.db", "UPDATE last SET v = 'y';");
    watcher.brings("it is followed", || place.sql("till.db", "SELECT v FROM last;") == "y");
    watcher.gets("TERM").ends().exits(0);
}

#[test]
fn a_table_that_was_dropped_is_told_and_its_rows_stay() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql("shop.db", "DROP TABLE t; INSERT INTO other(v) VALUES ('goes on');");
    place.tries_to_sync("").exits(1).says("shop.db has no table t any more; the target's rows stay");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM t;"), "2");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM other;"), "1");
}

#[test]
fn a_table_that_was_dropped_is_mended_by_dropping_it_at_the_target() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql("shop.db", "DROP TABLE t;");
    place.tries_to_sync("").exits(1);
    place.sql("till.db", "DROP TABLE t;");
    place.syncs();
    place.syncs();
}

#[test]
fn a_table_that_was_dropped_and_made_again_is_compared() {
    let place = given(TWO_TABLES);
    place.syncs();
    place.sql("shop.db", "DROP TABLE t;");
    place.tries_to_sync("").exits(1);
    place.sql(
        "shop.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO t VALUES (1,'new','b1'), (3,'a3','b3');",
    );

    place.tries_to_sync("");

    place.same_rows("shop.db", "till.db");
    place.syncs();
}

#[test]
fn vacuum_of_a_table_without_a_key_is_noticed() {
    let place = given("CREATE TABLE visits(who TEXT, at INTEGER);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO visits SELECT 'v' || i, i FROM n;");
    place.syncs();
    place.same_rows("shop.db", "till.db");
    place.sql("shop.db", "DELETE FROM visits WHERE at % 3 = 0; VACUUM; INSERT INTO visits VALUES ('late', 99);");
    place.syncs();
    place.same_rows("shop.db", "till.db");
    place.sql("shop.db", "DELETE FROM visits WHERE at % 5 = 0; INSERT INTO visits VALUES ('later', 100);");
    assert_eq!(place.tries_to_sync("--json").exits(0).count("rows_compared"), 0, "followed again");
    place.same_rows("shop.db", "till.db");

    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", "DELETE FROM visits WHERE at % 7 = 0; VACUUM;");
    place.sql("shop.db", "UPDATE visits SET who = 'renamed' WHERE at = 1; INSERT INTO visits VALUES ('last', 101);");
    watcher.brings("the last visit at the target", || {
        place.sql("till.db", "SELECT count(*) FROM visits WHERE who IN ('last', 'renamed');") == "2"
    });
    watcher.gets("TERM").ends().exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn an_index_that_comes_later_disturbs_nothing() {
    let place = given(&numbered(20));
    place.syncs();
    place.sql(
        "shop.db",
        "CREATE UNIQUE INDEX once ON t(v); UPDATE t SET v = 'x' WHERE id = 1; INSERT OR REPLACE INTO t VALUES (2,'x');",
    );
    place.syncs();
    place.same_rows("shop.db", "till.db");
}
