//! `[sync.NAME]`: which tables go from where to where, and how soon. What is special both ways is in `between.rs`.
//!
//! Invariants: a sync is always made, with defaults where something is wrong, so that one error does not hide
//! others; who called looks at the problems before using it. Tests: `tests.rs`.

use super::problems::Problems;
use super::reader::{Fields, Shape, Word, check_name, nearest, unknown_word};
use super::tables::{self, Target};
use super::tree::{Entry, Item};
use super::{Endpoint, Latency, OneWay, Sync, between};
use crate::spool::{SpoolChoice, folder_of, size};
use std::collections::BTreeMap;
use std::time::Duration;
use tidewater_core::change::{Pattern, Scope, TableScope};
use tidewater_core::link::{Existing, Full};

const SYNC: Shape = Shape {
    keys: &[
        "tables",
        "from",
        "to",
        "strategy",
        "latency",
        "existing",
        "local_writes",
        "limit",
        "run_triggers",
        "journal_keep_days",
        "spool",
        "spool_max",
        "spool_full",
        "table",
        "between",
        // Understood, so that they are refused with the reason.
        "prefer",
        "conflicts",
        "delete_against_update",
        "orphans",
    ],
    later: LATER,
};
/// Keys of later versions, one way and both ways.
pub(super) const LATER: &[(&str, &str)] = &[
    ("event", "formats of events"),
    ("initial", "order and times of the first copy"),
    ("deletes", "one setting for the deletes of all tables; set it per table, in [sync.NAME.table.TABLE]"),
    ("schema", "following changes of the schema"),
];
const LIMIT: Shape = Shape { keys: &["rows_per_second_max"], later: &[] };

/// The longest pause between two runs, in seconds: a year. More is a slip of the pen.
const EVERY_SECONDS_MAX: u64 = 365 * 24 * 3600;

/// Reads one sync. `None` only where it is no table at all.
pub(super) fn read(entry: &Entry, endpoints: &BTreeMap<String, Endpoint>, problems: &Problems) -> Option<Sync> {
    check_name(entry, "a sync", problems);
    let both_ways = matches!(&entry.node.item, Item::Table(keys) if keys.iter().any(|key| key.key == "between"));
    if both_ways {
        between::read(entry, endpoints, problems).map(Sync::BothWays)
    } else {
        one_way(entry, endpoints, problems).map(Sync::OneWay)
    }
}

fn one_way(entry: &Entry, endpoints: &BTreeMap<String, Endpoint>, problems: &Problems) -> Option<OneWay> {
    let title = format!("[sync.{}]", entry.key);
    let fields = Fields::open(entry, &title, &SYNC, problems)?;
    for key in between::KEYS {
        if let Some(entry) = fields.get(key) {
            problems.add(&entry.place, format!("`{key}` goes with `between`: one way, the source always wins"));
        }
    }
    let (from, to) = direction(&fields, &title, endpoints, problems);
    let (tables, words) = patterns(&fields, problems);
    let existing = [
        ("refuse", Existing::Refuse),
        ("keep", Existing::Keep),
        ("overwrite", Existing::Overwrite),
        ("mirror", Existing::Mirror),
    ];
    let limit = fields.table("limit", &format!("`limit` of {title}"), &LIMIT);
    if let Some(word) = fields.text("strategy") {
        check_strategy(word, endpoints.get(&from), problems);
    }
    Some(OneWay {
        name: entry.key.clone(),
        scopes: scopes(&fields, &tables, &words, &to, endpoints, problems),
        from,
        to,
        existing: fields.choice("existing", &existing).unwrap_or_default(),
        local_writes_refused: fields.choice("local_writes", &[("allow", false), ("refuse", true)]).unwrap_or_default(),
        latency: latency(&fields, problems),
        rows_per_second_max: limit.and_then(|limit| limit.number("rows_per_second_max")),
        run_triggers: fields.words("run_triggers").unwrap_or_default().iter().map(|w| w.text.to_owned()).collect(),
        journal_keep_days: fields.number("journal_keep_days"),
        spool: spool(&fields, problems),
    })
}

