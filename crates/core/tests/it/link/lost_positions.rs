//! Lost positions: everything is compared, only what differs is written, and an empty source empties nothing.

use crate::given::{World, key, row, table};
use std::collections::BTreeMap;
use tidewater_core::apply::Phase;
use tidewater_core::change::{Key, Row, TableScope};
use tidewater_core::link::{Event, Existing, Run, State};

/// An established link whose source was replaced; `changed` says how its rows differ from before.
async fn restored(world: &World, changed: impl FnOnce(&mut BTreeMap<Key, Row>)) {
    world.ran(world.run().await);
    world.source.with(|state| {
        state.generation += 1;
        changed(state.rows.table("products"));
    });
}

#[tokio::test]
async fn a_restored_source_is_compared_and_only_differences_are_written() {
    let world = World::of_products(3_000);
    restored(&world, |rows| {
        for id in [10, 1_000, 2_999] {
            rows.insert(key(id), row(id, "as it was before"));
        }
        rows.remove(&key(5));
        rows.remove(&key(2_000));
        rows.insert(key(5_000), row(5_000, "long gone"));
    })
    .await;
    let written = world.written();
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.written() - written, 6);
    assert_eq!((report.compared, report.mended, report.removed, report.copied), (2_999, 4, 2, 0));
    assert_eq!(report.notices, ["shop.db: the source was replaced; all tables are compared"]);

    world.writes("products", 1, Some("renamed"));
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.compared, report.changes()), (0, 1), "then changes are followed again");
}

#[tokio::test]
async fn a_source_restored_under_a_watching_link_is_compared() {
    let mut world = World::of_products(100);
    world.settings.run = Run::Watch;
    let (source, stop) = (world.source.clone(), world.stop.clone());
    world.whenever(move |event| {
        if *event == Event::State(&State::InStep) {
            if source.with(|state| state.generation) > 0 {
                stop.send(true).expect("the link listens");
            }
            source.with(|state| {
                state.generation += 1;
                state.rows.table("products").insert(key(7), row(7, "as it was before"));
            });
        }
    });
    world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.written(), 101);
}

#[tokio::test]
async fn an_empty_source_after_a_lost_position_is_refused() {
    let world = World::of_products(10);
    restored(&world, |rows| rows.clear()).await;
    for _ in 0..2 {
        let report = world.ran(world.run().await);
        let why = report.halted.get("products").expect("that table is halted");
        assert!(why.starts_with("E0024 products is empty at shop.db, and products is not at till.db"), "{why}");
        assert_eq!(world.target_rows("products").len(), 10);
    }
    world.stored_at_source("products", (1..=10).map(|id| (id, format!("product {id}"))));
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((world.written(), report.compared), (10, 10), "the right source is taken up again");
}

/// As the remedy of E0024 says.
#[tokio::test]
async fn an_empty_source_after_a_lost_position_is_mirrored_if_asked() {
    let mut world = World::of_products(10);
    restored(&world, |rows| rows.clear()).await;
    let report = world.ran(world.run().await);
    assert!(report.halted["products"].contains("--existing mirror"), "{report:?}");
    world.settings.existing = Existing::Mirror;
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(report.removed, 10);
}

#[tokio::test]
async fn a_table_that_was_emptied_row_by_row_is_no_accident() {
    let world = World::of_products(10);
    world.ran(world.run().await);
    for id in 1..=10 {
        world.writes("products", id, None);
    }
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(report.deletes, 10);
}

#[tokio::test]
async fn rows_of_the_targets_own_survive_a_lost_position() {
    for existing in [Existing::Keep, Existing::Overwrite] {
        let world = World::of_products(10).with_existing(existing);
        world.stored_at_target("products", [(99, "its own".into())]);
        restored(&world, |rows| drop(rows.insert(key(5), row(5, "as it was before")))).await;
        let report = world.ran(world.run().await);
        assert!(world.target_rows("products").contains_key(&key(99)), "{existing:?}");
        assert_eq!((report.left, report.mended), (1, 1), "{existing:?}");
    }
}

#[tokio::test]
async fn a_changed_scope_never_reuses_the_old_comparison() {
    let mut world = World::of_products(10);
    world.ran(world.run().await);
    let scope = TableScope { value_bytes_max: Some(1 << 20), ..TableScope::default() };
    world.settings.scope.special.insert("products".to_owned(), scope);
    let report = world.ran(world.run().await);
    assert_eq!((report.compared, report.mended), (10, 0));
    world.target.with(|state| assert_eq!(state.ledger.tables["products"].phase, Phase::Following));
}

#[tokio::test]
async fn a_table_dropped_at_the_target_is_filled_again() {
    let world = World::new(0, vec![table("products"), table("orders")]);
    world.stored_at_source("products", (1..=10).map(|id| (id, "as it is".into())));
    world.stored_at_source("orders", (1..=10).map(|id| (id, "as it is".into())));
    world.ran(world.run().await);
    world.target.with(|state| {
        state.tables.retain(|t| t.name != "products");
        state.rows.table("products").clear();
    });
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.created, world.written()), (vec!["products".to_owned()], 30));
}
