//! `tidewater demo`: two sample databases, a change, a sync, and what came of it.

use super::{ATTENTION, DONE, ad_hoc_scope, stop_signal};
use crate::endpoint::{SqliteEnds, database};
use crate::output::{self, FAINT, GOOD, STRONG, styled};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{Link, Report, Settings, Unwatched, Verdict};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::Database;

const FOLDER: &str = "tidewater-demo";
const SHOP: &str = "tidewater-demo/shop.db";
const TILL: &str = "tidewater-demo/till.db";

/// A shop as many have one: keys of several kinds, a foreign key, a unique value.
const SCHEMA: &str = "
CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL, price NUMERIC NOT NULL);
CREATE TABLE customers (email TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers(email), placed TEXT NOT NULL);
CREATE TABLE order_lines (order_id INTEGER NOT NULL REFERENCES orders(id), line INTEGER NOT NULL,
  product INTEGER NOT NULL REFERENCES products(id), quantity INTEGER NOT NULL, PRIMARY KEY (order_id, line)) WITHOUT ROWID;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1010)
  INSERT INTO products SELECT i, printf('SKU-%04d', i), printf('Product %d', i), (i * 37 % 9000) / 100.0 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
  INSERT INTO customers SELECT printf('customer%d@example.org', i), printf('Customer %d', i) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  INSERT INTO orders SELECT i, printf('customer%d@example.org', 1 + i % 200), date('2026-01-01', (i % 300) || ' days') FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 8999)
  INSERT INTO order_lines SELECT 1 + i / 3, 1 + i % 3, 1 + i * 7 % 1000, 1 + i % 5 FROM n;";

/// What the demo changes, statement by statement, as any program would.
const CHANGES: [&str; 4] = [
    "UPDATE products SET price = price + 1 WHERE id <= 3",
    "INSERT INTO customers VALUES ('new' || (SELECT count(*) FROM customers) || '@example.org', 'A new customer')",
    "DELETE FROM order_lines WHERE order_id = (SELECT min(order_id) FROM order_lines)",
    "INSERT OR REPLACE INTO products SELECT max(id) + 1, 'SKU-1005', 'Takes the place of SKU-1005', 5 FROM products",
];

/// Runs it. A second time it goes on with the databases that are there.
pub(crate) async fn demo() -> Result<u8> {
    let sqlite = |e: rusqlite::Error| Error::internal(format!("the sample database: {e}"));
    if Path::new(SHOP).exists() {
        output::line(&format!("{SHOP} is there already: going on with it.\n"));
    } else {
        make().map_err(sqlite)?;
        output::line(&format!("Made {} with 4 tables and 13,210 rows.\n", styled(STRONG, SHOP)));
    }
    let code = show(&sync().await?);
    output::line("\nThen another program writes to shop.db:\n");
    let shop = Connection::open(SHOP).map_err(sqlite)?;
    for change in CHANGES {
        output::line(&format!("  {}", styled(FAINT, change)));
        shop.execute_batch(change).map_err(sqlite)?;
    }
    drop(shop);
    output::line("\nand the next sync sends only what changed:\n");
    let code = code.max(show(&sync().await?));
    let equal = verify().await?;
    let word = if equal { styled(GOOD, "equal, row by row") } else { "different".to_owned() };
    output::line(&format!("\nVerified: both databases are {word}.\n"));
    output::line("Go on with:\n");
    for (command, what) in [
        (format!("tidewater sync sqlite:{SHOP} sqlite:{TILL} --watch"), "keep them in step until Ctrl-C"),
        (format!("tidewater verify sqlite:{SHOP} sqlite:{TILL}"), "compare them row by row"),
        (format!("tidewater status sqlite:{SHOP} sqlite:{TILL}"), "see how far the link has come"),
        (format!("tidewater teardown sqlite:{SHOP} sqlite:{TILL}"), "take out what was installed"),
    ] {
        output::line(&format!("  {command:76}  {}", styled(FAINT, what)));
    }
    Ok(if equal { code } else { ATTENTION })
}

fn make() -> rusqlite::Result<()> {
    std::fs::create_dir_all(FOLDER).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    let shop = Connection::open(SHOP)?;
    shop.pragma_update(None, "journal_mode", "WAL")?;
    shop.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))
}

fn link() -> Result<Link> {
    let env = Env::real();
    let (shop, till) = (database(&format!("sqlite:{SHOP}"))?, database(&format!("sqlite:{TILL}"))?);
    if !Path::new(FOLDER).is_dir() {
        return Err(Error::new(Kind::Denied, code::READ_ONLY, format!("the folder {FOLDER} cannot be made here"))
            .remedy("Run the demo in a folder that you may write to."));
    }
    let ends = SqliteEnds::writing(shop, till, false, &env)?;
    Ok(Link::new(
        ends,
        Settings { scope: ad_hoc_scope(&[]), ..Settings::default() },
        env,
        Arc::new(Unwatched),
        stop_signal(),
    ))
}

async fn sync() -> Result<Report> {
    link()?.run().await
}

async fn verify() -> Result<bool> {
    let (verdicts, _) = link()?.verify(false).await?;
    Ok(verdicts.iter().all(Verdict::equal))
}

fn show(report: &Report) -> u8 {
    for line in output::summary(&Database::new(SHOP), &Database::new(TILL), report) {
        output::line(&format!("  {line}"));
    }
    if report.needs_attention() { ATTENTION } else { DONE }
}
