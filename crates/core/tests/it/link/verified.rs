//! Verify: what differs is named, looked at again, and mended if asked.

use crate::given::{World, key, row};
use tidewater_core::link::{DifferingRow, Event, Existing, NAMED_MAX, Verdict};
use tidewater_core::verify::DifferenceKind;
use tidewater_core::{Kind, code};

/// Products 1 to 100 in step, and then 7 differs at the target, 8 is missing there and 900 is its own.
async fn meddled_with() -> World {
    let world = World::of_products(100);
    world.ran(world.run().await);
    world.target.with(|state| {
        let rows = state.rows.table("products");
        rows.insert(key(7), row(7, "otherwise"));
        rows.remove(&key(8));
        rows.insert(key(900), row(900, "its own"));
    });
    world
}

async fn verified(world: &World, repair: bool) -> Verdict {
    let (mut verdicts, _) = world.link().verify(repair).await.expect("both ends are there");
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

#[tokio::test]
async fn equal_sides_are_equal() {
    let world = World::of_products(100);
    world.ran(world.run().await);
    let verdict = verified(&world, false).await;
    assert!(verdict.equal());
    assert_eq!((verdict.source_rows, verdict.target_rows), (100, 100));
}

#[tokio::test]
async fn what_differs_is_named_and_nothing_is_written() {
    let world = meddled_with().await;
    let (before, written) = (world.target_rows("products"), world.written());
    let verdict = verified(&world, false).await;
    let differs = |id, kind, columns: &[&str]| DifferingRow {
        key: key(id),
        kind,
        columns: columns.iter().map(ToString::to_string).collect(),
    };
    let mut differing = verdict.differing.clone();
    differing.sort_by_key(|d| d.kind);
    let named = [
        differs(8, DifferenceKind::Missing, &[]),
        differs(7, DifferenceKind::Differs, &["name"]),
        differs(900, DifferenceKind::Extra, &[]),
    ];
    assert_eq!(differing, named);
    assert!(!verdict.equal());
    assert_eq!((world.target_rows("products"), world.written()), (before, written));
}

#[tokio::test]
async fn what_differs_is_mended_if_asked() {
    let world = meddled_with().await;
    let written = world.written();
    let verdict = verified(&world, true).await;
    assert!(verdict.equal());
    assert_eq!((verdict.mended, world.written() - written), (3, 3));
    world.is_in_step();
}

/// A running sync brings a change over between the comparison and the second look.
#[tokio::test]
async fn a_difference_that_passes_is_none() {
    let world = meddled_with().await;
    let (source, target) = (world.source.clone(), world.target.clone());
    world.whenever(move |event| {
        if let Event::Progress { .. } = event {
            let rows = source.with(|state| state.rows.table("products").clone());
            target.with(|state| *state.rows.table("products") = rows);
        }
    });
    assert!(verified(&world, false).await.equal());
}

#[tokio::test]
async fn more_than_can_be_named_are_counted_and_all_are_mended() {
    let count = i64::try_from(NAMED_MAX).expect("small") + 2_000;
    let world = World::of_products(count);
    world.stored_at_target("products", (1..=count).map(|id| (id, "otherwise".into())));
    let verdict = verified(&world, false).await;
    assert_eq!((verdict.differing.len(), verdict.more), (NAMED_MAX, 2_000));
    let verdict = verified(&world, true).await;
    assert!(verdict.equal());
    assert_eq!(verdict.mended, 12_000);
    world.is_in_step();
}

#[tokio::test]
async fn repair_empties_a_target_only_under_mirror() {
    let mut world = World::of_products(10);
    world.ran(world.run().await);
    world.source.with(|state| state.rows.table("products").clear());
    let error = world.link().verify(true).await.expect_err("refused");
    assert_eq!((error.kind, error.code), (Kind::Conflict, code::SOURCE_EMPTY));
    assert_eq!(world.target_rows("products").len(), 10);

    world.settings.existing = Existing::Mirror;
    assert!(verified(&world, true).await.equal());
    assert_eq!(world.target_rows("products").len(), 0);
}
