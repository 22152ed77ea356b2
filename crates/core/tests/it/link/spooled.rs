//! Targets that are away for long: the source is let go meanwhile, and nothing is lost, nothing twice, nothing compared.

use crate::given::{Dice, World, key, rounds, row, table};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidewater_core::change::{Pattern, Position, Scope};
use tidewater_core::env::{Disk, MemoryDisk};
use tidewater_core::link::{Event, Full, Run, SpoolSettings, Stage, State};

const ROOT: &str = "/state/spool";

/// A world whose source keeps a log that grows, and whose link watches, with a spool.
struct Spooled {
    world: World,
    disk: MemoryDisk,
}

fn spooled(seed: u64, bytes_max: u64, full: Full) -> Spooled {
    let mut world = World::new(seed, vec![table("products"), table("orders")]);
    for table in ["products", "orders"] {
        world.stored_at_source(table, (1..=20).map(|id| (id, format!("{table} {id}"))));
    }
    let disk = MemoryDisk::default();
    world.env.disk = Arc::new(disk.clone());
    world.settings.run = Run::Watch;
    world.settings.spool = Some(SpoolSettings { folder: ROOT.into(), bytes_max, full });
    world.source.with(|state| state.grows = true);
    Spooled { world, disk }
}

impl Spooled {
    fn segments(&self) -> Vec<std::path::PathBuf> {
        let links = self.disk.list(Path::new(ROOT)).expect("it can be listed");
        let files = links.iter().flat_map(|link| {
            let folder = Path::new(ROOT).join(link);
            self.disk.list(&folder).expect("it can be listed").into_iter().map(move |name| folder.join(name))
        });
        files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
    }

    /// Runs until it is in step, then ends.
    async fn until_in_step(&self) -> tidewater_core::link::Report {
        let stop = self.world.stop.clone();
        self.world.whenever(move |event| {
            if *event == Event::State(&State::InStep) {
                stop.send(true).expect("the link listens");
            }
        });
        let report = self.world.ran(self.world.run().await);
        self.world.stop.send_replace(false);
        report
    }

    /// Watches; from the first time in step the target is away, and a row is written at every step of the spool, of
    /// which there are so many until it is back.
    fn goes_away_for(&self, steps: u64) -> Arc<AtomicU64> {
        let seen = Arc::new(AtomicU64::new(0));
        let (source, target, stop) = (self.world.source.clone(), self.world.target.clone(), self.world.stop.clone());
        let count = seen.clone();
        self.world.whenever(move |event| match event {
            Event::State(State::InStep) if count.load(Ordering::Relaxed) == 0 => {
                target.with(|state| state.away = u32::MAX);
                source.write("products", key(1), Some(row(1, "written while it is away")));
            }
            Event::State(State::InStep) => stop.send(true).expect("the link listens"),
            Event::State(State::Spooling(_)) => {
                let step = count.fetch_add(1, Ordering::Relaxed);
                if step < steps {
                    let id = i64::try_from(step).expect("few");
                    source.write(
                        "products",
                        key(id % 30),
                        (!step.is_multiple_of(7)).then(|| row(id % 30, &format!("step {step}"))),
                    );
                    source.write("orders", key(id), Some(row(id, "ordered")));
                } else {
                    target.with(|state| state.away = 0);
                }
            }
            _ => {}
        });
        seen
    }

    fn stages(&self) -> Vec<Stage> {
        let stage = |state| if let State::Spooling(spooling) = state { Some(spooling.stage) } else { None };
        self.world.watcher.states().into_iter().filter_map(stage).collect()
    }

    fn confirmed(&self) -> usize {
        let confirmed = self.world.source.with(|state| state.confirmed.clone());
        let place = |position: Position| position.0.split_once('@').and_then(|(place, _)| place.parse().ok());
        confirmed.and_then(place).unwrap_or(0)
    }

    fn logged(&self) -> usize {
        self.world.source.with(|state| state.log.len())
    }
}