/// Where changes go while the target is away.
fn spool(fields: &Fields<'_>, problems: &Problems) -> SpoolChoice {
    let folder = fields.text("spool").map(|word| folder_of(word.text, &problems.file(word.place).folder));
    let bytes_max = fields.text("spool_max").and_then(|word| {
        let bytes = size(word.text);
        if bytes.is_none() {
            problems.add(word.place, "`spool_max`: expected a size such as \"500 MB\" or \"1 GiB\"");
        }
        bytes
    });
    let full = fields.choice("spool_full", &[("pause", Full::Pause), ("give-up", Full::GiveUp)]).unwrap_or_default();
    SpoolChoice { folder, bytes_max, full }
}

fn direction(
    fields: &Fields<'_>,
    title: &str,
    endpoints: &BTreeMap<String, Endpoint>,
    problems: &Problems,
) -> (String, Vec<String>) {
    for (key, what) in [("from", "the source endpoint"), ("to", "the target endpoint, or a list of them")] {
        if fields.get(key).is_none() {
            problems.add(fields.place, format!("{title} needs `{key}`: {what}; or `between`, both ways"));
        }
    }
    let from = fields.text("from");
    let mut to: Vec<String> = Vec::new();
    for word in fields.word_or_words("to").unwrap_or_default() {
        check_endpoint(&word, endpoints, problems);
        if from.is_some_and(|from| from.text == word.text) {
            problems
                .add(word.place, format!("`{}` is the source of this sync and cannot be its target too", word.text));
        } else if to.iter().any(|known| known == word.text) {
            problems.add(word.place, format!("`{}` is named twice", word.text));
        } else {
            to.push(word.text.to_owned());
        }
    }
    if let Some(from) = &from {
        check_endpoint(from, endpoints, problems);
    }
    (from.map(|word| word.text.to_owned()).unwrap_or_default(), to)
}

pub(super) fn check_endpoint(word: &Word<'_>, endpoints: &BTreeMap<String, Endpoint>, problems: &Problems) {
    if endpoints.contains_key(word.text) {
        return;
    }
    let names = || endpoints.keys().map(String::as_str);
    let hint = match nearest(word.text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if endpoints.is_empty() => "there is none; add one as [endpoint.NAME] with a `url`".into(),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    problems.add(word.place, format!("no endpoint is called `{}`; {hint}", word.text));
}

/// The tables selected, and where that stands.
pub(super) fn patterns<'a>(fields: &Fields<'a>, problems: &Problems) -> (Vec<Pattern>, Vec<Word<'a>>) {
    let words = fields.words("tables").unwrap_or_default();
    for word in words.iter().filter(|word| word.text == "!") {
        problems.add(word.place, "after `!` stands the table or pattern to leave out");
    }
    (words.iter().map(|word| Pattern::new(word.text)).collect(), words)
}

/// Every kind of source has one strategy; both words that name it are taken.
pub(super) fn check_strategy(word: Word<'_>, source: Option<&Endpoint>, problems: &Problems) {
    let own = if source.is_some_and(Endpoint::is_postgres) { "log" } else { "trigger" };
    let kind = word.text.split(':').next().unwrap_or_default();
    match (word.text, kind) {
        (text, _) if text == "auto" || text == own => {}
        ("trigger" | "log" | "events", _) | (_, "version" | "timestamp") => {
            let built = format!("for this source, \"auto\" and \"{own}\" are");
            problems.add_later(word.place, &format!("the strategy \"{kind}\""), &built);
        }
        _ => {
            let expected = format!("\"auto\" or \"{own}\"");
            problems.add(word.place, unknown_word("strategy", word.text, ["auto", own].into_iter(), &expected));
        }
    }
}

