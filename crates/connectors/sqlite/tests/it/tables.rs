//! Every legal table, created at the target with its indexes and constraints, and every value bit for bit.

use crate::given::{given, overwriting, shell};
use tidewater_core::change::{Deletes, Filter, TableScope};

#[test]
fn every_kind_of_table_is_carried() {
    let pair = given(
        "PRAGMA journal_mode = DELETE;
         CREATE TABLE ipk(id INTEGER PRIMARY KEY, v); CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         CREATE TABLE textkey(k TEXT PRIMARY KEY, v); CREATE TABLE blobkey(k BLOB PRIMARY KEY NOT NULL, v) WITHOUT ROWID;
         CREATE TABLE composite(a INT, b TEXT, c REAL, v, PRIMARY KEY(c, a, b)) WITHOUT ROWID;
         CREATE TABLE strict(id INT PRIMARY KEY, a ANY, t TEXT, r REAL, b BLOB) STRICT;
         CREATE TABLE gen(id INTEGER PRIMARY KEY, a INT, b AS (a * 2), c INT GENERATED ALWAYS AS (a + 1) STORED);
         CREATE TABLE tree(id INTEGER PRIMARY KEY, up INT REFERENCES tree(id));
         CREATE TABLE x(id INTEGER PRIMARY KEY, y INT REFERENCES y(id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE y(id INTEGER PRIMARY KEY, x INT REFERENCES x(id));
         CREATE TABLE \"Bücher & \"\"mehr\"\"\"(\"der Schlüssel\" TEXT PRIMARY KEY, \"größe\" INT, \"select\" TEXT UNIQUE, [a b] CHECK ([a b] > 0));
         CREATE INDEX \"ein 'Index'\" ON \"Bücher & \"\"mehr\"\"\"(\"größe\" DESC) WHERE \"größe\" > 1;
         INSERT INTO ipk VALUES (-9223372036854775808,1),(9223372036854775807,2),(0,3); INSERT INTO auto(v) VALUES (1),(2);
         INSERT INTO textkey VALUES ('',1),('a',2),('A',3),('ä',4),(char(0)||'x',5); INSERT INTO blobkey VALUES (x'',1),(x'00ff',2);
         INSERT INTO composite VALUES (1,'x',1.5,1),(1,'y',1.5,2),(2,'x',-0.5,3);
         INSERT INTO strict VALUES (1,'1','t',2,x'01'),(2,1,NULL,NULL,NULL),(3,1.0,'','9e999',x'');
         INSERT INTO gen(id,a) VALUES (1,1),(2,NULL); INSERT INTO tree VALUES (1,3),(2,1),(3,NULL);
         INSERT INTO x VALUES (1,1); INSERT INTO y VALUES (1,1);
         INSERT INTO \"Bücher & \"\"mehr\"\"\" VALUES ('ß',2,'s',1),('日本',3,NULL,2);",
    );
    let report = pair.follows(
        "UPDATE textkey SET v = 10; DELETE FROM blobkey WHERE k = x''; UPDATE composite SET c = c + 1; INSERT INTO auto(v) VALUES (3);
         UPDATE gen SET a = 5; UPDATE tree SET up = 2 WHERE id = 1; UPDATE \"Bücher & \"\"mehr\"\"\" SET \"größe\" = 99; UPDATE strict SET a = x'02';",
    );
    assert!(report.skipped.is_empty(), "{report:?}");
    let ddl = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE name NOT LIKE '~_tide%' ESCAPE '~' AND type <> 'trigger' \
               AND name NOT LIKE 'sqlite%' AND tbl_name NOT LIKE '~_tide%' ESCAPE '~' ORDER BY name);";
    assert_eq!(pair.at_target(ddl), shell(&pair.source, ddl));
}

#[test]
fn every_value_arrives_bit_for_bit() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
         INSERT INTO t(v) VALUES (NULL),(0),(-1),(9007199254740993),(9223372036854775807),(-9223372036854775808),
           (0.0),(-0.0),(1.0),(0.1),(1e308),(9e999),(-9e999),(4.9e-324),(''),('a'||char(0)||'b'),('ünï'),(char(128512)),
           (CAST(x'ff41fe' AS TEXT)),(CAST(x'c328' AS TEXT)),(x''),(x'00'),(zeroblob(5000000)),(randomblob(3000000)),
           (replace(hex(zeroblob(1000000)),'0','é')),('1'),('1.0');
         CREATE TABLE keyed(k PRIMARY KEY, v); INSERT INTO keyed SELECT v, id FROM t WHERE v IS NOT NULL GROUP BY v;",
    );
    pair.follows("UPDATE t SET v = v || 'x' WHERE typeof(v) = 'text'; UPDATE keyed SET v = v + 1; INSERT INTO t(v) VALUES (CAST(x'80' AS TEXT));");
}

