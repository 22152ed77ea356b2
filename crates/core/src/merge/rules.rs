//! The rules that settle conflicts: as they are written down, by names, and made ready for one table.
//!
//! A table's columns fall into groups, and each group is decided as a whole, by one rule. `merge` makes a group of
//! each column; any other rule of the row makes one group of all of them. A column with a rule of its own is a group,
//! and so are columns that belong together. So the rules of rows, columns and groups are one mechanism.

use super::dot::first_128_bits;
use std::collections::BTreeSet;

/// How the value shown is picked from concurrent ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// For a row: each column by itself, the last writer of a column wins. For a column the same as `LastWriter`.
    Merge,
    /// The latest stamp.
    LastWriter,
    /// The earliest stamp.
    FirstWriter,
    /// The named endpoint's; where it has none, the latest stamp.
    Prefer(String),
    /// The latest stamp for the time being; the conflict stays open until [`super::State::resolve`].
    Manual,
}

impl Rule {
    /// The word in configuration and in journals.
    pub fn word(&self) -> String {
        match self {
            Rule::Merge => "merge".to_owned(),
            Rule::LastWriter => "last-writer".to_owned(),
            Rule::FirstWriter => "first-writer".to_owned(),
            Rule::Prefer(endpoint) => format!("prefer:{endpoint}"),
            Rule::Manual => "manual".to_owned(),
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "merge" => Some(Rule::Merge),
            "last-writer" => Some(Rule::LastWriter),
            "first-writer" => Some(Rule::FirstWriter),
            "manual" => Some(Rule::Manual),
            _ => Some(Rule::Prefer(word.strip_prefix("prefer:").filter(|name| !name.is_empty())?.to_owned())),
        }
    }
}

/// What becomes of a row that one side deleted and another changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteUpdate {
    /// A delete counts only where nothing else survives.
    #[default]
    KeepUpdate,
    /// Any delete wins.
    Delete,
}

impl DeleteUpdate {
    /// The word in configuration.
    pub fn word(self) -> &'static str {
        match self {
            DeleteUpdate::KeepUpdate => "keep-update",
            DeleteUpdate::Delete => "delete",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::KeepUpdate, Self::Delete].into_iter().find(|choice| choice.word() == word)
    }
}

/// What becomes of a row whose foreign key leads to no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// It stands aside until there is one.
    #[default]
    Park,
    /// It is shown all the same: foreign keys of this table are not looked at.
    Keep,
}

impl Orphans {
    /// The word in configuration.
    pub fn word(self) -> &'static str {
        match self {
            Orphans::Park => "park",
            Orphans::Keep => "keep",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Park, Self::Keep].into_iter().find(|choice| choice.word() == word)
    }
}

/// What precedes the word for orphans.
const ORPHANS: &str = "orphans";

/// The rules of one table as written down: columns by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The rule of the row.
    pub row: Rule,
    /// Columns with a rule of their own. A column of a `together` group gives its rule to the group.
    pub columns: Vec<(String, Rule)>,
    /// Columns that only make sense from one hand.
    pub together: Vec<Vec<String>>,
    /// Delete against update.
    pub delete_update: DeleteUpdate,
    /// Rows whose foreign key leads to no row.
    pub orphans: Orphans,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            row: Rule::Merge,
            columns: vec![],
            together: vec![],
            delete_update: DeleteUpdate::default(),
            orphans: Orphans::default(),
        }
    }
}

impl Policy {
    /// As words, which [`Policy::from_words`] reads: how a replica stores it.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.row.word(), self.delete_update.word().to_owned()];
        for (name, rule) in &self.columns {
            words.extend(["column".to_owned(), name.clone(), rule.word()]);
        }
        for group in &self.together {
            words.extend(["together".to_owned(), group.len().to_string()]);
            words.extend(group.iter().cloned());
        }
        words.extend([ORPHANS.to_owned(), self.orphans.word().to_owned()]);
        words
    }

    /// Reads what [`Policy::words`] wrote; `None` where it did not.
    pub fn from_words(words: &[String]) -> Option<Self> {
        let mut words = words.iter();
        let row = Rule::from_word(words.next()?)?;
        let delete_update = DeleteUpdate::from_word(words.next()?)?;
        let mut policy = Self { row, delete_update, ..Self::default() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "column" => policy.columns.push((words.next()?.clone(), Rule::from_word(words.next()?)?)),
                "together" => {
                    let count: usize = words.next()?.parse().ok()?;
                    policy.together.push(words.by_ref().take(count).cloned().collect());
                }
                ORPHANS => policy.orphans = Orphans::from_word(words.next()?)?,
                _ => return None,
            }
        }
        Some(policy)
    }

    /// Whether words say that orphans stand aside: those that were stored before there was a choice say nothing.
    pub fn parks(words: &[String]) -> bool {
        words.windows(2).any(|pair| pair[0] == ORPHANS && pair[1] == Orphans::Park.word())
    }

    /// The hash that all nodes of a sync must agree on: BLAKE3 over names and rules. The order in which they are
    /// written down makes no difference.
    pub fn hash(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidewater rules 1");
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        rule_text(&self.row, &mut text);
        text(self.delete_update.word());
        let mut columns: Vec<_> = self.columns.iter().collect();
        columns.sort();
        for (name, rule) in columns {
            text("column");
            text(name);
            rule_text(rule, &mut text);
        }
        let mut together: Vec<Vec<&String>> = self.together.iter().map(|group| group.iter().collect()).collect();
        together.iter_mut().for_each(|group| group.sort());
        together.sort();
        for group in together {
            // With the number of names: a column may be called `together`.
            text("together");
            text(&group.len().to_string());
            group.into_iter().for_each(|name| text(name));
        }
        // The default says nothing: the hash of rules from before there was a choice is the same.
        if self.orphans != Orphans::default() {
            text(ORPHANS);
            text(self.orphans.word());
        }
        first_128_bits(&hasher)
    }
}

