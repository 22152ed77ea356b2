//! `tidewater teardown`: what we put into a database is gone, to the last byte of its dump, and rows and files are
//! what they would be had we never been there.

use crate::given::{Place, SHOP, given, numbered};

const TEARDOWN: &str = "teardown sqlite:shop.db sqlite:till.db";

/// Tables whose DDL has everything that could get lost on the way, with triggers and views of the user's own.
const RICH: &str = "
CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT, words INTEGER AS (length(text)) STORED);
CREATE TRIGGER noted AFTER INSERT ON notes BEGIN INSERT INTO log(what) VALUES ('note ' || NEW.id); END;
CREATE VIEW long_notes AS SELECT * FROM notes WHERE words > 3;
CREATE TABLE plain(a, b);
INSERT INTO notes(id, text) VALUES (1,'hello'), (2,'world');
INSERT INTO plain VALUES (1,2);";

#[track_caller]
fn is_clean(place: &Place, database: &str) {
    assert_eq!(place.installed(database), "", "of {database}");
    place.tidewater(&format!("status sqlite:{database}")).exits(0).says(&format!("{database}\n  no links\n"));
}

#[test]
fn a_source_is_what_it_was_before() {
    let place = given(&format!("{SHOP}{RICH}"));
    let before = (place.dump("shop.db"), place.files());
    place.syncs();
    place.syncs();
    assert_ne!(place.dump("shop.db"), before.0);

    let done = place.tidewater(TEARDOWN).exits(0);

    done.says("shop.db: took out triggers on ")
        .says("the change log")
        .says("till.db: took out positions, held rows and journal");
    assert_eq!(place.dump("shop.db"), before.0, "byte for byte");
    std::fs::remove_file(place.path("till.db")).expect("the target was made");
    assert_eq!(place.files(), before.1);
    is_clean(&place, "shop.db");
}

#[test]
fn a_target_is_what_it_would_be_without_us() {
    let place = given(SHOP);
    let made_by_hand = "CREATE TABLE mine(id INTEGER PRIMARY KEY); INSERT INTO mine VALUES (1);
        CREATE TRIGGER own AFTER INSERT ON mine BEGIN SELECT 1; END;";
    for database in ["till.db", "model.db"] {
        place.sql(database, made_by_hand);
        place.sql(database, &SHOP[..SHOP.find("INSERT INTO").expect("there are rows")]);
    }
    place.tries_to_sync("--protect").exits(0);
    let change = "UPDATE products SET price = 1 WHERE id = 1; DELETE FROM order_lines; INSERT INTO customers VALUES ('cy','Cy');";
    place.sql("shop.db", change);
    place.tries_to_sync("--protect").exits(0);

    place.tidewater(TEARDOWN).exits(0);

    place.sql("model.db", &SHOP[SHOP.find("INSERT INTO").expect("there are rows")..]);
    place.sql("model.db", change);
    assert_eq!(place.dump("till.db"), place.dump("model.db"), "byte for byte");
    let journal_mode = "PRAGMA journal_mode;";
    assert_eq!(place.sql("till.db", journal_mode), place.sql("model.db", journal_mode));
    assert_eq!(place.files(), ["model.db", "shop.db", "till.db"]);
    is_clean(&place, "till.db");
    place.sql("till.db", "DELETE FROM products;");
}

#[test]
fn a_second_teardown_is_harmless() {
    let place = given(SHOP);
    place.syncs();
    place.tidewater(TEARDOWN).exits(0);
    let before = (place.bytes("shop.db"), place.bytes("till.db"), place.files());
    for again in
        [TEARDOWN, "teardown sqlite:shop.db", "teardown sqlite:till.db", "teardown sqlite:till.db sqlite:shop.db"]
    {
        place.tidewater(again).exits(0).says("nothing of Tidewater's was there");
    }
    assert_eq!((place.bytes("shop.db"), place.bytes("till.db"), place.files()), before);
    place.syncs().says("10 rows compared");
    place.same_rows("shop.db", "till.db");
}

