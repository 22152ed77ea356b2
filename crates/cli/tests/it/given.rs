//! What the tests of the command begin with: a folder with databases that other programs write, by the `sqlite3`
//! shell, and the real binary, run in that folder so that paths in messages are short and always the same.
//!
//! `given/running.rs` starts, watches and ends the binary, `given/disks.rs` has disks that are full or read-only
//! and programs that hold locks. Whoever waits here waits for a state, with a deadline.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "drives real processes, on the real clock")]

mod disks;
mod running;

pub(crate) use disks::{locked, read_only, small_disk};
pub(crate) use running::{Outcome, Running, until};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A shop as many have one: keys of several kinds, foreign keys, unique values, indexes, a check.
pub(crate) const SHOP: &str = "
CREATE TABLE products(id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT, price NUMERIC CHECK (price >= 0));
CREATE INDEX products_by_name ON products(name COLLATE NOCASE);
CREATE UNIQUE INDEX products_named_once ON products(lower(name)) WHERE name IS NOT NULL;
CREATE TABLE customers(email TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '?');
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers(email));
CREATE TABLE order_lines(order_id INTEGER NOT NULL REFERENCES orders(id), line INTEGER NOT NULL,
  product INTEGER NOT NULL REFERENCES products(id), quantity INTEGER, PRIMARY KEY (order_id, line)) WITHOUT ROWID;
INSERT INTO products VALUES (1,'A-1','Anchor',9.5), (2,'B-2','Buoy',4), (3,'C-3','Chart',NULL);
INSERT INTO customers VALUES ('ana@example.org','Ana'), ('bo@example.org','Bo');
INSERT INTO orders VALUES (1,'ana@example.org'), (2,'bo@example.org');
INSERT INTO order_lines VALUES (1,1,1,2), (1,2,3,1), (2,1,2,5);";

/// A table of numbered rows: `t(id, v)`.
pub(crate) fn numbered(rows: u32) -> String {
    format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t SELECT i, 'value ' || i FROM n;"
    )
}

/// A folder where databases lie and the command runs.
pub(crate) struct Place {
    folder: TempDir,
    /// What the binary prints lies elsewhere, so that the folder shows only what the binary leaves there.
    printed: TempDir,
}

/// An empty folder.
pub(crate) fn an_empty_place() -> Place {
    let folder = || tempfile::tempdir().expect("a temporary folder");
    Place { folder: folder(), printed: folder() }
}

/// A folder with `shop.db`, which a program has filled with `sql`.
pub(crate) fn given(sql: &str) -> Place {
    let place = an_empty_place();
    place.sql("shop.db", sql);
    place
}

impl Place {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another program works on a database: the `sqlite3` shell, which stops at the first error.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("sqlite3 {database}: {error}\n{sql}"))
    }

    /// The same, where it may fail; then what it said.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut shell = Command::new("sqlite3")
            .args(["-batch", "-bail", database])
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed (scripts/test does it)");
        let mut input = shell.stdin.take().expect("it was asked for");
        // A shell that has stopped at an error reads no further.
        let _ = input.write_all(format!(".timeout 20000\n{sql}\n").as_bytes());
        drop(input);
        let output = shell.wait_with_output().expect("sqlite3 ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() && output.stderr.is_empty() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// A file for the command to read.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the file can be written");
    }

    /// Runs the command to its end. Arguments are divided at blanks.
    #[track_caller]
    pub(crate) fn tidewater(&self, arguments: &str) -> Outcome {
        self.starts(arguments).ends()
    }

    /// Starts the command and lets it run.
    #[track_caller]
    pub(crate) fn starts(&self, arguments: &str) -> Running {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        Running::start(self.folder.path(), self.printed.path(), &arguments)
    }

    /// Syncs `shop.db` to `till.db`, which must do.
    #[track_caller]
    pub(crate) fn syncs(&self) -> Outcome {
        self.tries_to_sync("").exits(0)
    }

    /// Syncs `shop.db` to `till.db` with these flags, however it ends.
    #[track_caller]
    pub(crate) fn tries_to_sync(&self, flags: &str) -> Outcome {
        self.tidewater(&format!("sync sqlite:shop.db sqlite:till.db {flags}"))
    }

    /// Runs a line as it was printed, as a person would who copies it.
    #[track_caller]
    pub(crate) fn copies_and_runs(&self, line: &str) -> Outcome {
        let binary = Path::new(env!("CARGO_BIN_EXE_tidewater"));
        let folder = binary.parent().expect("a binary lies in a folder").display();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.folder.path())
            .env("PATH", format!("{folder}:{path}"))
            .output()
            .expect("there is a shell");
        Outcome::of(line, &output)
    }

    /// Everything in a database as SQL, ours included.
    #[track_caller]
    pub(crate) fn dump(&self, database: &str) -> String {
        self.sql(database, ".dump")
    }

    /// The rows of a table with their types, in a fixed order, by plain SQL; of these columns.
    #[track_caller]
    pub(crate) fn rows_of(&self, database: &str, table: &str, columns: &str) -> String {
        let rows = self.sql(database, &format!(".mode quote\nSELECT {columns} FROM \"{table}\";"));
        let mut lines: Vec<&str> = rows.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Both databases hold the same rows in every table that the first one has.
    #[track_caller]
    pub(crate) fn same_rows(&self, source: &str, target: &str) {
        let tables = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
             AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_tidewater_*' ORDER BY name;";
        for table in self.sql(source, tables).lines() {
            let named = format!("SELECT group_concat('\"' || name || '\"') FROM pragma_table_info('{table}');");
            let columns = self.sql(source, &named);
            let (left, right) = (self.rows_of(source, table, &columns), self.rows_of(target, table, &columns));
            assert!(left == right, "{table} differs\n{source}:\n{left}\n{target}:\n{right}");
        }
        assert_eq!(self.sql(target, "PRAGMA integrity_check;"), "ok");
    }

    /// What of ours is in a database: names of tables and triggers.
    #[track_caller]
    pub(crate) fn installed(&self, database: &str) -> String {
        self.sql(database, "SELECT name FROM sqlite_schema WHERE name GLOB '*_tidewater_*' ORDER BY name;")
    }

    /// The files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The bytes of a file.
    #[track_caller]
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file can be read")
    }
}

/// The statements in a message: what a person would copy into the `sqlite3` shell.
pub(crate) fn statements_in(message: &str) -> String {
    const BEGINNINGS: [&str; 8] = ["ALTER ", "BEGIN", "COMMIT", "CREATE ", "DELETE ", "DROP ", "INSERT ", "UPDATE "];
    let mut statements = String::new();
    let mut inside = false;
    for line in message.lines() {
        inside |= BEGINNINGS.iter().any(|beginning| line.trim_start().starts_with(beginning));
        if inside {
            statements.push_str(line);
            statements.push('\n');
            inside = !line.trim_end().ends_with(';');
        }
    }
    statements
}
