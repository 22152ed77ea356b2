//! A table whose schema drifted is halted; everything else goes on.

use crate::given::{World, key, table};
use std::collections::BTreeMap;
use tidewater_core::apply::{Held, Phase};
use tidewater_core::{Kind, code};

/// Orders, which may not fit at the target, and products.
fn orders_and_products() -> World {
    let world = World::new(0, vec![table("orders"), table("products")]);
    world.stored_at_source("products", [(1, "product 1".into())]);
    world
}

fn unfit(world: &World, name: Option<&str>) {
    *world.notes.unfit.lock().expect("not poisoned") = name.map(str::to_owned);
}

fn phase(world: &World, name: &str) -> Phase {
    world.target.with(|state| state.ledger.tables[name].phase.clone())
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_at_first_contact() {
    let world = orders_and_products();
    unfit(&world, Some("orders"));
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Conflict, code::COLUMNS_DIFFER));
    assert_eq!(error.what, "till.db: the table orders does not fit");
    assert_eq!(world.written(), 0);
}

#[tokio::test]
async fn a_table_that_does_not_fit_any_more_is_halted_and_the_others_go_on() {
    let world = orders_and_products();
    world.ran(world.run().await);
    unfit(&world, Some("orders"));
    world.writes("orders", 1, Some("held back"));
    world.writes("products", 1, Some("renamed"));
    let report = world.ran(world.run().await);
    assert_eq!(report.halted, BTreeMap::from([("orders".to_owned(), "a column is missing".to_owned())]));
    assert!(report.needs_attention());
    assert_eq!(world.target_rows("orders").len(), 0, "the halted table is left alone");
    assert_eq!(world.target_rows("products"), world.source_rows("products"), "the others go on");
    assert_eq!(phase(&world, "orders"), Phase::Halted("a column is missing".to_owned()));

    unfit(&world, None);
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.halted, phase(&world, "orders")), (BTreeMap::new(), Phase::Following));
}

#[tokio::test]
async fn rows_held_of_a_halted_table_wait_with_it() {
    let world = orders_and_products();
    world.ran(world.run().await);
    let held = Held { table: "orders".to_owned(), key: key(1), reason: "its place was taken".to_owned() };
    world.target.with(|target| target.held.push(held.clone()));
    unfit(&world, Some("orders"));
    world.writes("products", 1, Some("renamed"));
    let report = world.ran(world.run().await);
    assert_eq!(world.target_rows("products"), world.source_rows("products"), "the others go on");
    assert_eq!(report.held, [held]);
}
