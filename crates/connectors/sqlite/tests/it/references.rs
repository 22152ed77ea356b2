//! References to rows that are not there: counted, and written all the same.

use crate::given::given;

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
    let report = pair.follows("INSERT INTO c VALUES (3,33); INSERT INTO z VALUES (3); DELETE FROM c WHERE id = 3;");
    assert_eq!(report.dangling, 0, "the row is gone");
}
