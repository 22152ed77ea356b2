//! The journal as it grows: page by page, for how long, and making room.

use super::BOTH;
use crate::given::{Place, given, numbered};

const DAYS_91_MS: i64 = 91 * 24 * 3600 * 1000;

/// `shop.db` and `till.db` of which both have written rows 1 to 5; and then the shop has written rows 1 to 3 again.
fn five_conflicts(flags: &str) -> Place {
    let place = given(&numbered(9));
    place.tidewater(&format!("{BOTH} {flags}")).exits(0);
    for database in ["shop.db", "till.db"] {
        place.sql(database, &format!("UPDATE t SET v = '{database}' || id WHERE id <= 5;"));
    }
    place.tidewater(&format!("{BOTH} {flags}")).exits(0).says("5 conflicts are in the journal");
    place.sql("shop.db", "UPDATE t SET v = 'later' WHERE id <= 3;");
    place.tidewater(&format!("{BOTH} {flags}")).exits(0);
    place
}

fn conflicts(place: &Place, database: &str) -> String {
    place.sql(database, "SELECT count(*) FROM _tidewater_conflict;")
}

/// What ended did so three months ago.
fn three_months_pass(place: &Place) {
    for database in ["shop.db", "till.db"] {
        place.sql(
            database,
            &format!("UPDATE _tidewater_conflict SET ended = ended - {DAYS_91_MS}, at = at - {DAYS_91_MS};"),
        );
    }
}

#[test]
fn a_journal_is_read_page_by_page() {
    let place = five_conflicts("");
    let list = "conflicts list sqlite:shop.db";
    let all = place.tidewater(&format!("{list} --json")).exits(0).json();
    assert_eq!((&all["total"], &all["more"]), (&5.into(), &false.into()), "{all}");
    let ids: Vec<&str> = all["conflicts"].as_array().expect("all").iter().filter_map(|c| c["id"].as_str()).collect();
    place.tidewater(list).exits(0).never_says("Showing").never_says("Conflicts are kept");

    let first = place.tidewater(&format!("{list} --limit 2 --table t")).exits(0);
    let next = "tidewater conflicts list sqlite:shop.db --table t --limit 2 --page 2";
    first.says(&format!("Showing 1 to 2 of 5; the next page: {next}\n")).says(&ids[0][..8]).never_says(&ids[2][..8]);
    let second = place.tidewater(next.trim_start_matches("tidewater ")).exits(0);
    second.says("Showing 3 to 4 of 5; ").says("--page 3").says(&ids[2][..8]).never_says(&ids[0][..8]);
    place.tidewater(&format!("{list} --limit 2 --page 3")).exits(0).says("Showing 5 to 5 of 5, the last page.");
    place.tidewater(&format!("{list} --limit 2 --page 4")).exits(0).says("There are 5 in all");
    let page = place.tidewater(&format!("{list} --limit 2 --page 2 --json")).exits(0).json();
    assert_eq!((&page["conflicts"][0]["id"], &page["total"], &page["more"]), (&ids[2].into(), &5.into(), &true.into()));

    place
        .tidewater(&format!("{list} --id {}", ids[1].to_uppercase()))
        .exits(0)
        .says(&ids[1][..8])
        .never_says(&ids[0][..8]);
    place.tidewater(&format!("{list} --id x*")).exits(2).says("no ID of a conflict begins with x*");
    place.tidewater(&format!("{list} --page 0")).exits(2);
}

