//! Members that hold some columns or some rows: leaves of one that holds everything.

use super::group::{Group, group, later};
use super::locks::Engine;
use crate::given::until;
use std::collections::BTreeMap;
use tidewater_core::change::{Filter, TableScope};
use tidewater_core::code;
use tidewater_core::merge::Rule;
use tidewater_core::replica::Choice;

const ORDERS: &str =
    "CREATE TABLE orders(id INTEGER PRIMARY KEY, store INTEGER, item TEXT, price REAL DEFAULT 1.5, note TEXT);";

/// What is special about `table` at a leaf.
fn part(exclude: &[&str], filter: &str) -> TableScope {
    let filter = (!filter.is_empty()).then(|| Filter::parse(filter, &BTreeMap::new()).expect("a filter"));
    TableScope { exclude: exclude.iter().map(|&name| name.to_owned()).collect(), filter, ..TableScope::default() }
}

/// Members at these places hold a part of `orders`.
fn leaves(g: &mut Group, parts: &[(usize, TableScope)]) {
    g.settings.parts = parts.iter().map(|(at, scope)| (*at, [("orders".to_owned(), scope.clone())].into())).collect();
}

fn rows(g: &Group, member: char, columns: &str) -> String {
    g.write(member, &format!("SELECT {columns} FROM orders ORDER BY id"))
}

/// A full member meets the leaf of three. Whether they are in step.
fn meet_some(g: &mut Group, members: &str) -> bool {
    let parts = g.settings.parts.clone();
    g.settings.parts = parts.values().map(|scope| (1, scope.clone())).collect();
    let report = g.try_meet(members).expect("they meet");
    g.settings.parts = parts;
    report.in_step
}

/// All three, of whom `c` is the leaf.
fn meet_all(g: &mut Group, members: &str) {
    let parts = g.settings.parts.clone();
    g.settings.parts = parts.values().map(|scope| (2, scope.clone())).collect();
    g.meet(members);
    g.settings.parts = parts;
}

fn meet_as(g: &mut Group, members: &str) {
    assert!(meet_some(g, members));
}

#[test]
fn a_leaf_is_made_with_its_columns_and_rows_and_both_sides_edits_go_through() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["price", "note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n1'), (2, 8, 'rum', 9, 'n2'), (3, 7, 'cup', 4, NULL)");
    g.meet("ab");
    assert_eq!(g.write('b', "SELECT group_concat(name) FROM pragma_table_info('orders')"), "id,store,item");
    assert_eq!(rows(&g, 'b', "id, item, store"), "1|tea|7\n3|cup|7");
    // Columns that it does not hold keep their values; those that it writes arrive; new rows get defaults.
    g.write(
        'b',
        "UPDATE orders SET item = 'green tea' WHERE id = 1; INSERT INTO orders(id, store, item) VALUES (4, 7, 'jam')",
    );
    g.write('a', "UPDATE orders SET price = 3 WHERE id = 1; UPDATE orders SET item = 'mug' WHERE id = 3");
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "*"), "1|7|green tea|3.0|n1\n2|8|rum|9.0|n2\n3|7|mug|4.0|\n4|7|jam|1.5|");
    assert_eq!(rows(&g, 'b', "id, item, store"), "1|green tea|7\n3|mug|7\n4|jam|7");
    assert!(g.conflicts('a').is_empty() && g.conflicts('b').is_empty());
    // Deletes go both ways.
    g.write('b', "DELETE FROM orders WHERE id = 1");
    g.write('a', "DELETE FROM orders WHERE id = 3");
    g.meet("ab");
    assert_eq!((rows(&g, 'a', "id"), rows(&g, 'b', "id")), ("2\n4".into(), "4".into()));
    assert_eq!(g.meet("ab").members.iter().map(|m| m.changes()).sum::<u64>(), 0);
}

