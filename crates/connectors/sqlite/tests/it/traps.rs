//! Each trap of capture by triggers, by name: what SQLite does silently must still arrive.

use crate::given::{given, same, shell};

#[test]
fn insert_or_replace_deletes_the_row_with_the_same_unique_value() {
    let pair =
        given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v); INSERT INTO t VALUES (1,'a',1),(2,'b',2);");
    pair.follows("INSERT OR REPLACE INTO t VALUES (3, 'a', 3);");
}

#[test]
fn update_or_replace_deletes_the_row_with_the_same_unique_value() {
    let pair =
        given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v); INSERT INTO t VALUES (1,'a',1),(2,'b',2);");
    pair.follows("UPDATE OR REPLACE t SET u = 'a' WHERE id = 2;");
}

#[test]
fn a_replace_clause_in_the_table_deletes_rows() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u TEXT UNIQUE ON CONFLICT REPLACE);
         INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c');",
    );
    pair.follows("INSERT INTO t VALUES (4,'a'); UPDATE t SET u = 'c' WHERE id = 2; INSERT INTO t VALUES (4,'z');");
}

#[test]
fn a_unique_index_compares_with_its_own_collation() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT); CREATE UNIQUE INDEX i ON t(u COLLATE NOCASE);
         INSERT INTO t VALUES (1,'abc'),(2,'b');",
    );
    pair.follows("INSERT OR REPLACE INTO t VALUES (3, 'ABC'); UPDATE OR REPLACE t SET u = 'aBC' WHERE id = 2;");
}

#[test]
fn a_partial_unique_index_counts_only_its_rows() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT, live INT); CREATE UNIQUE INDEX i ON t(u) WHERE live = 1;
         INSERT INTO t VALUES (1,'a',1),(2,'a',0),(3,'b',1);",
    );
    pair.follows("INSERT OR REPLACE INTO t VALUES (4,'a',1); UPDATE OR REPLACE t SET live = 1 WHERE id = 2;");
}

#[test]
fn an_expression_unique_index_compares_expressions() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, \"first name\" TEXT, last TEXT);
         CREATE UNIQUE INDEX i ON t(lower(\"first name\"), substr(last, 1, 2) COLLATE NOCASE DESC);
         INSERT INTO t VALUES (1,'Ann','Lee'),(2,'Bob','Ray');",
    );
    pair.follows(
        "INSERT OR REPLACE INTO t VALUES (3,'ANN','LEonard');
         UPDATE OR REPLACE t SET \"first name\" = 'ann', last = 'le' WHERE id = 2;",
    );
}

#[test]
fn a_unique_generated_column_changes_when_others_do() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b INT, c INT AS (a + b) STORED UNIQUE, d INT AS (a * b) VIRTUAL);
         INSERT INTO t(id,a,b) VALUES (1,1,2),(2,5,5);",
    );
    pair.follows("INSERT OR REPLACE INTO t(id,a,b) VALUES (3,2,1); UPDATE OR REPLACE t SET a = 1, b = 2 WHERE id = 2;");
}

#[test]
fn replace_by_row_number_deletes_a_row_with_another_key() {
    let pair = given("CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t(rowid,k,v) VALUES (1,'a',1),(2,'b',2);");
    pair.follows(
        "INSERT OR REPLACE INTO t(rowid,k,v) VALUES (1,'c',3); UPDATE OR REPLACE t SET rowid = 1 WHERE k = 'b';",
    );
}

#[test]
fn a_key_that_changes_leaves_no_row_behind() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1),(2,2),(3,3);");
    let report = pair.follows("UPDATE t SET id = id + 10 WHERE id > 1; UPDATE t SET rowid = 99 WHERE id = 1;");
    assert_eq!(report.deletes, 3);
    pair.follows("UPDATE t SET _rowid_ = 5 WHERE oid = 99;");
}

#[test]
fn keys_can_be_swapped() {
    let pair = given("CREATE TABLE t(a TEXT, b INT, v, PRIMARY KEY(a,b)); INSERT INTO t VALUES ('x',1,1),('y',2,2);");
    pair.follows("UPDATE t SET a = 'tmp' WHERE v = 1; UPDATE t SET a = 'x', b = 1 WHERE v = 2; UPDATE t SET a = 'y', b = 2 WHERE v = 1;");
}

#[test]
fn a_key_that_is_equal_but_spelled_otherwise_is_spelled_so_at_the_target() {
    let pair = given(
        "CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE n(k PRIMARY KEY, v);
         INSERT INTO t VALUES ('abc',1),('b',2); INSERT INTO n VALUES (1,1),(2,2);",
    );
    pair.follows(
        "UPDATE t SET k = 'ABC' WHERE k = 'abc'; INSERT OR REPLACE INTO t VALUES ('B',3);
         UPDATE n SET k = 1.0 WHERE k = 1; DELETE FROM n WHERE k = 2.0; INSERT INTO n VALUES (2.0, 5);",
    );
}