#[test]
fn a_journal_keeps_what_is_over_for_as_long_as_it_is_told() {
    let manual = "--conflicts manual --journal-keep-days 90";
    let place = five_conflicts(manual);
    place
        .tidewater("conflicts list sqlite:till.db")
        .exits(0)
        .says("Conflicts are kept for 90 days once superseded; all");
    let before = conflicts(&place, "till.db");
    three_months_pass(&place);
    // Without the setting everything stays.
    place.tidewater(&format!("{BOTH} --conflicts manual")).exits(0);
    assert_eq!(conflicts(&place, "till.db"), before);
    place.tidewater("conflicts list sqlite:till.db").exits(0).never_says("Conflicts are kept");
    place.tidewater(&format!("{BOTH} {manual}")).exits(0);
    for database in ["shop.db", "till.db"] {
        let left = place.tidewater(&format!("conflicts list sqlite:{database} --json")).exits(0).json();
        let left: Vec<_> = left["conflicts"].as_array().expect("some").iter().map(|c| c["state"].clone()).collect();
        assert_eq!(left, ["open"; 5], "{database}: open ones stay");
    }
    place.tidewater(&format!("{BOTH} --journal-keep-days 0")).exits(2).says("--journal-keep-days");
}

#[test]
fn a_person_makes_room_in_a_journal() {
    let place = five_conflicts("");
    three_months_pass(&place);
    let forget = "conflicts forget sqlite:shop.db --older-than-days";
    let none = place.tidewater(&format!("{forget} 92")).exits(0);
    none.says("shop.db: forgot 0 conflicts superseded more than 92 days ago").says("5 conflicts stay");
    place
        .tidewater(&format!("{forget} 90"))
        .exits(0)
        .says("forgot 3 conflicts superseded more than 90 days ago")
        .says("2 conflicts stay");
    assert_eq!((conflicts(&place, "shop.db"), conflicts(&place, "till.db")), ("2".into(), "5".into()));
    let facts = place.tidewater("conflicts forget sqlite:till.db --older-than-days 0 --json").exits(0).json();
    assert_eq!((&facts["conflicts_forgotten"], &facts["conflicts_kept"]), (&3.into(), &2.into()), "{facts}");
    place.tidewater("conflicts forget sqlite:shop.db").exits(2).says("--older-than-days");
    place.tidewater(BOTH).exits(0).says("in step");
    place.same_rows("shop.db", "till.db");
}

#[test]
fn what_runs_one_way_replaced_is_kept_for_as_long_as_it_is_told() {
    let place = given(&numbered(1_200));
    place.sql("till.db", &format!("{} UPDATE t SET v = 'own';", numbered(1_200)));
    place.tidewater("sync sqlite:shop.db sqlite:till.db --existing overwrite").exits(0);
    place.sql("till.db", "UPDATE t SET v = 'own' WHERE id <= 3;");
    place.tidewater("verify sqlite:shop.db sqlite:till.db --repair").exits(0);
    place.sql("till.db", "UPDATE _tidewater_journal SET at = datetime('now', '-91 days') WHERE id <= 1200;");
    let rows = || place.sql("till.db", "SELECT count(*) FROM _tidewater_journal;");
    place.tidewater("sync sqlite:shop.db sqlite:till.db").exits(0);
    assert_eq!(rows(), "1203");
    place.tidewater("sync sqlite:shop.db sqlite:till.db --journal-keep-days 90").exits(0);
    assert_eq!(rows(), "3", "the run of today stays");
    // A run goes as a whole: while one row of it is young, all stay.
    place.sql("till.db", "UPDATE _tidewater_journal SET at = datetime('now', '-91 days') WHERE id < (SELECT max(id) FROM _tidewater_journal);");
    place.tidewater("conflicts forget sqlite:till.db --older-than-days 90").exits(0);
    assert_eq!(rows(), "3");
    place.sql("till.db", "UPDATE _tidewater_journal SET at = datetime('now', '-91 days');");
    place
        .tidewater("conflicts forget sqlite:till.db --older-than-days 90")
        .exits(0)
        .says("and 3 rows that runs one way");
    assert_eq!(rows(), "0");
    place.tidewater("conflicts list sqlite:till.db").exits(0).says("till.db: no conflicts").never_says("One way");
    place.tidewater("teardown sqlite:shop.db sqlite:till.db").exits(0);
    assert_eq!(place.installed("till.db"), "");
}
