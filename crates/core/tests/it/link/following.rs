//! Following: only changes are sent, only durable positions are confirmed, a stop is a clean end, the pace is kept.

use crate::given::{World, table};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewater_core::apply::Held;
use tidewater_core::change::Pattern;
use tidewater_core::link::{Event, Existing, Run, State};

/// A second's worth in all tests of the pace.
const RATE: u64 = 500;

#[tokio::test]
async fn the_second_run_sends_only_changes() {
    let world = World::of_products(1_000);
    world.ran(world.run().await);
    let written = world.written();
    world.writes("products", 5, Some("renamed"));
    world.writes("products", 5, Some("renamed again"));
    world.writes("products", 6, None);
    world.writes("products", 2_000, Some("new"));
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.upserts, report.deletes, report.copied, report.compared), (2, 1, 0, 0));
    assert_eq!(world.written() - written, 3);

    let report = world.ran(world.run().await);
    assert_eq!((report.changes(), world.written() - written), (0, 3), "a third run has nothing to do");
}

#[tokio::test]
async fn what_is_written_during_the_copy_arrives() {
    let world = World::of_products(2_000);
    let (source, chunks) = (world.source.clone(), AtomicU64::new(0));
    world.whenever(move |event| {
        if let Event::Progress { .. } = event {
            let id = 500 + i64::try_from(chunks.fetch_add(1, Ordering::Relaxed)).expect("few");
            source.write("products", crate::given::key(id), Some(crate::given::row(id, "renamed")));
            source.write("products", crate::given::key(id + 1_000), None);
        }
    });
    world.ran(world.run().await);
    world.is_in_step();
    assert!(world.source_rows("products").len() < 2_000, "something was written");
}

#[tokio::test]
async fn the_last_position_is_confirmed_to_the_source() {
    let world = World::of_products(10);
    world.ran(world.run().await);
    world.writes("products", 1, Some("renamed"));
    world.ran(world.run().await);
    assert!(world.stored_position().is_some());
    assert_eq!(world.source.with(|state| state.confirmed.clone()), world.stored_position());
}

#[tokio::test]
async fn a_position_that_is_not_durable_is_not_confirmed() {
    let world = World::of_products(10);
    world.ran(world.run().await);
    let before = world.source.with(|state| state.confirmed.clone());
    assert!(before.is_some());
    world.notes.never_durable.store(true, Ordering::Relaxed);
    world.writes("products", 1, Some("renamed"));
    world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.source.with(|state| state.confirmed.clone()), before, "a crash could still take the row back");
}

#[tokio::test]
async fn a_watching_link_follows_until_it_is_stopped() {
    let mut world = World::of_products(10);
    world.settings.run = Run::Watch;
    let (source, stop, rounds) = (world.source.clone(), world.stop.clone(), AtomicU64::new(0));
    world.whenever(move |event| {
        if *event == Event::State(&State::InStep) {
            match rounds.fetch_add(1, Ordering::Relaxed) {
                round @ 0..3 => {
                    for id in 0..100 {
                        let id = id + i64::try_from(round).expect("few") * 100;
                        source.write("products", crate::given::key(id), Some(crate::given::row(id, "new")));
                    }
                }
                _ => drop(stop.send(true)),
            }
        }
    });
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.upserts, world.target_rows("products").len()), (300, 300));
    assert_eq!(world.watcher.states().last(), Some(&State::Stopped));
    assert_eq!(world.source.with(|state| state.confirmed.clone()), world.stored_position());
}

#[tokio::test]
async fn a_stop_from_elsewhere_is_noticed_while_waiting_for_changes() {
    let mut world = World::of_products(10);
    world.settings.run = Run::Watch;
    let stop = world.stop.clone();
    let (in_step, seen) = tokio::sync::oneshot::channel();
    let in_step = Mutex::new(Some(in_step));
    world.whenever(move |event| {
        if *event == Event::State(&State::InStep) {
            // Told again when it ends: then nobody listens any more.
            let _ = in_step.lock().expect("not poisoned").take().map(|sender| sender.send(()));
        }
    });
    let stopping = async {
        seen.await.expect("the link comes in step");
        stop.send(true).expect("the link listens");
    };
    let (result, ()) = tokio::join!(world.run(), stopping);
    world.ran(result);
    world.is_in_step();
}

