//! The journal: what is listed, shown and exported, and what a person's choice does at both sides.

use super::{BOTH, meet, two_in_step};
use crate::given::Place;
use serde_json::Value;

const TABLE: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER); INSERT INTO t VALUES (1,'a',1), (2,'b',2);";

/// Both sides have written column `a` of row 1, the till later; and met, under this rule.
#[track_caller]
fn a_conflict(rule: &str) -> Place {
    let place = two_in_step_by(rule);
    both_write(&place);
    place.tidewater(&format!("{BOTH} --conflicts {rule}")).exits(0).says("1 conflict is in the journal");
    place.same_rows("shop.db", "till.db");
    place
}

#[track_caller]
fn two_in_step_by(rule: &str) -> Place {
    let place = crate::given::given(TABLE);
    place.tidewater(&format!("{BOTH} --conflicts {rule}")).exits(0);
    place
}

fn both_write(place: &Place) {
    place.sql("shop.db", "UPDATE t SET a = 'shop' WHERE id = 1;");
    place.sql("till.db", "UPDATE t SET a = 'till' WHERE id = 1;");
}

/// The one conflict, and in which database its journal is.
#[track_caller]
fn the_conflict(place: &Place) -> (&'static str, Value) {
    for database in ["shop.db", "till.db"] {
        let listed = place.tidewater(&format!("conflicts list sqlite:{database} --json")).exits(0).json();
        if let Some(entry) = listed["conflicts"].as_array().and_then(|all| all.first()) {
            return (database, entry.clone());
        }
    }
    panic!("no journal has a conflict");
}

fn a(place: &Place) -> [String; 2] {
    ["shop.db", "till.db"].map(|database| place.sql(database, "SELECT a FROM t WHERE id = 1;"))
}

#[test]
fn a_conflict_is_listed_shown_and_exported_with_all_sides() {
    let place = a_conflict("merge");
    assert_eq!(a(&place), ["till", "till"], "the later write is shown");
    let (database, entry) = the_conflict(&place);
    assert_eq!((&entry["table"], &entry["kind"], &entry["rule"]), (&"t".into(), &"update".into(), &"merge".into()));
    assert_eq!((&entry["columns"], &entry["state"]), (&serde_json::json!(["a"]), &"settled".into()));
    let sides: Vec<_> =
        entry["sides"].as_array().expect("sides").iter().map(|s| (&s["endpoint"], &s["row"]["a"])).collect();
    assert_eq!(sides, [(&"shop.db".into(), &"shop".into()), (&"till.db".into(), &"till".into())], "{entry}");
    let id = entry["id"].as_str().expect("an id");

    let list = place.tidewater(&format!("conflicts list sqlite:{database} --table t")).exits(0);
    list.says(&id[..8]).says("2 till.db").says("settled").says("tidewater conflicts show");
    place.tidewater(&format!("conflicts list sqlite:{database} --table other")).exits(0).says("no such conflicts");
    place.tidewater(&format!("conflicts list sqlite:{database} --open")).exits(0).says("no such conflicts");
    let show = place.tidewater(&format!("conflicts show sqlite:{database} {}", id[..6].to_uppercase())).exits(0);
    show.says("1 shop.db").says("2 till.db").says("* a").says("'shop'").says("'till'").never_says("\u{1b}");
    let exported = place.tidewater(&format!("conflicts export sqlite:{database}")).exits(0).json_lines();
    assert_eq!(exported, std::slice::from_ref(&entry));

    let unknown = place.tidewater(&format!("conflicts show sqlite:{database} 0123456789abcdef")).exits(2);
    unknown.says("no conflict there has an ID that begins so").says(&id[..8]);
    place.tidewater(&format!("conflicts show sqlite:{database} xyz")).exits(2).says("up to 32 digits");
}

#[test]
fn what_lost_is_put_back_at_both_sides() {
    let place = a_conflict("merge");
    let (database, entry) = the_conflict(&place);
    let id = entry["id"].as_str().expect("an id");
    place.sql("shop.db", "UPDATE t SET b = 7 WHERE id = 1;");

    let done = place.tidewater(&format!("conflicts restore sqlite:{database} {id}")).exits(0);

    done.says("t key 1: put back what lost; the next sync carries it");
    meet(&place);
    assert_eq!(a(&place), ["shop", "shop"]);
    assert_eq!(place.sql("till.db", "SELECT b FROM t WHERE id = 1;"), "7", "other columns stay");
    let (_, entry) = the_conflict(&place);
    assert_eq!(entry["state"], "superseded", "{entry}");
}

#[test]
fn a_whole_run_is_undone() {
    let place = two_in_step(TABLE);
    both_write(&place);
    place.sql("shop.db", "UPDATE t SET a = 'shop' WHERE id = 2;");
    place.sql("till.db", "UPDATE t SET a = 'till' WHERE id = 2;");
    let done = meet(&place).says("2 conflicts are in the journal");
    let list = done.out.lines().find_map(|line| line.split_once("see: ")).expect("it is printed").1;
    place.copies_and_runs(list).exits(0).says("update");
    let (database, entry) = the_conflict(&place);
    let run = entry["run"].as_str().expect("a run");

    place.tidewater(&format!("conflicts restore sqlite:{database} --run {run}")).exits(0).says("2 rows put back");

    meet(&place);
    assert_eq!(place.sql("till.db", "SELECT group_concat(a, ' ') FROM t;"), "shop shop");
    let again = place.tidewater(&format!("conflicts restore sqlite:{database} --run {run}")).exits(0);
    again.says("0 rows put back").says("2 rows were written since and stay");
    place.tidewater(&format!("conflicts restore sqlite:{database} --run nosuchrun")).exits(2).says("E0001");
}

