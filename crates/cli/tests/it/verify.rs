//! `tidewater verify`: equal is proved, a difference is named with its key and columns, and `--repair` mends it
//! with a copy of what was there in the journal.

use crate::given::{Place, SHOP, given, locked, numbered, statements_in};

const VERIFY: &str = "verify sqlite:shop.db sqlite:till.db";

/// In step, and then somebody writes to the replica: one row more, one less, two changed.
fn a_till_that_somebody_wrote_to() -> Place {
    let place = given(SHOP);
    place.syncs();
    place.sql(
        "till.db",
        "INSERT INTO products VALUES (9,'Z-9','Own',1);
         DELETE FROM order_lines WHERE order_id = 1 AND line = 2;
         UPDATE products SET name = 'Bouy', price = 5 WHERE id = 2;
         UPDATE customers SET name = 'Anna' WHERE email = 'ana@example.org';",
    );
    place
}

#[test]
fn equal_databases_are_proved_equal() {
    let place = given(SHOP);
    place.syncs();
    let before = (place.bytes("shop.db"), place.bytes("till.db"));
    let equal = place.tidewater(VERIFY).exits(0).never_says("repair");
    assert_eq!(equal.out.lines().filter(|line| line.ends_with("  equal")).count(), 4, "{equal}");
    let json = place.tidewater(&format!("{VERIFY} --json")).exits(0).json();
    assert_eq!((json["equal"].as_bool(), json["tables"].as_array().map(Vec::len)), (Some(true), Some(4)));
    place.tidewater(&format!("{VERIFY} --tables products")).exits(0).says("products").never_says("customers");
    assert_eq!((place.bytes("shop.db"), place.bytes("till.db")), before, "looking changes nothing");
    assert_eq!(place.files(), ["shop.db", "till.db"]);
}

#[test]
fn databases_that_were_never_synced_can_be_compared_too() {
    let place = given(SHOP);
    place.sql("till.db", SHOP);
    place.tidewater(VERIFY).exits(0);
    place.sql("till.db", "DELETE FROM order_lines;");
    place.tidewater(VERIFY).exits(1).says("order_lines key 1, 1  only in source");
    place.tidewater("verify sqlite:shop.db sqlite:third.db").exits(3).says("E0010 third.db: there is no such file");
    assert_eq!((place.files(), place.installed("till.db")), (vec!["shop.db".into(), "till.db".into()], String::new()));
}

#[test]
fn each_difference_is_named_with_its_key_and_columns() {
    let place = a_till_that_somebody_wrote_to();
    let differs = place.tidewater(VERIFY).exits(1);
    for line in [
        "  customers key 'ana@example.org'  differs: name\n",
        "  products key 2  differs: name, price\n",
        "  products key 9  only in target\n",
        "  order_lines key 1, 2  only in source\n",
        "Send what differs with --repair; replaced rows are kept in the journal.\n",
    ] {
        assert!(differs.out.contains(line), "{line:?} in {differs}");
    }
    let differs = differs.says("2 rows differ").says("1 row differs").never_says("Bouy").never_says("Anna");
    assert!(differs.out.lines().any(|line| line.starts_with("  orders") && line.ends_with("equal")), "{differs}");

    let json = place.tidewater(&format!("{VERIFY} --json")).exits(1).json();
    assert_eq!(json["equal"], false);
    let products = json["tables"].as_array().and_then(|all| all.iter().find(|one| one["table"] == "products"));
    let differing = products.expect("its facts")["differing"].clone();
    assert_eq!(
        differing,
        serde_json::json!([
            { "key": "2", "kind": "differs", "columns": ["name", "price"] },
            { "key": "9", "kind": "only in target", "columns": [] },
        ])
    );
}

#[test]
fn values_that_only_look_alike_differ() {
    let place = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,1), (2,'1'), (3,NULL), (4,'é'), (5,x'31');",
    );
    place.sql(
        "till.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
        INSERT INTO t VALUES (1,'1'), (2,1), (3,''), (4,'e' || char(769)), (5,'1');",
    );
    place.tidewater(VERIFY).exits(1).says("5 rows differ").says("t key 4  differs: v");
}

#[test]
fn many_differences_are_counted_and_all_of_them_mended() {
    let place = given(&numbered(12_000));
    place.syncs();
    place.sql("till.db", "UPDATE t SET v = 'x' WHERE id > 500;");
    let differs = place.tidewater(VERIFY).exits(1).says("11,500 rows differ").says("more");
    assert!(differs.out.lines().count() < 40, "a screen, not a flood");
    place.tidewater(&format!("{VERIFY} --repair")).exits(0).says("11,500 rows mended, equal");
    place.same_rows("shop.db", "till.db");
    place.tidewater(VERIFY).exits(0);
}

#[test]
fn repair_mends_what_differs_and_can_be_undone() {
    let place = a_till_that_somebody_wrote_to();
    let before = place.rows_of("till.db", "products", "*");

    let mended = place.tidewater(&format!("{VERIFY} --repair")).exits(0);

    place.same_rows("shop.db", "till.db");
    let mended = mended.says("2 rows mended, equal").says("3 replaced or deleted rows are kept in the journal");
    place.tidewater(VERIFY).exits(0);
    assert_eq!(place.tries_to_sync("--json").exits(0).count("changes_applied"), 0, "the sync goes on as before");
    let line = mended.out.lines().find_map(|line| line.split_once("undo with: ")).expect("it is printed").1;
    place.copies_and_runs(line).exits(0).says("3 rows put back");
    assert_eq!(place.rows_of("till.db", "products", "*"), before);
    place.tidewater(&format!("{VERIFY} --repair --json")).exits(0).json();
    place.same_rows("shop.db", "till.db");
}