#[test]
fn hundreds_of_columns_are_carried() {
    let columns: Vec<String> = (0..700).map(|n| format!("c{n} INT DEFAULT {n}")).collect();
    let pair = given(&format!(
        "CREATE TABLE wide(id INTEGER PRIMARY KEY, {}); INSERT INTO wide(id) VALUES (1),(2);",
        columns.join(", ")
    ));
    pair.follows("UPDATE wide SET c699 = -1 WHERE id = 2; INSERT INTO wide(id) VALUES (3);");
}

#[test]
fn what_cannot_be_carried_is_said() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; CREATE VIRTUAL TABLE f USING fts5(x);
         CREATE TABLE nulls(k TEXT PRIMARY KEY, v); INSERT INTO nulls VALUES (NULL,1);",
    );
    let report = pair.syncs();
    let reason = |name: &str| report.skipped.iter().find(|(n, _)| n == name).map(|(_, why)| why.clone());
    assert!(reason("v").expect("skipped").contains("view"));
    assert!(reason("f").expect("skipped").contains("virtual"));
    assert!(reason("f_data").expect("skipped").contains("virtual"));
    assert!(reason("nulls").expect("skipped").contains("E0041"));
    assert_eq!(report.tables, ["t"]);
}

#[test]
fn a_null_key_that_comes_later_halts_that_table_alone() {
    let pair = given(
        "CREATE TABLE t(k TEXT PRIMARY KEY, v); CREATE TABLE u(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES ('a',1);",
    );
    pair.syncs();
    pair.writes("INSERT INTO t VALUES (NULL,2); INSERT INTO u VALUES (1,1);");
    let report = pair.syncs();
    assert!(report.halted.get("t").is_some_and(|why| why.contains("NULL")), "{report:?}");
    assert_eq!(pair.at_target("SELECT count(*) FROM u;"), "1", "others go on");
    pair.writes("DELETE FROM t WHERE k IS NULL; UPDATE t SET v = 5;");
    assert!(pair.syncs().halted.is_empty());
    pair.same();
}

fn special(scope: &mut tidewater_core::change::Scope, table: &str, special: TableScope) {
    scope.special.insert(table.to_owned(), special);
}

#[test]
fn a_scope_names_and_filters() {
    let filter = Filter::parse("store = 7 AND qty > 0", &std::collections::BTreeMap::new()).expect("a filter");
    let pair = given(
        "CREATE TABLE products(id INTEGER PRIMARY KEY, descr TEXT COLLATE NOCASE, cost REAL NOT NULL, store INT, qty INT DEFAULT 1);
         INSERT INTO products VALUES (1,'a',1.5,7,1),(2,'b',2.5,8,1),(3,'c',3.5,7,0),(4,'d',4.5,7,5);",
    )
    .with_scope(|scope| {
        special(scope, "products", TableScope {
            name: Some("artikel".into()),
            rename: [("descr".to_owned(), "text".to_owned())].into(),
            exclude: vec!["cost".into()],
            filter: Some(filter),
            ..TableScope::default()
        });
    });
    pair.syncs();
    let rows =
        || pair.at_target("SELECT group_concat(id || text || store, ' ') FROM (SELECT * FROM artikel ORDER BY id);");
    assert_eq!(rows(), "1a7 4d7");
    assert_eq!(pair.at_target("SELECT group_concat(name) FROM pragma_table_info('artikel');"), "id,text,store,qty");
    pair.writes("UPDATE products SET store = 8 WHERE id = 1; UPDATE products SET qty = 3 WHERE id = 3; UPDATE products SET cost = 9; DELETE FROM products WHERE id = 4;");
    pair.syncs();
    assert_eq!(rows(), "3c7", "rows move out of scope and into it");
    pair.writes("UPDATE products SET store = 7 WHERE id = 1;");
    pair.syncs();
    assert_eq!(rows(), "1a7 3c7");
}