/// How soon changes travel.
pub(super) fn latency(fields: &Fields<'_>, problems: &Problems) -> Latency {
    let Some(word) = fields.text("latency") else { return Latency::default() };
    if word.text == "live" {
        return Latency::Live;
    }
    if word.text.starts_with("cron ") {
        problems.add_later(
            word.place,
            "\"cron …\"",
            "runs at times of the clock; \"every 24h\" is a pause of that length",
        );
        return Latency::Live;
    }
    let seconds = word.text.strip_prefix("every ").and_then(seconds);
    match seconds {
        Some(seconds @ 1..=EVERY_SECONDS_MAX) => return Latency::Every(Duration::from_secs(seconds)),
        Some(0) => problems.add(word.place, "`latency`: a pause is at least a second; without any it is \"live\""),
        Some(_) => problems.add(word.place, "`latency`: a pause is at most a year, \"every 365d\""),
        None => {
            let expected = "\"live\" or a pause such as \"every 30s\", \"every 5m\", \"every 2h\" or \"every 1d\"";
            problems.add(word.place, unknown_word("latency", word.text, ["live"].into_iter(), expected));
        }
    }
    Latency::Live
}

/// Seconds from a number with its unit; `None` if it is none.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    Some(number.saturating_mul(seconds))
}

/// The scope for each target: the tables that are special, with that target's names and variables.
fn scopes(
    fields: &Fields<'_>,
    tables: &[Pattern],
    words: &[Word<'_>],
    to: &[String],
    endpoints: &BTreeMap<String, Endpoint>,
    problems: &Problems,
) -> BTreeMap<String, Scope> {
    let vars = |name: &String| endpoints.get(name).map(|endpoint| &endpoint.vars);
    let targets: Vec<Target<'_>> = to.iter().map(|name| Target { name, vars: vars(name) }).collect();
    let mut special: Vec<BTreeMap<String, TableScope>> = vec![BTreeMap::new(); targets.len()];
    for entry in described(fields, tables, words, problems) {
        for (scopes, scope) in special.iter_mut().zip(tables::read(entry, &targets, problems)) {
            scopes.insert(entry.key.clone(), scope);
        }
    }
    let value_bytes_max = Some(Scope::VALUE_BYTES_MAX_DEFAULT);
    let scope = |special| Scope { tables: tables.to_vec(), special, value_bytes_max };
    to.iter().cloned().zip(special.into_iter().map(scope)).collect()
}

/// The tables described, each once and each selected.
pub(super) fn described<'a>(
    fields: &Fields<'a>,
    tables: &[Pattern],
    words: &[Word<'_>],
    problems: &Problems,
) -> Vec<&'a Entry> {
    let mut seen: Vec<&Entry> = Vec::new();
    for entry in fields.named("table") {
        check_selected(entry, tables, words, problems);
        if entry.key.is_empty() {
            problems.add(&entry.place, "the name of a table is empty");
        }
        if seen.iter().any(|known| known.key.eq_ignore_ascii_case(&entry.key)) {
            problems.add(&entry.place, format!("the table {} is described twice; case makes no difference", entry.key));
        }
        seen.push(entry);
    }
    seen
}

/// A table that is described but not selected would be ignored: most likely its name is wrong.
fn check_selected(entry: &Entry, tables: &[Pattern], words: &[Word<'_>], problems: &Problems) {
    let plain = || words.iter().map(|word| word.text).filter(|text| !text.contains(['*', '?', '!']));
    let mut names: Vec<&str> = plain().collect();
    names.push(&entry.key);
    let scope = Scope { tables: tables.to_vec(), ..Scope::default() };
    if scope.select(&names).is_ok_and(|selected| selected.contains(&entry.key.as_str())) {
        return;
    }
    let hint = nearest(&entry.key, plain()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    problems.add(&entry.place, format!("`tables` does not select the table `{}`{hint}", entry.key));
}
