//! Both ways: databases that all accept writes, by other programs and at the same time. What the journal says and
//! does is in `both_ways/conflicts.rs`, syncs of a configuration in `both_ways/between.rs`.

mod between;
mod conflicts;
mod journal;
mod parts;

use crate::given::{Outcome, Place, SHOP, an_empty_place, given, numbered};

const BOTH: &str = "sync sqlite:shop.db sqlite:till.db --both-ways";

/// `shop.db` and `till.db` with the rows of `sql`, in step.
#[track_caller]
fn two_in_step(sql: &str) -> Place {
    let place = given(sql);
    place.tidewater(BOTH).exits(0);
    place
}

/// Brings both together, which must do, and leaves both equal.
#[track_caller]
fn meet(place: &Place) -> Outcome {
    let done = place.tidewater(BOTH).exits(0);
    place.same_rows("shop.db", "till.db");
    done
}

#[test]
fn a_side_that_is_missing_is_created_and_filled_from_the_other() {
    for (command, made) in [(BOTH, "till.db"), ("sync sqlite:till.db sqlite:shop.db --both-ways", "till.db")] {
        let place = given(SHOP);
        let done = place.tidewater(command).exits(0);
        done.says("in step")
            .says(&format!("created in {made}: "))
            .says("Installed in shop.db")
            .says("Installed in till.db");
        place.same_rows("shop.db", "till.db");
        place.same_rows("till.db", "shop.db");
        let again = place.tidewater(&format!("{command} --json")).exits(0).json();
        assert_eq!((&again["in_step"], &again["conflicts"]), (&true.into(), &0.into()), "{again}");
        for member in again["members"].as_array().expect("two") {
            assert_eq!((&member["changes_applied"], &member["rows_taken_up"]), (&0.into(), &0.into()), "{member}");
        }
    }
}

#[test]
fn edits_of_both_sides_survive_and_both_become_equal() {
    let place = two_in_step(SHOP);
    place.sql(
        "shop.db",
        "UPDATE products SET price = 10 WHERE id = 1; INSERT INTO customers VALUES ('cy@example.org','Cy');",
    );
    place
        .sql("till.db", "UPDATE products SET name = 'Anker' WHERE id = 1; DELETE FROM order_lines WHERE order_id = 2;");

    meet(&place).never_says("conflict is");

    assert_eq!(place.sql("till.db", "SELECT name, price FROM products WHERE id = 1;"), "Anker|10");
    assert_eq!(place.sql("shop.db", "SELECT count(*) FROM order_lines;"), "2");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM customers;"), "3");
    place.tidewater("verify sqlite:shop.db sqlite:till.db").exits(0);
    place.tidewater("status sqlite:shop.db sqlite:till.db").exits(0).says("↔ both ways as shop.db: 4 tables");
}

#[test]
fn what_goes_both_ways_is_not_turned_into_one_by_accident() {
    let place = two_in_step(&numbered(5));
    for command in ["sync sqlite:shop.db sqlite:till.db", "sync sqlite:till.db sqlite:shop.db --existing mirror"] {
        place.tidewater(command).exits(1).says("E0022 ").says("are in step both ways: t, for one").says("--both-ways");
    }
    place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    place.tidewater("sync sqlite:shop.db sqlite:till.db").exits(0);
}

#[test]
fn a_watcher_carries_both_ways() {
    let place = two_in_step(&numbered(20));
    let engine = place.starts(&format!("{BOTH} --watch")).in_step();
    place.sql("shop.db", "UPDATE t SET v = 'from the shop' WHERE id = 1;");
    place.sql("till.db", "UPDATE t SET v = 'from the till' WHERE id = 2;");
    engine.brings("the shop's write", || place.sql("till.db", "SELECT v FROM t WHERE id = 1;") == "from the shop");
    engine.brings("the till's write", || place.sql("shop.db", "SELECT v FROM t WHERE id = 2;") == "from the till");
    engine.gets("TERM").ends().exits(0).says("in step");
}

#[test]
fn rows_are_never_logged() {
    let place = two_in_step(&numbered(5));
    place.sql("shop.db", "UPDATE t SET v = 'confidential' WHERE id = 1;");
    place.sql("till.db", "UPDATE t SET v = 'confidential too' WHERE id = 1;");
    place.tidewater(&format!("{BOTH} -vv")).exits(0).says("1 conflict is in the journal").never_says("confidential");
}

/// Row 1 is equal, 2 differs, 3 and 4 are each on one side only.
fn two_that_differ() -> Place {
    let table = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, at INTEGER);";
    let place = given(&format!("{table} INSERT INTO t VALUES (1,'same',1), (2,'shop',5), (3,'shop only',1);"));
    place.sql("till.db", &format!("{table} INSERT INTO t VALUES (1,'same',1), (2,'till',9), (4,'till only',1);"));
    place
}

#[test]
fn first_contact_refuses_rows_that_differ_and_writes_nothing() {
    let place = two_that_differ();
    let before = (place.bytes("shop.db"), place.bytes("till.db"));

    let refused = place.tidewater(BOTH).exits(1);

    let refused = refused.says("E0021 shop.db and till.db hold different rows under the same keys");
    refused.says("t  1 equal  1 differ  1 only in shop.db  1 only in till.db").says("--prefer newest:COLUMN");
    place.tidewater("plan sqlite:shop.db sqlite:till.db --both-ways").exits(1).says("1 row differs").says("--prefer");
    assert_eq!((place.bytes("shop.db"), place.bytes("till.db")), before, "byte for byte");
    assert_eq!(place.files(), ["shop.db", "till.db"]);
}