fn rule_text(rule: &Rule, text: &mut impl FnMut(&str)) {
    match rule {
        Rule::Merge => text("merge"),
        Rule::LastWriter => text("last-writer"),
        Rule::FirstWriter => text("first-writer"),
        Rule::Prefer(endpoint) => {
            text("prefer");
            text(endpoint);
        }
        Rule::Manual => text("manual"),
    }
}

/// A policy that does not fit its table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A name that is no column.
    #[error("no column is called {0}")]
    UnknownColumn(String),
    /// A column named twice.
    #[error("column {0} stands in two groups, or has two rules")]
    Twice(String),
    /// Columns that belong together, with different rules.
    #[error("{0} belongs together with a column that has another rule")]
    Different(String),
}

/// Columns that are decided as a whole, by one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Indexes of columns, ascending, at least one.
    pub(super) columns: Vec<usize>,
    pub(super) rule: Rule,
}

/// The rules of one table, made ready: every column belongs to exactly one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    row: Rule,
    groups: Vec<Group>,
    /// The group of each column.
    group_of: Vec<usize>,
    delete_update: DeleteUpdate,
}

impl Rules {
    /// Makes `policy` ready for a table of `columns`, in the order of its rows.
    pub fn new(policy: &Policy, columns: &[&str]) -> Result<Self, PolicyError> {
        let own = own_rules(policy, columns)?;
        let mut groups = together(policy, columns, &own)?;
        let grouped: BTreeSet<usize> = groups.iter().flat_map(|group| group.columns.iter().copied()).collect();
        let (alone, rest): (Vec<usize>, Vec<usize>) = (0..columns.len())
            .filter(|column| !grouped.contains(column))
            .partition(|column| own[*column].is_some() || policy.row == Rule::Merge);
        groups.extend(
            alone
                .into_iter()
                .map(|column| Group { columns: vec![column], rule: own[column].unwrap_or(&policy.row).clone() }),
        );
        if !rest.is_empty() {
            groups.push(Group { columns: rest, rule: policy.row.clone() });
        }
        groups.sort_unstable_by_key(|group| group.columns[0]);
        let mut group_of = vec![0; columns.len()];
        for (at, group) in groups.iter().enumerate() {
            group.columns.iter().for_each(|column| group_of[*column] = at);
        }
        Ok(Self { row: policy.row.clone(), groups, group_of, delete_update: policy.delete_update })
    }

    /// Whether columns are decided apart from each other, so that a write must know which of them it changed.
    pub fn by_column(&self) -> bool {
        self.groups.len() > 1
    }

    pub(super) fn row(&self) -> &Rule {
        &self.row
    }

    pub(super) fn delete_update(&self) -> DeleteUpdate {
        self.delete_update
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The columns decided together with `column`; none where there is no such column.
    pub(super) fn group_of(&self, column: usize) -> &[usize] {
        self.group_of.get(column).map_or(&[], |at| &self.groups[*at].columns)
    }

    pub(super) fn columns(&self) -> usize {
        self.group_of.len()
    }
}

fn index(columns: &[&str], name: &String) -> Result<usize, PolicyError> {
    columns.iter().position(|column| column == name).ok_or_else(|| PolicyError::UnknownColumn(name.clone()))
}

/// The rule that each column was given for itself.
fn own_rules<'a>(policy: &'a Policy, columns: &[&str]) -> Result<Vec<Option<&'a Rule>>, PolicyError> {
    let mut rules = vec![None; columns.len()];
    for (name, rule) in &policy.columns {
        if rules[index(columns, name)?].replace(rule).is_some() {
            return Err(PolicyError::Twice(name.clone()));
        }
    }
    Ok(rules)
}

/// The groups of columns that belong together, each with the rule of its columns.
fn together(policy: &Policy, columns: &[&str], own: &[Option<&Rule>]) -> Result<Vec<Group>, PolicyError> {
    let mut grouped = BTreeSet::new();
    let mut groups = Vec::new();
    for names in policy.together.iter().filter(|names| !names.is_empty()) {
        let mut group = BTreeSet::new();
        for name in names {
            let column = index(columns, name)?;
            if !grouped.insert(column) {
                return Err(PolicyError::Twice(name.clone()));
            }
            group.insert(column);
        }
        let mut given = group.iter().filter_map(|column| Some((*column, own[*column]?)));
        let first = given.next().map(|(_, rule)| rule);
        if let Some((column, _)) = given.find(|(_, rule)| Some(*rule) != first) {
            return Err(PolicyError::Different(columns[column].to_owned()));
        }
        let rule = first.unwrap_or(&policy.row).clone();
        groups.push(Group { columns: group.into_iter().collect(), rule });
    }
    Ok(groups)
}
