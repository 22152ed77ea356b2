//! Files that are copied, put back, or lose their log: noticed, and nothing is lost.

use super::group::{Group, group};

const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);";

fn copy(g: &Group, from: char, to: char) {
    g.write(from, "PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::copy(g.path(from), g.path(to)).expect("it is copied");
}

fn met() -> Group {
    let g = group("ab", T);
    g.write('a', "INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    g.meet("ab");
    g
}

#[test]
fn a_copy_of_a_member_is_a_member_of_its_own() {
    let g = met();
    copy(&g, 'a', 'c');
    g.write('a', "UPDATE t SET v = 'a' WHERE id = 1");
    g.write('c', "UPDATE t SET v = 'c' WHERE id = 2; INSERT INTO t VALUES (3, 'c')");
    let report = g.meet("cb");
    assert!(report.members[0].renewed.is_some(), "{report:?}");
    g.meet("ab");
    g.meet("cb");
    assert_eq!(g.same("abc", "t"), "1|a\n2|c\n3|c");
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn a_restored_file_gets_back_what_it_sent() {
    let g = met();
    copy(&g, 'a', 'x');
    g.write('a', "UPDATE t SET v = 'sent' WHERE id = 1; INSERT INTO t VALUES (4, 'sent')");
    g.meet("ab");
    g.write('b', "UPDATE t SET v = 'from b' WHERE id = 2");
    g.meet("ab");
    // Put back over the file itself, with the witness still there.
    std::fs::copy(g.path('x'), g.path('a')).expect("it is put back");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", g.path('a').display()));
    }
    g.write('a', "INSERT INTO t VALUES (5, 'after the restore'); UPDATE t SET v = 'again' WHERE id = 1");
    let report = g.meet("ab");
    assert!(report.members[0].renewed.is_some(), "{report:?}");
    let held = g.same("ab", "t");
    assert!(held.contains("2|from b") && held.contains("4|sent") && held.contains("5|after the restore"), "{held}");
    // The two writes of row 1 did not know of each other: one is shown, the other is in the journal.
    assert_eq!(g.conflicts('b').len(), 1, "{:?}", g.conflicts('b'));
}

/// Writes bytes back into the same file.
fn put_back(path: std::path::PathBuf, bytes: &[u8]) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
    file.expect("it is there").write_all(bytes).expect("it is written");
}

fn witness(g: &Group, member: char) -> std::path::PathBuf {
    format!("{}-tidewater-witness", g.path(member).display()).into()
}

#[test]
fn a_machine_put_back_to_a_snapshot_is_known_by_what_others_have_seen() {
    let g = met();
    let [file, said] = [g.path('a'), witness(&g, 'a')].map(|path| std::fs::read(path).expect("a file"));
    g.write('a', "INSERT INTO t VALUES (4, 'sent')");
    g.meet("ab");
    g.write('a', "PRAGMA wal_checkpoint(TRUNCATE)");
    put_back(g.path('a'), &file);
    put_back(witness(&g, 'a'), &said);
    // A snapshot has the file system's times, too.
    let of = std::fs::metadata(witness(&g, 'a')).expect("a file");
    let changed_ns =
        std::os::unix::fs::MetadataExt::ctime(&of) * 1_000_000_000 + std::os::unix::fs::MetadataExt::ctime_nsec(&of);
    g.write('a', &format!("UPDATE _tidewater_replica SET witnessed = {changed_ns}"));
    g.write('a', "INSERT INTO t VALUES (6, 'after')");
    let report = g.meet("ab");
    let why = report.members[0].renewed.as_deref();
    assert!(why.is_some_and(|why| why.starts_with("others have seen")), "the witness agrees: {report:?}");
    assert_eq!(g.same("ab", "t"), "1|one\n2|two\n4|sent\n6|after");
}

#[test]
fn a_folder_put_back_with_its_witness_is_known_before_it_meets_who_knows() {
    let g = group("abc", T);
    g.meet("abc");
    g.write('a', "INSERT INTO t VALUES (1, 'one')");
    g.meet("abc");
    g.write('a', "PRAGMA wal_checkpoint(TRUNCATE)");
    let copies = [g.path('a'), witness(&g, 'a')].map(|path| (std::fs::read(&path).expect("a file"), path));
    // Only b sees this one.
    g.write('a', "INSERT INTO t VALUES (2, 'sent to b')");
    g.meet("ab");
    g.write('a', "PRAGMA wal_checkpoint(TRUNCATE)");
    copies.into_iter().for_each(|(bytes, path)| put_back(path, &bytes));
    // It would get the number of the one before. c knows nothing of that, and hands it on.
    g.write('a', "INSERT INTO t VALUES (3, 'sent to c')");
    let report = g.meet("ca");
    assert!(report.members[1].renewed.is_some(), "{report:?}");
    g.meet("abc");
    assert_eq!(g.same("abc", "t"), "1|one\n2|sent to b\n3|sent to c");
}

#[test]
fn a_log_that_overflowed_is_made_up_for() {
    let mut g = group("ab", T);
    g.log_rows_max = 64;
    g.write('a', "INSERT INTO t SELECT value, 'v' || value FROM generate_series(1, 500)");
    g.meet("ab");
    g.write('b', "UPDATE t SET v = 'b' WHERE id = 7");
    g.write(
        'a',
        "DELETE FROM t WHERE id > 400; UPDATE t SET v = v || '!' WHERE id <= 300; INSERT INTO t VALUES (1000, 'new')",
    );
    g.meet("ab");
    let held = g.same("ab", "t");
    assert_eq!(held.lines().count(), 401);
    assert!(held.contains("1000|new") && held.contains("300|v300!"));
}

#[test]
fn triggers_that_a_migration_dropped_are_made_again_and_nothing_is_missed() {
    let g = met();
    g.write(
        'a',
        "CREATE TABLE n(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO n SELECT * FROM t; DROP TABLE t;
         ALTER TABLE n RENAME TO t; UPDATE t SET v = 'unseen' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (9, 'nine')",
    );
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|unseen\n9|nine");
    g.write('a', "UPDATE t SET v = 'seen' WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|seen\n9|nine");
}

#[test]
fn leaving_takes_everything_out() {
    let g = met();
    let mut replica = super::group::open(&g.path('a'), tidewater_sqlite::Access::Write);
    crate::given::block_on(tidewater_core::replica::Replica::leave(&mut replica)).expect("it leaves");
    drop(replica);
    assert_eq!(g.count('a', "sqlite_schema WHERE name LIKE '_tidewater%'"), 0);
    let left: Vec<_> = std::fs::read_dir(g.folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("a.db-tidewater")), "{left:?}");
    // And meets again as at first contact: equal rows are one.
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|one\n2|two");
}

#[test]
fn a_table_that_is_dropped_on_one_side_is_filled_again_and_loses_no_row_elsewhere() {
    for recreated in [false, true] {
        let g = met();
        g.write('b', "INSERT INTO t VALUES (3, 'from b')");
        g.meet("ab");
        g.write(
            'b',
            if recreated { "DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)" } else { "DROP TABLE t" },
        );
        let report = g.meet("ab");
        assert!(report.members[1].renewed.is_some(), "{report:?}");
        assert_eq!(g.same("ab", "t"), "1|one\n2|two\n3|from b", "recreated: {recreated}");
    }
}
