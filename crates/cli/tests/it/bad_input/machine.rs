//! What the machine and other programs do: disks run full, locks are held, a second engine starts. Nothing is lost,
//! and the same command goes on once the cause is gone.

use crate::given::{SHOP, an_empty_place, given, locked, numbered, small_disk};

const LEFT_OUT: &str = "left out: mounting a small disk is not permitted here";

#[test]
fn a_full_disk_at_the_target_loses_nothing_and_the_copy_goes_on_later() {
    let place = given(&numbered(120_000));
    let Some(disk) = small_disk(&place, "usb", "2m") else {
        eprintln!("{LEFT_OUT}");
        return;
    };
    let sync = "sync sqlite:shop.db sqlite:usb/till.db";

    let refused = place.tidewater(sync).exits(3);
    refused.says("E0013").says("usb/till.db").says("goes on where it stopped").never_says("in step");
    assert_eq!(place.sql("usb/till.db", "PRAGMA integrity_check;"), "ok");
    place.tidewater(&format!("{sync} --json")).exits(3).json();
    place.sql("shop.db", "UPDATE t SET v = 'new' WHERE id % 1000 = 0; DELETE FROM t WHERE id % 1000 = 1;");
    disk.grows_to("32m");
    let there: u64 = place.sql("usb/till.db", "SELECT count(*) FROM t;").parse().expect("a number");

    let done = place.tidewater(&format!("{sync} --json")).exits(0);

    assert!(done.count("rows_copied") <= 120_000 - there, "it went on where it stopped, at {there}: {done}");
    place.same_rows("shop.db", "usb/till.db");
}

#[test]
fn a_disk_that_fills_up_while_following_loses_no_change() {
    let place = given(&numbered(500));
    let Some(disk) = small_disk(&place, "usb", "4m") else {
        eprintln!("{LEFT_OUT}");
        return;
    };
    let sync = "sync sqlite:shop.db sqlite:usb/till.db";
    place.tidewater(sync).exits(0);
    disk.is_filled_but_for(64 * 1024);
    place.sql("shop.db", "UPDATE t SET v = hex(randomblob(2000)); DELETE FROM t WHERE id < 10;");
    place.tidewater(sync).exits(3).says("E0013 no space left for usb/till.db");
    place.sql("shop.db", "INSERT INTO t VALUES (0,'zero');");
    disk.is_cleared();

    let done = place.tidewater(&format!("{sync} --json")).exits(0);

    assert_eq!((done.count("rows_copied"), done.count("rows_compared")), (0, 0), "changes are enough: {done}");
    place.same_rows("shop.db", "usb/till.db");
}

#[test]
fn deletes_arrive_also_where_the_target_took_nothing_for_a_while() {
    let place = given(&format!("PRAGMA journal_mode = WAL; {}", numbered(500)));
    let Some(disk) = small_disk(&place, "usb", "4m") else {
        eprintln!("{LEFT_OUT}");
        return;
    };
    place.sql(
        "usb/till.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'own');",
    );
    // Of rows that stand only at the target a comparison could not say whether they are the target's own.
    place.tidewater("sync sqlite:shop.db sqlite:usb/till.db --existing overwrite").exits(0);
    disk.is_filled_but_for(64 * 1024);
    place.sql("shop.db", "UPDATE t SET v = hex(randomblob(2000)); DELETE FROM t WHERE id < 10;");
    for _ in 0..3 {
        place.tidewater("sync sqlite:shop.db sqlite:usb/till.db").exits(3).says("E0013");
    }
    disk.is_cleared();

    place.tidewater("sync sqlite:shop.db sqlite:usb/till.db").exits(0);

    place.same_rows("shop.db", "usb/till.db");
}