#[test]
fn an_open_conflict_waits_for_a_person() {
    for (choice, wanted) in [("--take 1", "shop"), ("--set a='both' --set b=NULL", "both")] {
        let place = a_conflict("manual");
        let (database, entry) = the_conflict(&place);
        let id = entry["id"].as_str().expect("an id");
        assert_eq!((&entry["state"], &entry["open"]), (&"open".into(), &true.into()), "{entry}");
        place.tidewater(&format!("status sqlite:{database}")).exits(1).says("1 open");
        place.tidewater(&format!("conflicts list sqlite:{database} --open")).exits(0).says("--take N");
        place.tidewater(&format!("conflicts resolve sqlite:{database} {id} --take 3")).exits(2).says("no side 3");
        let unknown = place.tidewater(&format!("conflicts resolve sqlite:{database} {id} --set c=1")).exits(2);
        unknown.says("no column of t is called c").says("id");

        place.tidewater(&format!("conflicts resolve sqlite:{database} {} {choice}", &id[..8])).exits(0).says("settled");

        place.tidewater(&format!("{BOTH} --conflicts manual")).exits(0);
        assert_eq!(a(&place), [wanted, wanted], "{choice}");
        place.tidewater(&format!("conflicts list sqlite:{database} --open")).exits(0).says("no such conflicts");
        place.tidewater(&format!("status sqlite:{database}")).exits(0);
    }
}

#[test]
fn a_delete_against_an_update_is_settled_and_undone() {
    let place = two_in_step(TABLE);
    place.sql("shop.db", "DELETE FROM t WHERE id = 1;");
    place.sql("till.db", "UPDATE t SET b = 5 WHERE id = 1;");
    meet(&place).says("1 conflict is in the journal");
    assert_eq!(a(&place), ["a", "a"], "an update outlives a delete");
    let (database, entry) = the_conflict(&place);
    assert_eq!((&entry["kind"], &entry["sides"][0]["deleted"]), (&"delete-update".into(), &true.into()), "{entry}");
    let id = entry["id"].as_str().expect("an id");
    place.tidewater(&format!("conflicts show sqlite:{database} {id}")).exits(0).says("deleted");
    place.tidewater(&format!("conflicts restore sqlite:{database} {id}")).exits(0);
    meet(&place);
    assert_eq!(a(&place), ["", ""], "the row that was deleted is gone");
}

#[test]
fn the_rule_decides_who_wins() {
    for (rule, wanted) in
        [("last-writer", "till"), ("first-writer", "shop"), ("prefer:source", "shop"), ("prefer:target", "till")]
    {
        assert_eq!(a(&a_conflict(rule)), [wanted, wanted], "{rule}");
    }
}

#[test]
fn an_order_whose_customer_was_deleted_elsewhere_stands_aside_and_says_how_it_comes_back() {
    let place = super::two_in_step(
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id));
         INSERT INTO customers VALUES (1,'Ann'), (2,'Bo');",
    );
    place.sql("shop.db", "PRAGMA foreign_keys = ON; DELETE FROM customers WHERE id = 1;");
    place.sql("till.db", "PRAGMA foreign_keys = ON; INSERT INTO orders VALUES (10, 1);");

    place.tidewater(BOTH).exits(1).says("1 row stands aside at till.db").says("parent is missing");
    place.same_rows("shop.db", "till.db");

    assert_eq!(place.sql("till.db", "SELECT count(*) FROM orders;"), "0");
    let (database, entry) = the_conflict(&place);
    assert_eq!(
        (&entry["kind"], &entry["columns"]),
        (&"foreign-key".into(), &serde_json::json!(["customer"])),
        "{entry}"
    );
    let id = entry["id"].as_str().expect("an id");
    place.tidewater(&format!("conflicts list sqlite:{database}")).exits(0).says("foreign-key").says("customer");
    let show = place.tidewater(&format!("conflicts show sqlite:{database} {id}")).exits(0);
    show.says("foreign-key, rule park").says("* customer").says("--set").never_says("conflicts restore");
    let restore = place.tidewater(&format!("conflicts restore sqlite:{database} {id}")).exits(1);
    restore.says("a row that it refers to is not there").says("--set COLUMN=VALUE");
    place.tidewater(&format!("status sqlite:{database}")).says("1 row stands aside");

    place.sql("shop.db", "INSERT INTO customers VALUES (1,'Ann again');");
    meet(&place).never_says("stands aside");
    assert_eq!(place.sql("shop.db", "SELECT id, customer FROM orders;"), "10|1");
    place.tidewater(&format!("conflicts show sqlite:{database} {id}")).exits(0).says("superseded");
}

#[test]
fn orphans_that_stand_there_are_kept_where_the_configuration_says_so() {
    let place = crate::given::given(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id));
         INSERT INTO c VALUES (1, 77);",
    );
    let refused = place.tidewater(BOTH).exits(1);
    refused.says("E0028").says("c has orphans: 1 row").says("orphans = \"keep\"").never_says("77");
    place.file(
        "tidewater.toml",
        r#"
[endpoint.shop]
url = "sqlite:shop.db"
[endpoint.till]
url = "sqlite:till.db"
[sync.all]
between = ["shop", "till"]
[sync.all.table.c]
orphans = "keep"
"#,
    );
    place.tidewater("plan").says("orphans are kept");
    place.tidewater("run --until-in-step").exits(0);
    place.same_rows("shop.db", "till.db");
    assert_eq!(place.sql("till.db", "SELECT id, p FROM c;"), "1|77");
}
