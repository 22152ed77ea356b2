//! Real data: about 28,000 airports with accents, quotes and empty fields, imported as people do it.

use crate::given::an_empty_place;
use std::path::PathBuf;

const TABLE: &str = "CREATE TABLE airports(icao TEXT PRIMARY KEY, iata TEXT, name TEXT NOT NULL, city TEXT, subd TEXT,
    country TEXT, elevation REAL, lat REAL, lon REAL, tz TEXT, lid TEXT);";

/// Where `scripts/test` has put the data.
fn csv() -> PathBuf {
    let folder = std::env::var("TIDEWATER_TEST_DATA").unwrap_or_else(|_| {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target");
        format!("{}/test-data", std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| target.to_owned()))
    });
    let csv = PathBuf::from(folder).join("airports.csv");
    assert!(
        csv.is_file(),
        "{} is missing: run scripts/test once, which fetches it, or say with TIDEWATER_TEST_DATA where it lies",
        csv.display()
    );
    csv
}

#[test]
fn real_data_is_carried_and_proved_equal() {
    let place = an_empty_place();
    let import = format!("{TABLE}\n.import --csv --skip 1 {} airports", csv().display());
    place.sql("world.db", &import);
    let rows: u64 = place.sql("world.db", "SELECT count(*) FROM airports;").parse().expect("a number");
    assert!(rows > 28_000, "all of the file was imported: {rows}");
    let sync = "sync sqlite:world.db sqlite:copy.db --json";

    let first = place.tidewater(sync).exits(0);
    assert_eq!(first.count("rows_copied"), rows);

    let even = place.sql(
        "world.db",
        "UPDATE airports SET elevation = elevation + 0.5, name = name || ' ✈' WHERE rowid % 2 = 0;
         SELECT changes();
         DELETE FROM airports WHERE country = 'LI';
         INSERT INTO airports(icao, name, city) VALUES ('QQQQ', 'Ærø \"Kö\" – 空港', ''), ('QQQR', '', NULL);",
    );
    let gone: u64 =
        rows + 2 - place.sql("world.db", "SELECT count(*) FROM airports;").parse::<u64>().expect("a number");
    let second = place.tidewater(sync).exits(0);
    assert_eq!((second.count("rows_copied"), second.count("rows_compared")), (0, 0), "{second}");
    assert_eq!(second.count("deletes"), gone, "{second}");
    let even: u64 = even.parse().expect("a number");
    let upserts = second.count("upserts");
    assert!((even + 2 - gone..=even + 2).contains(&upserts), "half of the rows, and two new ones: {second}");

    place.tidewater("verify sqlite:world.db sqlite:copy.db").exits(0).says("equal");
    place.same_rows("world.db", "copy.db");
}
