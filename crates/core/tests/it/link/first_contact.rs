//! First contact: compared before anything is written, and carried out as chosen.

use crate::given::{World, child, key, row, table};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tidewater_core::apply::Ledger;
use tidewater_core::capture::Feed;
use tidewater_core::change::{Deletes, Key, Pattern, Row, TableScope};
use tidewater_core::link::{Event, Existing, Run, State};
use tidewater_core::{Kind, code};

fn products(count: i64) -> World {
    World::of_products(count)
}

/// Products 1 to 3 at the source; at the target 1 is equal, 2 differs, 9 is its own, and 3 is missing.
fn met_with(existing: Existing) -> World {
    let world = products(3).with_existing(existing);
    world.stored_at_target("products", [(1, "product 1".into()), (2, "otherwise".into()), (9, "its own".into())]);
    world
}

fn rows(rows: &[(i64, &str)]) -> BTreeMap<Key, Row> {
    rows.iter().map(|(id, name)| (key(*id), row(*id, name))).collect()
}

#[tokio::test]
async fn the_first_run_makes_the_table_and_copies_it() {
    let world = products(2_500);
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.copied, report.compared, report.changes()), (2_500, 0, 0));
    assert_eq!((report.created, report.tables), (vec!["products".to_owned()], vec!["products".to_owned()]));
    assert_eq!(world.written(), 2_500);
    let mut states = world.watcher.states();
    states.dedup();
    assert_eq!(states, [State::Starting, State::Copying, State::Following, State::InStep, State::Stopped]);
}

#[tokio::test]
async fn a_table_that_is_too_large_to_be_counted_first_is_copied_without_a_total() {
    for (rows, counted) in [(1_000, true), (200_000, false)] {
        let world = products(rows);
        let totals = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = totals.clone();
        world.whenever(move |event| {
            if let Event::Progress { total, .. } = event {
                seen.lock().expect("not poisoned").insert(*total);
            }
        });
        world.ran(world.run().await);
        assert_eq!(world.target_rows("products").len() as i64, rows);
        let total = counted.then_some(1_000);
        assert_eq!(*totals.lock().expect("not poisoned"), BTreeSet::from([total]));
    }
}

#[tokio::test]
async fn several_tables_are_copied_parents_first() {
    let world = World::new(0, vec![child("lines", "orders"), table("orders")]);
    world.stored_at_source("orders", [(1, "first".into())]);
    world.stored_at_source("lines", [(1, "1".into())]);
    let report = world.ran(world.run().await);
    assert_eq!(report.tables, ["orders", "lines"]);
    world.is_in_step();
}

#[tokio::test]
async fn equal_rows_are_adopted_and_only_missing_ones_written() {
    let world = products(100);
    world.stored_at_target("products", (1..=60).map(|id| (id, format!("product {id}"))));
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((world.written(), report.mended, report.compared), (40, 40, 100));
}

#[tokio::test]
async fn a_target_that_differs_is_refused_and_nothing_is_written() {
    let world = met_with(Existing::Refuse);
    let before = world.target_rows("products");
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Conflict, code::FIRST_CONTACT_DIFFERS));
    assert_eq!(
        error.to_string(),
        "E0021 till.db holds rows this sync would change (source shop.db → target till.db)\n\
         \x20 products  1 equal  1 differ  1 only in target  1 only in source\n\
         Nothing was written. Choose what happens to them:\n\
         \x20 --existing keep       add missing rows only\n\
         \x20 --existing overwrite  the source wins the 1; the 1 stays\n\
         \x20 --existing mirror     as overwrite, and the 1 is deleted\n\
         \x20 --both-ways --prefer source|target|newest:COLUMN  both keep what is theirs, and accept writes\n\
         What is replaced or deleted is kept in the journal. Wrong direction? Swap the arguments."
    );
    assert_eq!(world.target_rows("products"), before);
    world.target.with(|state| assert_eq!((state.written, &state.ledger), (0, &Ledger::default())));
    assert_eq!(world.notes.begun.load(std::sync::atomic::Ordering::Relaxed), 0, "nothing is installed at the source");
}