#[test]
fn upserts_are_seen() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INT); INSERT INTO t VALUES (1,'a',1);");
    pair.follows(
        "INSERT INTO t VALUES (2,'a',5) ON CONFLICT(u) DO UPDATE SET n = n + excluded.n;
         INSERT INTO t VALUES (1,'q',5) ON CONFLICT DO NOTHING; INSERT OR IGNORE INTO t VALUES (9,'a',9);
         INSERT INTO t VALUES (7,'n',7) ON CONFLICT(id) DO NOTHING RETURNING id;",
    );
}

#[test]
fn cascades_and_the_users_triggers_are_seen_and_not_done_twice() {
    let pair = given(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, n INT DEFAULT 0);
         CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p(id) ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
         CREATE TRIGGER counted AFTER INSERT ON c BEGIN UPDATE p SET n = n + 1 WHERE id = NEW.p; END;
         CREATE TRIGGER audited AFTER DELETE ON c BEGIN INSERT INTO audit(what) VALUES ('gone ' || OLD.id); END;
         CREATE TRIGGER ignored BEFORE INSERT ON p WHEN NEW.id = 13 BEGIN SELECT RAISE(IGNORE); END;
         INSERT INTO p(id) VALUES (1),(2),(3); INSERT INTO c VALUES (1,1),(2,1),(3,2),(4,3);",
    );
    pair.follows(
        "PRAGMA foreign_keys = ON; INSERT INTO c VALUES (5,2); INSERT INTO p(id) VALUES (13);
         UPDATE p SET id = 20 WHERE id = 2; DELETE FROM p WHERE id = 1;
         INSERT OR REPLACE INTO p(id, n) VALUES (3, 100);",
    );
    assert_eq!(pair.at_target("SELECT count(*) FROM audit;"), shell(&pair.source, "SELECT count(*) FROM audit;"));
}

#[test]
fn emptying_a_table_is_seen() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1),(2,2); CREATE TABLE o AS SELECT * FROM t;",
    );
    let report = pair.follows("DELETE FROM t;");
    assert_eq!(report.deletes, 2);
    pair.follows("INSERT INTO t SELECT * FROM o;");
}

#[test]
fn recursive_triggers_change_nothing() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE); INSERT INTO t VALUES (1,'a'),(2,'b');");
    pair.follows("PRAGMA recursive_triggers = ON; INSERT OR REPLACE INTO t VALUES (3,'a'); UPDATE OR REPLACE t SET u='a' WHERE id=2;");
}

#[test]
fn what_was_rolled_back_is_not_sent() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1);");
    let report = pair.follows(
        "BEGIN; INSERT INTO t VALUES (2,2); ROLLBACK; BEGIN; INSERT INTO t VALUES (3,3); SAVEPOINT s;
         INSERT INTO t VALUES (4,4); ROLLBACK TO s; COMMIT;",
    );
    assert_eq!(report.upserts, 1);
}

#[test]
fn a_program_may_attach_the_database_under_another_name() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE); INSERT INTO t VALUES (1,'a');");
    pair.syncs();
    let other = pair.folder.path().join("other.db");
    let attach = format!("ATTACH '{}' AS x;", pair.source.display());
    shell(&other, &format!("{attach} INSERT OR REPLACE INTO x.t VALUES (2,'a'); INSERT INTO x.t VALUES (3,'c');"));
    pair.syncs();
    pair.same();
}

#[test]
fn an_application_can_drop_and_rename_columns_that_are_neither_key_nor_unique() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, a, b); INSERT INTO t VALUES (1,'a',1,1);");
    pair.syncs();
    pair.writes(
        "ALTER TABLE t DROP COLUMN a; ALTER TABLE t RENAME COLUMN u TO w; ALTER TABLE t RENAME COLUMN id TO key;",
    );
    let report = pair.syncs();
    assert_eq!(report.halted.len(), 1, "{report:?}");
}

#[test]
fn a_table_without_a_key_is_followed_by_row_number_and_vacuum_is_noticed() {
    let pair = given("CREATE TABLE t(v TEXT); INSERT INTO t VALUES ('a'),('b'),('c'),('c');");
    pair.follows("INSERT INTO t VALUES ('d'); UPDATE t SET v = 'B' WHERE v = 'b'; DELETE FROM t WHERE rowid = 1;");
    pair.writes("VACUUM; INSERT INTO t VALUES ('e'); UPDATE t SET v = 'x' WHERE rowid = 2;");
    let report = pair.syncs();
    assert!(report.compared > 0, "row numbers may be new ones: {report:?}");
    pair.same();
}

