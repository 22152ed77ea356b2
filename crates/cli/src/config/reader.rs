//! Typed values out of the tree. Every table is opened with the list of its keys, so that none is overlooked.
//!
//! Invariants: a getter gives `None` for a key that is absent, and for one that is wrong after it said so; a key
//! that is not in the table's [`Shape`] was reported when the table was opened. It never stops at the first error.
//! Tests: `tests.rs`.

use super::problems::{Place, Problems};
use super::tree::{Entry, Item, Node};

/// The keys of a table.
pub(super) struct Shape {
    /// Those that are understood.
    pub(super) keys: &'static [&'static str],
    /// Those of later versions, and what they are for.
    pub(super) later: &'static [(&'static str, &'static str)],
}

/// A table, opened.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    /// Where the table's own key stands.
    pub(super) place: &'a Place,
    problems: &'a Problems,
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) place: &'a Place,
}

impl<'a> Fields<'a> {
    /// Opens a table and reports the keys that do not belong to it. `title` is what messages call it.
    pub(super) fn new(
        entries: &'a [Entry],
        place: &'a Place,
        title: &str,
        shape: &Shape,
        problems: &'a Problems,
    ) -> Self {
        for entry in entries.iter().filter(|entry| !shape.keys.contains(&entry.key.as_str())) {
            let key = &entry.key;
            if let Some((_, feature)) = shape.later.iter().find(|(later, _)| later == key) {
                problems.add_later(&entry.place, &format!("`{key}`"), feature);
                continue;
            }
            let known = || shape.keys.iter().copied().chain(shape.later.iter().map(|(key, _)| *key));
            let hint = match nearest(key, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{title} knows: {}", shape.keys.join(", ")),
            };
            problems.add(&entry.place, format!("unknown key `{key}`; {hint}"));
        }
        Self { entries, place, problems }
    }

    /// Opens the table that an entry holds.
    pub(super) fn open(entry: &'a Entry, title: &str, shape: &Shape, problems: &'a Problems) -> Option<Self> {
        let entries = table(&entry.node, &entry.key, problems)?;
        Some(Self::new(entries, &entry.place, title, shape, problems))
    }

    /// The entry of this key.
    pub(super) fn get(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether the key is there but is no table.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.get(key).is_some_and(|entry| !matches!(entry.node.item, Item::Table(_)))
    }

    /// Opens the table of this key.
    pub(super) fn table(&self, key: &str, title: &str, shape: &Shape) -> Option<Self> {
        Self::open(self.get(key)?, title, shape, self.problems)
    }

    /// The entries of the table of this key, whose keys are names that the user chose.
    pub(super) fn named(&self, key: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let entry = self.get(key);
        entry.and_then(|entry| table(&entry.node, &entry.key, self.problems)).unwrap_or_default().iter()
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<Word<'a>> {
        word(&self.get(key)?.node, key, self.problems)
    }

    /// A whole number of at least 1.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        number(&self.get(key)?.node, key, "a whole number", self.problems)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let Word { text, place } = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            self.problems.add(place, unknown_word(key, text, names(), &quoted(names())));
        }
        found
    }

    /// A list of texts that are not empty; the list itself is not empty either.
    pub(super) fn words(&self, key: &str) -> Option<Vec<Word<'a>>> {
        words(&self.get(key)?.node, key, "a list of texts", self.problems)
    }

    /// The same, or a single text.
    pub(super) fn word_or_words(&self, key: &str) -> Option<Vec<Word<'a>>> {
        let node = &self.get(key)?.node;
        match node.item {
            Item::Text(_) => Some(vec![word(node, key, self.problems)?]),
            _ => words(node, key, "text or a list of texts", self.problems),
        }
    }
}

/// A table's entries.
pub(super) fn table<'a>(node: &'a Node, key: &str, problems: &Problems) -> Option<&'a [Entry]> {
    match &node.item {
        Item::Table(entries) => Some(entries),
        _ => wrong(node, key, "a table", problems),
    }
}

/// A text that is not empty.
pub(super) fn word<'a>(node: &'a Node, key: &str, problems: &Problems) -> Option<Word<'a>> {
    match &node.item {
        Item::Text(text) if text.trim().is_empty() => {
            problems.add(&node.place, format!("`{key}` is empty"));
            None
        }
        Item::Text(text) => Some(Word { text, place: &node.place }),
        _ => wrong(node, key, "text", problems),
    }
}

/// A whole number of at least 1; `expected` is what the message names.
pub(super) fn number(node: &Node, key: &str, expected: &str, problems: &Problems) -> Option<u64> {
    let Item::Integer(number) = node.item else { return wrong(node, key, expected, problems) };
    match u64::try_from(number) {
        Ok(number @ 1..) => Some(number),
        _ => {
            problems.add(&node.place, format!("`{key}` is at least 1; for no limit leave it out"));
            None
        }
    }
}

fn words<'a>(node: &'a Node, key: &str, expected: &str, problems: &Problems) -> Option<Vec<Word<'a>>> {
    let Item::List(list) = &node.item else { return wrong(node, key, expected, problems) };
    if list.is_empty() {
        problems.add(&node.place, format!("the list of `{key}` is empty; leave the key out instead"));
        return None;
    }
    Some(list.iter().filter_map(|node| word(node, key, problems)).collect())
}

/// Says that the value is of another kind than expected.
pub(super) fn wrong<T>(node: &Node, key: &str, expected: &str, problems: &Problems) -> Option<T> {
    let found = match node.item {
        Item::Text(_) => "text",
        Item::Integer(_) => "a whole number",
        Item::Float(_) => "a number with a point",
        Item::Bool(_) => "true or false",
        Item::Date => "a date or time",
        Item::List(_) => "a list",
        Item::Table(_) => "a table",
    };
    problems.add(&node.place, format!("`{key}`: expected {expected}, found {found}"));
    None
}

/// The message for a word that is none of the known ones.
pub(super) fn unknown_word<'n>(key: &str, text: &str, names: impl Iterator<Item = &'n str>, expected: &str) -> String {
    let hint = nearest(text, names).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
    format!("`{key}`: expected {expected}, found \"{}\"{hint}", text.escape_debug())
}

fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
}

/// The name that was probably meant: the nearest, if a third of it or less is different.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let (distance, near) = known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.chars().count().max(near.chars().count()) / 3).max(1)).then_some(near)
}

/// Whether this can name an endpoint or a sync; if not, says so.
pub(super) fn check_name(entry: &Entry, what: &str, problems: &Problems) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if entry.key.is_empty() || !entry.key.chars().all(fits) {
        let message = format!("the name of {what} is made of letters, digits, `_` and `-`");
        problems.add(&entry.place, message);
    }
}
