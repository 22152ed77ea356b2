//! Members of a world that hold a part of one table: not all its columns, and rows that come and go.

use super::files;
use super::programs;
use std::collections::BTreeMap;
use std::path::Path;
use tidewater_core::change::{Filter, TableScope};

/// The table of which leaves hold a part, and the rows that are of it.
const TABLE: &str = "plain";
const ROWS: &str = "a IS NULL OR a < 'w5' OR id < 4";

/// The file of a leaf that nobody has met: with a table of fewer columns, and no rows.
pub(super) const SCHEMA: &str = "DROP TABLE plain; CREATE TABLE plain(id INTEGER PRIMARY KEY, a TEXT, b TEXT);";

/// What a leaf holds.
pub(super) fn part() -> BTreeMap<String, TableScope> {
    let filter = Filter::parse(ROWS, &BTreeMap::new()).expect("a filter");
    [(TABLE.to_owned(), TableScope { exclude: vec!["c".to_owned()], filter: Some(filter), ..TableScope::default() })]
        .into()
}

/// How what a leaf holds differs from what a full member shows of it.
pub(super) fn differs(leaf: &Path, full: &Path) -> Option<String> {
    let dump = |path: &Path, sql: &str| -> Vec<String> {
        let c = files::connect(path);
        let mut statement = c.prepare(sql).expect("a table");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("text")
    };
    for shape in &programs::SHAPES {
        let columns = match shape.name == TABLE {
            true => "id || ' ' || quote(a) || ' ' || quote(b)".to_owned(),
            false => {
                let names = files::columns(&files::connect(leaf), shape.name);
                names.iter().map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || ' ' || ")
            }
        };
        let sql = format!("SELECT {columns} FROM {}", shape.name);
        let of_part = if shape.name == TABLE { format!("{sql} WHERE {ROWS}") } else { sql.clone() };
        let [mut ours, mut theirs] = [dump(leaf, &sql), dump(full, &of_part)];
        ours.sort();
        theirs.sort();
        if ours != theirs {
            let name = shape.name;
            return Some(format!(
                "{name}: the leaf {} holds {ours:?}, {} has {theirs:?}",
                leaf.display(),
                full.display()
            ));
        }
    }
    None
}
