//! The spool on a disk that loses power at every call: what was promised to be there is there, in order and once, and
//! what is not what was written is found.

use crate::given::{Dice, key, rounds, row};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidewater_core::change::{Change, Op, Position, Transaction};
use tidewater_core::env::{Disk, Env, MemoryDisk};
use tidewater_core::transport::{Card, Place, Spool};
use tidewater_core::{Error, Kind, Result, code};

const LINK: &str = "0123456789abcdef";
const SEGMENT_BYTES: u64 = 600;

fn root() -> &'static Path {
    Path::new("/state/spool")
}

fn folder() -> PathBuf {
    root().join(LINK)
}

fn card() -> Card {
    Card {
        link: LINK.to_owned(),
        sync: "sync".to_owned(),
        source_identity: "a source".to_owned(),
        target: "till.db".to_owned(),
        target_identity: "a target".to_owned(),
        mappings: vec![("products".to_owned(), "digest".to_owned())],
    }
}

fn at(number: u64) -> Position {
    Position(number.to_string())
}

fn order(one: &Position, other: &Position) -> Option<Ordering> {
    Some(one.0.parse::<u64>().ok()?.cmp(&other.0.parse().ok()?))
}

/// The transaction that ends at a position, the same every time.
fn transaction(number: u64) -> Transaction {
    let dice = Dice::new(number);
    let change = |_| {
        let id = dice.id_below(1_000);
        let text = "x".repeat(usize::try_from(dice.below(90)).expect("it is small"));
        let op = match dice.below(4) {
            0 => Op::Delete,
            1 => Op::Insert(row(id, &text)),
            2 => Op::Update(row(id, &text)),
            _ => Op::Upsert(row(id, &text)),
        };
        Change { table: usize::from(dice.one_in(2)), key: key(id), op }
    };
    Transaction {
        origins: vec![],
        emptied: if dice.one_in(5) { vec![1, 0] } else { vec![] },
        changes: (0..dice.below(4)).map(change).collect(),
        position: at(number),
        settled: dice.one_in(2),
        folded: dice.one_in(2),
        after_ms: dice.one_in(2).then(|| -7 - dice.id_below(1 << 40)),
        left_out: dice.below(3),
    }
}

fn open(disk: &MemoryDisk) -> Result<Spool> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let spool = Spool::open(&disk, root(), LINK, true)?.expect("it is made");
    Ok(spool.with_segment_bytes(SEGMENT_BYTES))
}

/// A spool that holds the transactions `1..=count`.
fn filled(disk: &MemoryDisk, count: u64) -> Spool {
    let mut spool = open(disk).expect("it opens");
    spool.set_card(card()).expect("it is written");
    for number in 1..=count {
        spool.append(&at(number - 1), &transaction(number)).expect("it is written");
    }
    spool
}

/// What a target at this position is handed.
fn handed_out(spool: &mut Spool, position: u64) -> Result<Vec<Transaction>> {
    let mut cursor = match spool.place(&at(position), order) {
        Place::Past => return Ok(vec![]),
        Place::Outside => return Err(Error::new(Kind::Lost, code::POSITION_LOST, "the target is outside")),
        Place::Within(cursor) => cursor,
    };
    let mut all = Vec::new();
    while let Some(transaction) = spool.next(&mut cursor)? {
        if order(&transaction.position, &at(position)) == Some(Ordering::Greater) {
            all.push(transaction);
        }
    }
    Ok(all)
}

fn expected(from: u64, through: u64) -> Vec<Transaction> {
    (from + 1..=through).map(transaction).collect()
}

fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let names = disk.list(&folder()).expect("it can be listed");
    names.iter().filter(|name| name.ends_with(".seg")).map(|name| folder().join(name)).collect()
}

#[test]
fn what_was_stored_comes_back_in_order_from_any_position() {
    let disk = MemoryDisk::default();
    drop(filled(&disk, 40));
    assert!(segments(&disk).len() > 3, "several segments");
    let mut spool = open(&disk).unwrap();
    assert_eq!((spool.end(), spool.card()), (Some(&at(40)), Some(&card())));
    for position in 0..=40 {
        assert_eq!(handed_out(&mut spool, position).unwrap(), expected(position, 40), "from {position}");
    }
    assert!(matches!(spool.place(&at(41), order), Place::Past));
    assert!(matches!(spool.place(&Position("of another source".into()), order), Place::Outside));
}

#[test]
fn segments_that_were_applied_are_removed_and_the_rest_goes_on() {
    let disk = MemoryDisk::default();
    let mut spool = filled(&disk, 40);
    let Place::Within(mut cursor) = spool.place(&at(0), order) else { panic!("it is within") };
    let before = spool.bytes();
    for _ in 0..25 {
        spool.next(&mut cursor).unwrap();
    }
    spool.release(cursor.segment()).unwrap();
    assert!(spool.bytes() < before);
    drop(spool);
    let mut spool = open(&disk).unwrap();
    assert_eq!(handed_out(&mut spool, 25).unwrap(), expected(25, 40));
    assert!(matches!(spool.place(&at(0), order), Place::Outside), "what was removed is not there");
    spool.clear().unwrap();
    assert!(spool.is_empty() && segments(&disk).is_empty());
    assert_eq!(spool.card(), Some(&card()), "whose it is stays known");
}

