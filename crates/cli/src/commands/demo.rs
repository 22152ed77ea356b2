//! `tidewater demo`: two sample databases, written to at the same time, a sync both ways, and what came of it.

use super::both_ways::{code_of, exchange};
use super::conflicts::{Journal, Listed, list_lines, short_ids};
use super::wanted::{ad_hoc_exchange, ad_hoc_scope};
use super::{ATTENTION, stop_signal};
use crate::args::BothWaysArgs;
use crate::endpoint::{Pair, SqliteMember};
use crate::output::{self, FAINT, GOOD, STRONG, styled};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{ExchangeReport, Link, Run, Settings, Unwatched, Verdict};
use tidewater_core::replica::Selection;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database};

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

/// Two programs write to one row, and neither knows of the other.
struct Edit {
    row: &'static str,
    at_shop: &'static str,
    at_till: &'static str,
    /// What is to be seen of the row.
    look: &'static str,
    how: &'static str,
}

const EDITS: [Edit; 3] = [
    Edit {
        row: "product 1",
        at_shop: "UPDATE products SET price = price + 1 WHERE id = 1",
        at_till: "UPDATE products SET name = name || '!' WHERE id = 1",
        look: "SELECT name || ' at ' || price FROM products WHERE id = 1",
        how: "different columns: both survive",
    },
    Edit {
        row: "product 2",
        at_shop: "UPDATE products SET price = price + 1 WHERE id = 2",
        at_till: "UPDATE products SET price = price + 2 WHERE id = 2",
        look: "SELECT name || ' at ' || price FROM products WHERE id = 2",
        how: "the same column: the later write, the other is in the journal",
    },
    Edit {
        row: "order line 1/1",
        at_shop: "DELETE FROM order_lines WHERE order_id = 1 AND line = 1",
        at_till: "UPDATE order_lines SET quantity = quantity + 1 WHERE order_id = 1 AND line = 1",
        look: "SELECT quantity || ' pieces' FROM order_lines WHERE order_id = 1 AND line = 1",
        how: "a delete against an update: the update outlives it",
    },
];

/// Runs it. A second time it goes on with the databases that are there.
pub(crate) async fn demo() -> Result<u8> {
    if Path::new(SHOP).exists() {
        output::line(&format!("{SHOP} is there already: going on with it.\n"));
    } else {
        make().map_err(sqlite)?;
        output::line(&format!("Made {} with 4 tables and 13,210 rows.\n", styled(STRONG, SHOP)));
    }
    let mut worst = show(&sync().await?);
    output::line("\nThen programs write to both, without knowing of each other:\n");
    let before = edit().map_err(sqlite)?;
    output::line("\nand the next sync brings both together:\n");
    let report = sync().await?;
    worst = worst.max(show(&report));
    output::line("");
    output::line(&settled(&before).map_err(sqlite)?);
    output::line("\nNo conflict is silent: each is in the journal of the database that settled it, with all sides.\n");
    let conflict = journal(&report).await?;
    let equal = verify().await?;
    let word = if equal { styled(GOOD, "equal, row by row") } else { "different".to_owned() };
    output::line(&format!("\nVerified: both databases are {word}.\n"));
    go_on(conflict);
    Ok(if equal { worst } else { ATTENTION })
}

fn sqlite(error: rusqlite::Error) -> Error {
    Error::internal(format!("the sample database: {error}"))
}

fn make() -> rusqlite::Result<()> {
    std::fs::create_dir_all(FOLDER).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    let shop = Connection::open(SHOP)?;
    shop.pragma_update(None, "journal_mode", "WAL")?;
    shop.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))
}

/// Carries out the edits; what each row is at each side then.
fn edit() -> rusqlite::Result<Vec<[String; 2]>> {
    let sides = [Connection::open(SHOP)?, Connection::open(TILL)?];
    let rows = EDITS.iter().flat_map(|edit| {
        let row = |side: &str, sql: &str| vec![side.to_owned(), styled(FAINT, sql)];
        [row("shop.db", edit.at_shop), row("till.db", edit.at_till)]
    });
    output::line(&output::table(&["in", ""], rows.collect(), &[]));
    for edit in &EDITS {
        sides[0].execute_batch(edit.at_shop)?;
        sides[1].execute_batch(edit.at_till)?;
    }
    EDITS.iter().map(|edit| Ok([look(&sides[0], edit)?, look(&sides[1], edit)?])).collect()
}

