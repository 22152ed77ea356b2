//! Members converge and lose nothing, whatever dies: programs write, engines are killed with `kill -9`, files are
//! copied and put back; then all meet, and are looked at by plain SQL.
//!
//! One world is a handful of files with one seed. A round of it starts programs that write (`programs.rs`) and
//! engines that carry, as processes of their own (`processes.rs`), and kills the engines at a random moment. Between
//! rounds files are copied, put back and cloned (`files.rs`). Every few rounds all members meet until they are in
//! step: then their tables are equal, each row is as its version says, and no token is missing (`oracle.rs`, which
//! knows nothing of versions). The seed gives the same plan again, though not the same moments.
//!
//! `TIDEWATER_TEST_ROUNDS` says how many kills; `TIDEWATER_TEST_SEED` begins with another world, and
//! `TIDEWATER_TEST_KEEP=1` keeps the files of one that failed.
//!
//! That it can fail was tried by hand. Found within the first hundred kills, as rows that differ or tokens that are
//! lost: taking theirs where neither side knows all; no journal; no new incarnation for a file that was copied or put
//! back, also where only the witness's time tells; leaving out what came from a peer's earlier incarnation; positions in
//! a queue that outlive an incarnation; rows that stand aside and are not kept, or never looked at again; a lost log, or
//! dropped triggers, without looking at all rows; the last writer's whole row where another is in the way; children of rows
//! that are gone, rows that came, or orphans whose parent came, that are not looked at; orphans of a cycle that are brought
//! back one by one. With leaves, within some worlds: rows taken back over writes that the sender has not seen; a
//! leaf's own name for what it writes beside what was taken back (72015). Not found for certain, since it takes a write
//! within a millisecond: merging without sealing (`locks.rs` has a test of it).
#![allow(clippy::print_stdout)]

mod files;
mod leaves;
mod oracle;
mod processes;
mod programs;

use super::group::exchange;
use crate::given::passes;
use files::{Back, WitnessBack};
use oracle::{Holding, Oracle};
use processes::{Process, Sync};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tidewater_core::env::Env;
use tidewater_core::link::Run;
use tidewater_core::merge::{DeleteUpdate, Policy, Rule};

/// The same seed, the same plan.
struct Dice(Env);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        self.0.random.bits() % sides
    }

    fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.roll(of.len() as u64)).expect("a place")]
    }
}

/// The rules of a world: one table has others than the default.
fn policies(rules: u64) -> BTreeMap<String, Policy> {
    let row = match rules % 5 {
        0 | 1 => Rule::LastWriter,
        2 => Rule::FirstWriter,
        3 => Rule::Prefer("b".to_owned()),
        _ => Rule::Manual,
    };
    let delete_update = if rules.is_multiple_of(2) { DeleteUpdate::KeepUpdate } else { DeleteUpdate::Delete };
    let ruled = Policy { row, delete_update, ..Policy::default() };
    let together = if rules.is_multiple_of(3) { vec![vec!["b".to_owned(), "c".to_owned()]] } else { vec![] };
    [("ruled".to_owned(), ruled), ("plain".to_owned(), Policy { together, ..Policy::default() })].into()
}

/// Rounds between two looks.
const ROUNDS_A_LOOK: u64 = 8;

/// Rounds of one world.
const ROUNDS_A_WORLD: u64 = 24;

/// More files than this are too slow to bring in step.
const MEMBERS_MAX: usize = 6;

/// A copy of a member's file, made when nobody had it open.
struct Copied {
    member: char,
    path: PathBuf,
}