#[test]
fn a_vacuum_of_the_target_is_noticed_where_rows_go_by_number() {
    let pair = given("CREATE TABLE t(v TEXT); INSERT INTO t VALUES ('a'),('b'),('c'),('d');");
    pair.follows("DELETE FROM t WHERE v IN ('a', 'b');");
    pair.target_writes("VACUUM;");
    pair.writes("UPDATE t SET v = 'D' WHERE v = 'd';");
    let report = pair.syncs();
    assert!(report.compared > 0, "{report:?}");
    pair.same();
}

#[test]
fn columns_named_like_the_row_number_do_not_confuse() {
    let pair = given(
        "CREATE TABLE t(rowid TEXT, v); INSERT INTO t VALUES ('x',1); CREATE TABLE k(oid TEXT PRIMARY KEY, rowid INT UNIQUE);
         INSERT INTO k VALUES ('a',1); CREATE TABLE no(rowid, oid, _rowid_); INSERT INTO no VALUES (1,2,3);",
    )
    .with_scope(|scope| scope.tables = ["t", "k"].map(tidewater_core::change::Pattern::new).to_vec());
    pair.syncs();
    pair.writes(
        "INSERT INTO t VALUES ('y',2); INSERT OR REPLACE INTO k VALUES ('b',1); UPDATE t SET v = 9 WHERE rowid = 'x';",
    );
    let report = pair.syncs();
    assert!(report.skipped.iter().any(|(name, _)| name == "no"), "{report:?}");
    for table in ["t", "k"] {
        assert_eq!(crate::given::rows(&pair.source, table), crate::given::rows(&pair.target, table));
    }
}

#[test]
fn a_migration_that_rebuilds_the_table_is_noticed() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1),(2,2),(3,3);");
    pair.syncs();
    // As Django does it, with a change that no trigger sees.
    pair.writes(
        "BEGIN; CREATE TABLE new__t(id INTEGER PRIMARY KEY, v); INSERT INTO new__t SELECT id, v FROM t; DROP TABLE t;
         ALTER TABLE new__t RENAME TO t; COMMIT; UPDATE t SET v = 20 WHERE id = 2; DELETE FROM t WHERE id = 3;",
    );
    let report = pair.syncs();
    assert!(report.compared > 0, "{report:?}");
    pair.same();
    pair.writes("INSERT INTO t VALUES (4,4);");
    assert_eq!(pair.syncs().compared, 0, "the triggers are there again");
    pair.same();
    // And the other way round.
    pair.writes(
        "BEGIN; ALTER TABLE t RENAME TO old; CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t SELECT * FROM old;
         DROP TABLE old; COMMIT; INSERT INTO t VALUES (5,5);",
    );
    pair.syncs();
    pair.same();
}

#[test]
fn chains_carry_what_the_engine_applied() {
    let pair =
        given("CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v); INSERT INTO t VALUES (1,'a',1),(2,'b',2);");
    let third = pair.folder.path().join("third.db");
    let onwards = || crate::given::run(&pair.target, &third, &pair.settings, 1_000).expect("the second link runs");
    pair.syncs();
    onwards();
    pair.writes("UPDATE t SET v = 10 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3,'b',3);");
    pair.syncs();
    let report = onwards();
    assert_eq!((report.copied, report.compared), (0, 0), "{report:?}");
    same(&pair.source, &third);
}

#[test]
fn listed_triggers_run_at_the_target_and_others_do_not() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1,'old words');");
    pair.syncs();
    pair.target_writes(
        "CREATE VIRTUAL TABLE f USING fts5(body, content='t', content_rowid='id'); INSERT INTO f(f) VALUES ('rebuild');
         CREATE TRIGGER t_ai AFTER INSERT ON t BEGIN INSERT INTO f(rowid, body) VALUES (NEW.id, NEW.body); END;
         CREATE TABLE noise(what); CREATE TRIGGER other AFTER INSERT ON t BEGIN INSERT INTO noise VALUES (1); END;",
    );
    let pair = pair.with(|settings| settings.run_triggers = vec!["t_ai".into()]);
    pair.writes("INSERT INTO t VALUES (2,'fresh words');");
    pair.syncs();
    assert_eq!(pair.at_target("SELECT rowid FROM f WHERE f MATCH 'fresh';"), "2");
    assert_eq!(pair.at_target("SELECT count(*) FROM noise;"), "0");
}