#[tokio::test]
async fn a_refusal_names_the_tables_that_collide_and_makes_no_table() {
    let world = World::new(0, vec![table("a"), table("customers"), table("new"), table("products")]);
    for name in ["a", "customers", "new", "products"] {
        world.stored_at_source(name, (1..=20).map(|id| (id, "as it is".into())));
    }
    world.stored_at_target("a", (1..=20).map(|id| (id, "as it is".into())));
    world.stored_at_target("customers", (1..=20).map(|id| (id, "otherwise".into())));
    world.stored_at_target("products", (1..=23).map(|id| (id, "as it is".into())));
    let error = world.refused().await;
    assert_eq!(error.meaning, "  customers  0 equal  20 differ\n  products   20 equal  3 only in target");
    assert!(error.remedy.contains("the source wins the 20; the 3 stay\n"), "{error}");
    assert!(error.remedy.contains("the 3 are deleted\n"), "{error}");
    let there = world.target.with(|state| state.tables.iter().map(|t| t.name.clone()).collect::<Vec<_>>());
    assert_eq!(there, ["a", "customers", "products"], "the missing one is not made");
}

#[tokio::test]
async fn keep_adds_missing_rows_only() {
    let world = met_with(Existing::Keep);
    let report = world.ran(world.run().await);
    let now = rows(&[(1, "product 1"), (2, "otherwise"), (3, "product 3"), (9, "its own")]);
    assert_eq!(world.target_rows("products"), now);
    assert_eq!((world.written(), report.mended, report.kept, report.left), (1, 1, 1, 1));
}

#[tokio::test]
async fn overwrite_lets_the_source_win_and_keeps_what_it_does_not_have() {
    let world = met_with(Existing::Overwrite);
    let report = world.ran(world.run().await);
    let now = rows(&[(1, "product 1"), (2, "product 2"), (3, "product 3"), (9, "its own")]);
    assert_eq!(world.target_rows("products"), now);
    assert_eq!((world.written(), report.mended, report.left), (2, 2, 1));
}

#[tokio::test]
async fn mirror_makes_the_target_equal() {
    let world = met_with(Existing::Mirror);
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((world.written(), report.mended, report.removed), (3, 2, 1));
}

#[tokio::test]
async fn after_first_contact_every_choice_follows_updates_and_deletes() {
    for existing in [Existing::Refuse, Existing::Keep, Existing::Overwrite, Existing::Mirror] {
        let world = products(3).with_existing(existing);
        world.stored_at_target("products", [(1, "product 1".into())]);
        world.ran(world.run().await);
        world.writes("products", 2, Some("renamed"));
        world.writes("products", 3, None);
        world.ran(world.run().await);
        world.is_in_step();
    }
}

#[tokio::test]
async fn an_empty_source_empties_a_target_only_under_mirror() {
    let met = |existing| {
        let world = products(0).with_existing(existing);
        world.stored_at_target("products", (1..=5).map(|id| (id, "its own".into())));
        world
    };
    assert_eq!(met(Existing::Refuse).refused().await.code, code::FIRST_CONTACT_DIFFERS);
    for (existing, left) in [(Existing::Keep, 5), (Existing::Overwrite, 5), (Existing::Mirror, 0)] {
        let world = met(existing);
        world.ran(world.run().await);
        assert_eq!(world.target_rows("products").len(), left, "{existing:?}");
    }
}

#[tokio::test]
async fn rows_only_at_the_target_stay_where_deletes_are_ignored() {
    let mut world = met_with(Existing::Mirror);
    let scope = TableScope { deletes: Deletes::Ignore, ..TableScope::default() };
    world.settings.scope.special.insert("products".to_owned(), scope);
    world.ran(world.run().await);
    world.writes("products", 1, None);
    world.ran(world.run().await);
    let now = rows(&[(1, "product 1"), (2, "product 2"), (3, "product 3"), (9, "its own")]);
    assert_eq!(world.target_rows("products"), now);
}

