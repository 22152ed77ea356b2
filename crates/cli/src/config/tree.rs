//! The files as one tree: every key and every value with the file and the bytes it came from.
//!
//! Invariants: entries stand in the order of the text; of a key that several files set, the last file's value and
//! place are kept. It never judges what a key means. Tests: `tests.rs`, the ones on layers and on broken TOML.

use super::problems::{Place, Problems};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More errors of syntax than this many mostly follow from the first.
const SYNTAX_ERRORS_MAX: usize = 3;

/// The whole configuration.
pub(super) struct Tree {
    pub(super) entries: Vec<Entry>,
    pub(super) place: Place,
}

/// A key and its value.
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands; of `[sync.NAME]` the word NAME.
    pub(super) place: Place,
    pub(super) node: Node,
}

/// A value.
pub(super) struct Node {
    pub(super) item: Item,
    pub(super) place: Place,
}

/// What a value is.
pub(super) enum Item {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

impl Tree {
    /// Parses all files and lays them over each other; errors of syntax become problems.
    pub(super) fn parse(problems: &Problems) -> Self {
        let mut tree = Self { entries: Vec::new(), place: Place::START };
        for (file, text) in problems.texts() {
            let (table, errors) = DeTable::parse_recoverable(text);
            for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
                let span = error.span().unwrap_or(text.len()..text.len());
                problems.add(&Place { file, span }, format!("this is not valid TOML: {}", error.message()));
            }
            lay(&mut tree.entries, entries(table.get_ref(), file, problems), &mut Vec::new());
        }
        tree
    }
}

fn entries(table: &DeTable<'_>, file: usize, problems: &Problems) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place { file, span: key.span() },
            node: node(value, file, problems),
        })
        .collect();
    entries.sort_by_key(|entry| entry.place.span.start);
    entries
}

fn node(value: &Spanned<DeValue<'_>>, file: usize, problems: &Problems) -> Node {
    let place = Place { file, span: value.span() };
    let item = match value.get_ref() {
        DeValue::String(text) => Item::Text(text.to_string()),
        DeValue::Integer(number) => {
            Item::Integer(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
                problems.add(&place, "this number does not fit into 64 bits");
                1
            }))
        }
        DeValue::Float(number) => Item::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Item::Bool(*value),
        DeValue::Datetime(_) => Item::Date,
        DeValue::Array(list) => Item::List(list.iter().map(|value| node(value, file, problems)).collect()),
        DeValue::Table(table) => Item::Table(entries(table, file, problems)),
    };
    Node { item, place }
}

/// Lays one table over another: tables key by key, everything else is replaced.
fn lay(under: &mut Vec<Entry>, over: Vec<Entry>, path: &mut Vec<String>) {
    for mut entry in over {
        path.push(entry.key.clone());
        match under.iter_mut().find(|known| known.key == entry.key) {
            None => under.push(entry),
            Some(known) => match (&mut known.node.item, &mut entry.node.item) {
                (Item::Table(under), Item::Table(over)) if !is_one_value(path) => {
                    lay(under, std::mem::take(over), path)
                }
                _ => *known = entry,
            },
        }
        path.pop();
    }
}

/// Whether the keys of this table only make sense together, so that half of an earlier file's would be wrong.
fn is_one_value(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(path[..], ["sync", _, "table", _, "columns" | "deletes"])
}
