//! Rows that refer to rows that another side deleted.
//!
//! That these can fail was tried by hand, with this planted in turn: children of a row that is gone are not looked at;
//! only the first of them are, and not theirs; orphans are never looked at again; a row that came is not looked at;
//! orphans of a cycle are brought back one by one, and claim nothing; an orphan of another table keeps its claim; a row
//! is withdrawn, and its version says that it is shown; that a parent came is forgotten while a queue is being read;
//! journals are told before its end is reached; who stands there at first contact is not counted.

use super::group::{Group, group, later};
use tidewater_core::change::{Row, Value};
use tidewater_core::code;
use tidewater_core::merge::{DeleteUpdate, Kind, Orphans, Policy};
use tidewater_core::replica::{Choice, Entry};

const SHOP: &str = "CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer(id), note TEXT);
    CREATE TABLE line(id INTEGER PRIMARY KEY, orders INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE, what TEXT);
    CREATE INDEX line_orders ON line(orders);
    INSERT INTO customer VALUES (1, 'one'), (2, 'two');
    INSERT INTO orders VALUES (20, 2, 'old'); INSERT INTO line VALUES (200, 20, 'old');";

/// The members of a shop have met; then `a` deletes a customer for whom `b` writes an order with a line.
fn torn(members: &str, policy: Policy) -> Group {
    let mut g = group(members, SHOP);
    g.settings.policy = policy;
    g.meet(members);
    g.write('a', "DELETE FROM customer WHERE id = 1");
    later();
    g.write('b', "INSERT INTO orders VALUES (10, 1, 'new'); INSERT INTO line VALUES (100, 10, 'new')");
    g
}

fn parked(g: &Group, members: &str) -> Vec<usize> {
    members.chars().map(|member| g.count(member, "_tidewater_parked")).collect()
}

/// The conflicts of one kind in a journal that are not over, by table.
fn standing(g: &Group, member: char, kind: Kind) -> Vec<Entry> {
    let mut entries = g.conflicts(member);
    entries.retain(|entry| entry.kind == kind && entry.ended_ms.is_none());
    entries.sort_by(|one, other| (&one.table, &one.id).cmp(&(&other.table, &other.id)));
    entries
}

fn orphans(g: &Group, member: char) -> Vec<Entry> {
    standing(g, member, Kind::ForeignKey)
}

#[test]
fn a_child_of_a_row_deleted_elsewhere_stands_aside_on_all_sides_in_whatever_order_they_meet() {
    for order in [["ab", "bc", "ab"], ["bc", "ab", "bc"], ["ac", "ab", "bc"], ["cb", "ca", "ab"], ["ba", "ca", "bc"]] {
        let g = torn("abc", Policy::default());
        for pair in order {
            g.meet(pair);
        }
        g.meet("abc");
        assert_eq!((g.same("abc", "customer"), g.same("abc", "orders")), ("2|two".into(), "20|2|old".into()));
        assert_eq!((g.same("abc", "line"), parked(&g, "abc")), ("200|20|old".into(), vec![2, 2, 2]), "{order:?}");
        let ids = |member| orphans(&g, member).iter().map(|entry| (entry.table.clone(), entry.id)).collect::<Vec<_>>();
        assert_eq!(ids('a').len(), 2, "the order and its line, {order:?}: {:?}", g.conflicts('a'));
        assert!(ids('b') == ids('a') && ids('c') == ids('a'), "{order:?}");
        let order = &orphans(&g, 'c')[1];
        assert_eq!((order.collided.clone(), order.shown.clone(), order.open), (vec![1], None, false));
        assert_eq!(order.sides[0].content.as_ref().map(ToString::to_string), Some("10, 1, 'new'".into()));
        // It is no delete: whoever comes later gets it, too, and the parent brings all of them back.
        g.write('c', "INSERT INTO customer VALUES (1, 'again')");
        g.meet("bc");
        g.meet("abc");
        assert_eq!(g.same("abc", "orders"), "10|1|new\n20|2|old");
        assert_eq!((g.same("abc", "line"), parked(&g, "abc")), ("100|10|new\n200|20|old".into(), vec![0, 0, 0]));
        assert!("abc".chars().all(|member| orphans(&g, member).is_empty()), "{:?}", g.conflicts('a'));
    }
}