#[tokio::test]
async fn while_the_target_is_away_the_source_is_let_go_and_then_the_spool_is_applied_first() {
    let given = spooled(1, 1 << 20, Full::Pause);
    let seen = given.goes_away_for(60);
    let report = given.world.ran(given.world.run().await);
    given.world.is_in_step();
    assert!(seen.load(Ordering::Relaxed) > 60, "it was spooled step by step");
    assert_eq!(report.compared, 0, "{:?}", given.world.watcher.notices);
    assert_eq!(given.world.watcher.count(&State::Comparing), 0);
    let grew = given.world.watcher.states().into_iter().filter_map(|state| match state {
        State::Spooling(spooling) => Some(spooling.bytes),
        _ => None,
    });
    assert!(grew.max() > Some(2_000), "it grew");
    assert!(given.segments().is_empty(), "what was applied is gone");
    assert_eq!(given.confirmed(), given.logged());
}

#[tokio::test]
async fn the_source_is_let_go_of_what_is_stored_before_the_target_is_back() {
    let given = spooled(2, 1 << 20, Full::Pause);
    given.goes_away_for(u64::MAX);
    let killed = given.world.run_until_killed(3_000, || {}).await;
    assert!(killed.is_none(), "the target is away");
    assert!(given.confirmed() + 2 >= given.logged() && given.logged() > 50, "{} {}", given.confirmed(), given.logged());
    let stored = given.world.stored_position().expect("the target knows one");
    assert!(stored.0.starts_with("0@"), "the target is where it was: {stored}");
    // Another engine, which finds the target away too, and then not.
    given.goes_away_for(20);
    given.world.target.with(|state| state.away = u32::MAX);
    let report = given.world.ran(given.world.run().await);
    given.world.is_in_step();
    assert_eq!(report.compared, 0);
}

#[tokio::test]
async fn an_engine_that_begins_while_the_target_is_away_spools_as_well() {
    let given = spooled(3, 1 << 20, Full::Pause);
    given.until_in_step().await;
    assert!(given.segments().is_empty() && given.stages().is_empty(), "nothing is spooled while it keeps up");
    given.world.target.with(|state| state.away = u32::MAX);
    given.world.writes("products", 5, Some("while nobody reads"));
    let seen = given.goes_away_for(20);
    let report = given.world.ran(given.world.run().await);
    assert!(seen.load(Ordering::Relaxed) > 20);
    given.world.is_in_step();
    assert_eq!(report.compared, 0);
}

#[tokio::test]
async fn engines_that_are_killed_and_power_that_is_lost_lose_nothing_that_was_let_go() {
    let (mut spooled_often, mut let_go) = (0, 0);
    for seed in 0..u64::from(rounds()) {
        let dice = Dice::new(seed);
        // A small one has many segments, and is full now and then.
        let mut given = spooled(seed, if dice.one_in(2) { 6_000 } else { 1 << 20 }, Full::Pause);
        // Small batches, so that it is applied in several.
        given.world.settings.rows_per_second_max = dice.one_in(2).then_some(30);
        given.until_in_step().await;
        let away = dice.one_in(4);
        for _ in 0..12 {
            given.world.target.with(|state| {
                state.away = if dice.one_in(3) { 0 } else { u32::MAX };
                state.fail_after_write = u32::from(dice.one_in(3));
            });
            given.world.notes.never_durable.store(dice.one_in(4), Ordering::Relaxed);
            given.world.whenever(|_| {});
            let busy = dice.below(40) + 1;
            given
                .world
                .run_until_killed(dice.below(700), || {
                    if dice.below(busy) == 0 {
                        let id = dice.id_below(40);
                        let name = format!("now {}", dice.below(1_000));
                        given.world.writes("products", id, (!dice.one_in(4)).then_some(&name));
                        given.world.writes("orders", id, Some(&name));
                    }
                    if dice.one_in(300) {
                        given.world.target.with(|state| state.away = if state.away > 0 || away { 0 } else { 100 });
                    }
                })
                .await;
            let stored = given.world.stored_position().and_then(|position| position.0.split_once('@')?.0.parse().ok());
            let_go += u64::from(stored.is_some_and(|stored: usize| given.confirmed() > stored));
            if dice.one_in(2) { given.disk.kill() } else { given.disk.lose_power(&*given.world.env.random) }
        }
        given.world.target.with(|state| (state.away, state.fail_after_write) = (0, 0));
        given.world.notes.never_durable.store(false, Ordering::Relaxed);
        let report = given.until_in_step().await;
        given.world.is_in_step();
        assert_eq!(report.compared, 0, "seed {seed}: {:?}", given.world.watcher.notices);
        assert_eq!(given.world.watcher.count(&State::Comparing), 0, "seed {seed}: {:?}", given.world.watcher.notices);
        assert!(given.segments().is_empty(), "seed {seed}");
        spooled_often += given.stages().len() as u64;
    }
    let rounds = u64::from(rounds());
    assert!(spooled_often > rounds && let_go > rounds, "it was put to the test: {spooled_often} {let_go}");
}