#[test]
fn deletes_can_be_marked_or_ignored_and_a_flag_can_mean_deleted() {
    let none = std::collections::BTreeMap::new();
    let pair = given(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v); CREATE TABLE b(id INTEGER PRIMARY KEY, v, status TEXT DEFAULT 'live');
         CREATE TABLE c(id INTEGER PRIMARY KEY, v); CREATE TABLE d(id INTEGER PRIMARY KEY, gone BOOL);
         INSERT INTO a VALUES (1,1),(2,2); INSERT INTO b(id,v) VALUES (1,1),(2,2); INSERT INTO c VALUES (1,1),(2,2); INSERT INTO d VALUES (1,0),(2,0),(3,1),(4,NULL);",
    )
    .with_scope(|scope| {
        let mark = |column: &str, value: Option<&str>| Deletes::Mark { column: column.into(), value: value.map(Into::into) };
        special(scope, "a", TableScope { deletes: mark("deleted_at", None), ..TableScope::default() });
        special(scope, "b", TableScope { deletes: mark("status", Some("gone")), ..TableScope::default() });
        special(scope, "c", TableScope { deletes: Deletes::Ignore, ..TableScope::default() });
        special(scope, "d", TableScope { deleted_when: Some(Filter::parse("gone = true", &none).expect("a filter")), ..TableScope::default() });
    });
    pair.syncs();
    pair.writes("DELETE FROM a WHERE id=1; DELETE FROM b WHERE id=1; DELETE FROM c WHERE id=1; UPDATE d SET gone = 1 WHERE id = 1;");
    pair.syncs();
    assert_eq!(pair.at_target("SELECT id || (deleted_at IS NULL) FROM a ORDER BY id;"), "10\n21");
    assert_eq!(pair.at_target("SELECT id || status FROM b ORDER BY id;"), "1gone\n2live");
    assert_eq!(pair.at_target("SELECT count(*) FROM c;"), "2");
    assert_eq!(pair.at_target("SELECT group_concat(id) FROM d;"), "2,4");
    pair.writes("INSERT INTO a VALUES (1,5); INSERT INTO b VALUES (1,5,'live'); UPDATE d SET gone = 0 WHERE id = 1;");
    pair.syncs();
    assert_eq!(
        pair.at_target("SELECT id || v || (deleted_at IS NULL) FROM a ORDER BY id;"),
        "151\n221",
        "a row that comes back is not deleted"
    );
    assert_eq!(pair.at_target("SELECT id || status FROM b ORDER BY id;"), "1live\n2live");
    assert_eq!(pair.at_target("SELECT group_concat(id) FROM d;"), "1,2,4");
}

#[test]
fn a_lost_position_does_not_mark_rows_again() {
    let pair = given("CREATE TABLE a(id INTEGER PRIMARY KEY, v); INSERT INTO a VALUES (1,1),(2,2),(3,3);").with_scope(
        |scope| {
            let deletes = Deletes::Mark { column: "deleted_at".into(), value: None };
            special(scope, "a", TableScope { deletes, ..TableScope::default() });
        },
    );
    pair.syncs();
    pair.writes("DELETE FROM a WHERE id = 1;");
    pair.syncs();
    pair.target_writes("UPDATE a SET deleted_at = 'then' WHERE id = 1;");
    pair.writes("DROP TRIGGER _tidewater_1_u; UPDATE a SET v = 20 WHERE id = 2; DELETE FROM a WHERE id = 3;");
    let report = pair.syncs();
    assert_eq!((report.compared, report.mended, report.removed), (1, 1, 1), "row 3 alone: {report:?}");
    assert_eq!(
        pair.at_target("SELECT id || v || coalesce(deleted_at = 'then', 'live') FROM a ORDER BY id;"),
        "111\n220live\n330"
    );
}