/// Appends and removes by chance until the disk fails. What was promised: the first and the last transaction.
fn work(spool: &mut Spool, dice: &Dice, released: &mut u64, stored: &mut u64) -> Result<()> {
    let mut position = *released;
    loop {
        spool.set_card(card())?;
        if dice.one_in(4) && *stored > position {
            let Place::Within(mut cursor) = spool.place(&at(position), order) else { panic!("it is within") };
            while let Some(read) = spool.next(&mut cursor)? {
                position = position.max(read.position.0.parse().expect("a number"));
                if dice.one_in(3) {
                    break;
                }
            }
            *released = position;
            spool.release(cursor.segment())?;
            if position == *stored && dice.one_in(2) {
                spool.clear()?;
            }
        } else {
            spool.append(&at(*stored), &transaction(*stored + 1))?;
            *stored += 1;
        }
    }
}

#[test]
fn nothing_that_was_stored_is_lost_with_the_power() {
    for seed in 0..u64::from(rounds()) * 5 {
        let (env, dice, disk) = (Env::seeded(seed), Dice::new(seed), MemoryDisk::default());
        let (mut released, mut stored) = (0, 0);
        for _ in 0..4 {
            disk.fail_after(dice.below(60));
            if let Ok(mut spool) = open(&disk) {
                assert!(spool.damage().is_none_or(|_| disk.has_failed()), "seed {seed}: {:?}", spool.damage());
                work(&mut spool, &dice, &mut released, &mut stored).expect_err("the disk fails");
            }
            if dice.one_in(3) {
                disk.kill()
            } else {
                disk.lose_power(&*env.random)
            }
            let mut spool = open(&disk).unwrap();
            assert_eq!(spool.damage(), None, "seed {seed}: {:?}", segments(&disk));
            let end = spool.end().map_or(released, |end| end.0.parse::<u64>().unwrap()).max(released);
            assert!(end >= stored, "seed {seed}: stored {stored}, there {end}");
            assert!(end <= stored + 1, "seed {seed}: nothing is there that was never appended");
            let rest = handed_out(&mut spool, released);
            assert_eq!(
                rest.unwrap_or_else(|error| panic!("seed {seed}: {error}")),
                expected(released, end),
                "seed {seed}"
            );
            stored = end;
        }
    }
}

#[test]
fn a_bit_that_flips_is_found_wherever_it_is() {
    let disk = MemoryDisk::default();
    drop(filled(&disk, 14));
    let (all, dice) = (segments(&disk), Dice::new(1));
    assert!(all.len() > 2, "{all:?}");
    for (at_segment, path) in all.iter().enumerate() {
        let length = disk.with_file(path, |bytes| bytes.len()).unwrap();
        for byte in 0..length {
            let bit = 1 << dice.below(8);
            let whole = disk.with_file(path, |bytes| {
                let whole = bytes.clone();
                bytes[byte] ^= bit;
                whole
            });
            let outcome = open(&disk).and_then(|mut spool| match spool.damage() {
                Some(damage) => Err(damage.clone()),
                None => handed_out(&mut spool, 0),
            });
            match outcome {
                Err(error) => assert!([code::SPOOL_DAMAGED, code::FORMAT].contains(&error.code), "{error}"),
                // The last record cannot be told from one that was torn: the source finds that it was confirmed.
                Ok(handed_out) => {
                    assert!(at_segment + 1 == all.len(), "byte {byte} of {path:?} went unseen");
                    assert!(handed_out.len() < 14, "byte {byte} of {path:?} went unseen");
                    assert_eq!(handed_out, expected(0, handed_out.len() as u64));
                }
            }
            disk.with_file(path, |bytes| *bytes = whole.unwrap()).unwrap();
        }
    }
}

#[track_caller]
fn is_damaged(disk: &MemoryDisk, why: &str) {
    let spool = open(disk).expect("it opens");
    let damage = spool.damage().expect("it is damaged").to_string();
    assert!(damage.starts_with("E0095 the spool") && damage.contains(why), "{damage}");
}