#[test]
fn a_parent_whose_delete_is_undone_brings_its_children_back() {
    let g = torn("abc", Policy { delete_update: DeleteUpdate::Delete, ..Policy::default() });
    g.write('b', "UPDATE customer SET name = 'kept' WHERE id = 1");
    g.meet("abc");
    assert_eq!((g.same("abc", "orders"), parked(&g, "abc")), ("20|2|old".into(), vec![2, 2, 2]));
    let deleted = standing(&g, 'c', Kind::DeleteUpdate).remove(0);
    assert!(g.settle('c', &deleted, Choice::Restore));
    assert_eq!((g.write('c', "SELECT name FROM customer WHERE id = 1"), parked(&g, "c")), ("kept".into(), vec![0]));
    g.meet("abc");
    assert_eq!(g.same("abc", "line"), "100|10|new\n200|20|old");
    assert!("abc".chars().all(|member| orphans(&g, member).is_empty()));
}

#[test]
fn a_parent_that_was_changed_at_the_same_time_is_kept_and_so_are_its_children() {
    let g = torn("ab", Policy::default());
    g.write('b', "UPDATE customer SET name = 'kept' WHERE id = 1");
    g.meet("ab");
    assert_eq!((g.same("ab", "line"), parked(&g, "ab")), ("100|10|new\n200|20|old".into(), vec![0, 0]));
    assert!(g.conflicts('a').iter().chain(&g.conflicts('b')).all(|entry| entry.kind == Kind::DeleteUpdate));
}

#[test]
fn an_orphan_can_be_given_another_parent_but_not_be_shown_without_one() {
    let g = torn("ab", Policy::default());
    g.meet("ab");
    let order = orphans(&g, 'a').remove(1);
    assert_eq!(order.table, "orders");
    let settle = |choice| {
        let mut replica = super::group::open(&g.path('a'), tidewater_sqlite::Access::Write);
        crate::given::block_on(replica.settle(order.id, choice))
    };
    let customer = |id| Choice::Set(vec![("customer".to_owned(), Value::I64(id))]);
    for choice in [Choice::Restore, Choice::Take(1)] {
        let error = settle(choice).expect_err("its parent is missing");
        assert!(error.code == code::ROW_HELD && error.to_string().contains("refers to is not there"), "{error}");
    }
    assert_eq!(settle(customer(7)).expect_err("there is no such row").code, code::ROW_HELD);
    assert_eq!(parked(&g, "a"), [2]);
    assert!(settle(customer(2)).expect("it has a parent now"));
    g.meet("ab");
    assert_eq!(g.same("ab", "orders"), "10|2|new\n20|2|old");
    assert_eq!((g.same("ab", "line"), parked(&g, "ab")), ("100|10|new\n200|20|old".into(), vec![0, 0]));
    assert!(orphans(&g, 'a').is_empty() && orphans(&g, 'b').is_empty());
}

#[test]
fn an_orphan_can_be_deleted_and_moved_where_it_is_still_seen() {
    let g = torn("abc", Policy::default());
    g.meet("bc");
    later();
    g.write('c', "DELETE FROM line WHERE id = 100; UPDATE orders SET customer = 2, note = 'moved' WHERE id = 10");
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), parked(&g, "ab")), ("20|2|old".into(), vec![2, 2]));
    g.meet("bc");
    g.meet("abc");
    assert_eq!(g.same("abc", "orders"), "10|2|moved\n20|2|old");
    assert_eq!((g.same("abc", "line"), parked(&g, "abc")), ("200|20|old".into(), vec![0, 0, 0]));
    assert!("abc".chars().all(|member| orphans(&g, member).is_empty()), "{:?}", g.conflicts('a'));
}

