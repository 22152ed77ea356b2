//! `[sync.NAME.table.TABLE]`: what is special about one table, for each target of the sync.
//!
//! `name`, `rename` and `where` are said once for all targets, or as a table with an entry per target.
//! Invariants: filters are parsed here, with the variables of each target, so that an error points into the text.
//! It does not know which columns there are: the scope is resolved against the real table later. Tests: `tests.rs`.

use super::problems::{Place, Problems};
use super::reader::{Fields, Shape, Word, nearest, number, table, unknown_word, word, wrong};
use super::tree::{Entry, Item, Node};
use std::collections::BTreeMap;
use tidewater_core::change::{Deletes, Filter, Scope, TableScope, Value};

const TABLE: Shape = Shape {
    keys: &[
        "name",
        "rename",
        "columns",
        "where",
        "deletes",
        "deleted_when",
        "value_bytes_max",
        // Understood, so that they are refused with the reason.
        "conflicts",
        "together",
        "delete_against_update",
        "orphans",
    ],
    later: &[
        ("keep_days", "rows that age out of a replica"),
        ("mask", "masking columns"),
        ("mask_key", "masking columns"),
        ("schema", "following changes of the schema"),
    ],
};
const COLUMNS: Shape = Shape { keys: &["include", "exclude"], later: &[] };
const MARK: Shape = Shape { keys: &["mark", "value"], later: &[] };

/// A target of the sync and the variables of its filters; without any where there is no such endpoint, so that its
/// filters are not blamed for it.
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    pub(super) vars: Option<&'a BTreeMap<String, Value<'static>>>,
}

/// Reads one table: its scope for each target, in their order.
pub(super) fn read(entry: &Entry, targets: &[Target<'_>], problems: &Problems) -> Vec<TableScope> {
    let title = format!("[…table.{}]", entry.key);
    let Some(fields) = Fields::open(entry, &title, &TABLE, problems) else { return Vec::new() };
    for key in ["conflicts", "together", "delete_against_update", "orphans"] {
        if let Some(entry) = fields.get(key) {
            let message = format!("`{key}` goes with a sync that has `between`: one way, the source always wins");
            problems.add(&entry.place, message);
        }
    }
    let (include, exclude) = columns(&fields, &title, problems);
    let deletes = fields.get("deletes").map(|entry| deletes(entry, problems)).unwrap_or_default();
    let value_bytes_max =
        fields.get("value_bytes_max").map_or(Some(Scope::VALUE_BYTES_MAX_DEFAULT), |e| value_max(e, problems));
    let deleted_when = fields.text("deleted_when");
    let one = |target: &Target<'_>| {
        let filter = |word: Word<'_>| filter(word, target, targets.len() > 1, problems);
        TableScope {
            name: per_target(&fields, "name", target, targets, problems).map(|word| word.text.to_owned()),
            rename: fields.get("rename").map(|entry| rename(entry, target, targets, problems)).unwrap_or_default(),
            include: include.clone(),
            exclude: exclude.clone(),
            filter: per_target(&fields, "where", target, targets, problems).and_then(filter),
            deleted_when: deleted_when.and_then(filter),
            deletes: deletes.clone(),
            value_bytes_max,
        }
    };
    targets.iter().map(one).collect()
}

/// What each of these members of a sync both ways holds of one table, where that is not all: `where` and `columns`,
/// each a table with an entry for each such member.
pub(super) fn parts(fields: &Fields<'_>, members: &[Target<'_>], problems: &Problems) -> Vec<Option<TableScope>> {
    let filters = by_member(fields, "where", "{ till = \"store = 7\" }", members, problems);
    let columns = by_member(fields, "columns", "{ till = { exclude = [\"cost\"] } }", members, problems);
    let one = |member: &Target<'_>| {
        let is_its = |entry: &&Entry| entry.key == member.name;
        let (filter, columns) = (filters.iter().find(is_its), columns.iter().find(is_its));
        if filter.is_none() && columns.is_none() {
            return None;
        }
        let filter = filter.and_then(|entry| word(&entry.node, "where", problems));
        let filter = filter.and_then(|word| self::filter(word, member, members.len() > 1, problems));
        let title = format!("`columns` for {}", member.name);
        let columns = columns.and_then(|entry| Fields::open(entry, &title, &COLUMNS, problems));
        let (include, exclude) = columns.map(|fields| lists(&fields, problems)).unwrap_or_default();
        Some(TableScope { filter, include, exclude, ..TableScope::default() })
    };
    members.iter().map(one).collect()
}

/// The entries of a key that has one for each member that holds a part.
fn by_member<'a>(
    fields: &Fields<'a>,
    key: &str,
    example: &str,
    members: &[Target<'_>],
    problems: &Problems,
) -> &'a [Entry] {
    let Some(entry) = fields.get(key) else { return &[] };
    match &entry.node.item {
        Item::Table(entries) => {
            check_targets(entries, (key, "endpoint"), members, problems);
            entries
        }
        _ => {
            let expected = format!("a table that says who holds a part, such as {example}");
            wrong::<()>(&entry.node, key, &expected, problems);
            &[]
        }
    }
}

/// A text for all targets, or this target's of a table of texts.
fn per_target<'a>(
    fields: &Fields<'a>,
    key: &str,
    target: &Target<'_>,
    targets: &[Target<'_>],
    problems: &Problems,
) -> Option<Word<'a>> {
    let node = &fields.get(key)?.node;
    match &node.item {
        Item::Text(_) => word(node, key, problems),
        Item::Table(entries) => {
            check_targets(entries, (key, "target"), targets, problems);
            let own = entries.iter().find(|entry| entry.key == target.name)?;
            word(&own.node, key, problems)
        }
        _ => wrong(node, key, "text, or a table with a text for each target", problems),
    }
}

