//! References to rows that are not there: counted, and written all the same.

use crate::given::{given, shell};
use std::sync::atomic::{AtomicBool, Ordering};
use tidewater_core::link::Event;

#[test]
fn rows_that_refer_to_nothing_are_counted() {
    let pair = given(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p);
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1,1),(2,NULL);",
    );
    let report = pair.follows("INSERT INTO p VALUES (2); INSERT INTO c VALUES (3,2);");
    assert_eq!(report.dangling, 0);
    let report = pair.follows("INSERT INTO c VALUES (4,44);");
    assert_eq!(report.dangling, 1, "as at the source, where nothing checked it");
}

#[test]
fn references_are_counted_when_the_source_is_consistent_also_of_batches_before() {
    // Ten rows a second make batches of one row.
    let pair = given(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p);
         CREATE TABLE z(id INTEGER PRIMARY KEY);",
    )
    .with(|settings| settings.rows_per_second_max = Some(10));
    let report = pair.follows("INSERT INTO c VALUES (1,1); INSERT INTO p VALUES (1); INSERT INTO z VALUES (1);");
    assert_eq!(report.dangling, 0, "the parent came");
    let report = pair.follows("INSERT INTO c VALUES (2,22); INSERT INTO z VALUES (2);");
    assert_eq!(report.dangling, 1, "the parent never came");
    pair.writes("INSERT INTO c VALUES (3,33); INSERT INTO z VALUES (3), (4), (5);");
    let (source, first) = (pair.source.clone(), AtomicBool::new(true));
    let report = pair.syncs_while(move |event| {
        if matches!(event, Event::Applied { .. }) && first.swap(false, Ordering::Relaxed) {
            shell(&source, "DELETE FROM c WHERE id = 3; INSERT INTO z VALUES (6);");
        }
    });
    assert_eq!((report.upserts, report.dangling), (5, 0), "the row came, and is gone");
}
