//! Interruptions: ends that are away, answers that are lost, and a process that is killed anywhere.

use crate::given::{Dice, World, key, rounds, row, table};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use tidewater_core::change::{Key, Position};
use tidewater_core::link::{Backoff, Event, Existing, Run, State};
use tidewater_core::{Kind, code};

fn is_waiting(state: &State) -> bool {
    matches!(state, State::Waiting(_))
}

#[tokio::test]
async fn an_end_that_is_away_for_a_while_is_tried_again() {
    for away in 1..Backoff::TRIES_MAX {
        let world = World::of_products(100);
        world.source.with(|state| state.away = away);
        world.ran(world.run().await);
        world.is_in_step();
        let waits = world.watcher.states().into_iter().filter(is_waiting).count();
        assert_eq!(waits, away as usize);

        let world = World::of_products(100);
        world.target.with(|state| state.away = away);
        world.ran(world.run().await);
        world.is_in_step();
    }
}

#[tokio::test]
async fn an_end_that_stays_away_is_given_up_loudly() {
    let world = World::of_products(100);
    world.target.with(|state| state.away = u32::MAX);
    let error = world.refused().await;
    assert_eq!((error.kind, error.code), (Kind::Unavailable, code::BUSY));
    let tries = world.watcher.count(&State::Starting);
    assert_eq!(tries, Backoff::TRIES_MAX as usize);
}

#[tokio::test]
async fn a_watching_link_waits_for_an_end_as_long_as_it_takes() {
    let mut world = World::of_products(100);
    world.settings.run = Run::Watch;
    world.source.with(|state| state.away = 1_000);
    let stop = world.stop.clone();
    world.whenever(move |event| {
        if *event == Event::State(&State::InStep) {
            stop.send(true).expect("the link listens");
        }
    });
    world.ran(world.run().await);
    world.is_in_step();
    assert!(world.elapsed() > Backoff::LONGEST * 400, "it does not knock all the time: {:?}", world.elapsed());
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_an_end_that_is_away() {
    let mut world = World::of_products(100);
    world.settings.run = Run::Watch;
    world.source.with(|state| state.away = u32::MAX);
    let stop = world.stop.clone();
    world.whenever(move |event| {
        if let Event::State(State::Waiting(_)) = event {
            stop.send(true).expect("the link listens");
        }
    });
    world.ran(world.run().await);
    assert_eq!(world.watcher.states().last(), Some(&State::Stopped));
}

/// Comparing is not progress: the same rows are found equal each time.
#[tokio::test]
async fn a_disk_that_stays_full_is_given_up_also_while_comparing() {
    let world = World::of_products(100);
    world.stored_at_target("products", (1..=60).map(|id| (id, format!("product {id}"))));
    world.notes.disk_full.store(true, Ordering::Relaxed);
    let error = world.refused().await;
    let tries = world.watcher.count(&State::Starting);
    assert_eq!((error.code, tries), (code::DISK, Backoff::TRIES_MAX as usize));
}

#[tokio::test]
async fn a_schema_that_changed_is_looked_at_again() {
    let world = World::of_products(100);
    world.notes.schema_changes.store(3, Ordering::Relaxed);
    world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.notes.begun.load(Ordering::Relaxed), 4);
    assert_eq!(world.written(), 100);
}

/// A source that cannot read on says so each time. Asking again at once, for ever, helps nobody.
#[tokio::test]
async fn a_schema_that_seems_to_change_for_ever_is_given_up() {
    let world = World::of_products(100);
    world.notes.schema_changes.store(u64::MAX, Ordering::Relaxed);
    world.run().await.expect_err("given up");
}

#[tokio::test]
async fn an_answer_that_was_lost_has_its_effect_once() {
    for lost in 1..Backoff::TRIES_MAX {
        let mut world = World::of_products(100);
        world.settings.rows_per_second_max = Some(200);
        world.target.with(|state| state.fail_after_write = lost);
        world.ran(world.run().await);
        world.is_in_step();
        assert_eq!(world.written(), 100, "copied rows are written once");

        for id in 0..100 {
            world.writes("products", id, Some("renamed"));
        }
        world.target.with(|state| state.fail_after_write = lost);
        world.ran(world.run().await);
        world.is_in_step();
        assert_eq!(world.written(), 200, "changes are written once");
    }
}

#[tokio::test]
async fn an_answer_lost_while_mending_has_its_effect_once() {
    let world = World::of_products(100);
    world.stored_at_target("products", (1..=60).map(|id| (id, format!("product {id}"))));
    world.target.with(|state| state.fail_after_write = 1);
    world.ran(world.run().await);
    world.is_in_step();
    assert_eq!(world.written(), 40);
}

/// `12@3`: entry 12 of generation 3.
fn parsed(position: &Position) -> (u64, u64) {
    let (at, generation) = position.0.split_once('@').expect("a position of the double");
    (at.parse().expect("a number"), generation.parse().expect("a number"))
}

/// A story that goes wrong at every turn; what happens is decided by the seed.
struct Story {
    world: World,
    dice: Dice,
    /// Whether the target ends equal also when the source is restored: not where first contact let rows stay.
    restorable: bool,
}

const TABLES: [&str; 2] = ["products", "orders"];
const IDS: i64 = 200;

