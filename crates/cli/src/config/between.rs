//! `[sync.NAME]` with `between`: endpoints that all accept writes, and the rules that settle their conflicts.
//!
//! Invariants: as in `syncs.rs`; a rule is a word that the core knows, and an endpoint that a rule names is one of
//! `between`. It does not know which columns there are: the exchange holds the rules against the real tables.
//! Tests: `tests/between.rs`.

use super::problems::{Place, Problems};
use super::reader::{Fields, Shape, Word, nearest, table, unknown_word, word, wrong};
use super::syncs::{self, check_endpoint};
use super::tables::{self, Target, inside};
use super::tree::{Entry, Item, Node};
use super::{BothWays, Endpoint};
use std::collections::BTreeMap;
use tidewater_core::link::Prefer;
use tidewater_core::merge::{DeleteUpdate, Orphans, Policy, Rule};

/// The keys of a sync that only make sense with `between`.
pub(super) const KEYS: [&str; 4] = ["prefer", "conflicts", "delete_against_update", "orphans"];

/// Those that only make sense one way, and what is said instead.
const ONE_WAY: [(&str, &str); 6] = [
    ("from", "every endpoint of `between` sends and receives"),
    ("to", "every endpoint of `between` sends and receives"),
    ("existing", "`prefer` says whose rows count at first contact"),
    ("local_writes", "every endpoint of `between` accepts writes"),
    ("run_triggers", "the effects of triggers travel as changes of their own"),
    ("limit", "syncs both ways have no limit yet"),
];

const SYNC: Shape = Shape {
    keys: &[
        "tables",
        "between",
        "strategy",
        "latency",
        "prefer",
        "conflicts",
        "delete_against_update",
        "journal_keep_days",
        "orphans",
        "table",
        // Understood, so that they are refused with the reason.
        "from",
        "to",
        "existing",
        "local_writes",
        "run_triggers",
        "limit",
    ],
    later: syncs::LATER,
};

const TABLE: Shape = Shape {
    keys: &["conflicts", "together", "delete_against_update", "orphans", "where", "columns"],
    later: &[
        ("value_bytes_max", "values that a replica leaves out; a sync one way has it"),
        ("name", "other names at a replica; a sync one way has it"),
        ("rename", "other names at a replica; a sync one way has it"),
        ("deletes", "deletes as marks at a replica; a sync one way has it"),
        ("deleted_when", "deletes as marks at a replica; a sync one way has it"),
        ("keep_days", "rows that age out of a replica"),
        ("mask", "masking columns, which only goes one way"),
        ("mask_key", "masking columns, which only goes one way"),
        ("schema", "following changes of the schema"),
    ],
};

const RULES: &str = "\"merge\", \"last-writer\", \"first-writer\", \"prefer:ENDPOINT\" or \"manual\"";
const RULES_LATER: [(&str, &str); 6] = [
    ("max", "the greatest value wins"),
    ("min", "the least value wins"),
    ("counter", "increments of all sides add up"),
    ("set", "additions and removals of all sides"),
    ("text", "edits of one text that merge"),
    ("script", "a script that decides"),
];

/// Reads one. `None` only where it is no table at all.
pub(super) fn read(entry: &Entry, endpoints: &BTreeMap<String, Endpoint>, problems: &Problems) -> Option<BothWays> {
    let title = format!("[sync.{}]", entry.key);
    let fields = Fields::open(entry, &title, &SYNC, problems)?;
    for (key, instead) in ONE_WAY {
        if let Some(entry) = fields.get(key) {
            problems.add(&entry.place, format!("`{key}` does not go with `between`: {instead}"));
        }
    }
    if let Some(word) = fields.text("strategy") {
        syncs::check_strategy(word, None, problems);
    }
    let members = members(&fields, endpoints, problems);
    let policy = Policy {
        row: fields.text("conflicts").and_then(|word| rule(word, &members, problems)).unwrap_or(Rule::Merge),
        delete_update: delete_update(&fields).unwrap_or_default(),
        orphans: orphans(&fields).unwrap_or_default(),
        ..Policy::default()
    };
    let (tables, words) = syncs::patterns(&fields, problems);
    let (mut policies, mut parts) = (BTreeMap::new(), BTreeMap::new());
    let vars = |name: &String| endpoints.get(name).map(|endpoint| &endpoint.vars);
    let holders: Vec<Target<'_>> = members.iter().map(|name| Target { name, vars: vars(name) }).collect();
    for entry in syncs::described(&fields, &tables, &words, problems) {
        let title = format!("[…table.{}]", entry.key);
        let described = Fields::open(entry, &title, &TABLE, problems);
        policies.insert(entry.key.clone(), table_policy(described.as_ref(), &policy, &members, problems));
        let held = described.map(|fields| tables::parts(&fields, &holders, problems)).unwrap_or_default();
        for (at, part) in held.into_iter().enumerate().filter_map(|(at, part)| Some((at, part?))) {
            parts.entry(at).or_insert_with(BTreeMap::new).insert(entry.key.clone(), part);
        }
    }
    if !members.is_empty() && parts.len() == members.len() {
        problems.add(&entry.place, "every endpoint of `between` holds a part only; one must hold all columns and rows");
    }
    Some(BothWays {
        name: entry.key.clone(),
        policies,
        parts,
        tables,
        prefer: fields.text("prefer").and_then(|word| prefer(word, &members, problems)),
        policy,
        latency: syncs::latency(&fields, problems),
        journal_keep_days: fields.number("journal_keep_days"),
        between: members,
    })
}

