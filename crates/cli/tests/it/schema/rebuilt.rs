//! Tables rebuilt the way migrations of SQLite work: a new table is filled from the old one, which is dropped, and
//! takes its name. Our triggers go with the old one; what is written meanwhile is found all the same.

use crate::given::{Place, given};

const POLLS: &str =
    "CREATE TABLE polls_question(id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, rank INTEGER);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
    INSERT INTO polls_question SELECT i, 'question ' || i, i % 7 FROM n;
    CREATE TABLE polls_choice(id INTEGER PRIMARY KEY, question INTEGER REFERENCES polls_question(id));
    INSERT INTO polls_choice VALUES (1,1);";

/// As `python manage.py migrate` does to change a column: in one transaction, foreign keys off.
const DJANGO: &str = "PRAGMA foreign_keys = OFF; BEGIN;
    UPDATE polls_question SET text = 'before' WHERE id = 1;
    CREATE TABLE new__polls_question(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, text varchar(300) NOT NULL, rank INTEGER);
    INSERT INTO new__polls_question(id, text, rank) SELECT id, text, rank FROM polls_question;
    DROP TABLE polls_question;
    ALTER TABLE new__polls_question RENAME TO polls_question;
    CREATE INDEX polls_by_rank ON polls_question(rank);
    UPDATE polls_question SET text = 'during' WHERE id = 2;
    DELETE FROM polls_question WHERE id = 3;
    COMMIT;
    INSERT INTO polls_question VALUES (100,'after',1);
    UPDATE polls_question SET text = 'after' WHERE id = 4; DELETE FROM polls_question WHERE id = 5;";

/// As Alembic's batch mode does, without a transaction around it: other programs see every step.
const ALEMBIC: [&str; 5] = [
    "CREATE TABLE _alembic_tmp_polls_question(id INTEGER NOT NULL, text VARCHAR(300) NOT NULL, rank INTEGER, PRIMARY KEY (id));",
    "INSERT INTO _alembic_tmp_polls_question(id, text, rank) SELECT id, text, rank FROM polls_question;
     UPDATE _alembic_tmp_polls_question SET text = 'during' WHERE id = 2;",
    "DROP TABLE polls_question;",
    "ALTER TABLE _alembic_tmp_polls_question RENAME TO polls_question;",
    "UPDATE polls_question SET text = 'after' WHERE id = 4; DELETE FROM polls_question WHERE id = 5;
     INSERT INTO polls_question VALUES (100,'after',1);",
];

#[track_caller]
fn is_followed_again(place: &Place) {
    place.same_rows("shop.db", "till.db");
    place.sql("shop.db", "UPDATE polls_question SET rank = 99 WHERE id < 20;");
    let next = place.tries_to_sync("--json").exits(0);
    assert_eq!(next.count("rows_compared"), 0, "by its changes alone: {next}");
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_table_rebuilt_as_django_does_misses_nothing() {
    let place = given(POLLS);
    place.syncs();
    place.sql("shop.db", DJANGO);
    place.syncs().says("Installed in shop.db: triggers on polls_question");
    is_followed_again(&place);
}

#[test]
fn a_table_rebuilt_twice_between_two_runs_misses_nothing() {
    let place = given(POLLS);
    place.syncs();
    place.sql("shop.db", DJANGO);
    place.sql("shop.db", &DJANGO.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS").replace("(100,", "(101,"));
    place.syncs();
    is_followed_again(&place);
}

#[test]
fn a_table_rebuilt_as_django_does_is_followed_by_a_watcher() {
    let place = given(POLLS);
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    place.sql("shop.db", DJANGO);
    let rows = "SELECT count(*) FROM polls_question WHERE text IN ('before', 'during', 'after');";
    watcher.brings("all that was written meanwhile", || place.sql("till.db", rows) == "4");
    watcher.gets("TERM").ends().exits(0);
    is_followed_again(&place);
}

#[test]
fn a_table_rebuilt_as_alembic_does_misses_nothing() {
    let place = given(POLLS);
    place.syncs();
    place.sql("shop.db", &ALEMBIC.concat());
    place.syncs();
    is_followed_again(&place);
}

/// Each step is seen by the watcher before the next is taken: it takes the table in between for one of the user's.
fn step_by_step_under_a_watcher(source: &str) {
    let place = given(&format!("{source} CREATE TABLE steps(id INTEGER PRIMARY KEY);"));
    let watcher = place.starts("sync sqlite:shop.db sqlite:till.db --watch").in_step();
    for (number, step) in ALEMBIC.iter().enumerate() {
        place.sql("shop.db", &format!("{step} INSERT INTO steps VALUES ({number});"));
        let seen = format!("SELECT count(*) FROM steps WHERE id = {number};");
        watcher.brings(&format!("seeing step {number}"), || place.sql("till.db", &seen) == "1");
    }
    watcher.gets("TERM").ends();
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_table_rebuilt_step_by_step_under_a_watcher_misses_nothing() {
    step_by_step_under_a_watcher(&POLLS[..POLLS.find("CREATE TABLE polls_choice").expect("there")]);
}

#[test]
fn a_parent_rebuilt_step_by_step_under_a_watcher_misses_nothing() {
    step_by_step_under_a_watcher(POLLS);
}

#[test]
fn a_table_rebuilt_by_restoring_a_dump_misses_nothing() {
    let place = given(POLLS);
    place.syncs();
    let dump = place.sql("shop.db", ".dump polls_choice").replace("VALUES(1,1)", "VALUES(7,7)");
    let restored: String = dump.lines().filter(|line| !line.contains("_tidewater_")).collect::<Vec<_>>().join("\n");
    place.sql("shop.db", &format!("DROP TABLE polls_choice;\n{restored}"));
    place.syncs();
    place.same_rows("shop.db", "till.db");
}