struct World {
    dice: Dice,
    folder: TempDir,
    sync: Sync,
    members: Vec<char>,
    oracle: Oracle,
    copies: Vec<Copied>,
    /// What each member had noted when an engine last worked on it.
    sealable: BTreeMap<char, BTreeSet<String>>,
    /// What happened, for a failure.
    story: Vec<String>,
    started: u64,
    kills: u64,
    ends: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let dice = Dice(Env::seeded(seed));
        let log_rows_max = *dice.pick(&[1_000_000, 1_000_000, 64]);
        let mut sync = Sync { rules: dice.roll(30), log_rows_max, leaves: String::new() };
        let members: Vec<char> = "abcde".chars().take(3 + usize::from(dice.roll(3) == 0)).collect();
        // Worlds that were kept before there were leaves have none. Where columns belong together, nobody may hold some
        // of them.
        if seed > 10_000 && seed % 2 == 1 {
            sync.leaves.push('c');
            sync.rules += u64::from(sync.rules.is_multiple_of(3));
        }
        let (oracle, copies, story) = (Oracle::default(), vec![], vec![format!("{sync:?}")]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (sealable, started, kills, ends) = (BTreeMap::new(), 0, 0, 0);
        let mut world = Self { dice, folder, sync, members, oracle, copies, sealable, story, started, kills, ends };
        for member in &world.members {
            let leaf = if world.is_leaf(*member) { leaves::SCHEMA } else { "" };
            crate::given::shell(&world.path(*member), &[programs::SCHEMA, programs::BEGINNING, leaf].concat());
        }
        world.oracle.hear(&programs::beginning(&files::connect(&world.path('a'))).expect("tables"));
        world
    }

    fn path(&self, member: char) -> PathBuf {
        self.folder.path().join(format!("{member}.db"))
    }

    fn paths(&self, members: &[char]) -> Vec<PathBuf> {
        members.iter().map(|member| self.path(*member)).collect()
    }

    fn is_leaf(&self, member: char) -> bool {
        self.sync.leaves.contains(member)
    }

    /// Some members in any order, of whom one holds everything.
    fn meeting(&self, of: &[char]) -> Vec<char> {
        let mut some = self.some(of, 2);
        let full: Vec<char> = of.iter().copied().filter(|member| !self.is_leaf(*member)).collect();
        if some.iter().all(|member| self.is_leaf(*member)) && !full.is_empty() {
            some[0] = *self.dice.pick(&full);
        }
        some
    }

    /// Some members in any order.
    fn some(&self, of: &[char], at_least: usize) -> Vec<char> {
        let mut left = of.to_vec();
        let most = left.len() - at_least + 1;
        // Pairs more often than groups.
        let extra = self.dice.roll(most as u64).min(self.dice.roll(most as u64));
        let count = at_least + usize::try_from(extra).expect("a few");
        let draw = |_| left.remove(usize::try_from(self.dice.roll(left.len() as u64)).expect("a place"));
        (0..count).map(draw).collect()
    }

    /// Programs that write, and engines at work on some members, who are killed.
    fn round(&mut self, writing: bool) -> Result<(), String> {
        let writers = if writing { self.dice.roll(4) } else { 0 };
        let written: Vec<char> = (0..writers).map(|_| *self.dice.pick(&self.members)).collect();
        let first = self.meeting(&self.members);
        let rest: Vec<char> = self.members.iter().copied().filter(|member| !first.contains(member)).collect();
        let mut meetings = vec![first];
        if rest.iter().filter(|member| !self.is_leaf(**member)).count() >= 2 && self.dice.roll(2) == 0 {
            meetings.push(self.meeting(&rest));
        }
        self.run(&written, &meetings)
    }

    fn run(&mut self, written: &[char], meetings: &[Vec<char>]) -> Result<(), String> {
        let programs: Vec<Process> = written.iter().map(|member| self.program(*member)).collect();
        let engines: Vec<(bool, Process)> = meetings.iter().map(|members| self.engine(members)).collect();
        passes(Duration::from_millis(5 + self.dice.roll(170)));
        for (dies, engine) in engines {
            if dies {
                engine.kill()?;
                self.kills += 1;
            } else {
                engine.ends()?;
                self.ends += 1;
            }
        }
        programs.into_iter().try_for_each(Process::ends)?;
        meetings.concat().into_iter().for_each(|member| self.worked(member));
        Ok(())
    }

    fn program(&mut self, member: char) -> Process {
        self.started += 1;
        // Some are in a hurry: they write just when an engine takes its lock.
        let (transactions, pause) = *self.dice.pick(&[(40, 0), (1 + self.dice.roll(12), self.dice.roll(12))]);
        let name = format!("w{}", self.started);
        self.story.push(format!("{name} writes {member}"));
        Process::program(self.folder.path(), &name, self.dice.roll(u64::MAX), transactions, pause, &self.path(member))
    }

