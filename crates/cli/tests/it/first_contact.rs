//! First contact: what the target holds is compared before anything is written, nothing is lost without a copy in
//! the journal, and what cannot be decided is refused with what to do. Tables that do not fit are in
//! `first_contact/fit.rs`.

mod fit;

use crate::given::{Outcome, Place, an_empty_place, given};

const PRODUCTS: &str = "CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT);";

/// At the source 1 to 6; at the target 1 to 3 are equal, 4 differs, 5 and 6 are missing, 8 and 9 are its own.
fn a_shop_and_a_till_that_differ() -> Place {
    let place = given(PRODUCTS);
    place.sql("till.db", PRODUCTS);
    for (database, rows) in [
        ("shop.db", "(1,'A','a'), (2,'B','b'), (3,'C',NULL), (4,'D','d'), (5,'E','e'), (6,'F','f')"),
        ("till.db", "(1,'A','a'), (2,'B','b'), (3,'C',NULL), (4,'D','till''s'), (8,'H','own'), (9,'I','own')"),
    ] {
        place.sql(database, &format!("INSERT INTO products VALUES {rows};"));
        place.sql(database, "CREATE TABLE stores(id INTEGER PRIMARY KEY); INSERT INTO stores VALUES (1), (2);");
    }
    place
}

const REFUSED: &str = "\
E0021 till.db holds rows this sync would change (source shop.db → target till.db)
  products  3 equal  1 differ  2 only in target  2 only in source
Nothing was written. Choose what happens to them:
  --existing keep       add missing rows only
  --existing overwrite  the source wins the 1; the 2 stay
  --existing mirror     as overwrite, and the 2 are deleted
  --both-ways --prefer source|target|newest:COLUMN  both keep what is theirs, and accept writes
What is replaced or deleted is kept in the journal. Wrong direction? Swap the arguments.
";

fn products(place: &Place) -> String {
    place.sql("till.db", "SELECT group_concat(id || '=' || coalesce(name, '-'), ' ') FROM products;")
}

fn run_of(outcome: &Outcome) -> String {
    outcome.json()["run"].as_str().expect("a run has a name").to_owned()
}

#[test]
fn rows_that_would_change_are_counted_and_nothing_is_written() {
    let place = a_shop_and_a_till_that_differ();
    let before = (place.bytes("shop.db"), place.bytes("till.db"));

    let refused = place.tries_to_sync("").exits(1);

    assert_eq!((refused.err.as_str(), refused.out.as_str()), (REFUSED, ""));
    for flags in ["--once", "--watch", "--protect", "--existing refuse"] {
        assert_eq!(place.tries_to_sync(flags).exits(1).err, REFUSED, "{flags}");
    }
    let json = place.tries_to_sync("--json").exits(1).json();
    assert_eq!(json["error"], "E0021");
    place
        .tidewater("plan sqlite:shop.db sqlite:till.db")
        .exits(1)
        .says("3 equal, 1 differ, 2 only in source, 2 only in target");
    assert_eq!((place.bytes("shop.db"), place.bytes("till.db")), before, "both are as they were, byte for byte");
    assert_eq!(place.files(), ["shop.db", "till.db"]);
}

#[test]
fn keep_adds_only_what_is_missing() {
    let place = a_shop_and_a_till_that_differ();
    let kept = place.tries_to_sync("--existing keep --json").exits(0);
    assert_eq!(products(&place), "1=a 2=b 3=- 4=till's 5=e 6=f 8=own 9=own");
    assert_eq!((kept.count("rows_mended"), kept.count("rows_kept"), kept.count("rows_left")), (2, 1, 2), "{kept}");
    assert_eq!(kept.count("rows_journaled"), 0, "nothing was replaced");
    place.sql("shop.db", "UPDATE products SET name = 'new' WHERE id IN (1, 5); DELETE FROM products WHERE id = 2;");
    place.syncs();
    assert_eq!(products(&place), "1=new 3=- 4=till's 5=new 6=f 8=own 9=own");
}