#[test]
fn what_is_written_under_the_key_of_an_orphan_leaves_it_in_the_journal() {
    let g = torn("ab", Policy::default());
    g.meet("ab");
    g.write('a', "INSERT INTO orders VALUES (10, 2, 'other')");
    g.meet("ab");
    // The line belongs to whatever order has that number.
    assert_eq!(g.same("ab", "orders"), "10|2|other\n20|2|old");
    assert_eq!((g.same("ab", "line"), parked(&g, "ab")), ("100|10|new\n200|20|old".into(), vec![0, 0]));
    let entry = g.conflicts('a').into_iter().find(|entry| entry.table == "orders").expect("it is in the journal");
    assert_eq!((entry.kind, entry.ended_ms.is_some()), (Kind::ForeignKey, true));
    assert_eq!(entry.sides[0].content.as_ref().map(ToString::to_string), Some("10, 1, 'new'".into()));
}

#[test]
fn a_program_that_leaves_orphans_sees_them_stand_aside_too() {
    let g = group("ab", SHOP);
    g.meet("ab");
    // No index leads from a customer to its orders.
    g.write(
        'a',
        "PRAGMA foreign_keys = OFF; DELETE FROM customer WHERE id = 2; INSERT INTO line VALUES (300, 99, 'x')",
    );
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), g.same("ab", "line"), parked(&g, "ab")), ("".into(), "".into(), vec![3, 3]));
    g.write('b', "INSERT INTO customer VALUES (2, 'back')");
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), g.same("ab", "line")), ("20|2|old".into(), "200|20|old".into()));
    assert_eq!((parked(&g, "ab"), orphans(&g, 'a').len()), (vec![1, 1], 1));
    // Children first, and their parent in a transaction of its own.
    g.write('a', "INSERT INTO line VALUES (400, 40, 'y'); INSERT INTO orders VALUES (40, NULL, 'none')");
    g.meet("ab");
    assert_eq!(g.same("ab", "line"), "200|20|old\n400|40|y");
}

#[test]
fn a_tree_in_one_table_is_withdrawn_and_comes_back_from_its_root() {
    let g = group(
        "abc",
        "CREATE TABLE tree(id INTEGER PRIMARY KEY, above INTEGER REFERENCES tree, slug TEXT UNIQUE);
         INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'two'), (3, 2, 'three'), (9, 9, 'itself');",
    );
    g.meet("abc");
    g.write('a', "DELETE FROM tree WHERE id = 3");
    later();
    g.write('b', "INSERT INTO tree VALUES (4, 3, 'four'), (6, 5, 'six'), (5, 4, 'five'), (7, 2, 'seven')");
    g.meet("bc");
    g.meet("abc");
    assert_eq!(g.same("abc", "tree"), "1||root\n2|1|two\n7|2|seven\n9|9|itself");
    assert_eq!((parked(&g, "abc"), orphans(&g, 'c').len()), (vec![3, 3, 3], 3));
    // Within a table an orphan keeps its claim: whether it has a parent could depend on whether it has its place.
    later();
    g.write('c', "INSERT INTO tree VALUES (8, 1, 'six')");
    g.meet("abc");
    assert_eq!(g.same("abc", "tree"), "1||root\n2|1|two\n7|2|seven\n9|9|itself");
    let unique =
        |member| standing(&g, member, Kind::Unique).iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>();
    assert_eq!((unique('a'), unique('b'), orphans(&g, 'b').len()), (vec!["8".into()], vec!["8".into()], 3));
    g.write('c', "INSERT INTO tree VALUES (3, 1, 'again')");
    g.meet("ac");
    g.meet("abc");
    assert_eq!(g.write('a', "SELECT group_concat(id) FROM (SELECT id FROM tree ORDER BY id)"), "1,2,3,4,5,6,7,9");
    assert_eq!((g.same("abc", "tree").lines().count(), parked(&g, "abc")), (8, vec![1, 1, 1]));
    assert!("abc".chars().all(|member| orphans(&g, member).is_empty()));
}