#[test]
fn missing_foreign_and_newer_files_are_named() {
    let disk = MemoryDisk::default();
    drop(filled(&disk, 40));
    let all = segments(&disk);
    let second = disk.with_file(&all[1], |bytes| bytes.clone()).unwrap();
    disk.remove(&all[1]).unwrap();
    is_damaged(&disk, "segment 2 is missing");

    disk.open(&all[1], true).unwrap();
    disk.with_file(&all[1], |bytes| *bytes = second.clone()).unwrap();
    assert_eq!(handed_out(&mut open(&disk).unwrap(), 0).unwrap().len(), 40, "it is whole again");
    disk.with_file(&all[2], |bytes| *bytes = second.clone()).unwrap();
    is_damaged(&disk, "segment 3 is another one");

    disk.remove(&folder().join("link")).unwrap();
    is_damaged(&disk, "is missing");

    let disk = MemoryDisk::default();
    drop(filled(&disk, 3));
    disk.with_file(&segments(&disk)[0], |bytes| bytes[8] = 2).unwrap();
    let error = open(&disk).expect_err("it is newer");
    assert_eq!((error.code, error.kind), (code::FORMAT, Kind::Invalid), "{error}");
}

#[test]
fn a_spool_that_is_damaged_is_empty_once_it_was_cleared() {
    let disk = MemoryDisk::default();
    drop(filled(&disk, 40));
    disk.remove(&segments(&disk)[1]).unwrap();
    let mut spool = open(&disk).unwrap();
    spool.clear().unwrap();
    assert!(spool.damage().is_none() && spool.is_empty() && segments(&disk).is_empty());
    spool.set_card(card()).unwrap();
    spool.append(&at(70), &transaction(71)).unwrap();
    assert_eq!(handed_out(&mut spool, 70).unwrap(), expected(70, 71));
}

#[test]
fn two_engines_never_share_one() {
    let disk = MemoryDisk::default();
    let spool = filled(&disk, 1);
    assert_eq!(open(&disk).expect_err("it is locked").code, code::LEASE);
    drop(spool);
    open(&disk).unwrap();
}

#[test]
fn a_full_disk_takes_nothing_from_what_was_stored() {
    let disk = MemoryDisk::default();
    let mut spool = filled(&disk, 5);
    for free in [0, 3, 21] {
        disk.set_free(Some(free));
        let error = spool.append(&at(5), &transaction(6)).expect_err("the disk is full");
        assert_eq!(error.code, code::SPOOL_UNUSABLE);
    }
    disk.set_free(None);
    spool.append(&at(5), &transaction(6)).unwrap();
    drop(spool);
    assert_eq!(handed_out(&mut open(&disk).unwrap(), 0).unwrap(), expected(0, 6));
}

#[test]
fn the_machines_own_disk_keeps_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Env::real().disk;
    let open = || Spool::open(&disk, folder.path(), LINK, true).map(|spool| spool.unwrap().with_segment_bytes(600));
    let mut spool = open().unwrap();
    spool.set_card(card()).unwrap();
    for number in 1..=40 {
        spool.append(&at(number - 1), &transaction(number)).unwrap();
    }
    assert_eq!(open().expect_err("it is locked").code, code::LEASE);
    let status = Spool::look(&disk, folder.path(), LINK).unwrap().unwrap();
    assert_eq!((status.bytes, status.from, status.card), (spool.bytes(), Some(at(0)), Some(card())));
    drop(spool);
    let last = std::fs::read_dir(folder.path().join(LINK)).unwrap().map(|entry| entry.unwrap().path());
    let last = last.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap();
    let torn = std::fs::OpenOptions::new().append(true).open(&last).unwrap();
    std::io::Write::write_all(&mut &torn, &[9; 30]).unwrap();
    let mut spool = open().unwrap();
    assert_eq!(handed_out(&mut spool, 0).unwrap(), expected(0, 40));
    drop(spool);
    assert!(Spool::destroy(&disk, folder.path(), LINK).unwrap());
    assert!(!folder.path().join(LINK).exists() && !Spool::destroy(&disk, folder.path(), LINK).unwrap());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Those of docs/formats/spool.md.
#[test]
fn the_bytes_are_those_that_are_drawn() {
    let disk = MemoryDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut spool = Spool::open(&shared, root(), "L1", true).unwrap().unwrap();
    let change = Change { table: 0, key: key(7), op: Op::Upsert(row(7, "anchor")) };
    let transaction = Transaction {
        origins: vec![],
        emptied: vec![1],
        changes: vec![change],
        position: at(6),
        settled: true,
        folded: false,
        after_ms: Some(1_767_225_600_000),
        left_out: 0,
    };
    spool.append(&at(5), &transaction).unwrap();
    let path = root().join("L1").join("0000000000000001.seg");
    let drawn = hex(&disk.with_file(&path, |bytes| bytes.clone()).unwrap());
    let page = include_str!("../../../../docs/formats/spool.md");
    let blocks = page.split("```").skip(3).step_by(2).take(2);
    let mut bytes = Vec::new();
    for line in blocks.flat_map(str::lines) {
        let words = line.split_whitespace();
        bytes.extend(words.take_while(|word| word.len() == 2 && u8::from_str_radix(word, 16).is_ok()));
    }
    assert_eq!(bytes.join(" "), drawn);
}