#[test]
fn values_over_the_limit_are_left_out_and_counted() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB); INSERT INTO t VALUES (1,zeroblob(100)),(2,zeroblob(5000));",
    )
    .with_scope(|scope| scope.value_bytes_max = Some(1_000));
    assert_eq!(pair.syncs().left_out, 1);
    assert_eq!(pair.at_target("SELECT id || ':' || coalesce(length(b), 'none') FROM t ORDER BY id;"), "1:100\n2:none");
    pair.writes("UPDATE t SET b = zeroblob(2000) WHERE id = 1; UPDATE t SET b = zeroblob(10) WHERE id = 2;");
    assert_eq!(pair.syncs().left_out, 1);
    assert_eq!(pair.at_target("SELECT id || ':' || coalesce(length(b), 'none') FROM t ORDER BY id;"), "1:none\n2:10");
}

#[test]
fn once_leaves_nothing_behind() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1),(2,2);").with(overwriting);
    pair.once();
    pair.same();
    pair.writes("UPDATE t SET v = 5 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3,3);");
    let report = pair.once();
    assert_eq!((report.mended, report.left), (2, 1), "{report:?}");
    let ours = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '~_tidewater%' ESCAPE '~';";
    assert_eq!(shell(&pair.source, ours), "0");
    assert_eq!(
        pair.at_target("SELECT group_concat(name) FROM sqlite_schema WHERE name LIKE '~_tidewater%' ESCAPE '~';"),
        "_tidewater_journal"
    );
}

#[test]
fn other_programs_cannot_write_a_protected_replica() {
    let pair =
        given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1);").with(|s| s.protect = true);
    pair.syncs();
    for sql in ["INSERT INTO t VALUES (2,2);", "UPDATE t SET v = 2;", "DELETE FROM t;"] {
        let refused = crate::given::try_shell(&pair.target, sql).expect_err("protected");
        assert!(refused.contains("protected replica of source.db"), "{refused}");
    }
    pair.follows("UPDATE t SET v = 3; INSERT INTO t VALUES (2,2);");
    let pair = pair.with(|s| s.protect = false);
    pair.syncs();
    pair.target_writes("UPDATE t SET v = 4;");
}

#[test]
fn a_column_added_later_is_followed_and_a_new_table_too() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1),(2,2);");
    pair.syncs();
    pair.writes("ALTER TABLE t ADD COLUMN w TEXT NOT NULL DEFAULT 'd'; UPDATE t SET w = 'x' WHERE id = 2; CREATE TABLE u(id INTEGER PRIMARY KEY); INSERT INTO u VALUES (1);");
    let report = pair.syncs();
    assert_eq!(report.added, [("t".to_owned(), "w".to_owned())]);
    pair.same();
}

#[test]
fn a_column_renamed_or_dropped_halts_its_table_with_the_ddl_that_mends_it() {
    for change in ["RENAME COLUMN v TO w", "DROP COLUMN v"] {
        let pair = given(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v, z); CREATE TABLE u(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1,1,1);",
        );
        pair.syncs();
        pair.writes(&format!("ALTER TABLE t {change}; INSERT INTO t(id) VALUES (2); INSERT INTO u VALUES (1);"));
        let report = pair.syncs();
        let why = report.halted.get("t").expect("halted").clone();
        assert_eq!(pair.at_target("SELECT count(*) FROM u;"), "1", "others go on");
        let ddl: Vec<&str> = why.lines().filter(|line| line.trim_start().starts_with("ALTER")).collect();
        assert_eq!(ddl.len(), 1, "{why}");
        pair.target_writes(ddl[0]);
        assert!(pair.syncs().halted.is_empty());
        pair.same();
    }
}

#[test]
fn the_example_program_syncs() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a');");
    let (source, target) = (pair.source.display().to_string(), pair.target.display().to_string());
    let sync = || crate::given::block_on(crate::library::sync(&source, &target)).expect("it syncs");
    assert_eq!(sync().copied, 1);
    pair.writes("INSERT INTO t VALUES (2,'b');");
    assert_eq!(sync().changes(), 1);
    pair.same();
}