#[test]
fn a_value_that_is_set_to_the_default_is_written_and_one_that_nobody_filled_in_is_not() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 7, 'cup', 4, 'm')");
    g.meet("ab");
    g.write('b', "INSERT INTO orders(id, item) VALUES (3, 'new')");
    g.meet("ab");
    g.write('b', "UPDATE orders SET item = NULL WHERE id = 1; UPDATE orders SET price = 1.5 WHERE id = 2");
    g.write('a', "UPDATE orders SET price = 9 WHERE id = 3");
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "*"), "1|7||2.5|n\n2|7|cup|1.5|m\n3||new|9.0|");
    g.write('a', "UPDATE orders SET note = 'x', item = NULL WHERE id > 1");
    g.write('a', "UPDATE orders SET note = NULL WHERE id = 2");
    g.meet("ab");
    assert_eq!(rows(&g, 'b', "*"), "1|7||2.5\n2|7||1.5\n3|||9.0");
    assert_eq!(rows(&g, 'a', "id, note"), "1|n\n2|\n3|x");
}

#[test]
fn rows_leave_a_part_and_come_back_and_no_other_key_is_ever_told() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&[], "store = 7"))]);
    g.write(
        'a',
        "INSERT INTO orders(id, store, item) SELECT value, value % 10, 'i' || value FROM generate_series(1, 100)",
    );
    g.meet("ab");
    assert_eq!(g.count('b', "orders"), 10);
    // Moved out here, moved out there, moved in, and one that was never in.
    g.write('a', "UPDATE orders SET store = 1 WHERE id = 7; UPDATE orders SET store = 7 WHERE id = 1");
    g.write('b', "UPDATE orders SET store = 2 WHERE id = 17");
    g.write('a', "UPDATE orders SET item = 'secret' WHERE id = 2; DELETE FROM orders WHERE id = 3");
    let report = g.meet("ab");
    assert_eq!((report.members[1].withdrawn, report.members[1].deletes), (2, 0), "{report:?}");
    assert_eq!(g.write('b', "SELECT group_concat(id) FROM orders"), "1,27,37,47,57,67,77,87,97");
    assert_eq!(g.count('b', "_tidewater_version WHERE hash IS NOT NULL"), 9);
    assert_eq!(g.write('a', "SELECT store FROM orders WHERE id = 17"), "2");
    // Back again, with what was written while it was away; and deleted while it was away.
    g.write('a', "UPDATE orders SET item = 'changed' WHERE id IN (7, 17)");
    g.meet("ab");
    g.write('a', "UPDATE orders SET store = 7 WHERE id = 7; DELETE FROM orders WHERE id = 17");
    g.meet("ab");
    assert_eq!(g.write('b', "SELECT item FROM orders WHERE id = 7"), "changed");
    assert_eq!(g.write('b', "SELECT count(*) FROM _tidewater_version WHERE key IN (2, 3)"), "0");
}

#[test]
fn an_edit_at_a_leaf_of_a_row_that_left_its_part_meanwhile_is_not_lost() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'keep')");
    g.meet("ab");
    g.write('a', "UPDATE orders SET store = 8 WHERE id = 1");
    g.write('b', "UPDATE orders SET item = 'from b' WHERE id = 1");
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "*"), "1|8|from b|2.5|keep");
    assert_eq!(rows(&g, 'b', "*"), "");
    // And deleted there while it was edited here: the edit is kept, and what the leaf lacks is as in a new row.
    g.write('a', "INSERT INTO orders VALUES (2, 7, 'cup', 3, 'gone with the row')");
    g.meet("ab");
    g.write('a', "DELETE FROM orders WHERE id = 2");
    later();
    g.write('b', "UPDATE orders SET item = 'kept' WHERE id = 2");
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "*"), "1|8|from b|2.5|keep\n2|7|kept|3.0|");
    assert_eq!(g.conflicts('a').len(), 1);
}