#[tokio::test]
async fn a_stop_ends_a_copy_with_nothing_half_done() {
    let mut world = World::of_products(5_000);
    world.settings.rows_per_second_max = Some(RATE);
    let stop = world.stop.clone();
    world.whenever(move |event| {
        if let Event::Progress { done: 2_000.., .. } = event {
            stop.send(true).expect("the link listens");
        }
    });
    world.ran(world.run().await);
    let there = world.target_rows("products").len();
    assert!((2_000..5_000).contains(&there), "{there} rows");

    world.stop.send_replace(false);
    world.whenever(|_| {});
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.copied, world.written()), (5_000 - there as u64, 5_000), "the second run goes on where it was");
}

#[tokio::test]
async fn a_link_that_was_stopped_does_not_claim_to_be_in_step() {
    let mut world = World::of_products(1);
    world.ran(world.run().await);
    for id in 0..1_000 {
        world.writes("products", id, Some("new"));
    }
    world.settings.run = Run::Watch;
    world.settings.rows_per_second_max = Some(RATE);
    let stop = world.stop.clone();
    world.whenever(move |event| {
        if let Event::Applied { .. } = event {
            stop.send(true).expect("the link listens");
        }
    });
    world.watcher.states.lock().expect("not poisoned").clear();
    world.ran(world.run().await);
    assert!(world.target_rows("products").len() < 1_000, "it was stopped before the end");
    assert_eq!(world.watcher.count(&State::InStep), 0, "{:?}", world.watcher.states());
}

/// No stretch of time from the start saw more rows than its seconds allow, and one batch.
#[track_caller]
fn kept_its_pace(world: &World, rows: u64) {
    let batches = world.notes.batches.lock().expect("not poisoned").clone();
    let mut sum = 0;
    for (at, changes) in batches {
        let allowed = at.as_secs_f64() * RATE as f64;
        assert!(sum as f64 <= allowed + 1.0, "{sum} rows before {at:?}");
        sum += changes;
    }
    assert_eq!(sum, rows);
    let needed = Duration::from_secs_f64(rows as f64 / RATE as f64);
    assert!(world.elapsed() >= needed, "{rows} rows took {:?}", world.elapsed());
    assert!(world.elapsed() <= needed * 11 / 10 + Duration::from_secs(1), "{rows} rows took {:?}", world.elapsed());
}

#[tokio::test]
async fn a_copy_keeps_to_its_rows_per_second() {
    let mut world = World::of_products(2_000);
    world.settings.rows_per_second_max = Some(RATE);
    world.ran(world.run().await);
    kept_its_pace(&world, 2_000);
    let batches = world.notes.batches.lock().expect("not poisoned").clone();
    assert!(batches.iter().all(|(_, rows)| *rows <= RATE / 10), "a batch is at most a tenth of a second's worth");
}

#[tokio::test]
async fn following_keeps_to_its_rows_per_second() {
    let mut world = World::of_products(0);
    world.settings.rows_per_second_max = Some(RATE);
    world.ran(world.run().await);
    for id in 0..2_000 {
        world.writes("products", id, Some("new"));
    }
    let start = world.elapsed();
    assert_eq!(start, Duration::ZERO, "nothing was copied");
    world.notes.batches.lock().expect("not poisoned").clear();
    world.ran(world.run().await);
    kept_its_pace(&world, 2_000);
}

#[tokio::test]
async fn mending_keeps_to_its_rows_per_second() {
    let mut world = World::of_products(2_000).with_existing(Existing::Overwrite);
    world.stored_at_target("products", (1..=2_000).map(|id| (id, "otherwise".into())));
    world.settings.rows_per_second_max = Some(RATE);
    world.ran(world.run().await);
    kept_its_pace(&world, 2_000);
}

#[tokio::test]
async fn deleting_what_only_the_target_has_keeps_to_the_rows_per_second() {
    let mut world = World::of_products(1).with_existing(Existing::Mirror);
    world.stored_at_target("products", (1..=2_001).map(|id| (id, "product 1".into())));
    world.settings.rows_per_second_max = Some(RATE);
    world.ran(world.run().await);
    kept_its_pace(&world, 2_000);
}