fn check_targets(entries: &[Entry], (key, role): (&str, &str), targets: &[Target<'_>], problems: &Problems) {
    for entry in entries.iter().filter(|entry| targets.iter().all(|target| target.name != entry.key)) {
        let names = || targets.iter().map(|target| target.name);
        let hint = match nearest(&entry.key, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        problems.add(&entry.place, format!("`{key}`: no {role} of this sync is called `{}`; {hint}", entry.key));
    }
}

/// New names of columns: `{ column = "name" }` for all targets, `{ target = { column = "name" } }` for some.
fn rename(entry: &Entry, target: &Target<'_>, targets: &[Target<'_>], problems: &Problems) -> BTreeMap<String, String> {
    let entries = table(&entry.node, "rename", problems).unwrap_or_default();
    let tables = entries.iter().filter(|entry| matches!(entry.node.item, Item::Table(_))).count();
    if tables == 0 {
        return names(entries, problems);
    }
    if tables < entries.len() {
        problems.add(&entry.place, "`rename` either names columns, for all targets, or targets; not both at once");
        return BTreeMap::new();
    }
    check_targets(entries, ("rename", "target"), targets, problems);
    let own = entries.iter().find(|entry| entry.key == target.name);
    own.and_then(|own| table(&own.node, "rename", problems)).map(|own| names(own, problems)).unwrap_or_default()
}

fn names(entries: &[Entry], problems: &Problems) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for entry in entries {
        let Some(Word { text, place }) = word(&entry.node, &entry.key, problems) else { continue };
        if names.values().any(|known: &String| known.eq_ignore_ascii_case(text)) {
            problems.add(place, format!("two columns cannot both become `{text}`"));
        }
        names.insert(entry.key.clone(), text.to_owned());
    }
    names
}

fn columns(fields: &Fields<'_>, title: &str, problems: &Problems) -> (Option<Vec<String>>, Vec<String>) {
    let Some(columns) = fields.table("columns", &format!("`columns` of {title}"), &COLUMNS) else {
        return (None, Vec::new());
    };
    lists(&columns, problems)
}

fn lists(columns: &Fields<'_>, problems: &Problems) -> (Option<Vec<String>>, Vec<String>) {
    if columns.get("include").is_some() == columns.get("exclude").is_some() {
        problems.add(columns.place, "`columns` needs either { include = [\"…\"] } or { exclude = [\"…\"] }");
    }
    let list = |key| columns.words(key).map(|words| words.iter().map(|word| word.text.to_owned()).collect());
    (list("include"), list("exclude").unwrap_or_default())
}

fn deletes(entry: &Entry, problems: &Problems) -> Deletes {
    const EXPECTED: &str = "\"apply\", \"ignore\" or { mark = \"COLUMN\" }";
    match &entry.node.item {
        Item::Text(text) => match text.as_str() {
            "apply" => return Deletes::Apply,
            "ignore" => return Deletes::Ignore,
            _ => {
                let known = ["apply", "ignore"].into_iter();
                problems.add(&entry.node.place, unknown_word("deletes", text, known, EXPECTED));
            }
        },
        Item::Table(entries) => {
            let fields = Fields::new(entries, &entry.place, "`deletes`", &MARK, problems);
            if fields.get("mark").is_none() {
                problems.add(fields.place, "`deletes` needs `mark`: the column that says a row is deleted");
            }
            if let Some(mark) = fields.text("mark") {
                let value = fields.text("value").map(|word| word.text.to_owned());
                return Deletes::Mark { column: mark.text.to_owned(), value };
            }
        }
        _ => return wrong(&entry.node, "deletes", EXPECTED, problems).unwrap_or_default(),
    }
    Deletes::Apply
}

fn value_max(entry: &Entry, problems: &Problems) -> Option<u64> {
    const EXPECTED: &str = "a number of bytes or \"none\"";
    let node: &Node = &entry.node;
    match &node.item {
        Item::Text(text) if text == "none" => None,
        Item::Text(text) => {
            let message = unknown_word("value_bytes_max", text, ["none"].into_iter(), EXPECTED);
            problems.add(&node.place, message);
            None
        }
        _ => number(node, "value_bytes_max", EXPECTED, problems),
    }
}

/// Parses a filter with the variables of its target; `many` targets are told apart in the message.
fn filter(word: Word<'_>, target: &Target<'_>, many: bool, problems: &Problems) -> Option<Filter> {
    let parsed = Filter::parse(word.text, target.vars?);
    let report = |error: tidewater_core::change::FilterError| {
        let whose = if many { format!(" (for the target `{}`)", target.name) } else { String::new() };
        let place = inside(word.place, word.text, error.at, problems);
        problems.add(&place, format!("{}{whose}", error.message));
    };
    parsed.map_err(report).ok()
}

/// The place of a byte inside a text value: exact where the value is written without escapes, else all of it.
pub(super) fn inside(place: &Place, text: &str, at: usize, problems: &Problems) -> Place {
    let source = problems.source(place);
    if source.len() != text.len() + 2 || source.get(1..source.len() - 1) != Some(text) {
        return place.clone();
    }
    let start = place.span.start + 1 + at;
    Place { file: place.file, span: start..start + 1 }
}