#[test]
fn rows_that_refer_to_each_other_are_shown_together_or_not_at_all() {
    let g = group(
        "ab",
        "CREATE TABLE town(id INTEGER PRIMARY KEY);
         CREATE TABLE team(id INTEGER PRIMARY KEY, town INTEGER REFERENCES town, captain INTEGER REFERENCES player);
         CREATE TABLE player(id INTEGER PRIMARY KEY, team INTEGER REFERENCES team);
         INSERT INTO town VALUES (1), (2);",
    );
    g.meet("ab");
    g.write('a', "DELETE FROM town WHERE id = 1");
    g.write('b', "INSERT INTO team VALUES (1, 1, 1), (2, 2, 2); INSERT INTO player VALUES (1, 1), (11, 1), (2, 2)");
    g.meet("ab");
    assert_eq!(
        (g.same("ab", "team"), g.same("ab", "player"), parked(&g, "ab")),
        ("2|2|2".into(), "2|2".into(), vec![3, 3])
    );
    g.write('a', "INSERT INTO town VALUES (1)");
    g.meet("ab");
    assert_eq!((g.same("ab", "team"), g.same("ab", "player")), ("1|1|1\n2|2|2".into(), "1|1\n2|2\n11|1".into()));
    // One of the two goes, and takes the other along; nobody else is to blame.
    g.write('a', "DELETE FROM player WHERE id = 2");
    g.write('b', "UPDATE team SET town = 1 WHERE id = 2");
    g.meet("ab");
    assert_eq!(
        (g.same("ab", "team"), g.same("ab", "player"), parked(&g, "ab")),
        ("1|1|1".into(), "1|1\n11|1".into(), vec![1, 1])
    );
}

#[test]
fn keys_that_are_composite_unique_or_spelled_otherwise_are_parents_as_sqlite_has_it() {
    let g = group(
        "ab",
        "CREATE TABLE part(place TEXT, number INTEGER, code TEXT COLLATE NOCASE UNIQUE, PRIMARY KEY (place, number));
         CREATE TABLE by_key(id INTEGER PRIMARY KEY, n TEXT, p TEXT, FOREIGN KEY (p, n) REFERENCES part);
         CREATE TABLE by_code(id INTEGER PRIMARY KEY, code TEXT REFERENCES part(code));
         CREATE INDEX by_key_np ON by_key(n, p);
         INSERT INTO part VALUES ('north', 1, 'x'), ('north', 2, 'y'), ('south', 1, 'z');",
    );
    g.meet("ab");
    g.write('a', "DELETE FROM part WHERE number = 2; UPDATE part SET code = 'w' WHERE code = 'z'");
    g.write(
        'b',
        "INSERT INTO by_key VALUES (1, '1', 'north'), (2, '2', 'north'), (3, 2, NULL), (4, 1, 'south');
         INSERT INTO by_code VALUES (1, 'X'), (2, 'Y'), (3, NULL), (4, 'Z')",
    );
    g.meet("ab");
    assert_eq!(g.same("ab", "by_key"), "1|1|north\n3|2|\n4|1|south");
    assert_eq!((g.same("ab", "by_code"), parked(&g, "ab")), ("1|X\n3|".into(), vec![3, 3]));
    assert_eq!(g.write('a', "PRAGMA foreign_key_check"), "");
    // Values move to other rows: these are parents as good as those before.
    g.write('b', "UPDATE part SET code = 'v' WHERE number = 1 AND place = 'north'; UPDATE part SET code = 'Z' WHERE place = 'south'");
    g.write('a', "INSERT INTO part VALUES ('north', 2, 'x2')");
    g.meet("ab");
    assert_eq!(g.same("ab", "by_key"), "1|1|north\n2|2|north\n3|2|\n4|1|south");
    assert_eq!((g.same("ab", "by_code"), parked(&g, "ab")), ("3|\n4|Z".into(), vec![2, 2]));
}