#[test]
fn overwrite_lets_the_source_win_and_the_journal_has_what_was_there() {
    let place = a_shop_and_a_till_that_differ();
    let done = place.tries_to_sync("--existing overwrite --json").exits(0);
    assert_eq!(products(&place), "1=a 2=b 3=- 4=d 5=e 6=f 8=own 9=own");
    assert_eq!((done.count("rows_mended"), done.count("rows_journaled"), done.count("rows_left")), (3, 1, 2), "{done}");
    let run = run_of(&done);
    assert_eq!(
        place.sql("till.db", "SELECT run, target, kind, count(*) FROM _tidewater_journal GROUP BY 1, 2, 3;"),
        format!("{run}|products|replaced|1")
    );
    place.tidewater("status sqlite:till.db").exits(0).says(&format!("run {run} replaced or deleted 1 row"));

    let restore = format!("conflicts restore sqlite:till.db --run {run}");
    place.tidewater(&restore).exits(0).says(&format!("till.db: 1 row put back as before the run {run}"));

    assert_eq!(products(&place), "1=a 2=b 3=- 4=till's 5=e 6=f 8=own 9=own");
    place.tidewater(&restore).exits(2).says(&format!("E0001 the journal of till.db has no run {run}"));
}

#[test]
fn mirror_makes_both_equal_and_the_summary_says_how_to_undo_it() {
    let place = a_shop_and_a_till_that_differ();
    let done = place.tries_to_sync("--existing mirror").exits(0);
    place.same_rows("shop.db", "till.db");
    let done = done.says("3 rows mended").says("2 rows only in target removed").says("3 rows replaced or deleted");
    let line = done.out.lines().find_map(|line| line.split_once("undo with: ")).expect("it is printed").1;

    place.copies_and_runs(line).exits(0).says("3 rows put back");

    assert_eq!(products(&place), "1=a 2=b 3=- 4=till's 5=e 6=f 8=own 9=own");
}

#[test]
fn once_keeps_a_journal_of_what_it_replaced() {
    let place = a_shop_and_a_till_that_differ();
    let done = place.tries_to_sync("--once --existing mirror --json").exits(0);
    place.same_rows("shop.db", "till.db");
    assert_eq!((place.installed("shop.db").as_str(), place.installed("till.db").as_str()), ("", "_tidewater_journal"));
    place.tidewater(&format!("conflicts restore sqlite:till.db --run {}", run_of(&done))).exits(0);
    assert_eq!(products(&place), "1=a 2=b 3=- 4=till's 5=e 6=f 8=own 9=own");
    place.tidewater("teardown sqlite:till.db").exits(0);
    assert_eq!(place.installed("till.db"), "");
}

#[test]
fn a_run_is_undone_whole_or_not_where_a_unique_value_has_a_new_owner() {
    let place = given(PRODUCTS);
    place.sql("till.db", PRODUCTS);
    place.sql("shop.db", "INSERT INTO products VALUES (6,'X','shop');");
    place.sql("till.db", "INSERT INTO products VALUES (5,'X','till');");
    let done = place.tries_to_sync("--existing mirror --json").exits(0);
    assert_eq!(products(&place), "6=shop");

    let undo = format!("conflicts restore sqlite:till.db --run {}", run_of(&done));

    place.tidewater(&undo).exits(1).says("cannot be put back").says("UNIQUE");

    assert_eq!(products(&place), "6=shop", "nothing is half-done");
    place.sql("till.db", "DELETE FROM products WHERE id = 6;");
    place.tidewater(&undo).exits(0);
    assert_eq!(products(&place), "5=till");
}

#[test]
fn equal_rows_are_adopted_silently() {
    let place = a_shop_and_a_till_that_differ();
    place.sql("till.db", "DELETE FROM products WHERE id > 3;");
    place.sql("shop.db", "DELETE FROM products WHERE id > 3;");
    let done = place.tries_to_sync("--json").exits(0);
    for count in ["rows_copied", "rows_mended", "rows_journaled", "rows_kept", "rows_left", "changes_applied"] {
        assert_eq!(done.count(count), 0, "{count} of {done}");
    }
    assert_eq!(done.count("rows_compared"), 5);
    place.sql("shop.db", "UPDATE products SET name = 'new' WHERE id = 2;");
    assert_eq!(place.tries_to_sync("--json").exits(0).count("changes_applied"), 1);
}