#[test]
fn several_leaves_and_full_members_converge_under_every_rule() {
    for rule in [Rule::Merge, Rule::LastWriter, Rule::FirstWriter, Rule::Prefer("c".into()), Rule::Manual] {
        let mut g = group("ab", ORDERS);
        // By column: who holds some columns only cannot settle whole rows.
        g.settings.policy.columns = [("item".to_owned(), rule.clone()), ("price".to_owned(), rule.clone())].into();
        leaves(&mut g, &[(2, part(&["note"], "")), (3, part(&["price"], "store < 5"))]);
        g.write('a', "INSERT INTO orders SELECT value, value % 10, 'i', value, 'n' FROM generate_series(1, 20)");
        g.meet("abcd");
        for round in 0..4 {
            g.write('a', &format!("UPDATE orders SET note = 'a{round}', price = {round} WHERE id % 3 = 0"));
            g.write(
                'b',
                &format!(
                    "UPDATE orders SET item = 'b{round}' WHERE id % 2 = 0; DELETE FROM orders WHERE id = {}",
                    round + 1
                ),
            );
            g.write('c', &format!("UPDATE orders SET item = 'c{round}', price = 7 WHERE id % 4 < 2; UPDATE orders SET store = store + 1 WHERE id = 9"));
            g.write('d', &format!("UPDATE orders SET note = 'd{round}', item = 'd' WHERE id % 5 = 1"));
            g.meet(["abcd", "abcd", "abcd", "abcd"][round]);
        }
        g.same("ab", "orders");
        let shown = g.write('a', "SELECT id, store, item, price FROM orders ORDER BY id");
        assert_eq!(g.write('c', "SELECT id, store, item, price FROM orders ORDER BY id"), shown, "{rule:?}");
        let shown = g.write('a', "SELECT id, store, item, note FROM orders WHERE store < 5 ORDER BY id");
        assert_eq!(g.write('d', "SELECT id, store, item, note FROM orders ORDER BY id"), shown, "{rule:?}");
    }
}

#[test]
fn a_conflict_is_the_same_at_a_leaf_and_can_be_settled_there() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], ""))]);
    g.settings.policy.columns = [("item".to_owned(), Rule::Manual)].into();
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.meet("ab");
    g.write('a', "UPDATE orders SET item = 'A'");
    later();
    g.write('b', "UPDATE orders SET item = 'B'");
    g.meet("ab");
    let (here, there) = (g.conflicts('a'), g.conflicts('b'));
    assert_eq!((here.len(), here[0].id), (1, there[0].id));
    assert!(there[0].open);
    g.settle('b', &there[0], Choice::Take(1));
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "*"), "1|7|A|2.5|n");
    assert!(!g.conflicts('a')[0].open);
    // A conflict in a column that the leaf does not hold stays open when the leaf writes another.
    let mut g = group("ab", ORDERS);
    leaves(&mut g, &[(2, part(&["note"], ""))]);
    g.settings.policy.columns = [("note".to_owned(), Rule::Manual)].into();
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.meet("abc");
    g.write('a', "UPDATE orders SET note = 'A'");
    later();
    g.write('b', "UPDATE orders SET note = 'B'");
    g.meet("abc");
    g.write('c', "UPDATE orders SET item = 'from the leaf'");
    g.meet("abc");
    assert_eq!(g.same("ab", "orders"), "1|7|from the leaf|2.5|B");
    assert_eq!(g.conflicts('a').iter().filter(|entry| entry.open).count(), 1);
}