impl Story {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let mut world = World::new(seed, TABLES.map(table).into());
        world.settings.rows_per_second_max = Some(50 + dice.below(400));
        let existing = [Existing::Refuse, Existing::Mirror, Existing::Overwrite, Existing::Keep];
        world.settings.existing = existing[usize::try_from(dice.below(4)).expect("small")];
        for name in TABLES {
            let ids: BTreeSet<i64> = (0..dice.below(150)).map(|_| dice.id_below(IDS)).chain([0]).collect();
            world.stored_at_source(name, ids.iter().map(|id| (*id, format!("first {id}"))));
            // What the target may have, so that it can end equal under its rule.
            let met: Vec<(i64, String)> = match world.settings.existing {
                Existing::Keep => vec![],
                Existing::Refuse => ids.iter().map(|id| (*id, format!("first {id}"))).collect(),
                Existing::Overwrite => ids.iter().map(|id| (*id, "its own".into())).collect(),
                Existing::Mirror => (0..50).map(|_| (dice.id_below(IDS), "its own".into())).collect(),
            };
            let met: Vec<_> = met.into_iter().filter(|_| dice.one_in(3)).collect();
            if !met.is_empty() || dice.one_in(2) {
                world.stored_at_target(name, met);
            }
        }
        let restorable = matches!(world.settings.existing, Existing::Refuse | Existing::Mirror);
        Self { world, dice, restorable }
    }

    /// The application writes. Row 0 stays, so that no table is ever empty.
    fn writes(&self) {
        // Before the link is established a write would be a first contact of another kind.
        if self.world.stored_position().is_none() {
            return;
        }
        let name = TABLES[usize::try_from(self.dice.below(2)).expect("small")];
        let id = self.dice.id_below(IDS);
        let text = format!("written {}", self.dice.below(1_000_000));
        let gone = id != 0 && self.dice.one_in(3);
        self.world.writes(name, id, (!gone).then_some(text.as_str()));
    }

    fn goes_wrong(&self) {
        let dice = &self.dice;
        match dice.below(6) {
            0 => self.world.source.with(|state| state.away = u32::try_from(dice.below(3)).expect("small")),
            1 => self.world.target.with(|state| state.away = u32::try_from(dice.below(3)).expect("small")),
            2 => self.world.target.with(|state| state.fail_after_write = u32::try_from(dice.below(3)).expect("small")),
            3 if self.restorable && self.world.stored_position().is_some() => self.is_restored(),
            _ => {}
        }
    }

    /// The source is replaced by a copy that differs, and whose log says nothing of that.
    fn is_restored(&self) {
        let dice = &self.dice;
        self.world.source.with(|state| {
            state.generation += 1;
            state.log.truncate(usize::try_from(dice.below(50)).expect("small"));
            for name in TABLES {
                for _ in 0..dice.below(10) {
                    let id = 1 + dice.id_below(IDS - 1);
                    match dice.one_in(2) {
                        true => drop(state.rows.table(name).insert(key(id), row(id, "restored"))),
                        false => drop(state.rows.table(name).remove(&key(id))),
                    }
                }
            }
        });
    }

    /// The source was never told more than the target holds.
    fn confirmed_is_durable(&self) {
        let Some(confirmed) = self.world.source.with(|state| state.confirmed.clone()) else { return };
        let stored = self.world.stored_position().expect("confirmed, so stored");
        let ((confirmed, of), (stored, generation)) = (parsed(&confirmed), parsed(&stored));
        let seed = self.world.seed;
        assert!(of != generation || confirmed <= stored, "seed {seed}: confirmed {confirmed}, stored {stored}");
    }

    /// Several lives, each cut off somewhere. Says how many were.
    async fn lives(&self) -> u64 {
        let mut killed = 0;
        for _ in 0..3 + self.dice.below(15) {
            self.goes_wrong();
            let polls = 1 + self.dice.below(300);
            let meanwhile = || {
                if self.dice.one_in(8) {
                    self.writes();
                }
            };
            match self.world.run_until_killed(polls, meanwhile).await {
                None => killed += 1,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    assert_eq!(error.kind, Kind::Unavailable, "seed {}: {error}", self.world.seed);
                }
            }
            self.confirmed_is_durable();
        }
        killed
    }
}

#[tokio::test]
async fn killed_anywhere_and_run_again_the_target_is_equal() {
    let (mut killed, rounds) = (0, u64::from(rounds()) * 4);
    for seed in 0..rounds {
        let story = Story::new(seed);
        killed += story.lives().await;
        let world = &story.world;
        world.source.with(|state| state.away = 0);
        world.target.with(|state| (state.away, state.fail_after_write) = (0, 0));
        world.ran(world.run().await);
        world.is_in_step();
        story.confirmed_is_durable();

        let written = world.written();
        let report = world.ran(world.run().await);
        assert_eq!((world.written(), report.changes()), (written, 0), "seed {seed}: and then there is nothing to do");
    }
    assert!(killed > rounds, "only {killed} lives were cut off");
}

/// Every place where one run may be cut off, one after the other.
#[tokio::test]
async fn killed_at_each_await_of_a_run_nothing_is_written_twice() {
    for polls in 1.. {
        let mut world = World::of_products(40);
        world.settings.rows_per_second_max = Some(100);
        let ended = world.run_until_killed(polls, || {}).await;
        world.ran(world.run().await);
        world.is_in_step();
        assert_eq!(world.written(), 40, "cut off at {polls}");
        let there: Vec<Key> = world.target_rows("products").into_keys().collect();
        assert_eq!(there.len(), 40);
        if ended.is_some() {
            assert!(polls > 20, "a run has many awaits");
            return;
        }
    }
}