#[test]
fn orphans_are_kept_where_the_rules_say_so_and_rules_may_change() {
    let mut g = group("ab", SHOP);
    g.write('a', "PRAGMA foreign_keys = OFF; INSERT INTO orders VALUES (30, 3, 'nobody')");
    g.settings.policies.insert("orders".into(), Policy { orphans: Orphans::Keep, ..Policy::default() });
    g.meet("ab");
    g.write('b', "DELETE FROM customer WHERE id = 2");
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), parked(&g, "ab")), ("20|2|old\n30|3|nobody".into(), vec![0, 0]));
    // They do not vanish by a change of rules either.
    g.settings.policies.clear();
    let error = g.try_meet("ab").expect_err("there are orphans");
    assert_eq!(error.code, code::ORPHANS, "{error}");
    g.settings.policies.insert("orders".into(), Policy { orphans: Orphans::Keep, ..Policy::default() });
    g.write('a', "INSERT INTO customer VALUES (3, 'three'); DELETE FROM orders WHERE id = 20");
    g.meet("ab");
    g.settings.policies.clear();
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), g.same("ab", "line")), ("30|3|nobody".into(), String::new()));
    g.write('b', "DELETE FROM customer WHERE id = 3");
    g.meet("ab");
    assert_eq!((g.same("ab", "orders"), parked(&g, "ab")), (String::new(), vec![2, 2]));
    // The other way round what stood aside is shown.
    g.settings.policy.orphans = Orphans::Keep;
    g.meet("ab");
    assert_eq!((g.same("ab", "line"), g.same("ab", "orders")), ("200|20|old".into(), "30|3|nobody".into()));
    assert!(parked(&g, "ab") == [0, 0] && orphans(&g, 'a').is_empty());
}

#[test]
fn orphans_that_stand_there_at_first_contact_are_refused_and_nothing_is_written() {
    let g = group("ab", SHOP);
    g.write('b', "INSERT INTO line VALUES (1, 98, 'secret'), (2, 99, 'secret')");
    let error = g.try_meet("ab").expect_err("there are orphans");
    assert_eq!(error.code, code::ORPHANS, "{error}");
    let said = error.to_string();
    assert!(
        said.contains("b.db: line has orphans: 2 rows of it refer") || said.contains("line has orphans: 2"),
        "{said}"
    );
    assert!(
        said.contains("orphans = \"keep\"") && said.contains("foreign_key_check") && !said.contains("secret"),
        "{said}"
    );
    for member in ['a', 'b'] {
        assert_eq!(g.count(member, "sqlite_schema WHERE name LIKE '_tidewater%'"), 0);
    }
    g.write('b', "DELETE FROM line WHERE id < 3");
    g.meet("ab");
}

#[test]
fn a_parent_that_comes_later_than_its_children_leaves_no_word_in_the_journal() {
    let g = group("a", SHOP);
    g.write('b', SHOP);
    g.meet("ab");
    g.write('a', "INSERT INTO orders SELECT 1000 + value, 1, 'many' FROM generate_series(1, 5000)");
    g.meet("ab");
    g.write('b', "UPDATE customer SET name = 'written last' WHERE id = 1");
    g.meet("ab");
    g.write('a', "INSERT INTO orders SELECT 10000 + value, 2, 'more' FROM generate_series(1, 12000)");
    g.meet("ab");
    let behind = "_tidewater_version v WHERE v.seq > (SELECT seq FROM _tidewater_version v JOIN _tidewater_shared s \
                  USING (tab) WHERE s.name = 'customer' AND v.key = 1)";
    assert_eq!(g.count('a', behind), 12_000, "it is in the midst of the queue");
    g.meet("ac");
    assert_eq!((g.same("abc", "orders").lines().count(), g.conflicts('c').len()), (17_001, 0));
    assert_eq!((parked(&g, "abc"), g.same("abc", "customer")), (vec![0, 0, 0], "1|written last\n2|two".into()));
}

#[test]
fn an_orphan_does_not_keep_its_unique_value_from_others_in_whatever_order_they_meet() {
    for order in [["ab", "bc", "ab"], ["bc", "ac", "ab"], ["cb", "ba", "ca"], ["ac", "cb", "ab"]] {
        let g = group(
            "abc",
            "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);
             CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, slug TEXT UNIQUE);",
        );
        g.meet("abc");
        g.write('a', "DELETE FROM p WHERE id = 1");
        g.write('b', "INSERT INTO c VALUES (10, 1, 's')");
        later();
        g.write('c', "INSERT INTO c VALUES (20, 2, 's')");
        for pair in order {
            g.meet(pair);
        }
        g.meet("abc");
        assert_eq!((g.same("abc", "c"), parked(&g, "abc")), ("20|2|s".into(), vec![1, 1, 1]), "{order:?}");
        for member in "abc".chars() {
            assert_eq!(orphans(&g, member).len(), 1, "{order:?} {member}: {:?}", g.conflicts(member));
            assert!(standing(&g, member, Kind::Unique).is_empty(), "{order:?} {member}");
        }
        // With its parent it has the earlier claim again.
        g.write('a', "INSERT INTO p VALUES (1)");
        g.meet("abc");
        assert_eq!((g.same("abc", "c"), parked(&g, "abc")), ("10|1|s".into(), vec![1, 1, 1]), "{order:?}");
        assert_eq!((orphans(&g, 'b').len(), standing(&g, 'b', Kind::Unique).len()), (0, 1));
        // And the other may lose its parent while it stands aside for it.
        g.write('b', "PRAGMA foreign_keys = OFF; DELETE FROM p WHERE id = 2");
        g.meet("abc");
        assert_eq!((g.same("abc", "c"), parked(&g, "abc")), ("10|1|s".into(), vec![1, 1, 1]));
        assert_eq!((orphans(&g, 'c').len(), standing(&g, 'c', Kind::Unique).len()), (1, 0), "{:?}", g.conflicts('c'));
    }
}