#[test]
fn a_full_member_that_is_put_back_gets_the_leafs_writes_again_and_nobody_differs() {
    let mut g = group("ab", ORDERS);
    leaves(&mut g, &[(2, part(&["note"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 7, 'cup', 1, 'm')");
    g.meet("abc");
    copy(&g, 'a');
    // What the leaf writes is filled in with what `b` wrote, which the backup will not have.
    g.write('b', "UPDATE orders SET note = 'later'");
    g.meet("ab");
    g.write('c', "UPDATE orders SET item = 'by c'; INSERT INTO orders(id, item) VALUES (3, 'new')");
    meet_as(&mut g, "ac");
    g.meet("ab");
    put_back(&g, 'a');
    meet_as(&mut g, "ac");
    g.meet("ab");
    g.meet("abc");
    assert_eq!(g.same("ab", "orders"), "1|7|by c|2.5|later\n2|7|by c|1.0|later\n3||new|1.5|");
    assert_eq!(rows(&g, 'c', "id, item, store, price"), "1|by c|7|2.5\n2|by c|7|1.0\n3|new||1.5");
}

/// A copy of a member's file, and the member put back to it.
fn copy(g: &Group, member: char) {
    g.write(member, "PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::copy(g.path(member), g.folder.path().join("backup")).expect("a backup");
}

fn put_back(g: &Group, member: char) {
    for tail in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(g.folder.path().join(format!("{member}.db{tail}")));
    }
    std::fs::copy(g.folder.path().join("backup"), g.path(member)).expect("put back");
}

#[test]
fn a_row_that_a_leaf_gave_away_is_shown_there_again_where_who_took_it_was_put_back() {
    for rule in [Rule::Merge, Rule::LastWriter] {
        for first in ["ac", "bc", "abc", "bac"] {
            let mut g = group("ab", ORDERS);
            g.settings.policy.row = rule.clone();
            leaves(&mut g, &[(2, part(&[], "store = 7"))]);
            g.write(
                'a',
                "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 7, 'cup', 1, 'm'), (3, 7, 'rum', 1, 'm')",
            );
            g.meet("abc");
            copy(&g, 'a');
            // What the leaf writes moves both rows out of its part: it gives them to `a`, who alone holds them then.
            g.write('c', "UPDATE orders SET store = 8, item = 'given' WHERE id < 3");
            meet_as(&mut g, "ac");
            assert_eq!((rows(&g, 'c', "id"), rows(&g, 'a', "store")), ("3".into(), "8\n8\n7".into()));
            put_back(&g, 'a');
            // It is gone with the file: everybody shows what there was before, the leaf, too.
            if first.len() == 2 {
                meet_as(&mut g, first)
            } else {
                meet_all(&mut g, first)
            }
            assert_eq!(rows(&g, 'c', "id, item"), "1|tea\n2|cup\n3|rum", "{first}");
            // What it writes now is an ordinary write.
            g.write('c', "UPDATE orders SET note = 'c' WHERE id = 1; DELETE FROM orders WHERE id = 2");
            meet_all(&mut g, "abc");
            assert_eq!(g.same("abc", "orders"), "1|7|tea|2.5|c\n3|7|rum|1.0|m", "{first}");
            assert!(g.conflicts('a').is_empty());
        }
    }
}

#[test]
fn a_leaf_that_is_put_back_is_told_what_became_of_its_rows_also_by_who_never_sent_them() {
    let mut g = group("ab", ORDERS);
    leaves(&mut g, &[(2, part(&[], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 7, 'cup', 1, 'm'), (3, 7, 'rum', 1, 'm')");
    g.meet("abc");
    copy(&g, 'c');
    // All that `b` ever hears of two of them is that one was deleted at the leaf, and the other taken back from it.
    g.write('c', "DELETE FROM orders WHERE id = 1");
    g.write('a', "UPDATE orders SET store = 8 WHERE id = 2");
    meet_as(&mut g, "ac");
    g.meet("ab");
    meet_as(&mut g, "bc");
    put_back(&g, 'c');
    meet_as(&mut g, "bc");
    assert_eq!((rows(&g, 'c', "id"), rows(&g, 'b', "id, store")), ("3".into(), "2|8\n3|7".into()));
}

#[test]
fn a_leaf_shows_what_the_full_member_shows_that_it_met_last_while_they_have_not_met_each_other() {
    let mut g = group("abd", ORDERS);
    leaves(&mut g, &[(3, part(&[], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.meet("abdc");
    g.write('b', "UPDATE orders SET item = 'by b'");
    meet_as(&mut g, "bc");
    g.write('a', "UPDATE orders SET store = 8");
    let seen = |g: &mut Group, members: &str| {
        meet_as(g, members);
        rows(g, 'c', "item")
    };
    assert_eq!(
        ["ac", "dc", "bc", "dc", "bc", "ac"].map(|two| seen(&mut g, two)),
        ["", "tea", "by b", "by b", "by b", ""]
    );
    g.meet("abdc");
    assert_eq!(g.same("abd", "orders"), "1|8|by b|2.5|n");
    assert_eq!(rows(&g, 'c', "id"), "");
}

#[test]
fn a_leaf_may_exchange_with_any_member_that_holds_everything() {
    let mut g = group("ab", ORDERS);
    leaves(&mut g, &[(2, part(&["note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 7, 'cup', 1, 'm'), (3, 8, 'rum', 1, 'm')");
    g.meet("abc");
    // What the leaf writes has seen what `a` wrote, and reaches `b` first, which has not.
    g.write('a', "UPDATE orders SET note = 'A', item = 'by a' WHERE id = 1; UPDATE orders SET store = 9 WHERE id = 2");
    meet_as(&mut g, "ac");
    g.write('c', "UPDATE orders SET price = 3 WHERE id = 1; INSERT INTO orders(id, store, item) VALUES (4, 7, 'new')");
    // The second row was taken back, but `b` still shows it, and so does its leaf.
    meet_as(&mut g, "bc");
    assert_eq!(rows(&g, 'b', "*"), "1|7|by a|3.0|\n2|7|cup|1.0|m\n3|8|rum|1.0|m\n4|7|new|1.5|");
    assert_eq!(rows(&g, 'c', "id"), "1\n2\n4");
    // What nobody has filled in yet is not written by whoever writes another column.
    g.write('b', "UPDATE orders SET item = 'by b' WHERE id = 1");
    g.meet("abc");
    assert_eq!(g.same("ab", "orders"), "1|7|by b|3.0|A\n2|9|cup|1.0|m\n3|8|rum|1.0|m\n4|7|new|1.5|");
    assert_eq!(rows(&g, 'c', "id, item"), "1|by b\n4|new");
    // A row that the one has taken back, as the other sees it.
    g.write('b', "UPDATE orders SET store = 1 WHERE id = 4");
    meet_as(&mut g, "bc");
    assert_eq!(rows(&g, 'c', "id, item"), "1|by b");
    g.meet("abc");
    assert!(g.conflicts('a').is_empty(), "{:?}", g.conflicts('a'));
}

#[test]
fn leaves_exchange_nothing_with_each_other() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], "")), (2, part(&["price"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.meet("abc");
    g.write('b', "UPDATE orders SET item = 'b'");
    let engine = Engine::watches(&[g.path('a'), g.path('d')]);
    g.write('a', "INSERT INTO orders(id, item) VALUES (2, 'a')");
    until("the engine works", || g.path('d').exists() && g.count('d', "sqlite_schema WHERE name = 'orders'") == 1);
    let error = g.try_meet("abc").expect_err("the only one that holds everything is taken");
    assert!(error.to_string().contains("nobody is there"), "{error}");
    drop(engine);
    g.meet("abc");
    assert_eq!(rows(&g, 'c', "*"), "1|7|b|n\n2||a|");
}

#[test]
fn a_part_that_changes_is_refused_in_its_columns_and_followed_in_its_rows() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 8, 'cup', 1, 'm')");
    g.meet("ab");
    leaves(&mut g, &[(1, part(&["note"], "store = 8"))]);
    g.meet("ab");
    assert_eq!(rows(&g, 'b', "id"), "2");
    leaves(&mut g, &[(1, part(&["price"], "store = 8"))]);
    assert_eq!(g.try_meet("ab").expect_err("other columns").code, code::PART_CHANGED);
    g.settings.parts.clear();
    assert_eq!(g.try_meet("ab").expect_err("all columns").code, code::PART_CHANGED);
    leaves(&mut g, &[(0, part(&["note"], "")), (1, part(&["note"], ""))]);
    assert_eq!(g.try_meet("ab").expect_err("nobody holds everything").code, code::SCOPE);
    let mut whole = group("ab", ORDERS);
    whole.meet("ab");
    leaves(&mut whole, &[(1, part(&["note"], ""))]);
    assert_eq!(whole.try_meet("ab").expect_err("all of it was held").code, code::PART_CHANGED);
    leaves(&mut g, &[(1, part(&["id"], ""))]);
    assert_eq!(g.try_meet("ab").expect_err("no key").code, code::SCOPE);
    leaves(&mut g, &[(1, part(&["nowhere"], ""))]);
    assert_eq!(g.try_meet("ab").expect_err("no such column").code, code::SCOPE);
    leaves(&mut g, &[(1, part(&["note"], ""))]);
    g.settings.policy.row = Rule::LastWriter;
    assert_eq!(g.try_meet("ab").expect_err("rows are settled as a whole").code, code::SCOPE);
}

#[test]
fn rows_that_both_had_before_meet_by_the_columns_that_both_have() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note", "price"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 8, 'cup', 1, 'm')");
    g.write('b', "CREATE TABLE orders(id INTEGER PRIMARY KEY, store INTEGER, item TEXT)");
    g.write('b', "INSERT INTO orders VALUES (1, 7, 'tea'), (3, 9, 'own')");
    g.meet("ab");
    assert!(g.conflicts('a').is_empty() && g.conflicts('b').is_empty());
    assert_eq!(rows(&g, 'a', "*"), "1|7|tea|2.5|n\n2|8|cup|1.0|m\n3|9|own|1.5|");
    assert_eq!(rows(&g, 'b', "*"), "1|7|tea\n2|8|cup\n3|9|own");
    // Different ones are refused, as between full members.
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note", "price"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.write('b', "CREATE TABLE orders(id INTEGER PRIMARY KEY, store INTEGER, item TEXT)");
    g.write('b', "INSERT INTO orders VALUES (1, 7, 'rum')");
    assert_eq!(g.try_meet("ab").expect_err("they differ").code, code::FIRST_CONTACT_DIFFERS);
}

#[test]
fn a_row_that_stands_aside_is_taken_back_from_a_leaf_and_comes_again() {
    let mut g = group("ab", "CREATE TABLE orders(id INTEGER PRIMARY KEY, store INTEGER, mail TEXT UNIQUE, note TEXT);");
    leaves(&mut g, &[(2, part(&["note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'x', 'n')");
    g.meet("abc");
    g.write('b', "INSERT INTO orders VALUES (2, 8, 'one', 'b')");
    later();
    g.write('c', "INSERT INTO orders(id, store, mail) VALUES (3, 7, 'one')");
    let report = g.try_meet("abc").expect("they meet");
    assert_eq!(report.members[0].parked, 1, "{report:?}");
    assert_eq!(rows(&g, 'c', "id"), "1");
    g.write('a', "DELETE FROM orders WHERE id = 2");
    g.meet("abc");
    assert_eq!(g.same("ab", "orders"), "1|7|x|n\n3|7|one|");
    assert_eq!(rows(&g, 'c', "id, mail, store"), "1|x|7\n3|one|7");
}

#[test]
fn a_column_added_later_reaches_a_leaf_that_holds_all_but_some() {
    let mut g = group("ab", ORDERS);
    leaves(&mut g, &[(2, part(&["note"], ""))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n'), (2, 8, 'cup', 1, 'm')");
    g.meet("abc");
    g.write('c', "UPDATE orders SET item = 'pending' WHERE id = 2");
    g.write(
        'a',
        "ALTER TABLE orders ADD COLUMN colour TEXT DEFAULT 'red'; UPDATE orders SET colour = 'blue' WHERE id = 1",
    );
    g.meet("abc");
    assert_eq!(rows(&g, 'c', "id, store, item, price, colour"), "1|7|tea|2.5|blue\n2|8|pending|1.0|red");
    g.write('c', "UPDATE orders SET colour = 'green' WHERE id = 2");
    g.meet("abc");
    assert_eq!(g.same("ab", "orders"), "1|7|tea|2.5|n|blue\n2|8|pending|1.0|m|green");
}

#[test]
fn what_is_inserted_under_a_key_that_was_taken_back_is_a_conflict_and_not_an_overwrite() {
    let mut g = group("a", ORDERS);
    leaves(&mut g, &[(1, part(&["note"], "store = 7"))]);
    g.write('a', "INSERT INTO orders VALUES (1, 7, 'tea', 2.5, 'n')");
    g.meet("ab");
    // The leaf itself moves it out, and then has another row of that key.
    g.write('b', "UPDATE orders SET store = 8, item = 'moved' WHERE id = 1");
    g.meet("ab");
    assert_eq!(rows(&g, 'b', "*"), "");
    later();
    g.write('b', "INSERT INTO orders VALUES (1, 7, 'another', 1)");
    g.write('b', "UPDATE orders SET price = 4 WHERE id = 1");
    g.meet("ab");
    assert_eq!(rows(&g, 'a', "id, store, item, price"), "1|7|another|4.0");
    assert_eq!(rows(&g, 'b', "id, store, item, price"), "1|7|another|4.0");
    let entry = g.conflicts('a').remove(0);
    let kept: Vec<String> =
        entry.sides.iter().filter_map(|side| side.content.as_ref().map(ToString::to_string)).collect();
    assert!(kept.iter().any(|side| side.contains("moved")), "{kept:?}");
}

#[test]
fn columns_that_belong_together_are_held_together() {
    let mut g = group("a", ORDERS);
    g.settings.policy.together = vec![vec!["price".into(), "note".into()]];
    leaves(&mut g, &[(1, part(&["note"], ""))]);
    let error = g.try_meet("ab").expect_err("torn apart");
    assert!(error.to_string().contains("belongs together"), "{error}");
    leaves(&mut g, &[(1, part(&["note", "price"], ""))]);
    g.meet("ab");
}
