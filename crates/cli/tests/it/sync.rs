//! `tidewater sync A B`: the first run, later runs, and what `--once`, `--tables`, `--protect`, `--json` and a limit
//! on the rate change about them. Watching and interruptions are in `sync/watch.rs`.

mod airports;
mod watch;

use crate::given::{SHOP, an_empty_place, given, numbered, read_only};

const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema
    WHERE tbl_name NOT GLOB '_tidewater_*' AND type <> 'trigger' ORDER BY type, name;";

#[test]
fn the_first_run_makes_the_tables_copies_the_rows_and_says_what_it_installed() {
    let shop = given(SHOP);

    let first = shop.syncs();

    assert_eq!(shop.sql("till.db", SCHEMA), shop.sql("shop.db", SCHEMA));
    shop.same_rows("shop.db", "till.db");
    assert_eq!(first.err, "", "nothing but facts: {first}");
    let first = first
        .says("shop.db → till.db  in step\n")
        .says("4 tables (4 created) · 10 rows copied · 0 changes applied · ")
        .says("Installed in shop.db: a change log and its bookkeeping")
        .says("triggers on order_lines")
        .says("  take it out with: tidewater teardown sqlite:shop.db sqlite:till.db\n");
    first.never_says("journal").never_says("\u{1b}");
    for refused in [
        "INSERT INTO products VALUES (9,'A-1','Other',1);",
        "INSERT INTO products VALUES (9,'Z-9','ANCHOR',1);",
        "INSERT INTO products VALUES (9,'Z-9','Other',-1);",
        "PRAGMA foreign_keys = ON; INSERT INTO orders VALUES (9,'nobody@example.org');",
    ] {
        let said = shop.try_sql("till.db", refused).expect_err("the constraints came along");
        assert!(said.contains("constraint failed"), "{said}");
    }
}

#[test]
fn a_later_run_sends_only_what_changed() {
    let shop = given(SHOP);
    shop.syncs();
    shop.sql(
        "shop.db",
        "UPDATE products SET price = price + 1 WHERE id < 3;
         UPDATE products SET price = price * 2 WHERE id = 1;
         INSERT INTO customers VALUES ('cy@example.org','Cy');
         DELETE FROM order_lines WHERE order_id = 1;
         INSERT INTO customers VALUES ('gone@example.org','Gone');
         DELETE FROM customers WHERE email = 'gone@example.org';",
    );

    let second = shop.tries_to_sync("--json").exits(0);

    shop.same_rows("shop.db", "till.db");
    assert_eq!((second.count("rows_copied"), second.count("rows_compared")), (0, 0), "{second}");
    assert_eq!(second.count("upserts"), 3, "two products, one customer: {second}");
    assert_eq!(second.json()["installed"], serde_json::json!([]));
    let third = shop.tries_to_sync("--json").exits(0);
    assert_eq!((third.count("changes_applied"), third.count("rows_compared")), (0, 0), "{third}");
    shop.syncs().says("4 tables · 0 rows copied · 0 changes applied · ").never_says("Installed");
}

#[test]
fn tables_are_chosen_by_names_and_patterns() {
    let shop = given(
        "CREATE TABLE products(id INTEGER PRIMARY KEY); CREATE TABLE prices_eu(id INTEGER PRIMARY KEY);
         CREATE TABLE prices_us(id INTEGER PRIMARY KEY); CREATE TABLE prices_tmp(id INTEGER PRIMARY KEY);
         CREATE TABLE orders(id INTEGER PRIMARY KEY); INSERT INTO products VALUES (1);",
    );
    let tables = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema
        WHERE type = 'table' AND name NOT GLOB '_tidewater_*' ORDER BY name);";
    for (pattern, wanted) in [
        ("products,prices_*,!prices_tmp", "prices_eu prices_us products"),
        ("PRODUCTS", "products"),
        ("prices_??", "prices_eu prices_us"),
        ("!prices_*,!orders", "products"),
    ] {
        shop.tidewater(&format!("sync sqlite:shop.db sqlite:to.db --tables {pattern}")).exits(0);
        assert_eq!(shop.sql("to.db", tables), wanted, "{pattern}");
        shop.tidewater("teardown sqlite:shop.db sqlite:to.db").exits(0);
        std::fs::remove_file(shop.path("to.db")).expect("it was made");
    }
}

#[test]
fn once_copies_and_compares_and_leaves_nothing_behind() {
    let shop = given(SHOP);
    let before = shop.bytes("shop.db");

    let first = shop.tries_to_sync("--once --json").exits(0);

    assert_eq!(first.count("rows_copied"), 10);
    shop.same_rows("shop.db", "till.db");
    shop.sql("shop.db", "INSERT INTO customers VALUES ('cy@example.org','Cy');");
    let again = shop.tries_to_sync("--once --json").exits(0);
    assert_eq!((again.count("rows_copied"), again.count("rows_mended")), (0, 1), "{again}");
    shop.same_rows("shop.db", "till.db");
    assert_eq!((shop.installed("shop.db"), shop.installed("till.db")), (String::new(), String::new()));
    assert_eq!(shop.files(), ["shop.db", "till.db"]);
    shop.sql("shop.db", "DELETE FROM customers WHERE email = 'cy@example.org'; VACUUM;");
    shop.tries_to_sync("--once").exits(1).says("E0021").says("1 only in target");
    shop.tries_to_sync("--once --existing mirror").exits(0);
    shop.same_rows("shop.db", "till.db");
    assert_eq!(before.len(), shop.bytes("shop.db").len(), "the source is as it was");
}

#[test]
fn once_installs_no_protection_either() {
    let shop = given(&numbered(3));
    shop.tries_to_sync("--once --protect");
    assert!(!shop.files().contains(&"till.db".to_owned()) || shop.installed("till.db").is_empty());
}

