//! `--watch`, and being interrupted: changes travel as they are written, a transaction stays whole, and whatever
//! ends the command, the next run goes on from there.

use crate::given::{SHOP, given, numbered};

/// Ten accounts, and transactions that move money between two of them: the sum is always 1000.
const BANK: &str = "CREATE TABLE accounts(id INTEGER PRIMARY KEY, money INTEGER NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) INSERT INTO accounts SELECT i, 100 FROM n;
    CREATE TABLE moves(id INTEGER PRIMARY KEY, at REAL);";

fn a_move(number: u32) -> String {
    let (from, to) = (1 + number % 10, 1 + (number * 3 + 1) % 10);
    format!(
        "BEGIN; UPDATE accounts SET money = money - 1 WHERE id = {from};
         UPDATE accounts SET money = money + 1 WHERE id = {to};
         INSERT INTO moves VALUES (NULL, julianday('now')); COMMIT;"
    )
}

fn live_writes_are_followed_until(signal: &str) {
    let bank = given(BANK);
    let watcher = bank.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    for number in 0..40 {
        bank.sql("shop.db", &a_move(number));
        let sum = bank.sql("till.db", "SELECT sum(money) FROM accounts;");
        assert_eq!(sum, "1000", "a transaction stays whole");
    }
    watcher.brings("all moves at the target", || bank.sql("till.db", "SELECT count(*) FROM moves;") == "40");
    bank.same_rows("shop.db", "till.db");

    let ended = watcher.gets(signal).ends().exits(0);

    ended.says("shop.db → till.db  in step").says("changes applied").never_says("E00");
    bank.same_rows("shop.db", "till.db");
    assert_eq!(bank.files(), ["shop.db", "till.db"], "it has tidied up");
    let next = bank.tries_to_sync("--json").exits(0);
    assert_eq!((next.count("changes_applied"), next.count("rows_compared")), (0, 0), "nothing was left to do: {next}");
}

#[test]
fn watching_follows_live_writes_and_ends_at_sigint() {
    live_writes_are_followed_until("INT");
}

#[test]
fn watching_follows_live_writes_and_ends_at_sigterm() {
    live_writes_are_followed_until("TERM");
}

#[test]
fn a_watcher_that_is_stopped_while_others_write_applies_nothing_by_half() {
    let bank = given(BANK);
    bank.syncs();
    for round in 0..3 {
        let watcher = bank.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
        let moves: String = (0..200).map(a_move).collect();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| bank.sql("shop.db", &moves));
            let some = format!("SELECT count(*) > {} FROM moves;", round * 200 + 20);
            watcher.brings("some moves at the target", || bank.sql("till.db", &some) == "1");
            watcher.gets("TERM").ends().exits(0);
            assert_eq!(bank.sql("till.db", "SELECT sum(money) FROM accounts;"), "1000");
            writer.join().expect("the writer is not disturbed");
        });
    }
    let last = bank.tries_to_sync("--json").exits(0);
    assert_eq!(last.count("rows_compared"), 0, "{last}");
    bank.same_rows("shop.db", "till.db");
}

#[test]
fn a_watcher_that_was_killed_is_taken_up_by_the_next() {
    let bank = given(BANK);
    for round in 0..4 {
        let watcher = bank.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
        let moves: String = (0..100).map(a_move).collect();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| bank.sql("shop.db", &moves));
            let some = format!("SELECT count(*) > {} FROM moves;", round * 100 + 10);
            watcher.brings("some moves at the target", || bank.sql("till.db", &some) == "1");
            watcher.dies();
            assert_eq!(bank.sql("till.db", "SELECT sum(money) FROM accounts;"), "1000");
            writer.join().expect("the writer is not disturbed");
        });
    }
    let last = bank.tries_to_sync("--json").exits(0);
    assert_eq!((last.count("rows_copied"), last.count("rows_compared")), (0, 0), "only changes are sent: {last}");
    bank.same_rows("shop.db", "till.db");
    assert_eq!(bank.files(), ["shop.db", "till.db"], "what the killed ones left is gone");
}

#[test]
fn a_copy_that_was_killed_goes_on_where_it_was() {
    let shop = given(&numbered(6_000));
    let slow = "sync sqlite:shop.db sqlite:till.db --rows-per-second-max 3000";
    let copying = shop.starts(slow);
    copying.brings("some rows at the target", || {
        shop.files().contains(&"till.db".to_owned())
            && shop.try_sql("till.db", "SELECT count(*) > 600 FROM t;") == Ok("1".into())
    });
    copying.dies();
    let there: u64 = shop.sql("till.db", "SELECT count(*) FROM t;").parse().expect("a number");
    assert!(there < 6_000, "the kill came in the middle");
    // What was copied already may change before the copy goes on.
    shop.sql(
        "shop.db",
        "UPDATE t SET v = 'new' WHERE id <= 3; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (0,'zero');",
    );

    let next = shop.tries_to_sync("--json").exits(0);

    assert!(next.count("rows_copied") <= 6_000 - there, "only the rest is copied: {there} were there, {next}");
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn an_interrupted_copy_does_not_claim_to_be_in_step() {
    let shop = given(&numbered(3_000));
    let copying = shop.starts("sync sqlite:shop.db sqlite:till.db --rows-per-second-max 500");
    copying.brings("some rows at the target", || {
        shop.files().contains(&"till.db".to_owned())
            && shop.try_sql("till.db", "SELECT count(*) > 50 FROM t;") == Ok("1".into())
    });

    let ended = copying.gets("INT").ends();

    assert_ne!(shop.sql("till.db", "SELECT count(*) FROM t;"), "3000", "it was interrupted in the middle");
    ended.never_says("in step").never_says("E0099");
    shop.syncs();
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn a_watcher_prints_a_json_object_a_line() {
    let shop = given(SHOP);
    let watcher = shop.starts("sync sqlite:shop.db sqlite:till.db --watch --json").says("\"in step\"");
    shop.sql("shop.db", "DELETE FROM order_lines;");
    watcher.brings("the change at the target", || shop.sql("till.db", "SELECT count(*) FROM order_lines;") == "0");
    let lines = watcher.gets("INT").ends().exits(0).json_lines();
    let applied: u64 =
        lines.iter().filter(|l| l.get("lag_ms").is_some()).filter_map(|l| l["changes_applied"].as_u64()).sum();
    assert_eq!(applied, 3, "each batch is told: {lines:#?}");
    assert_eq!(lines.last().map(|last| &last["needs_attention"]), Some(&serde_json::json!(false)), "{lines:#?}");
}

#[test]
fn a_watcher_finds_a_source_again_that_was_away() {
    let shop = given(&numbered(10));
    let watcher = shop.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    std::fs::rename(shop.path("shop.db"), shop.path("elsewhere.db")).expect("a file can be moved");
    shop.sql("elsewhere.db", "UPDATE t SET v = 'moved' WHERE id = 1;");
    std::fs::rename(shop.path("elsewhere.db"), shop.path("shop.db")).expect("a file can be moved");
    shop.sql("shop.db", "DELETE FROM t WHERE id = 2;");
    watcher.brings("both changes at the target", || {
        shop.sql("till.db", "SELECT group_concat(v) FROM t WHERE id < 3;") == "moved"
    });
    watcher.gets("INT").ends().exits(0);
    shop.same_rows("shop.db", "till.db");
}
