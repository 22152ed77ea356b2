//! Tables whose schema changes while a link is there: each is followed, or stops alone with what mends it; afterwards
//! both sides are equal.

use super::given::{End, Pair, block_on, server};
use tidewater_core::link::Report;
use tidewater_testing::{Postgres, Release};

/// What becomes of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Becomes {
    Followed,
    /// Halted, until this is done at the target.
    Halted(&'static str),
}
use Becomes::{Followed, Halted};

/// A table each, with the columns `id`, `a` and `b`: its name, what is done to it, and what becomes of it.
const CASES: [(&str, &str, Becomes); 12] = [
    ("add_plain", "ALTER TABLE add_plain ADD c int; INSERT INTO add_plain VALUES (101, 'x', 1, 5)", Followed),
    ("add_default", "ALTER TABLE add_default ADD c int DEFAULT 7; UPDATE add_default SET c = 8 WHERE id = 1", Followed),
    (
        "add_not_null",
        "ALTER TABLE add_not_null ADD c int NOT NULL DEFAULT 7; DELETE FROM add_not_null WHERE id = 1",
        Followed,
    ),
    ("dropped", "ALTER TABLE dropped DROP b; UPDATE dropped SET a = 'y'", Halted("ALTER TABLE dropped DROP b")),
    (
        "renamed",
        "ALTER TABLE renamed RENAME b TO z; UPDATE renamed SET z = 9",
        Halted("ALTER TABLE renamed RENAME b TO z"),
    ),
    (
        "widened",
        "ALTER TABLE widened ALTER b TYPE bigint; UPDATE widened SET b = 9000000000 WHERE id = 1",
        Halted("ALTER TABLE widened ALTER b TYPE bigint"),
    ),
    (
        "full_",
        "ALTER TABLE full_ REPLICA IDENTITY FULL; UPDATE full_ SET id = id + 100 WHERE id < 5; DELETE FROM full_ WHERE id = 9",
        Followed,
    ),
    (
        "anew",
        "DROP TABLE anew; CREATE TABLE anew(id int PRIMARY KEY, a text, b int); INSERT INTO anew VALUES (1, 'new', 1)",
        Followed,
    ),
    ("emptied", "TRUNCATE emptied; INSERT INTO emptied VALUES (5, 'after', 5)", Followed),
    (
        "rekeyed",
        "ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey; ALTER TABLE rekeyed ADD PRIMARY KEY (id); UPDATE rekeyed SET a = 'k'",
        Followed,
    ),
    (
        "parts",
        "CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (200) TO (300); INSERT INTO parts VALUES (250, 'p', 1); \
      UPDATE parts SET id = id + 100 WHERE id = 2",
        Followed,
    ),
    (
        "reset",
        "ALTER TABLE reset ADD c text; ALTER TABLE reset DROP c; INSERT INTO reset VALUES (101, 'x', 1)",
        Followed,
    ),
];

fn make(server: &Postgres) {
    for (table, _, _) in CASES {
        let partitioned = "PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100); \
                           CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200)";
        let parts = if table == "parts" { partitioned } else { "" };
        let sql = format!(
            "CREATE TABLE {table}(id int PRIMARY KEY, a text, b int) {parts}; \
             INSERT INTO {table} SELECT i, 'a', i FROM generate_series(1, 50) i"
        );
        server.execute_in("shop", &sql).unwrap();
    }
}

fn sync(server: &Postgres) -> Report {
    block_on(Pair::new(End::Postgres(server.url("shop")), End::Postgres(server.url("till"))).sync()).unwrap()
}

fn rows(server: &Postgres, database: &str, table: &str) -> String {
    let sql = format!("SELECT string_agg(to_jsonb(t)::text, '|' ORDER BY id) FROM {table} t");
    server.execute_in(database, &sql).unwrap()
}

#[track_caller]
fn same(server: &Postgres, table: &str, report: &Report) {
    assert_eq!(rows(server, "shop", table), rows(server, "till", table), "{table}: {report:?}");
}

#[test]
fn each_change_of_a_schema_is_followed_or_stops_its_table_alone() {
    for release in Release::ALL {
        let server = server(release);
        make(&server);
        sync(&server);
        for (table, change, _) in CASES {
            let before = format!("UPDATE {table} SET a = 'before' WHERE id > 40; {change}");
            server.execute_in("shop", &before).unwrap_or_else(|error| panic!("{table}: {error}"));
        }
        let report = sync(&server);
        for (table, _, becomes) in CASES {
            assert_eq!(report.halted.contains_key(table), becomes != Followed, "{table}: {:?}", report.halted);
            if becomes == Followed {
                same(&server, table, &report);
            }
        }
        for (_, _, becomes) in CASES {
            if let Halted(mend) = becomes {
                server.execute_in("till", mend).unwrap();
            }
        }
        let report = sync(&server);
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        for (table, _, _) in CASES {
            same(&server, table, &report);
            server.execute_in("shop", &format!("UPDATE {table} SET a = 'last'")).unwrap();
        }
        let report = sync(&server);
        assert_eq!(report.compared, 0, "{report:?}");
        CASES.iter().for_each(|(table, _, _)| same(&server, table, &report));
    }
}