#[test]
fn once_leaves_the_protection_of_a_link_alone() {
    let shop = given(&numbered(3));
    shop.tries_to_sync("--protect").exits(0);
    shop.tries_to_sync("--once").exits(0);
    shop.try_sql("till.db", "DELETE FROM t;").expect_err("the table is still protected");
}

#[test]
fn once_reads_a_source_that_cannot_be_written() {
    let place = an_empty_place();
    std::fs::create_dir(place.path("archive")).expect("a folder");
    place.sql("archive/shop.db", SHOP);
    let Some(_archive) = read_only(&place, "archive") else {
        eprintln!("left out: mounting is not permitted here, and root writes where it likes");
        return;
    };

    let refused = place.tidewater("sync sqlite:archive/shop.db sqlite:till.db").exits(2);
    refused.says("E0012 archive/shop.db cannot be written").says("--once");
    assert_eq!(place.files(), ["archive"], "nothing was created");
    place.tidewater("plan sqlite:archive/shop.db sqlite:till.db").exits(0);
    place.tidewater("sync sqlite:archive/shop.db sqlite:till.db --once").exits(0);
    place.same_rows("archive/shop.db", "till.db");
    place.tidewater("verify sqlite:archive/shop.db sqlite:till.db").exits(0);
}

#[test]
fn a_protected_replica_refuses_other_writers_and_is_still_synced() {
    let shop = given(&numbered(3));
    shop.tries_to_sync("--protect").exits(0);
    for write in ["INSERT INTO t VALUES (9,'x');", "UPDATE t SET v = 'x';", "DELETE FROM t;"] {
        let said = shop.try_sql("till.db", write).expect_err("others may not write");
        assert!(said.contains("t is a protected replica of shop.db: write there"), "{said}");
    }
    shop.sql(
        "shop.db",
        "UPDATE t SET v = 'new' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4,'d');",
    );

    let second = shop.tries_to_sync("--protect --json").exits(0);

    assert_eq!(second.count("changes_applied"), 3);
    shop.same_rows("shop.db", "till.db");
    shop.try_sql("till.db", "DELETE FROM t;").expect_err("it is still protected");
    shop.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    shop.sql("till.db", "DELETE FROM t;");
}

#[test]
fn json_is_one_object_and_so_is_a_failure() {
    let shop = given(&format!("{SHOP} CREATE VIEW cheap AS SELECT * FROM products;"));

    let first = shop.tries_to_sync("--json").exits(0).json();

    assert_eq!((first["source"].as_str(), first["target"].as_str()), (Some("shop.db"), Some("till.db")));
    assert_eq!(first["rows_copied"], 10);
    assert_eq!(first["tables"].as_array().map(Vec::len), Some(4));
    assert_eq!(first["skipped"][0]["table"], "cheap");
    assert_eq!(first["needs_attention"], false);
    for name in ["link", "run", "created", "installed", "changes_applied", "rows_journaled", "quarantine", "halted"] {
        assert!(!first[name].is_null(), "{name} in {first}");
    }
    let failed = shop.tidewater("sync sqlite:nowhere.db sqlite:till.db --json").exits(3).json();
    assert_eq!(failed["error"], "E0010");
    for name in ["what", "meaning", "remedy"] {
        assert!(failed[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {failed}");
    }
    for command in ["plan", "verify"] {
        shop.tidewater(&format!("{command} sqlite:shop.db sqlite:till.db --json")).exits(0).json();
    }
    let status = shop.tidewater("status sqlite:shop.db sqlite:till.db --json").exits(0).json_lines();
    assert_eq!(status.len(), 2, "one for each database");
    let gone = shop.tidewater("teardown sqlite:shop.db sqlite:till.db --json").exits(0).json_lines();
    assert_eq!(gone.len(), 2, "one for each database");
}

#[test]
fn a_limit_slows_the_copy_and_the_changes() {
    let shop = given(&numbered(300));
    let copied = shop.tries_to_sync("--rows-per-second-max 200 --json").exits(0);
    shop.same_rows("shop.db", "till.db");
    let took = |outcome: &crate::given::Outcome| outcome.json()["seconds"].as_f64().expect("a number");
    assert!(took(&copied) > 1.2, "300 rows at 200 a second: {copied}");
    shop.sql("shop.db", "UPDATE t SET v = 'new ' || id;");
    let changed = shop.tries_to_sync("--rows-per-second-max 200 --json").exits(0);
    assert!(took(&changed) > 1.2, "300 changes at 200 a second: {changed}");
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn what_was_left_out_of_one_run_is_not_missed_by_the_next() {
    let shop = given(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v); CREATE TABLE b(id INTEGER PRIMARY KEY, v);
         INSERT INTO b VALUES (1,'old'), (2,'old');",
    );
    shop.syncs();
    shop.sql("shop.db", "UPDATE b SET v = 'new' WHERE id = 1; DELETE FROM b WHERE id = 2; INSERT INTO a VALUES (1,1);");
    shop.tries_to_sync("--tables a").exits(0);

    shop.syncs();

    shop.same_rows("shop.db", "till.db");
}

#[test]
fn the_printed_command_takes_out_what_was_installed_also_where_names_have_blanks() {
    let place = an_empty_place();
    place.sql("my shop.db", &numbered(3));
    place.file("here", "");
    let done = place.copies_and_runs("tidewater sync 'sqlite:my shop.db' 'sqlite:my till.db'").exits(0);
    let line = done.out.lines().find_map(|line| line.split_once("take it out with: ")).expect("it is printed").1;

    place.copies_and_runs(line).exits(0);

    assert_eq!((place.installed("my shop.db"), place.installed("my till.db")), (String::new(), String::new()));
}