#[test]
fn rows_that_are_only_missing_are_added_without_asking() {
    let place = a_shop_and_a_till_that_differ();
    place.sql("till.db", "DELETE FROM products WHERE id > 3;");
    place.tries_to_sync("--json").exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn an_established_sync_is_not_turned_round_by_accident() {
    let place = given(&format!("{PRODUCTS} INSERT INTO products VALUES (1,'A','a');"));
    place.syncs();
    place.sql("shop.db", "UPDATE products SET name = 'newer';");
    let before = (place.dump("shop.db"), place.dump("till.db"));
    for flags in ["", "--existing overwrite", "--existing mirror", "--once"] {
        let refused = place.tidewater(&format!("sync sqlite:till.db sqlite:shop.db {flags}")).exits(1);
        refused.says("E0022 these two are in step the other way: shop.db → till.db");
    }
    assert_eq!((place.dump("shop.db"), place.dump("till.db")), before, "nothing was written");
    place.syncs();

    let refused = place.tidewater("sync sqlite:till.db sqlite:shop.db").exits(1);
    let command = refused.err.lines().find_map(|line| line.find("tidewater teardown").map(|at| &line[at..]));
    place.copies_and_runs(command.expect("the way out is named")).exits(0);

    place.tidewater("sync sqlite:till.db sqlite:shop.db").exits(0).says("till.db → shop.db  in step");
}

#[test]
fn an_empty_source_empties_nothing_unless_told_to_mirror() {
    let place = given(PRODUCTS);
    place.sql("till.db", &format!("{PRODUCTS} INSERT INTO products VALUES (1,'A','a'), (2,'B','b');"));
    let refused = place.tries_to_sync("").exits(1);
    refused.says("E0021").says("  products  0 equal  2 only in target\n").says("Wrong direction? Swap the arguments.");
    place.tries_to_sync("--existing keep").exits(0);
    place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    place.tries_to_sync("--existing overwrite").exits(0);
    place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    assert_eq!(products(&place), "1=a 2=b", "neither keep nor overwrite deletes");

    let mirrored = place.tries_to_sync("--existing mirror --json").exits(0);

    assert_eq!((products(&place), mirrored.count("rows_journaled")), (String::new(), 2));
    place.tidewater(&format!("conflicts restore sqlite:till.db --run {}", run_of(&mirrored))).exits(0);
    assert_eq!(products(&place), "1=a 2=b");
}

#[test]
fn a_source_without_tables_is_refused() {
    let place = an_empty_place();
    place.sql("shop.db", "CREATE VIEW v AS SELECT 1;");
    place.sql("till.db", PRODUCTS);
    let before = place.bytes("till.db");
    let refused = place.tries_to_sync("--existing mirror").exits(2);
    refused.says("E0020 shop.db has no table to sync").says("  v: a view").says("Wrong direction? Swap the arguments.");
    assert_eq!((place.bytes("till.db"), place.installed("shop.db")), (before, String::new()));
}

#[test]
fn a_table_that_was_emptied_unseen_is_refused_and_mirror_is_the_way_out() {
    let place = given(&format!("{PRODUCTS} INSERT INTO products VALUES (1,'A','a');"));
    place.syncs();
    // Without its triggers nobody logged that the rows went: it might as well be a broken restore.
    place.sql("shop.db", &format!("DROP TABLE products; {PRODUCTS}"));
    let refused = place.tries_to_sync("").exits(1);
    refused.says("E0024 products is empty at shop.db, and products is not at till.db").says("--existing mirror");
    assert_eq!(products(&place), "1=a");

    let done = place.tries_to_sync("--existing mirror --json").exits(0);

    assert_eq!((products(&place), done.count("rows_journaled")), (String::new(), 1));
    place.syncs();
}

#[test]
fn a_table_that_was_emptied_unseen_stops_no_other_table() {
    let place = given(&format!(
        "{PRODUCTS} INSERT INTO products VALUES (1,'A','a'); CREATE TABLE z_orders(id INTEGER PRIMARY KEY);"
    ));
    place.syncs();
    place.sql("shop.db", &format!("DROP TABLE products; {PRODUCTS} INSERT INTO z_orders VALUES (1);"));
    place.tries_to_sync("").exits(1).says("E0024");
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM z_orders;"), "1");
}

#[test]
fn a_row_whose_unique_value_another_holds_is_held_and_sent_when_the_place_is_free() {
    let place = given(&format!("{PRODUCTS} INSERT INTO products VALUES (1,'A','shop'), (2,'B','b');"));
    place.sql("till.db", &format!("{PRODUCTS} INSERT INTO products VALUES (7,'A','own');"));

    let held = place.tries_to_sync("--existing overwrite").exits(1);

    held.says("shop.db → till.db  needs attention")
        .says("E0050 products key 1 could not be written and is in quarantine");
    assert_eq!(products(&place), "2=b 7=own", "the other rows are there");
    place
        .tidewater("status sqlite:till.db")
        .exits(1)
        .says("E0050 products key 1 is in quarantine")
        .says("1 in quarantine");
    place.tries_to_sync("").exits(1);
    place.sql("till.db", "DELETE FROM products WHERE id = 7;");
    place.syncs();
    assert_eq!(products(&place), "1=shop 2=b");
    place.tidewater("status sqlite:till.db").exits(0);
}