    fn engine(&mut self, members: &[char]) -> (bool, Process) {
        self.started += 1;
        let dies = self.dice.roll(4) > 0;
        let shown: String = members.iter().collect();
        self.story.push(format!("{shown} meet{}", if dies { ", and are killed" } else { "" }));
        let what = format!("engine{}", self.started);
        (dies, Process::engine(self.folder.path(), &what, &self.sync, dies, &self.paths(members)))
    }

    /// A member is put back after it met one, and meets another who knows nothing of that.
    fn fork(&mut self) -> Result<(), String> {
        let [member, one, other] = self.some(&self.members, self.members.len())[..3] else { return Ok(()) };
        if self.is_leaf(one) || self.is_leaf(other) {
            return Ok(());
        }
        let number = self.copy(member);
        self.run(&[member], &[vec![member, one]])?;
        let back = self.back();
        self.put_back(number, back);
        self.run(&[member], &[vec![other, member]])
    }

    /// An engine worked on a member, until now at the latest.
    fn worked(&mut self, member: char) {
        let notes = programs::notes(&files::connect(&self.path(member))).expect("notes");
        self.sealable.insert(member, notes.into_keys().collect());
    }

    /// What happens to files between rounds.
    fn between(&mut self) -> Result<(), String> {
        let member = *self.dice.pick(&self.members);
        match self.dice.roll(14) {
            0 | 1 => drop(self.copy(member)),
            2 | 3 if !self.copies.is_empty() => {
                let number = usize::try_from(self.dice.roll(self.copies.len() as u64)).expect("a place");
                let back = self.back();
                self.put_back(number, back);
            }
            4 if self.members.len() < MEMBERS_MAX => {
                let new = char::from(b'a' + u8::try_from(self.members.len()).expect("a few"));
                self.story.push(format!("{member} is cloned as {new}"));
                files::copy(&self.path(member), &self.path(new));
                self.members.push(new);
                if self.is_leaf(member) {
                    self.sync.leaves.push(new);
                }
                let sealable = self.sealable.get(&member).cloned().unwrap_or_default();
                self.sealable.insert(new, sealable);
            }
            5 | 6 => self.fork()?,
            _ => {}
        }
        Ok(())
    }

    /// Copies a member's file; the number of the copy.
    fn copy(&mut self, member: char) -> usize {
        let number = self.copies.len();
        let path = self.folder.path().join(format!("copy{number}.db"));
        self.story.push(format!("{member} is copied as number {number}"));
        files::copy(&self.path(member), &path);
        self.copies.push(Copied { member, path });
        number
    }

    fn back(&self) -> Back {
        let witness = *self.dice.pick(&[WitnessBack::Stays, WitnessBack::Goes, WitnessBack::Too]);
        Back { in_place: self.dice.roll(2) == 0, witness }
    }

    fn put_back(&mut self, number: usize, back: Back) {
        let Copied { member, path } = &self.copies[number];
        self.story.push(format!("{member} is put back to number {number}: {back:?}"));
        let here = self.path(*member);
        let others: Vec<Holding> = (self.members.iter().filter(|other| *other != member))
            .map(|other| files::holding(&self.path(*other)))
            .collect();
        others.iter().for_each(|other| self.oracle.hear(&other.notes));
        let before = files::holding(&here);
        files::put_back(path, &here, back);
        let sealable = self.sealable.get(member).cloned().unwrap_or_default();
        self.oracle.put_back(&before, &files::holding(&here), &others, &sealable);
    }

    /// All meet, and are looked at.
    fn look(&mut self) -> Result<(), String> {
        let mut all = self.some(&self.members, self.members.len());
        all.sort_by_key(|member| self.is_leaf(*member));
        self.story.push(format!("{} meet and are looked at", all.iter().collect::<String>()));
        let files = self.paths(&all);
        let report = exchange(&files, self.sync.settings(Run::UntilInStep, &files), self.sync.log_rows_max);
        let report = report.map_err(|error| format!("the exchange failed: {error}"))?;
        if !report.in_step {
            return Err(format!("not in step: {report:?}"));
        }
        all.iter().for_each(|member| self.worked(*member));
        for member in &all {
            let faults = files::faults(&self.path(*member));
            if !faults.is_empty() {
                return Err(format!("{member}: {faults:#?}"));
            }
        }
        self.same(&all)?;
        let held: Vec<Holding> = all.iter().map(|member| files::holding(&self.path(*member))).collect();
        held.iter().for_each(|held| self.oracle.hear(&held.notes));
        let kept = held.iter().flat_map(|held| held.journal.iter().cloned()).collect();
        let lost = self.oracle.lost(&held[0].rows, &kept);
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:#?}")) }
    }