#[test]
fn repair_mends_swapped_unique_values_and_tables_without_a_key_and_can_be_undone() {
    let tables = "CREATE TABLE a(id INTEGER PRIMARY KEY, u INTEGER UNIQUE); INSERT INTO a VALUES (1,1), (2,2), (3,3);
        CREATE TABLE plain(v); INSERT INTO plain VALUES ('x'), ('y');";
    let place = given(tables);
    place.syncs();
    let swapped = "UPDATE a SET u = -u; UPDATE a SET u = 1 + id % 3; UPDATE plain SET v = v || '!';";
    place.sql("till.db", swapped);
    let before = (place.rows_of("till.db", "a", "*"), place.rows_of("till.db", "plain", "*"));

    let mended = place.tidewater(&format!("{VERIFY} --repair --json")).exits(0).json();

    place.same_rows("shop.db", "till.db");
    assert_eq!(mended["rows_journaled"], 5, "each replaced row once: {mended}");
    assert_eq!(
        place.tries_to_sync("--json").exits(0).count("rows_compared"),
        0,
        "the journal's table was ours to make"
    );
    let run = mended["run"].as_str().expect("a run");
    place.tidewater(&format!("conflicts restore sqlite:till.db --run {run}")).exits(0).says("5 rows put back");
    assert_eq!((place.rows_of("till.db", "a", "*"), place.rows_of("till.db", "plain", "*")), before);
}

#[test]
fn repair_installs_nothing() {
    let place = given(SHOP);
    place.sql("till.db", SHOP);
    place.sql("till.db", "DELETE FROM order_lines;");
    place.tidewater(&format!("{VERIFY} --repair")).exits(0);
    place.same_rows("shop.db", "till.db");
    assert_eq!((place.installed("shop.db"), place.installed("till.db")), (String::new(), String::new()));
    assert_eq!(place.files(), ["shop.db", "till.db"]);
}

#[test]
fn repair_does_not_empty_a_target_because_its_source_is_empty() {
    let place = given(&numbered(5));
    place.syncs();
    let before = place.dump("till.db");
    place.sql("shop.db", "DELETE FROM t;");

    let refused = place.tidewater(&format!("{VERIFY} --repair")).exits(1);

    refused.says("E0024 t is empty at shop.db, and t is not at till.db").says("--existing mirror");
    assert_eq!(place.dump("till.db"), before, "nothing was written");
    place.tidewater(&format!("{VERIFY} --repair --existing mirror")).exits(0).says("5 rows mended");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM t;"), "0");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM _tidewater_journal;"), "5");
}

#[test]
fn a_table_that_does_not_fit_is_named_and_the_others_are_compared() {
    let place = given("CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE TABLE u(id INTEGER PRIMARY KEY);");
    place.sql("till.db", "CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE TABLE u(id INTEGER PRIMARY KEY);");
    let named = place.tidewater(VERIFY).exits(1).says("E0023 t does not fit").says("ADD COLUMN");
    assert!(named.out.lines().any(|line| line.starts_with("  u") && line.ends_with("equal")), "{named}");
    place.sql("shop.db", "INSERT INTO u VALUES (1);");
    place.tidewater(&format!("{VERIFY} --repair")).exits(1).says("E0023 t does not fit");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM u;"), "1", "what can be mended is mended");
    place.sql("till.db", &statements_in(&named.out));
    place.tidewater(VERIFY).exits(0);
}

#[test]
fn beside_a_running_watcher_under_writes_both_are_equal() {
    let place = given(&format!("PRAGMA journal_mode = WAL; {}", numbered(4_000)));
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..120 {
                let (id, new) = (1 + round * 33, 10_000 + round);
                let gone = 2 + round * 33;
                place.sql("shop.db", &format!(
                    "UPDATE t SET v = 'changed' WHERE id = {id}; DELETE FROM t WHERE id = {gone}; INSERT INTO t VALUES ({new},'new');"
                ));
            }
        });
        let mut proofs = 0;
        while !writer.is_finished() || proofs == 0 {
            place.tidewater(VERIFY).exits(0).says("equal");
            proofs += 1;
        }
        writer.join().expect("the writer is not disturbed");
    });
    watcher.brings("the last change at the target", || {
        place.sql("till.db", "SELECT count(*) FROM t WHERE id = 10119;") == "1"
    });
    place.tidewater(VERIFY).exits(0);
    watcher.gets("TERM").ends().exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn being_interrupted_is_no_bug_of_ours() {
    let place = given(&numbered(10));
    place.syncs();
    place.sql("till.db", "UPDATE t SET v = 'x';");
    let verifying = place.starts(VERIFY);
    // Rows that differ are looked at again after a while; the signal comes before that.
    let open = format!("/proc/{}/fd", verifying.id());
    let holds = |name: &str| {
        let links = std::fs::read_dir(&open).into_iter().flatten().flatten();
        links.filter_map(|link| std::fs::read_link(link.path()).ok()).any(|path| path.ends_with(name))
    };
    verifying.brings("both databases open", || holds("shop.db") && holds("till.db"));
    verifying.gets("INT").ends().never_says("E0099").never_says("bug in Tidewater").never_says("  equal");
}

#[test]
fn a_locked_database_is_named() {
    let place = given(&numbered(10));
    place.sql("till.db", &numbered(10));
    let _lock = locked(&place, "till.db");
    place.tidewater(VERIFY).exits(3).says("E0015 till.db is locked by another program");
}
