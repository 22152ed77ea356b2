//! What several links share in one database, and what other programs do there meanwhile.

use crate::given::{given, shell};
use std::sync::atomic::{AtomicBool, Ordering};
use tidewater_core::link::Event;

#[test]
fn a_row_that_another_program_writes_during_the_first_copy_is_kept_in_the_journal() {
    let pair = given(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i \
         WHERE n < 2000) INSERT INTO t SELECT n, 'v' || n FROM i;",
    )
    .with(|settings| settings.rows_per_second_max = Some(5_000));
    let (target, first) = (pair.target.clone(), AtomicBool::new(true));
    let report = pair.syncs_while(move |event| {
        if matches!(event, Event::Progress { .. }) && first.swap(false, Ordering::Relaxed) {
            shell(&target, "INSERT INTO t VALUES (1998, 'v1998'), (1999, 'its own');");
        }
    });
    pair.same();
    assert_eq!((report.journaled, report.copied), (1, 2_000), "an equal row needs no entry: {report:?}");
    assert_eq!(pair.restores(&report.run), 1);
    assert_eq!(pair.at_target("SELECT v FROM t WHERE id IN (1998, 1999) ORDER BY id;"), "v1998\nits own");
}