#[test]
fn other_foreign_keys_on_one_side_are_refused() {
    let g = group("ab", "CREATE TABLE p(id INTEGER PRIMARY KEY, u TEXT UNIQUE);");
    g.write('a', "CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)");
    g.write('b', "CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER)");
    let error = g.try_meet("ab").expect_err("they differ");
    assert!(error.code == code::COLUMNS_DIFFER && error.to_string().contains("foreign keys"), "{error}");
    assert_eq!(g.count('a', "sqlite_schema WHERE name LIKE '_tidewater%'"), 0);
    // Written otherwise, but the same; what it does about deletes is for each side to say.
    g.write('b', "DROP TABLE c; CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER, FOREIGN KEY (P) REFERENCES P(ID) ON DELETE CASCADE)");
    g.meet("ab");
    // Columns that refer are added like others.
    g.write('b', "ALTER TABLE c ADD COLUMN q TEXT REFERENCES p(u) ON DELETE SET NULL; INSERT INTO p VALUES (1, 'u')");
    g.meet("ab");
    g.write('a', "DELETE FROM p");
    g.write('b', "INSERT INTO c VALUES (1, NULL, 'u'), (2, NULL, NULL)");
    g.meet("ab");
    assert_eq!((g.same("ab", "c"), parked(&g, "ab")), ("2||".into(), vec![1, 1]));
    assert_eq!(g.write('a', "SELECT on_delete FROM pragma_foreign_key_list('c') WHERE \"from\" = 'q'"), "SET NULL");
}

#[test]
fn a_foreign_key_that_a_migration_adds_is_looked_at_from_then_on() {
    let g = group("ab", "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER);");
    g.write('a', "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), (2, 2)");
    g.meet("ab");
    let migrate = "CREATE TABLE n(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p); INSERT INTO n SELECT * FROM c;
                   DROP TABLE c; ALTER TABLE n RENAME TO c;";
    g.write('a', migrate);
    g.write('b', migrate);
    g.meet("ab");
    assert_eq!((g.same("ab", "c"), parked(&g, "ab")), ("1|1".into(), vec![1, 1]));
    g.write('b', "INSERT INTO p VALUES (2)");
    g.meet("ab");
    assert_eq!((g.same("ab", "c"), parked(&g, "ab")), ("1|1\n2|2".into(), vec![0, 0]));
}

#[test]
fn a_database_from_before_orphans_were_looked_at_is_asked_about_them() {
    let mut g = group("ab", SHOP);
    g.meet("ab");
    // The rules as they were stored then: without the two words at their end.
    let words = Row::new(["merge", "keep-update"].map(|word| Value::Text(word.into())));
    let hexadecimal: String = words.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    for member in ['a', 'b'] {
        g.write(member, &format!("UPDATE _tidewater_shared SET rules = x'{hexadecimal}'"));
    }
    g.write('a', "INSERT INTO orders VALUES (30, 3, 'nobody')");
    let error = g.try_meet("ab").expect_err("there are orphans");
    assert_eq!(error.code, code::ORPHANS, "{error}");
    g.settings.policy.orphans = Orphans::Keep;
    g.meet("ab");
    assert_eq!(g.same("ab", "orders"), "20|2|old\n30|3|nobody");
}