fn members(fields: &Fields<'_>, endpoints: &BTreeMap<String, Endpoint>, problems: &Problems) -> Vec<String> {
    let Some(words) = fields.words("between") else { return Vec::new() };
    let mut members: Vec<String> = Vec::new();
    for word in &words {
        check_endpoint(word, endpoints, problems);
        if endpoints.get(word.text).is_some_and(Endpoint::is_postgres) {
            let feature = "both ways goes between SQLite databases; one way, by `from` and `to`, it takes part";
            problems.add_later(word.place, "PostgreSQL in `between`", feature);
        }
        if members.iter().any(|known| known == word.text) {
            problems.add(word.place, format!("`{}` is named twice", word.text));
        } else {
            members.push(word.text.to_owned());
        }
    }
    if let [only] = &words[..] {
        problems.add(only.place, "`between` names at least two endpoints");
    }
    members
}

fn delete_update(fields: &Fields<'_>) -> Option<DeleteUpdate> {
    let choices = [DeleteUpdate::KeepUpdate, DeleteUpdate::Delete].map(|choice| (choice.word(), choice));
    fields.choice("delete_against_update", &choices)
}

fn orphans(fields: &Fields<'_>) -> Option<Orphans> {
    fields.choice("orphans", &[Orphans::Park, Orphans::Keep].map(|choice| (choice.word(), choice)))
}

fn prefer(word: Word<'_>, members: &[String], problems: &Problems) -> Option<Prefer> {
    match word.text.strip_prefix("newest:") {
        Some("") => {
            problems.add(word.place, "after `newest:` stands the column that says when a row was last written");
            None
        }
        Some(column) => Some(Prefer::Newest(column.to_owned())),
        None => member("prefer", word.text, word.place, members, problems).map(Prefer::Member),
    }
}

/// The place of an endpoint in `between`.
fn member(key: &str, name: &str, place: &Place, members: &[String], problems: &Problems) -> Option<usize> {
    let found = members.iter().position(|member| member == name);
    // Without any, what is wrong is `between`.
    if found.is_none() && !members.is_empty() {
        let names = || members.iter().map(String::as_str);
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        problems.add(place, format!("`{key}`: no endpoint of `between` is called `{}`; {hint}", name.escape_debug()));
    }
    found
}

fn rule(word: Word<'_>, members: &[String], problems: &Problems) -> Option<Rule> {
    if let Some(name) = word.text.strip_prefix("prefer:").filter(|name| !name.is_empty()) {
        let place = inside(word.place, word.text, "prefer:".len(), problems);
        member("conflicts", name, &place, members, problems)?;
    }
    if let Some(rule) = Rule::from_word(word.text) {
        return Some(rule);
    }
    let kind = word.text.split(':').next().unwrap_or_default();
    match RULES_LATER.iter().find(|(later, _)| *later == kind) {
        Some((later, what)) => problems.add_later(word.place, &format!("the rule \"{later}\""), what),
        None => {
            let known = ["merge", "last-writer", "first-writer", "manual"].into_iter();
            let known = known.chain(RULES_LATER.map(|(later, _)| later));
            problems.add(word.place, unknown_word("conflicts", word.text, known, RULES));
        }
    }
    None
}

/// The rules of one table: the sync's, and its own on top.
fn table_policy(fields: Option<&Fields<'_>>, sync: &Policy, members: &[String], problems: &Problems) -> Policy {
    let mut policy = sync.clone();
    let Some(fields) = fields else { return policy };
    policy.delete_update = delete_update(fields).unwrap_or(sync.delete_update);
    policy.orphans = orphans(fields).unwrap_or(sync.orphans);
    if let Some(together) = fields.get("together") {
        policy.together = groups(&together.node, problems);
    }
    let Some(conflicts) = fields.get("conflicts") else { return policy };
    match &conflicts.node.item {
        Item::Text(_) => {
            let own = word(&conflicts.node, "conflicts", problems).and_then(|word| rule(word, members, problems));
            policy.row = own.unwrap_or(policy.row);
        }
        Item::Table(_) => {
            for column in table(&conflicts.node, "conflicts", problems).unwrap_or_default() {
                let own = word(&column.node, &column.key, problems).and_then(|word| rule(word, members, problems));
                policy.columns.extend(own.map(|rule| (column.key.clone(), rule)));
            }
        }
        _ => {
            wrong::<()>(&conflicts.node, "conflicts", "a rule, or a table with a rule for each column", problems);
        }
    }
    policy
}

/// Lists of columns that belong together; every column stands in one of them at most.
fn groups(node: &Node, problems: &Problems) -> Vec<Vec<String>> {
    const EXPECTED: &str = "a list of lists of columns, such as [[\"amount\", \"currency\"]]";
    let Item::List(lists) = &node.item else { return wrong(node, "together", EXPECTED, problems).unwrap_or_default() };
    let mut seen: Vec<&str> = Vec::new();
    let mut groups = Vec::new();
    for list in lists {
        let Item::List(columns) = &list.item else {
            wrong::<()>(list, "together", EXPECTED, problems);
            continue;
        };
        if columns.len() < 2 {
            problems.add(&list.place, "`together`: at least two columns belong together");
        }
        let columns: Vec<Word<'_>> = columns.iter().filter_map(|node| word(node, "together", problems)).collect();
        for column in &columns {
            if seen.contains(&column.text) {
                problems.add(column.place, format!("`together`: the column `{}` is named twice", column.text));
            }
            seen.push(column.text);
        }
        groups.push(columns.iter().map(|column| column.text.to_owned()).collect());
    }
    groups
}
