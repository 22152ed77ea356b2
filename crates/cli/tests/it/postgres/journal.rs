//! What a first contact and a repair replace at a server, and how it is put back and forgotten.

use super::{at, given};

#[test]
fn first_contact_asks_and_what_it_replaced_is_put_back() {
    let (server, place) = given();
    let (till, pair) = (server.url("till"), format!("{} {}", server.url("shop"), server.url("till")));
    let theirs = "CREATE TABLE products(id int PRIMARY KEY, sku text NOT NULL UNIQUE, name text, price numeric(10, 2));
        INSERT INTO products VALUES (1, 'A-1', 'Mine', 1), (9, 'Z-9', 'Own', 2);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER own BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION f();";
    at(&server, "till", theirs);
    let before = at(&server, "till", "SELECT * FROM products ORDER BY id");

    let refused = place.tidewater(&format!("sync {pair}")).exits(1);
    refused.says("E0021").says(&till);
    assert_eq!(at(&server, "till", "SELECT * FROM products ORDER BY id"), before);
    let plan = place.tidewater(&format!("plan {pair}")).exits(1);
    plan.says("1 differ").says(&format!("Would keep in {till}: positions and a journal (the schema tidewater)."));
    let plan = place.tidewater(&format!("plan {pair}"));
    plan.says("Trigger own on products at the target does not run").says("List it in run_triggers to run it.");
    let forced = place.tidewater(&format!("sync {pair} --existing mirror")).exits(0);

    let undo = forced.out.lines().find_map(|line| line.split("undo with: ").nth(1)).expect("a command").to_owned();
    assert_eq!(at(&server, "till", "SELECT name FROM products ORDER BY id"), "Anchor\nBuoy\nChart");
    let status = place.tidewater(&format!("status {till}")).exits(0);
    status.says("replaced or deleted 2 rows; undo with `tidewater conflicts restore`");
    place.tidewater(&format!("conflicts restore {till} --run nothing")).exits(2).says("E0001");
    place.copies_and_runs(&undo).exits(0).says(&format!("{till}: 2 rows put back as before the run "));
    let names = "SELECT name FROM products WHERE id IN (1, 9) ORDER BY id";
    assert_eq!(at(&server, "till", names), "Mine\nOwn");
}

#[test]
fn a_repair_mends_a_server_and_its_journal_is_forgotten_when_asked() {
    let (server, place) = given();
    let (till, pair) = (server.url("till"), format!("{} {}", server.url("shop"), server.url("till")));
    place.tidewater(&format!("sync {pair}")).exits(0);
    at(&server, "till", "UPDATE products SET name = 'Changed' WHERE id = 2; DELETE FROM orders WHERE id = 1;");

    let differs = place.tidewater(&format!("verify {pair}")).exits(1);
    differs.says("products key 2  differs: name").says("orders key 1  only in source");
    place.tidewater(&format!("verify {pair} --repair")).exits(0).says("1 row mended, equal").says("conflicts restore");

    place.tidewater(&format!("verify {pair}")).exits(0);
    let kept = place.tidewater(&format!("conflicts forget {till} --older-than-days 5")).exits(0);
    kept.says(&format!("{till}: forgot 0 rows that runs replaced or deleted more than 5 days ago"));
    let gone = place.tidewater(&format!("conflicts forget {till} --older-than-days 0 --json")).exits(0);
    assert_eq!(gone.count("rows_forgotten"), 1, "{gone}");
    place.tidewater(&format!("status {till}")).exits(0).never_says("journal:");
}