    /// All hold the same rows, and the same stand aside.
    fn same(&self, members: &[char]) -> Result<(), String> {
        let open = |member: &char| files::connect(&self.path(*member));
        let first = open(&members[0]);
        for member in &members[1..] {
            if self.is_leaf(*member) {
                match leaves::differs(&self.path(*member), &self.path(members[0])) {
                    Some(how) => return Err(how),
                    None => continue,
                }
            }
            let other = open(member);
            for shape in &programs::SHAPES {
                let [ours, theirs] = [&first, &other].map(|c| files::rows(c, shape.name, shape.key));
                if ours != theirs {
                    let only = |one: &BTreeMap<_, _>, other: &BTreeMap<_, _>| -> Vec<_> {
                        one.values().filter(|row| !other.values().any(|o| o == *row)).cloned().collect()
                    };
                    let (ours, theirs) = (only(&ours, &theirs), only(&theirs, &ours));
                    let name = shape.name;
                    return Err(format!("{name}: {} holds {ours:?}, {member} holds {theirs:?}", members[0]));
                }
            }
            let [ours, theirs] = [&first, &other].map(files::parked);
            if ours != theirs {
                return Err(format!("{} and {member} park other rows: {ours:?} and {theirs:?}", members[0]));
            }
        }
        Ok(())
    }

    fn live(&mut self, rounds: u64) -> Result<(), String> {
        // The first meeting dies, too: nobody writes yet.
        for _ in 0..2 {
            self.round(false)?;
        }
        self.look()?;
        for round in 1..=rounds {
            self.round(true)?;
            self.between()?;
            if round % ROUNDS_A_LOOK == 0 || round == rounds {
                self.look()?;
            }
        }
        Ok(())
    }
}

/// One world; how many engines were killed.
fn world(seed: u64, rounds: u64) -> u64 {
    let mut world = World::new(seed);
    if let Err(what) = world.live(rounds) {
        let folder = if std::env::var("TIDEWATER_TEST_KEEP").is_ok_and(|keep| keep == "1") {
            world.folder.disable_cleanup(true);
            world.folder.path().display().to_string()
        } else {
            "not kept; TIDEWATER_TEST_KEEP=1 keeps them".to_owned()
        };
        panic!("seed {seed}: {what}\nfiles: {folder}\n{}", world.story.join("\n"));
    }
    println!("seed {seed}: {} killed, {} ended; leaves: {}", world.kills, world.ends, world.sync.leaves);
    world.kills
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Worlds that once failed: a folder put back with its witness, tokens that were moved, what was seen only by who was
/// put back, writes sealed in the last round; with leaves: values set to NULL there, rows that one full member took back
/// and another did not, keys that were taken back and written anew, and a leaf that carried a write between full members
/// without the column that it lacks, where the one deleted the row (which the oracle lets pass: decision 11); rows that
/// stood aside in a table that was taken for made anew; with leaves and files put back: a copy that was later than the one
/// before (91005) and rows that a leaf gave to who was put back (91005, 101007), both of which only the oracle took for
/// lost; a leaf that was put back, and not told of what others had sent it (104041), and one whose row stood aside at one
/// full member only (106011). Where there is little time, the first only.
const KEPT: [u64; 14] =
    [1003, 2000, 2003, 2032, 2038, 71_015, 72_015, 74_013, 75_005, 91_005, 93_004, 101_007, 104_041, 106_011];

#[test]
fn worlds_that_once_failed_converge() {
    let few = number("TIDEWATER_TEST_ROUNDS", 20) < 200;
    for seed in KEPT.iter().take(if few { 1 } else { KEPT.len() }) {
        world(*seed, ROUNDS_A_WORLD);
    }
}

#[test]
fn members_converge_and_lose_nothing_whatever_dies() {
    let (first, rounds) = (number("TIDEWATER_TEST_SEED", 20_261_123), number("TIDEWATER_TEST_ROUNDS", 20));
    let (mut kills, mut seed) = (0, first);
    while kills < rounds {
        kills += world(seed, ROUNDS_A_WORLD.min(rounds));
        seed += 1;
    }
    println!("{kills} kills");
}