#[tokio::test]
async fn repair_keeps_to_its_rows_per_second() {
    let mut world = World::of_products(2_000);
    world.stored_at_target("products", (1..=2_000).map(|id| (id, "otherwise".into())));
    world.settings.rows_per_second_max = Some(RATE);
    let (first, clock) = (Arc::new(AtomicU64::new(u64::MAX)), world.env.clock.clone());
    let began = first.clone();
    world.whenever(move |event| {
        // The last look before anything is sent.
        if let Event::Progress { .. } = event {
            began.store(u64::try_from(clock.monotonic().as_millis()).expect("short"), Ordering::Relaxed);
        }
    });
    world.link().verify(true).await.expect("both ends are there");
    world.is_in_step();
    let batches = world.notes.batches.lock().expect("not poisoned").clone();
    assert!(batches.iter().all(|(_, rows)| *rows <= RATE / 10), "a batch is at most a tenth of a second's worth");
    let took = world.elapsed() - Duration::from_millis(first.load(Ordering::Relaxed));
    assert!(took >= Duration::from_secs(2_000 / RATE), "2000 rows took {took:?}");
}

#[tokio::test]
async fn rows_tried_again_keep_to_the_rows_per_second() {
    let mut world = World::of_products(1_000);
    world.ran(world.run().await);
    let held = |id| Held { table: "products".into(), key: crate::given::key(id), reason: "in the way".into() };
    world.target.with(|target| target.held = (1..=1_000).map(held).collect());
    world.settings.rows_per_second_max = Some(RATE);
    let start = world.elapsed();
    world.ran(world.run().await);
    let took = world.elapsed() - start;
    assert!(took >= Duration::from_secs(1_000 / RATE), "1000 rows took {took:?}");
}

#[tokio::test]
async fn the_pace_is_kept_when_nobody_can_stop_the_link_any_more() {
    let mut world = World::of_products(2_000);
    world.settings.rows_per_second_max = Some(RATE);
    let mut link = world.link();
    // The sender of the link's own signal is gone with this.
    world.stop = tokio::sync::watch::Sender::new(false);
    world.ran(link.run().await);
    kept_its_pace(&world, 2_000);
}

#[tokio::test]
async fn a_rest_between_rounds_is_kept() {
    let mut world = World::of_products(10);
    world.settings.run = Run::Watch;
    world.settings.every = Duration::from_secs(60);
    world.settings.wait = Duration::from_millis(1);
    let (source, stop) = (world.source.clone(), world.stop.clone());
    let (clock, applied) = (world.env.clock.clone(), Arc::new(Mutex::new(Vec::new())));
    let times = applied.clone();
    world.whenever(move |event| match event {
        Event::State(State::InStep) => source.write("products", crate::given::key(1), None),
        Event::Applied { .. } => {
            let mut times = times.lock().expect("not poisoned");
            times.push(clock.monotonic());
            if times.len() == 3 {
                stop.send(true).expect("the link listens");
            } else {
                source.write("products", crate::given::key(1), None);
            }
        }
        _ => {}
    });
    world.ran(world.run().await);
    let times = applied.lock().expect("not poisoned").clone();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(60)), "{times:?}");
}

#[tokio::test]
async fn a_table_added_later_is_copied_and_the_others_go_on() {
    let world = World::of_products(10);
    world.ran(world.run().await);
    world.source.with(|state| state.tables.push(table("orders")));
    world.stored_at_source("orders", [(1, "first".into())]);
    world.writes("products", 1, Some("renamed"));
    let report = world.ran(world.run().await);
    world.is_in_step();
    assert_eq!((report.copied, report.upserts, report.created), (1, 1, vec!["orders".to_owned()]));
}

#[tokio::test]
async fn a_table_that_is_gone_is_reported_and_its_rows_stay() {
    for patterns in [&[][..], &["prod*"], &["orders", "prod*"]] {
        let mut world = World::new(0, vec![table("orders"), table("products")]);
        world.stored_at_source("orders", [(1, "first".into())]);
        world.stored_at_source("products", [(1, "product 1".into())]);
        world.settings.scope.tables = patterns.iter().map(|p| Pattern::new(p)).collect();
        if patterns == ["prod*"] {
            world.settings.scope.tables.push(Pattern::new("ord*"));
        }
        world.ran(world.run().await);
        world.source.with(|state| state.tables.retain(|t| t.name != "products"));
        let report = world.ran(world.run().await);
        let why = "shop.db has no table products any more; the target's rows stay";
        assert!(report.halted.get("products").is_some_and(|said| said.starts_with(why)), "{patterns:?}: {report:?}");
        assert_eq!(world.target_rows("products").len(), 1);
    }
}