#[test]
fn one_of_two_targets_leaves_and_the_other_is_followed_as_before() {
    let place = given(SHOP);
    place.syncs();
    let other = "sync sqlite:shop.db sqlite:office.db --json";
    place.tidewater(other).exits(0);

    place.tidewater(TEARDOWN).exits(0).says("till.db: took out");

    is_clean(&place, "till.db");
    place.tidewater("status sqlite:shop.db").exits(0).says("→ office.db").never_says("till.db");
    place.sql("shop.db", "UPDATE products SET price = 1; DELETE FROM order_lines;");
    let next = place.tidewater(other).exits(0);
    assert_eq!((next.count("changes_applied"), next.count("rows_compared")), (6, 0), "{next}");
    place.same_rows("shop.db", "office.db");
    assert_eq!(place.rows_of("till.db", "order_lines", "*").lines().count(), 3, "the one that left stays behind");
    place.tidewater(TEARDOWN);
    place.tidewater("teardown sqlite:shop.db sqlite:office.db").exits(0);
    is_clean(&place, "shop.db");
    is_clean(&place, "office.db");
}

#[test]
fn the_middle_of_a_chain_keeps_the_other_half() {
    let place = given(&numbered(5));
    place.syncs();
    let onward = "sync sqlite:till.db sqlite:third.db --json";
    place.tidewater(onward).exits(0);

    place.tidewater(TEARDOWN).exits(0);

    is_clean(&place, "shop.db");
    place.sql("till.db", "UPDATE t SET v = 'own' WHERE id = 1;");
    let next = place.tidewater(onward).exits(0);
    assert_eq!((next.count("changes_applied"), next.count("rows_compared")), (1, 0), "{next}");
    place.same_rows("till.db", "third.db");
    place.tidewater("teardown sqlite:till.db").exits(0);
    place.tidewater("teardown sqlite:third.db").exits(0);
    is_clean(&place, "till.db");
    is_clean(&place, "third.db");
}

#[test]
fn a_link_is_found_by_any_name_of_its_files() {
    let place = given(SHOP);
    place.syncs();
    let url = |name: &str| format!("sqlite:{}", place.path(name).display());
    place.tidewater(&format!("teardown {} {}", url("shop.db"), url("till.db"))).exits(0);
    is_clean(&place, "shop.db");
    is_clean(&place, "till.db");
}

#[test]
fn the_order_of_the_two_makes_no_difference() {
    let place = given(SHOP);
    place.syncs();
    place.tidewater("teardown sqlite:till.db sqlite:shop.db").exits(0);
    is_clean(&place, "shop.db");
    is_clean(&place, "till.db");
}

#[test]
fn each_side_alone_can_be_cleaned_when_the_other_is_gone() {
    let place = given(SHOP);
    let before = place.dump("shop.db");
    place.syncs();
    std::fs::rename(place.path("till.db"), place.path("kept.db")).expect("a file can be moved");
    place.tidewater(TEARDOWN);
    assert_eq!(place.dump("shop.db"), before, "the source is clean although the target is gone");
    std::fs::remove_file(place.path("shop.db")).expect("it is there");
    place.tidewater("teardown sqlite:kept.db").exits(0);
    is_clean(&place, "kept.db");
    assert_eq!(place.rows_of("kept.db", "products", "*").lines().count(), 3, "rows stay");
}

#[test]
fn a_wrong_pair_is_refused_and_nothing_is_taken_out() {
    let place = given(SHOP);
    place.sql("other.db", "CREATE TABLE t(id INTEGER PRIMARY KEY);");
    place.syncs();
    let before = (place.dump("shop.db"), place.dump("till.db"));
    let refused = place.tidewater("teardown sqlite:shop.db sqlite:other.db").exits(2);
    refused.says("E0001 shop.db has no sync with other.db").says("tidewater status sqlite:shop.db");
    assert_eq!((place.dump("shop.db"), place.dump("till.db")), before);
}