#[tokio::test]
async fn a_spool_that_is_full_stops_the_reading_and_nothing_is_lost() {
    let given = spooled(5, 1_000, Full::Pause);
    let confirmed = Arc::new(AtomicU64::new(0));
    let (source, target, stop) = (given.world.source.clone(), given.world.target.clone(), given.world.stop.clone());
    let (count, seen) = (AtomicU64::new(0), confirmed.clone());
    given.world.whenever(move |event| match event {
        Event::State(State::Spooling(spooling)) if spooling.stage == Stage::Full => {
            seen.store(source.with(|state| state.log.len()) as u64, Ordering::Relaxed);
            source.write("products", key(77), Some(row(77, "beyond what fits")));
            target.with(|state| state.away = 0);
        }
        Event::State(State::Spooling(spooling)) => {
            assert!(spooling.bytes <= 1_000, "it is never larger than it may be");
            let id = i64::try_from(count.fetch_add(1, Ordering::Relaxed)).expect("few");
            source.write("products", key(id), Some(row(id, "written while it is away")));
        }
        Event::State(State::InStep) if count.load(Ordering::Relaxed) == 0 => {
            target.with(|state| state.away = u32::MAX);
            source.write("products", key(1), Some(row(1, "written while it is away")));
        }
        Event::State(State::InStep) => stop.send(true).expect("the link listens"),
        _ => {}
    });
    let report = given.world.ran(given.world.run().await);
    given.world.is_in_step();
    assert_eq!(report.compared, 0);
    let stages = given.stages();
    assert!(stages.contains(&Stage::NearlyFull) && stages.ends_with(&[Stage::Full]), "{stages:?}");
}

#[tokio::test]
async fn a_source_that_is_given_up_is_compared_when_the_target_is_back() {
    let given = spooled(6, 1_000, Full::GiveUp);
    given.goes_away_for(u64::MAX);
    let target = given.world.target.clone();
    let killed = given.world.run_until_killed(8_000, || {}).await;
    assert!(killed.is_none());
    assert_eq!(given.stages().last(), Some(&Stage::GivenUp));
    assert!(given.segments().is_empty(), "it serves nothing any more");
    target.with(|state| state.away = 0);
    given.world.writes("products", 3, Some("after"));
    let report = given.until_in_step().await;
    given.world.is_in_step();
    assert!(report.compared > 0);
}

/// A link with a spool that has something in it, and a target that is back.
async fn with_something_spooled(seed: u64) -> Spooled {
    let given = spooled(seed, 1 << 20, Full::Pause);
    given.goes_away_for(u64::MAX);
    assert!(given.world.run_until_killed(3_000, || {}).await.is_none());
    given.world.target.with(|state| state.away = 0);
    assert!(!given.segments().is_empty());
    given
}

#[tokio::test]
async fn a_damaged_spool_is_named_and_everything_is_compared() {
    for byte in [20, 400] {
        let given = with_something_spooled(7).await;
        given.disk.with_file(&given.segments()[0], |bytes| bytes[byte] ^= 4).unwrap();
        let report = given.until_in_step().await;
        given.world.is_in_step();
        assert!(report.compared > 0);
        assert!(report.notices[0].starts_with("E0095 the spool"), "{:?}", report.notices);
        assert!(given.segments().is_empty());
        let report = given.until_in_step().await;
        assert_eq!(report.compared, 0, "once is enough");
    }
}

