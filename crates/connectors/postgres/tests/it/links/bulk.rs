//! Large tables, copied in parts beside each other: as bytes, in parts that a kill leaves behind, and row by row where a
//! row is at fault.

use super::given::{End, Pair, block_on, server, until};
use super::kills::engine;
use tidewater_testing::{Postgres, Release};

/// Some 40 MB, in more than two parts; a type whose values have other numbers in every database, and a key of texts.
const LARGE: &str = "CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE readings(id bigint PRIMARY KEY, note text NOT NULL, value double precision, at timestamptz, tags int[]);
    CREATE INDEX readings_at ON readings(at);
    CREATE TABLE words(word text PRIMARY KEY, moods mood[], n numeric, UNIQUE (n));
    INSERT INTO readings SELECT i, repeat('x', 200) || i, i / 7.0, '2026-01-01'::timestamptz + i * interval '1 second',
      ARRAY[i, NULL] FROM generate_series(1, 150000) i;
    INSERT INTO words SELECT md5(i::text) || repeat('y', 200), ARRAY['calm', NULL]::mood[], i FROM generate_series(1, 60000) i;
    ANALYZE;";

fn pair(source: &Postgres, target: &Postgres) -> Pair {
    Pair::new(End::Postgres(source.url("shop")), End::Postgres(target.url("till")))
}

fn sums(server: &Postgres, database: &str) -> String {
    let sql = "SELECT (SELECT count(*) || md5(string_agg(r::text, ',' ORDER BY id)) FROM readings r), \
               (SELECT count(*) || md5(string_agg(w::text, ',' ORDER BY n)) FROM words w)";
    server.execute_in(database, sql).unwrap()
}

fn indexes(server: &Postgres, database: &str) -> String {
    let sql = "SELECT string_agg(indexdef, '; ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'";
    server.execute_in(database, sql).unwrap()
}

#[test]
fn a_large_table_comes_whole_with_its_indexes() {
    for release in [Release::Debian, Release::Newest] {
        let server = server(release);
        server.execute_in("shop", LARGE).unwrap();
        let pair = pair(&server, &server);
        let report = block_on(pair.sync()).unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert_eq!((report.copied, report.compared), (210_000, 0), "{report:?}");
        assert_eq!(sums(&server, "shop"), sums(&server, "till"));
        assert_eq!(indexes(&server, "shop"), indexes(&server, "till"));
        let left = "SELECT (SELECT count(*) FROM tidewater.stretch) + (SELECT count(*) FROM tidewater.later)";
        assert_eq!(server.execute_in("till", left).unwrap().trim(), "0");
        let changes = "UPDATE readings SET note = 'new' WHERE id % 100 = 0; DELETE FROM words WHERE n % 10 = 0";
        server.execute_in("shop", changes).unwrap();
        assert!(block_on(pair.sync()).unwrap().in_step);
        assert_eq!(sums(&server, "shop"), sums(&server, "till"));
    }
}

/// Parts that are there are not read again, and none comes twice.
#[test]
fn a_copy_in_parts_goes_on_after_kills() {
    let (shop, till) = (server(Release::Debian), server(Release::Newest));
    shop.execute_in("shop", LARGE).unwrap();
    let parts = "SELECT count(*) FROM tidewater.stretch WHERE name = 'readings'";
    let number = |count: String| count.trim().parse::<u64>().unwrap();
    for round in 0..3 {
        let mut engine = engine(&shop.url("shop"), &till.url("till"));
        // Once before anything is there, then after each part.
        until(|| round == 0 || till.execute_in("till", parts).is_ok_and(|count| number(count) >= round));
        engine.kill().unwrap();
        engine.wait().unwrap();
        let change = format!(
            "UPDATE readings SET note = 'round {round}' WHERE id % 1000 = {round}; \
             UPDATE words SET word = word || '{round}' WHERE n % 1000 = {round}"
        );
        shop.execute_in("shop", &change).unwrap();
    }
    let pair = pair(&shop, &till);
    let report = block_on(pair.sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    assert_eq!((report.compared, report.journaled), (0, 0), "{report:?}");
    assert!(report.copied < 210_000, "nothing was kept of what the killed ones copied: {report:?}");
    assert_eq!(sums(&shop, "shop"), sums(&till, "till"));
    assert_eq!(indexes(&shop, "shop"), indexes(&till, "till"));
}

#[test]
fn a_row_that_does_not_fit_is_found_in_its_part() {
    let server = server(Release::Debian);
    server.execute_in("shop", LARGE).unwrap();
    server
        .execute_in(
            "till",
            "CREATE TABLE readings(id bigint PRIMARY KEY, note text NOT NULL, value double precision, at timestamptz, \
             tags int[], CHECK (id <> 77777))",
        )
        .unwrap();
    let report = block_on(pair(&server, &server).sync()).unwrap();
    assert_eq!((report.held.len(), report.copied), (1, 209_999), "{report:?}");
    let there = "SELECT count(*), sum(id) FROM readings WHERE id <> 77777";
    assert_eq!(server.execute_in("shop", there).unwrap(), server.execute_in("till", there).unwrap());
}

/// A copy that was given up leaves tables with their keys.
#[test]
fn tables_get_their_keys_also_where_the_copy_is_given_up() {
    let server = server(Release::Debian);
    server.execute_in("shop", LARGE).unwrap();
    let pair = pair(&server, &server);
    let link = {
        let mut engine = engine(&server.url("shop"), &server.url("till"));
        until(|| {
            let began = "SELECT count(*) FROM tidewater.link_table WHERE phase = 'copying'";
            server.execute_in("till", began).is_ok_and(|count| count.trim() != "0")
        });
        engine.kill().unwrap();
        engine.wait().unwrap();
        server.execute_in("till", "SELECT link FROM tidewater.link").unwrap().trim().to_owned()
    };
    block_on(pair.leave(&link));
    assert_eq!(indexes(&server, "shop"), indexes(&server, "till"));
}

/// Values over the limit are left out, as everywhere; the rest of the table goes its fast way.
#[test]
fn a_value_over_the_limit_is_left_out_of_a_large_table() {
    let server = server(Release::Debian);
    server
        .execute_in(
            "shop",
            "CREATE TABLE notes(id bigint PRIMARY KEY, note text); \
             INSERT INTO notes SELECT i, CASE WHEN i = 5 THEN repeat('z', 3000000) ELSE repeat('x', 400) END \
             FROM generate_series(1, 60000) i; ANALYZE",
        )
        .unwrap();
    let mut settings = tidewater_core::link::Settings::default();
    settings.scope.value_bytes_max = Some(1 << 20);
    let report = block_on(pair(&server, &server).with(settings).sync()).unwrap();
    assert!(report.in_step && report.left_out == 1, "{report:?}");
    let there = server.execute_in("till", "SELECT count(*) || ' ' || count(note) FROM notes").unwrap();
    assert_eq!(there.trim(), "60000 59999");
}