#[tokio::test]
async fn once_copies_and_keeps_no_position() {
    let mut world = products(100);
    world.settings.run = Run::Once;
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(report.copied, 100);
    assert_eq!(world.stored_position(), None);
    world.target.with(|state| assert_eq!(state.ledger.tables, BTreeMap::new()));
    assert_eq!(world.notes.begun.load(std::sync::atomic::Ordering::Relaxed), 0, "nothing is installed at the source");

    world.writes("products", 5, Some("renamed"));
    assert_eq!(world.refused().await.code, code::FIRST_CONTACT_DIFFERS, "every time is a first contact");
    world.settings.existing = Existing::Overwrite;
    let written = world.written();
    world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.written() - written, 1);
}

#[tokio::test]
async fn a_plan_says_what_would_happen_and_writes_nothing() {
    let world = met_with(Existing::Refuse);
    world.source.with(|state| state.tables.push(table("new")));
    let plan = world.link().plan().await.expect("a plan");
    let actions: Vec<_> = plan.tables.iter().map(|t| (t.source.as_str(), t.action.as_str())).collect();
    assert_eq!(actions, [("products", "compare, then follow"), ("new", "create, copy, follow")]);
    let counts = plan.tables[0].counts.clone().expect("both sides have rows");
    assert_eq!((counts.equal, counts.differ, counts.missing, counts.extra), (1, 1, 1, 1));
    world.target.with(|state| {
        assert_eq!((state.written, &state.ledger), (0, &Ledger::default()));
        assert_eq!(state.tables.len(), 1, "no table was made");
    });
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_with_those_that_are() {
    let mut world = products(1);
    world.settings.scope.tables = vec![Pattern::new("prodcuts")];
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Invalid, code::SCOPE));
    assert_eq!(
        error.to_string(),
        "E0026 no table is called prodcuts\nNothing was read or written.\nThere are: products"
    );
    assert_eq!(world.watcher.states(), [State::Starting], "a mistake is not tried again");
}

#[tokio::test]
async fn a_source_without_tables_is_refused() {
    let error = World::new(0, vec![]).refused().await;
    assert_eq!((error.kind, error.code), (Kind::Invalid, code::NO_TABLES));
}

#[tokio::test]
async fn a_foreign_key_to_a_table_that_is_not_carried_is_refused() {
    let mut world = World::new(0, vec![table("orders"), child("lines", "orders")]);
    world.settings.scope.tables = vec![Pattern::new("lines")];
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Invalid, code::FOREIGN_KEY_OUTSIDE));
    assert_eq!(error.what, "lines refers to orders, which this sync does not carry");

    world.settings.scope.tables.push(Pattern::new("orders"));
    world.ran(world.run().await);
}

#[tokio::test]
async fn a_table_may_refer_to_itself() {
    let world = World::new(0, vec![child("staff", "staff")]);
    world.ran(world.run().await);
}

#[tokio::test]
async fn the_other_direction_of_an_established_sync_is_refused() {
    let world = products(1);
    *world.notes.fed_by.lock().expect("not poisoned") =
        vec![Feed { link: "l".into(), source: "till.db".into(), source_identity: "memory-target".into() }];
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Conflict, code::DIRECTION));
    assert_eq!(error.what, "these two are in step the other way: till.db → shop.db");
    assert_eq!(world.target_rows("products").len(), 0);
}

#[tokio::test]
async fn a_chain_through_a_third_is_no_reversal() {
    let world = products(1);
    *world.notes.fed_by.lock().expect("not poisoned") =
        vec![Feed { link: "l".into(), source: "hq.db".into(), source_identity: "another".into() }];
    world.ran(world.run().await);
    world.is_in_step();
}