#[tokio::test]
async fn what_the_target_has_already_is_not_applied_again() {
    let given = with_something_spooled(12).await;
    let position = Position("41@0".into());
    given.world.target.with(|state| state.ledger.position = Some(position));
    given.until_in_step().await;
    let (orders, there) = (given.world.target_rows("orders"), given.world.source_rows("orders"));
    // Each step wrote one of them: the rows of the first steps are as they were before.
    assert!((1..15).all(|id| orders[&key(id)] == row(id, &format!("orders {id}"))), "{orders:?}");
    assert_eq!(orders.last_key_value(), there.last_key_value());
    assert!(orders.len() > 30);
}

#[tokio::test]
async fn a_target_restored_from_before_the_spool_is_compared() {
    let given = with_something_spooled(8).await;
    given.world.target.with(|state| state.ledger.position = Some(Position("0@7".into())));
    let report = given.until_in_step().await;
    given.world.is_in_step();
    assert!(report.compared > 0);
}

#[tokio::test]
async fn a_table_that_leaves_the_sync_meanwhile_leaves_the_spool_too() {
    let mut given = with_something_spooled(9).await;
    given.world.settings.scope = Scope { tables: vec![Pattern::new("orders")], ..Scope::default() };
    let products = given.world.target_rows("products");
    given.until_in_step().await;
    assert_eq!(given.world.source_rows("orders"), given.world.target_rows("orders"));
    assert_eq!(given.world.target_rows("products"), products, "nothing more is written there");
}

#[tokio::test]
async fn a_schema_that_changes_meanwhile_stops_the_reading_until_the_target_is_back() {
    let given = with_something_spooled(10).await;
    given.world.target.with(|state| state.away = u32::MAX);
    let (notes, target) = (given.world.notes.clone(), given.world.target.clone());
    notes.schema_changes.store(1, Ordering::Relaxed);
    let stop = given.world.stop.clone();
    given.world.whenever(move |event| match event {
        Event::State(State::Spooling(spooling)) if spooling.stage == Stage::SchemaChanged => {
            target.with(|state| state.away = 0);
        }
        Event::State(State::InStep) => stop.send(true).expect("the link listens"),
        _ => {}
    });
    let report = given.world.ran(given.world.run().await);
    given.world.is_in_step();
    assert_eq!(report.compared, 0);
    assert_eq!(given.stages().last(), Some(&Stage::SchemaChanged));
}

#[tokio::test]
async fn a_spool_that_cannot_be_written_lets_nothing_go() {
    let given = spooled(11, 1 << 20, Full::Pause);
    given.until_in_step().await;
    given.disk.set_free(Some(300));
    given.goes_away_for(u64::MAX);
    assert!(given.world.run_until_killed(3_000, || {}).await.is_none());
    assert!(given.stages().contains(&Stage::Broken), "{:?}", given.stages().last());
    given.world.target.with(|state| state.away = 0);
    given.world.writes("orders", 9, Some("after"));
    let report = given.until_in_step().await;
    given.world.is_in_step();
    assert_eq!(report.compared, 0);
}

#[tokio::test]
async fn without_a_spool_or_with_a_source_that_needs_none_the_link_waits() {
    for has_spool in [false, true] {
        let mut given = spooled(12, 1 << 20, Full::Pause);
        given.world.source.with(|state| state.grows = !has_spool);
        if !has_spool {
            given.world.settings.spool = None;
        }
        given.goes_away_for(1);
        assert!(given.world.run_until_killed(2_000, || {}).await.is_none());
        assert!(given.stages().is_empty() && given.segments().is_empty());
    }
}

#[test]
fn what_is_said_names_sizes_and_places() {
    let spooling = tidewater_core::link::Spooling {
        stage: Stage::Filling,
        bytes: 12 << 20,
        bytes_max: 1 << 30,
        released: Position("0/16B3740".into()),
    };
    assert_eq!(
        spooling.to_string(),
        "the target is away: changes are spooled (12 MiB of 1.0 GiB), the source's log is released up to 0/16B3740"
    );
}
