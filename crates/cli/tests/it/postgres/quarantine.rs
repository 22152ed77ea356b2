//! What a server could not take: listed, tried again and given up, beside a running engine too; and `resync`.

use super::{SLOTS, at, given};
use crate::given::{Place, until};
use tidewater_testing::Postgres;

/// Product 1 of the shop cannot be written to the till, which has another product of that number.
fn a_row_in_quarantine() -> (Postgres, Place, String) {
    let (server, place) = given();
    at(
        &server,
        "till",
        "CREATE TABLE products(id int PRIMARY KEY, sku text NOT NULL UNIQUE, name text, price numeric(10, 2))",
    );
    at(&server, "till", "INSERT INTO products VALUES (7, 'A-1', 'own')");
    let pair = format!("{} {}", server.url("shop"), server.url("till"));
    let first = place.tidewater(&format!("sync {pair} --existing overwrite --tables products --keep-slot")).exits(1);
    first.says("E0050 products key 1 could not be written and is in quarantine");
    (server, place, pair)
}

const PRODUCTS: &str = "SELECT string_agg(id || name, ' ' ORDER BY id) FROM products";

#[test]
fn a_row_that_a_server_refused_is_listed_and_tried_again() {
    let (server, place, pair) = a_row_in_quarantine();
    let till = server.url("till");
    let list = place.tidewater(&format!("quarantine list {till}")).exits(0);
    list.says("products  1    ").says("duplicate key").says(&format!("quarantine retry SOURCE {till}"));
    place.tidewater(&format!("status {till}")).exits(1).says("1 in quarantine").says("1 row in quarantine; see");
    place.tidewater(&format!("quarantine retry {pair}")).exits(1).says("1 row tried again · 0 written");
    let facts = place.tidewater(&format!("quarantine list {till} --json")).exits(0).json();
    assert_eq!(&facts["total"], 1, "{facts}");
    assert!(facts["rows"][0]["tries"].as_u64() > Some(1), "{facts}");
    at(&server, "till", "DELETE FROM products WHERE id = 7");

    place.tidewater(&format!("quarantine retry {pair} --table products --key 1")).exits(0).says("1 written");

    assert_eq!(at(&server, "till", PRODUCTS), "1Anchor 2Buoy 3Chart");
    place.tidewater(&format!("status {till}")).exits(0);
}

#[test]
fn rows_at_a_server_are_tried_again_and_given_up_beside_a_running_engine() {
    let (server, place, pair) = a_row_in_quarantine();
    let till = server.url("till");
    at(&server, "shop", "UPDATE products SET sku = 'own' WHERE id = 2");
    at(&server, "till", "INSERT INTO products VALUES (8, 'own', 'own')");
    let watcher = place.starts(&format!("sync {pair} --tables products --existing overwrite --watch")).in_step();
    until("both are in quarantine", || place.tidewater(&format!("status {till}")).out.contains("2 in quarantine"));
    at(&server, "till", "DELETE FROM products WHERE id = 7");

    place.tidewater(&format!("quarantine retry {pair} --table products --key 1")).exits(0).says("1 written");
    let given_up = place.tidewater(&format!("quarantine discard {pair} --all")).exits(0);

    given_up.says("discarded 1 row").says("--discarded");
    at(&server, "shop", "INSERT INTO products VALUES (4, 'D-4', 'Dock')");
    until("the engine goes on", || at(&server, "till", PRODUCTS) == "1Anchor 2Buoy 3Chart 4Dock 8own");
    place.tidewater(&format!("status {till}")).exits(0).says("1 row was given up");
    at(&server, "till", "DELETE FROM products WHERE id = 8");
    at(&server, "shop", "UPDATE products SET name = 'Big buoy' WHERE id = 2");
    until("what changed arrives", || at(&server, "till", PRODUCTS) == "1Anchor 2Big buoy 3Chart 4Dock");
    place.tidewater(&format!("status {till}")).exits(0).never_says("given up");
    watcher.gets("TERM").ends().exits(0);
}

#[test]
fn a_table_of_a_server_is_read_again_and_its_slot_stays_as_it_was() {
    let (server, place) = given();
    let pair = format!("{} {}", server.url("shop"), server.url("till"));
    place.tidewater(&format!("sync {pair} --keep-slot")).exits(0);
    at(&server, "till", "UPDATE products SET name = 'wrong' WHERE id = 2; DELETE FROM orders");

    let done = place.tidewater(&format!("resync {pair} products --json")).exits(0);

    assert_eq!((done.count("rows_compared"), done.count("rows_mended")), (3, 1), "{done}");
    assert_eq!(at(&server, "till", PRODUCTS), "1Anchor 2Buoy 3Chart");
    assert_eq!(at(&server, "till", "SELECT count(*) FROM orders"), "0", "nobody asked for it");
    assert_eq!(at(&server, "shop", SLOTS), "1 slots, 1 publications, 0 schemas");
    place.tidewater(&format!("resync {pair} nowhere")).exits(2).says("This sync carries: products, orders");
    // A run that ends without its slot leaves none, and neither does a resync then.
    place.tidewater(&format!("sync {pair}")).exits(0);
    place.tidewater(&format!("resync {pair} products")).exits(0);
    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 1 publications, 0 schemas");
}