fn look(side: &Connection, edit: &Edit) -> rusqlite::Result<String> {
    let found = side.query_row(edit.look, [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_else(|| "deleted".to_owned()))
}

/// How each edit was settled, as a table.
fn settled(before: &[[String; 2]]) -> rusqlite::Result<String> {
    let shop = Connection::open(SHOP)?;
    let mut rows = Vec::new();
    for (edit, [at_shop, at_till]) in EDITS.iter().zip(before) {
        let now = styled(GOOD, &look(&shop, edit)?);
        rows.push(vec![edit.row.to_owned(), at_shop.clone(), at_till.clone(), now, styled(FAINT, edit.how)]);
    }
    Ok(output::table(&["row", "in shop.db", "in till.db", "now in both", ""], rows, &[]))
}

/// What the run entered into the journal, which lies where most conflicts were met; and where one of them is.
async fn journal(report: &ExchangeReport) -> Result<Option<(String, String)>> {
    let most = report.members.iter().max_by_key(|member| member.conflicts);
    let Some(most) = most.filter(|member| member.conflicts > 0) else { return Ok(None) };
    let url = format!("sqlite:{}", most.shown);
    let mut journal = Journal::open(&url, Access::Read)?;
    let selection = Selection { run: Some(report.run.clone()), ..Selection::default() };
    let listed = Listed::read(&mut journal, selection).await?;
    output::line(&format!("  {}", styled(FAINT, &format!("tidewater conflicts list {url} --run {}", report.run))));
    list_lines(&journal.database, &listed).iter().take(1).for_each(|table| output::line(table));
    Ok(short_ids(&listed.entries).first().map(|id| (url, id.clone())))
}

fn go_on(conflict: Option<(String, String)>) {
    let pair = format!("sqlite:{SHOP} sqlite:{TILL}");
    let mut commands = vec![(format!("sync {pair} --both-ways --watch"), "keep them in step until Ctrl-C")];
    if let Some((url, id)) = conflict {
        commands.push((format!("conflicts show {url} {id}"), "all sides of a conflict"));
        commands.push((format!("conflicts restore {url} {id}"), "put back what lost it"));
    }
    commands.push((format!("verify {pair}"), "compare them row by row"));
    commands.push((format!("status {pair}"), "see how far they have come"));
    commands.push((format!("teardown {pair}"), "take out what was installed"));
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    output::line("Go on with:\n");
    for (command, what) in commands {
        output::line(&format!("  tidewater {command:width$}  {}", styled(FAINT, what)));
    }
    output::line("\nOne way, with a source of truth, it is: tidewater sync sqlite:A.db sqlite:B.db");
}

fn databases() -> Result<(Database, Database)> {
    if !Path::new(FOLDER).is_dir() {
        return Err(Error::new(Kind::Denied, code::READ_ONLY, format!("the folder {FOLDER} cannot be made here"))
            .remedy("Run the demo in a folder that you may write to."));
    }
    Ok((Database::new(SHOP), Database::new(TILL)))
}

async fn sync() -> Result<ExchangeReport> {
    let (shop, till) = databases()?;
    let both = BothWaysArgs { both_ways: true, prefer: None, conflicts: None };
    let wanted = ad_hoc_exchange(shop, till, &[], &both, Run::UntilInStep);
    exchange(&wanted, Arc::new(Unwatched), stop_signal()).await
}

async fn verify() -> Result<bool> {
    let ((shop, till), env) = (databases()?, Env::real());
    let settings = Settings { scope: ad_hoc_scope(&[]), ..Settings::default() };
    let ends = Pair::looking(shop.into(), till.into(), &env)?;
    let (verdicts, _) = Link::new(ends, settings, env, Arc::new(Unwatched), stop_signal()).verify(false).await?;
    Ok(verdicts.iter().all(Verdict::equal))
}

fn show(report: &ExchangeReport) -> u8 {
    let members = SqliteMember::pair(Database::new(SHOP), Database::new(TILL));
    for line in output::exchange_summary(&members, report) {
        output::line(&format!("  {}", line.replace('\n', "\n  ")));
    }
    code_of(report)
}
