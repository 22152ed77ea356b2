//! Members that hold a part of the tables: leaves. They exchange nothing with each other, so the hub is a member that
//! holds everything.

use super::report::ExchangeReport;
use super::rounds::{HUB, Present, Rounds};
use super::{ExchangeSettings, Member};
use crate::change::{Mapping, Table, TableScope};
use crate::error::{Error, Kind, Result, code};
use crate::merge::Rules;
use crate::replica::{Part, Shared};
use std::sync::Arc;

/// While following, leaves are compared again after this many times what it took.
const COMPARING_REST: u32 = 50;

/// Puts members that hold everything before their leaves. Where none is there, the leaves are away, too; answers why.
pub(super) fn behind_others(
    members: &[Arc<dyn Member>],
    settings: &ExchangeSettings,
    present: &mut Vec<Present>,
    report: &mut ExchangeReport,
) -> Result<Option<Error>> {
    let is_leaf = |at: usize| settings.parts.contains_key(&at);
    if (0..members.len()).all(is_leaf) {
        return Err(nobody_holds_all());
    }
    present.sort_by_key(|present| is_leaf(present.at));
    if present.first().is_none_or(|hub| !is_leaf(hub.at)) {
        return Ok(None);
    }
    let mut away = None;
    for leaf in present.drain(..) {
        let error = all_are_away(&members[leaf.at].shown());
        report.members[leaf.at].away = Some(error.to_string());
        away = Some(error);
    }
    Ok(away)
}