#[test]
fn first_contact_prefers_whom_it_is_told_and_keeps_the_other_in_the_journal() {
    for (prefer, kept) in [("source", "shop"), ("target", "till"), ("newest:at", "till")] {
        let place = two_that_differ();
        place.tidewater(&format!("{BOTH} --prefer {prefer}")).exits(0).says("in step");
        place.same_rows("shop.db", "till.db");
        let rows = place.sql("shop.db", "SELECT group_concat(id || v, ' ') FROM t;");
        assert_eq!(rows, format!("1same 2{kept} 3shop only 4till only"), "--prefer {prefer}");
        let listed =
            [place.tidewater("conflicts list sqlite:shop.db"), place.tidewater("conflicts list sqlite:till.db")];
        assert!(listed.iter().any(|list| list.out.contains("first-contact")), "{listed:?}");
    }
    let place = two_that_differ();
    place.tidewater(&format!("{BOTH} --prefer newest:changed")).exits(2).says("E0026 no table has a column changed");
}

#[test]
fn a_plan_says_what_there_is_and_touches_nothing() {
    let place = given(SHOP);
    let before = place.bytes("shop.db");
    let plan = place.tidewater("plan sqlite:shop.db sqlite:till.db --both-ways --conflicts prefer:target").exits(0);
    plan.says("shop.db ↔ till.db")
        .says("products")
        .says("to create")
        .says("prefer:till.db")
        .says("Would create till.db")
        .says("Would install in each: ");
    let facts = place.tidewater("plan sqlite:shop.db sqlite:till.db --both-ways --json").exits(0).json();
    assert_eq!(facts["members"][1]["missing"], true, "{facts}");
    assert_eq!((place.files(), place.bytes("shop.db")), (vec!["shop.db".to_owned()], before));
}

#[test]
fn a_plan_knows_what_is_installed_already() {
    let place = two_in_step(SHOP);
    let plan = "plan sqlite:shop.db sqlite:till.db --both-ways";
    place.tidewater(plan).exits(0).says("Installed already in each: ").never_says("Would install");
    for database in ["shop.db", "till.db"] {
        place.sql(database, "CREATE TABLE later(id INTEGER PRIMARY KEY, v);");
    }
    place.tidewater(plan).exits(0).says("Would install in shop.db, for later too: ").never_says("already");
    let third = place.tidewater("plan sqlite:shop.db sqlite:third.db --both-ways").exits(0);
    third.says("Would install in third.db: ").says("Would install in shop.db, for later too: ");
}

#[test]
fn teardown_leaves_no_trace_and_the_rows() {
    for command in ["teardown sqlite:shop.db sqlite:till.db", "teardown sqlite:shop.db"] {
        let place = given(SHOP);
        let before = place.dump("shop.db");
        place.tidewater(BOTH).exits(0);
        place.tidewater(command).exits(0).says("shop.db: took out ");
        assert_eq!(place.installed("shop.db"), "", "after {command}");
        assert_eq!(place.dump("shop.db"), before, "byte for byte");
        let gone = command.contains("till.db");
        assert_eq!(place.installed("till.db").is_empty(), gone, "after {command}");
        place.tidewater("status sqlite:shop.db").exits(0).says("shop.db\n  no links\n");
    }
}

#[test]
fn one_of_three_is_taken_out_of_all_or_of_none() {
    let place = two_in_step(&numbered(5));
    place.tidewater("sync sqlite:shop.db sqlite:office.db --both-ways").exits(0);
    let refused = place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(2);
    refused.says("E0001 shop.db is in step with office.db too").says("tidewater teardown sqlite:shop.db");
    place.tidewater("teardown sqlite:shop.db").exits(0);
    assert_eq!(place.installed("shop.db"), "");
}

#[test]
fn the_demo_shows_itself_and_the_commands_it_names_work() {
    let place = an_empty_place();
    let demo = place.tidewater("demo").exits(0);
    let demo = demo.says("13,210").says("both survive").says("delete-update").says("equal, row by row");
    let commands: Vec<&str> = demo.out.lines().filter_map(|line| line.strip_prefix("  tidewater ")).collect();
    let commands: Vec<&str> = commands.into_iter().filter(|command| !command.starts_with("conflicts list")).collect();
    assert_eq!(commands.len(), 6, "{demo}");
    for command in commands.iter().filter(|command| !command.contains("--watch") && !command.starts_with("teardown")) {
        let code = if command.starts_with("verify") { 1 } else { 0 };
        let done = place.copies_and_runs(&format!("tidewater {}", command.split("  ").next().unwrap_or(command)));
        // What lost was put back at one side, and waits for the next sync.
        assert_eq!(done.code, Some(code), "{done}");
    }
    place.tidewater("demo").exits(0).says("going on with it").says("equal, row by row");
    let teardown = commands.iter().find(|command| command.starts_with("teardown")).expect("it is named");
    place.copies_and_runs(&format!("tidewater {}", teardown.split("  ").next().unwrap_or(teardown))).exits(0);
    let installed = ["shop.db", "till.db"].map(|name| place.installed(&format!("tidewater-demo/{name}")));
    assert_eq!(installed, ["", ""]);
}
