//! Stories told once for each pair of ends.

use super::given::{End, Pair, block_on, server};
use tidewater_testing::{Postgres, Release};

const SHOP: &str = "CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE customers(id bigint PRIMARY KEY, name text NOT NULL, since timestamptz, balance numeric(12, 2), mood mood);
    CREATE TABLE orders(id serial PRIMARY KEY, customer bigint REFERENCES customers, note text, paid boolean DEFAULT false, raw bytea,
      share double precision, at date, tags text[]);
    CREATE INDEX ON orders(customer);
    INSERT INTO customers SELECT i, 'customer ' || i, '2026-01-01'::timestamptz + i * interval '1 hour', i * 1.25, 'calm' FROM generate_series(1, 500) i;
    INSERT INTO orders(customer, note, paid, raw, share, at, tags) SELECT i % 500 + 1, 'note' || chr(9) || i || chr(10) || '\\', i % 2 = 0,
      decode(lpad(to_hex(i), 8, '0'), 'hex'), i / 7.0, '2026-01-01'::date + i, ARRAY['a', NULL, i::text] FROM generate_series(1, 3000) i;";

const CHANGES: &str = "UPDATE customers SET balance = balance + 1, mood = 'cross' WHERE id % 7 = 0;
    DELETE FROM orders WHERE id % 10 = 3;
    INSERT INTO orders(customer, note) SELECT 1, 'new ' || i FROM generate_series(1, 200) i;
    UPDATE orders SET id = id + 100000 WHERE id = 20;
    UPDATE customers SET since = 'infinity', balance = NULL WHERE id = 2;
    BEGIN; INSERT INTO customers VALUES (9001, 'gone'); ROLLBACK;
    BEGIN; INSERT INTO customers VALUES (9002, 'stays'); SAVEPOINT s; INSERT INTO customers VALUES (9003, 'gone'); ROLLBACK TO s; COMMIT;";

fn postgres(server: &Postgres, database: &str) -> End {
    End::Postgres(server.url(database))
}

/// The first copy, changes, a second run, and everything equal after each.
fn follows(pair: &Pair, change: impl Fn(&str)) {
    block_on(async {
        let report = pair.sync().await.unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert_eq!(report.created.len(), 2, "{report:?}");
        assert_eq!(pair.differences().await, [""; 0]);
        change(CHANGES);
        let report = pair.sync().await.unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert!(report.compared == 0 && report.upserts > 200 && report.deletes > 200, "{report:?}");
        assert_eq!(pair.differences().await, [""; 0]);
        let report = pair.sync().await.unwrap();
        assert_eq!((report.upserts, report.deletes, report.compared), (0, 0, 0), "{report:?}");
        change("TRUNCATE orders; INSERT INTO orders(customer, note) VALUES (3, 'after');");
        let report = pair.sync().await.unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert_eq!(pair.differences().await, [""; 0]);
    });
}

#[test]
fn postgres_to_sqlite() {
    for release in [Release::Debian, Release::Newest] {
        let server = server(release);
        server.execute_in("shop", SHOP).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new(postgres(&server, "shop"), End::Sqlite(folder.path().join("local.db")));
        follows(&pair, |sql| {
            server.execute_in("shop", sql).unwrap();
        });
    }
}

#[test]
fn postgres_to_postgres() {
    for release in [Release::Debian, Release::Newest] {
        let server = server(release);
        server.execute_in("shop", SHOP).unwrap();
        let pair = Pair::new(postgres(&server, "shop"), postgres(&server, "till"));
        follows(&pair, |sql| {
            server.execute_in("shop", sql).unwrap();
        });
        let rows = "SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM orders o";
        assert_eq!(server.execute_in("shop", rows).unwrap(), server.execute_in("till", rows).unwrap());
    }
}

#[test]
fn sqlite_to_postgres() {
    let server = server(Release::Debian);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let shop = rusqlite::Connection::open(&path).unwrap();
    shop.execute_batch(
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, photo BLOB, score REAL, active BOOLEAN DEFAULT 1, extra);
         CREATE TABLE orders(no TEXT, line INTEGER, customer INTEGER REFERENCES customers(id), PRIMARY KEY (no, line)) WITHOUT ROWID;
         WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 2000)
         INSERT INTO customers SELECT i, 'näme ' || i || char(9, 10, 92), randomblob(i % 20), i / 3.0, i % 2, 'x' || i FROM g;
         INSERT INTO orders SELECT 'o' || id, id % 3, id FROM customers;",
    )
    .unwrap();
    let pair = Pair::new(End::Sqlite(path.clone()), postgres(&server, "till"));
    block_on(async {
        let report = pair.sync().await.unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert_eq!(pair.differences().await, [""; 0]);
        shop.execute_batch(
            "UPDATE customers SET score = score * 2, active = 1 - active WHERE id % 5 = 0; DELETE FROM orders WHERE line = 1;
             INSERT INTO customers(id, name) VALUES (5000, 'late'); UPDATE orders SET line = 9 WHERE no = 'o3';",
        )
        .unwrap();
        let report = pair.sync().await.unwrap();
        assert!(report.in_step && !report.needs_attention(), "{report:?}");
        assert_eq!(report.compared, 0);
        assert_eq!(pair.differences().await, [""; 0]);
    });
    let count = server
        .execute_in("till", "SELECT count(*), sum(score) > 0, count(photo), bool_or(active) FROM customers")
        .unwrap();
    assert!(count.starts_with("2001"), "{count}");
}