#[test]
fn a_full_disk_at_the_source_harms_neither_side() {
    let place = an_empty_place();
    let Some(disk) = small_disk(&place, "usb", "2m") else {
        eprintln!("{LEFT_OUT}");
        return;
    };
    place.sql("usb/shop.db", &numbered(1_000));
    disk.is_filled_but_for(8 * 1024);
    let before = place.dump("usb/shop.db");
    let sync = "sync sqlite:usb/shop.db sqlite:till.db";

    let refused = place.tidewater(sync).exits(3);
    refused.says("E0013 no space left for usb/shop.db").never_says("in step");
    assert_eq!(place.dump("usb/shop.db"), before, "nothing is installed by half");
    assert_eq!(place.sql("usb/shop.db", "PRAGMA integrity_check;"), "ok");

    disk.is_cleared();
    place.tidewater(sync).exits(0);
    place.same_rows("usb/shop.db", "till.db");
    disk.is_filled_but_for(0);
    place.tidewater("verify sqlite:usb/shop.db sqlite:till.db").exits(0);
    disk.is_cleared();
    place.sql("usb/shop.db", "UPDATE t SET v = 'new' WHERE id < 100;");
    place.tidewater(sync).exits(0);
    place.same_rows("usb/shop.db", "till.db");
}

#[test]
fn a_lock_held_for_long_by_another_program_is_named_on_either_side() {
    let (left, right) = (given(&numbered(10)), given(&numbered(10)));
    right.syncs();
    right.sql("shop.db", "UPDATE t SET v = 'new';");
    let (source_lock, target_lock) = (locked(&left, "shop.db"), locked(&right, "till.db"));
    let sync = "sync sqlite:shop.db sqlite:till.db";

    // Each waits for its patience to end; so both at once.
    let (source_waits, target_waits) = (left.starts(sync), right.starts(sync));
    let refused = source_waits.ends().exits(3).says("E0015 shop.db is locked by another program");
    refused.says("goes on where it stopped");
    target_waits.ends().exits(3).says("E0015 till.db is locked by another program");

    assert_eq!(left.files(), ["shop.db"], "no target was made");
    drop((source_lock, target_lock));
    left.syncs();
    right.syncs();
    left.same_rows("shop.db", "till.db");
    right.same_rows("shop.db", "till.db");
}

#[test]
fn a_short_lock_is_waited_for() {
    let shop = given(&numbered(10));
    shop.syncs();
    let lock = locked(&shop, "shop.db");
    let waiting = shop.starts("sync sqlite:shop.db sqlite:till.db");
    waiting.brings("the engine has the source", || shop.files().contains(&"shop.db-tidewater".to_owned()));
    drop(lock);
    waiting.ends().exits(0);
}

#[test]
fn two_engines_on_one_file_exclude_each_other_and_reading_is_free() {
    let shop = given(SHOP);
    shop.sql("other.db", "CREATE TABLE others(id INTEGER PRIMARY KEY);");
    let watcher = shop.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    let pid = watcher.id();

    for (second, file) in [
        ("sync sqlite:shop.db sqlite:till.db", "shop.db"),
        ("sync sqlite:shop.db sqlite:third.db", "shop.db"),
        ("sync sqlite:other.db sqlite:till.db", "till.db"),
        ("verify sqlite:shop.db sqlite:till.db --repair", "till.db"),
        ("teardown sqlite:shop.db sqlite:till.db", "shop.db"),
    ] {
        let refused = shop.tidewater(second).exits(3);
        refused.says(&format!("E0030 another Tidewater (process {pid}) works on {file}"));
    }
    shop.tidewater("status sqlite:shop.db sqlite:till.db").exits(0);
    shop.tidewater("plan sqlite:shop.db sqlite:till.db").exits(0);
    shop.tidewater("verify sqlite:shop.db sqlite:till.db").exits(0);
    assert!(!shop.files().contains(&"third.db".to_owned()));

    watcher.dies();
    shop.syncs();
    assert_eq!(shop.files(), ["other.db", "shop.db", "till.db"]);
}