impl Rounds<'_> {
    pub(super) fn is_leaf(&self, present: usize) -> bool {
        self.settings.parts.contains_key(&self.present[present].at)
    }

    /// What a member holds of tables that are shared.
    pub(super) fn parts(&self, present: usize, tables: &[Table]) -> Result<Arc<[Shared]>> {
        let Some(parts) = self.settings.parts.get(&self.present[present].at) else { return Ok(self.shared.clone()) };
        let known = |name: &String| tables.iter().any(|table| table.name.eq_ignore_ascii_case(name));
        if let Some(name) = parts.keys().find(|name| !known(name)) {
            return Err(Error::new(Kind::Invalid, code::SCOPE, format!("no table of this sync is called {name}"))
                .meaning(format!("{} is to hold a part of it. Nothing was changed.", self.shown(present)))
                .remedy("Correct the name, or add the table to the sync."));
        }
        let one = |(shared, table): (&Shared, &Table)| {
            let scope = parts.iter().find(|(name, _)| name.eq_ignore_ascii_case(&table.name));
            let Some((_, scope)) = scope else { return Ok(shared.clone()) };
            Ok(Shared { part: self.part_of(present, shared, table, scope)?, ..shared.clone() })
        };
        self.shared.iter().zip(tables).map(one).collect::<Result<Vec<_>>>().map(Into::into)
    }

    fn part_of(&self, present: usize, shared: &Shared, table: &Table, scope: &TableScope) -> Result<Option<Part>> {
        let mapping = scope.resolve(table)?;
        let held = |name: &str| mapping.source.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let columns = &shared.view.columns;
        for group in &shared.policy.together {
            let (here, lacking): (Vec<&String>, Vec<&String>) = group.iter().partition(|name| held(name));
            if let ([one, ..], [other, ..]) = (&here[..], &lacking[..]) {
                return Err(torn(&self.shown(present), &table.name, one, other));
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let columns: Vec<usize> = (0..columns.len()).filter(|at| held(names[*at])).collect();
        let by_column = Rules::new(&shared.policy, &names).is_ok_and(|rules| rules.by_column());
        if columns.len() < names.len() && !by_column {
            return Err(by_row(&self.shown(present), &table.name, &shared.policy.row.word()));
        }
        let whole = columns.len() == shared.view.columns.len() && scope.filter.is_none();
        Ok((!whole).then(|| Part { columns, filter: scope.filter.clone() }))
    }

    /// Rows of a leaf cannot be stored whole where a column that it does not hold refuses to be empty.
    pub(super) fn warn_of_columns(&mut self, tables: &[Table]) {
        let mut notices = Vec::new();
        for present in HUB + 1..self.present.len() {
            for (shared, table) in self.present[present].shared.iter().zip(tables) {
                let Some(part) = &shared.part else { continue };
                let lacks = |at: &usize| !part.columns.contains(at);
                let lacking = (0..shared.view.columns.len()).filter(lacks).map(|at| &shared.view.columns[at].name);
                let demanding = |name: &&String| {
                    table.column(name).is_some_and(|column| column.not_null && column.default.is_none())
                };
                if let Some(name) = lacking.into_iter().find(demanding) {
                    notices.push(format!(
                        "{}: rows inserted there have no {name}, which {} requires; they will stand aside until \
                         somebody sets it",
                        self.shown(present),
                        table.name
                    ));
                }
            }
        }
        notices.retain(|notice| !self.report.notices.contains(notice));
        self.report.notices.extend(notices);
    }

    /// Two members' table as both hold it; with `filtered`, of the one that holds everything only the rows of the part.
    pub(super) fn in_common(&self, table: usize, one: usize, other: usize, filtered: bool) -> Mapping {
        let of = |present: usize| self.present[present].shared.get(table).and_then(|shared| shared.part.clone());
        let part = of(other).or_else(|| of(one));
        let view = &self.shared[table].view;
        let mut source = part.as_ref().map_or_else(|| view.clone(), |part| view.narrowed(&part.columns));
        let target = source.clone();
        source.filter = part.and_then(|part| part.filter).filter(|_| filtered);
        Mapping {
            source,
            target,
            identity: crate::change::Identity::PrimaryKey,
            deletes: crate::change::Deletes::Apply,
            whole: true,
        }
    }

    /// Whether leaves were compared so lately that it would slow down everything else.
    pub(super) fn compares_later(&self) -> bool {
        let Some((at, took)) = self.compared else { return false };
        self.env.clock.monotonic().saturating_sub(at) < took * COMPARING_REST
    }

    /// The tables whose part at a leaf is not what the hub shows of it. No sum is kept for a part: it is read.
    pub(super) async fn parts_that_differ(&mut self) -> Result<Vec<String>> {
        let mut differing = Vec::new();
        let start = self.env.clock.monotonic();
        let mut any = false;
        for other in HUB + 1..self.present.len() {
            for table in 0..self.shared.len() {
                let is_part = self.present[other].shared.get(table).is_some_and(|shared| shared.part.is_some());
                if self.present[other].out || !is_part {
                    continue;
                }
                any = true;
                let counts = self.compare(table, HUB, other, true).await?;
                if counts.differ + counts.missing + counts.extra > 0 {
                    differing.push(self.shared[table].view.table.clone());
                }
            }
        }
        let now = self.env.clock.monotonic();
        differing.sort();
        differing.dedup();
        self.compared = any.then(|| (now, now.saturating_sub(start)));
        Ok(differing)
    }
}

fn nobody_holds_all() -> Error {
    Error::new(Kind::Invalid, code::SCOPE, "every endpoint of this sync holds a part of the tables only")
        .meaning("Somebody must hold all columns and rows, for the others to exchange with. Nothing was changed.")
        .remedy("Take `where` and `columns` away for one of them.")
}

fn all_are_away(leaf: &str) -> Error {
    Error::new(Kind::Unavailable, code::MISSING, format!("nobody is there to exchange with {leaf}"))
        .meaning("It holds a part of the tables, and exchanges with those that hold everything. Nothing is lost.")
        .remedy("Nothing to do: it takes part again when one of them is back.")
}

fn by_row(shown: &str, table: &str, rule: &str) -> Error {
    let what = format!("{shown} is to hold some columns of {table}, whose rows are settled as a whole by {rule}");
    Error::new(Kind::Invalid, code::SCOPE, what)
        .meaning("A write there would take the place of values that it does not know. Nothing was changed.")
        .remedy("Let the table be settled by \"merge\", with rules for its columns, or let it hold all columns.")
}

fn torn(shown: &str, table: &str, held: &str, lacking: &str) -> Error {
    let what = format!("{shown} would hold {table}.{held} without {lacking}, which belongs together with it");
    Error::new(Kind::Invalid, code::SCOPE, what)
        .meaning("A write there would bring together values from two hands. Nothing was changed.")
        .remedy("Let it hold all columns of a `together` group, or none.")
}
