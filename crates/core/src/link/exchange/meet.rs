//! Meeting: which tables are shared, whether their rows may be brought together, and versions for rows that have none.

use super::super::first_contact::Counts;
use super::super::session;
use super::super::state::{Event, State};
use super::Prefer;
use super::rounds::{HUB, Rounds};
use crate::capture::Survey;
use crate::change::{Identity, Table, View, ViewColumn};
use crate::error::{Error, Kind, Result, code};
use crate::merge::{Policy, Rules};
use crate::replica::{Introduction, Membership, Shared, TableSaid};
use crate::verify::{Comparison, DifferenceKind};

/// Rows adopted in one transaction.
const ADOPTED_MAX: usize = 5_000;

impl Rounds<'_> {
    /// Brings everybody to where versions can be exchanged.
    pub(super) async fn meet(&mut self) -> Result<()> {
        let mut surveys = Vec::new();
        for (at, present) in self.present.iter_mut().enumerate() {
            self.asked = at;
            surveys.push(present.replica.survey().await?);
        }
        let tables = self.tables(&surveys)?;
        self.share(&tables)?;
        self.report.tables = tables.iter().map(|table| table.name.clone()).collect();
        self.fit(&tables, false).await?;
        let mut before = Vec::new();
        for (at, present) in self.present.iter_mut().enumerate() {
            self.asked = at;
            before.push(present.replica.introduce().await?);
        }
        self.check_rules(&before)?;
        self.refuse_collisions(&before, &surveys).await?;
        self.fit(&tables, true).await?;
        self.join(&tables, &before).await?;
        self.introduce().await
    }

    /// The tables of the scope, parents before their children, as the first member has them that has them.
    pub(super) fn tables(&mut self, surveys: &[Survey]) -> Result<Vec<Table>> {
        let mut union = Survey::default();
        for (present, survey) in surveys.iter().enumerate() {
            for table in &survey.tables {
                match union.tables.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&table.name)) {
                    None => union.tables.push(table.clone()),
                    // What else a leaf has beside its part is its own.
                    Some(_) if self.is_leaf(present) => {}
                    Some(known) => add_columns(known, table),
                }
            }
        }
        for (name, why) in surveys.iter().flat_map(|survey| &survey.skipped) {
            if !union.skipped.iter().any(|(known, _)| known == name) {
                union.skipped.push((name.clone(), why.clone()));
            }
        }
        let shown = self.members[self.present[HUB].at].shown();
        let mut tables = session::select(&self.settings.scope, &union, &shown)?;
        let named = |name: &str| self.settings.scope.names(name);
        let mut keyless = Vec::new();
        for table in tables.iter().filter(|table| table.identity == Identity::RowNumber) {
            if named(&table.name) {
                return Err(no_key(&table.name));
            }
            keyless.push((table.name.clone(), "it has no primary key, by which both sides would know a row".into()));
        }
        tables.retain(|table| table.identity == Identity::PrimaryKey);
        union.skipped.extend(keyless);
        if tables.is_empty() {
            return Err(session::no_tables(&union, &shown));
        }
        self.report.skipped = union.skipped;
        Ok(tables)
    }

    /// Makes them ready to be shared, each with its rules.
    pub(super) fn share(&mut self, tables: &[Table]) -> Result<()> {
        self.shared = tables.iter().map(|table| self.shared(table)).collect::<Result<Vec<_>>>()?.into();
        for present in 0..self.present.len() {
            self.present[present].shared = self.parts(present, tables)?;
        }
        self.warn_of_columns(tables);
        Ok(())
    }

    fn shared(&self, table: &Table) -> Result<Shared> {
        let mut columns: Vec<ViewColumn> = table
            .columns
            .iter()
            .filter(|column| !column.generated)
            .map(|column| ViewColumn { name: column.name.clone(), collation: column.collation.clone() })
            .collect();
        columns.sort_by_key(|column| column.name.to_ascii_lowercase());
        let place = |name: &String| columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
        let key = table.key.iter().map(place).collect::<Option<Vec<_>>>();
        let key = key.ok_or_else(|| Error::internal(format!("the key of {} is not among its columns", table.name)))?;
        let own = self.settings.policies.iter().find(|(name, _)| name.eq_ignore_ascii_case(&table.name));
        let policy = own.map_or(&self.settings.policy, |(_, policy)| policy).clone();
        check_policy(&table.name, &policy, &columns)?;
        let view =
            View { table: table.name.clone(), columns, key, filter: None, deleted_when: None, value_bytes_max: None };
        Ok(Shared { view, policy, journal_keep_days: self.settings.journal_keep_days, part: None })
    }

    /// Refuses tables of another shape, and with `create` makes those that are missing.
    async fn fit(&mut self, tables: &[Table], create: bool) -> Result<()> {
        for (at, present) in self.present.iter_mut().enumerate() {
            self.asked = at;
            let made = present.replica.prepare(present.shared.clone(), tables, create).await?;
            let report = &mut self.report.members[present.at];
            if let Some((at, why)) = made.unfit.first_key_value() {
                let what = format!("{}: the table {} does not fit", report.shown, tables[*at].name);
                return Err(Error::new(Kind::Conflict, code::COLUMNS_DIFFER, what)
                    .meaning(why)
                    .remedy("Nothing was written. Mend the table, or leave it out with --tables."));
            }
            if create {
                report.created.extend(made.created);
                report.added.extend(made.added);
            }
        }
        Ok(())
    }

    /// Tables that meet for the first time are compared before anything is written.
    async fn refuse_collisions(&mut self, before: &[Introduction], surveys: &[Survey]) -> Result<()> {
        if self.settings.prefer.is_some() {
            return self.check_preference();
        }
        let pairs = (0..self.present.len()).flat_map(|other| (0..other).map(move |one| (one, other)));
        for (one, other) in pairs {
            let mut counts = Vec::new();
            if self.is_leaf(one) {
                // Two leaves: neither ever hears of the other but through the hub.
                continue;
            }
            for at in 0..self.shared.len() {
                let name = self.shared[at].view.table.to_ascii_lowercase();
                let there = |n: usize| surveys[n].tables.iter().any(|t| t.name.eq_ignore_ascii_case(&name));
                let shares = |n: usize| before[n].tables.contains_key(&name);
                let related = shares(one) && shares(other) && before[one].is_related(&before[other]);
                if there(one) && there(other) && !related {
                    self.tell(&State::Comparing);
                    counts.push(self.compare(at, one, other, false).await?);
                }
            }
            if counts.iter().any(|c| c.differ > 0) {
                return Err(self.refusal(one, other, &counts));
            }
        }
        Ok(())
    }

    fn check_preference(&self) -> Result<()> {
        let Some(Prefer::Newest(column)) = &self.settings.prefer else { return Ok(()) };
        let has = |shared: &Shared| shared.view.columns.iter().any(|c| c.name.eq_ignore_ascii_case(column));
        if self.shared.iter().any(has) {
            return Ok(());
        }
        Err(Error::new(Kind::Invalid, code::SCOPE, format!("no table has a column {column}, which newest: names"))
            .meaning("Nothing was written.")
            .remedy("Name the column that says when a row was last written."))
    }

    /// Counts how a table of one compares with another's, who may be a leaf; see [`Rounds::in_common`].
    pub(super) async fn compare(&mut self, at: usize, one: usize, other: usize, filtered: bool) -> Result<Counts> {
        let table = self.shared[at].view.table.clone();
        let mapping = self.in_common(at, one, other, filtered);
        let mut counts = Counts { table: table.clone(), ..Counts::default() };
        let mut comparison = Comparison::default();
        let mut done = 0;
        loop {
            let Ok([one, other]) = self.present.get_disjoint_mut([one, other]) else {
                return Err(Error::internal("a replica is compared with itself"));
            };
            let step = comparison.step(&mapping, &mut *one.replica, &mut *other.replica).await?;
            let Some(step) = step else { return Ok(counts) };
            self.check_stop()?;
            done += step.source_rows;
            counts.equal += step.source_rows;
            for difference in step.differences {
                match difference.kind {
                    DifferenceKind::Missing => (counts.missing, counts.equal) = (counts.missing + 1, counts.equal - 1),
                    DifferenceKind::Differs => (counts.differ, counts.equal) = (counts.differ + 1, counts.equal - 1),
                    DifferenceKind::Extra => counts.extra += 1,
                }
            }
            self.event(Event::Progress { table: &table, done, total: None });
        }
    }

    /// The refusal of first contact.
    fn refusal(&self, one: usize, other: usize, counts: &[Counts]) -> Error {
        let shown = |present: usize| self.members[self.present[present].at].shown();
        let endpoint = |present: usize| self.members[self.present[present].at].endpoint();
        let (one, two) = (shown(one), shown(other));
        let width = counts.iter().map(|c| c.table.chars().count()).max().unwrap_or(0);
        let line = |c: &Counts| {
            let mut line = format!("  {:width$}  {} equal  {} differ", c.table, c.equal, c.differ);
            for (count, only) in [(c.missing, &one), (c.extra, &two)] {
                if count > 0 {
                    line.push_str(&format!("  {count} only in {only}"));
                }
            }
            line
        };
        let lines: Vec<String> = counts.iter().filter(|c| c.differ > 0).map(line).collect();
        let what = format!("{one} and {two} hold different rows under the same keys");
        Error::new(Kind::Conflict, code::FIRST_CONTACT_DIFFERS, what).meaning(lines.join("\n")).remedy(format!(
            "Nothing was written. Say whose rows count; the others are kept in the journal:\n\
             \x20 --prefer source         those of {one}\n\
             \x20 --prefer target         those of {two}\n\
             \x20 --prefer newest:COLUMN  the row with the greater value in that column\n\
             In a configuration file that is prefer = \"{}\", \"{}\" or \"newest:COLUMN\".\n\
             Rows that only one side has are kept and go to the other.",
            endpoint(HUB),
            endpoint(other)
        ))
    }

    async fn join(&mut self, tables: &[Table], before: &[Introduction]) -> Result<()> {
        for present in 0..self.present.len() {
            self.asked = present;
            let at = self.present[present].at;
            let membership =
                Membership { endpoint: self.members[at].endpoint(), tables: self.present[present].shared.clone() };
            let others = before.iter().enumerate().filter(|(other, _)| *other != present);
            let peers: Vec<Introduction> = others.map(|(_, said)| said.clone()).collect();
            let joined = self.present[present].replica.join(membership, &peers).await?;
            let report = &mut self.report.members[at];
            report.installed.extend(joined.installed);
            if let Some(why) = joined.renewed {
                let notice = format!("{}: {why}; it goes on as a new node, and nothing is lost", report.shown);
                report.renewed = Some(why);
                self.event(Event::Notice(&notice));
                self.report.notices.push(notice);
            }
            for table in joined.unadopted {
                self.adopt(present, table, &tables[table].name).await?;
            }
        }
        Ok(())
    }

    async fn adopt(&mut self, present: usize, table: usize, name: &str) -> Result<()> {
        self.tell(&State::Comparing);
        let view = self.present[present].shared[table].own();
        let replica = &mut self.present[present].replica;
        let total = replica.estimate(&view).await?;
        let mut done = 0;
        loop {
            self.check_stop()?;
            let present = &mut self.present[present];
            let adopted = present.replica.adopt(table, ADOPTED_MAX).await?;
            done += adopted.rows;
            self.report.members[present.at].adopted += adopted.rows;
            self.event(Event::Progress { table: name, done, total });
            if adopted.done {
                return Ok(());
            }
        }
    }

    /// Everybody learns what the hub knows, and the hub what everybody knows.
    async fn introduce(&mut self) -> Result<()> {
        // What others know of one may make it another node, which the others are told the second time.
        for _ in 0..2 {
            for (one, other) in (HUB + 1..self.present.len()).flat_map(|other| [(HUB, other), (other, HUB)]) {
                self.asked = other;
                let said = self.present[other].replica.introduce().await?;
                self.asked = one.max(other);
                let heard = self.present[one].replica.hear(&said).await?;
                self.present[one].heard.insert(other, heard);
            }
        }
        for present in &mut self.present {
            let said = present.replica.introduce().await?;
            present.node = said.node().ok_or_else(|| Error::internal("a replica that joined has no name"))?;
            present.parked = said.parked;
            self.report.members[present.at].parked = said.parked;
        }
        Ok(())
    }

    /// Nothing is left to exchange: everybody knows whom it has met, and all must hold the same. Says whether they do;
    /// nothing, if somebody wrote meanwhile.
    pub(super) async fn part(&mut self) -> Result<Option<bool>> {
        let mut said = Vec::new();
        for present in &mut self.present {
            // Who failed meanwhile is left alone.
            said.push(if present.out { Introduction::default() } else { present.replica.introduce().await? });
        }
        let there = |of: &Self, at: usize| !of.present[at].out;
        for other in (HUB + 1..self.present.len()).filter(|other| there(self, *other)).collect::<Vec<_>>() {
            self.present[HUB].replica.met(&said[other]).await?;
            self.present[other].replica.met(&said[HUB]).await?;
        }
        for (at, said) in said.iter().enumerate().filter(|(at, _)| there(self, *at)).collect::<Vec<_>>() {
            self.report.members[self.present[at].at].parked = said.parked;
        }
        let (mut parts, mut differing) = (self.parts_that_differ().await?, Vec::new());
        if !parts.is_empty() && self.round().await? != Some(false) {
            return Ok(None);
        }
        for (table, shared) in self.shared.iter().enumerate() {
            let whole = |at: usize| self.present[at].shared.get(table).is_none_or(|shared| shared.part.is_none());
            let name = shared.view.table.to_ascii_lowercase();
            let digest = |at: usize| said[at].tables.get(&name).map(|table| table.digest);
            let other = |at: &usize| there(self, *at) && whole(*at) && digest(*at) != digest(HUB);
            match (0..said.len()).filter(other).map(|at| self.is_leaf(at)).min() {
                Some(false) => differing.push(shared.view.table.clone()),
                Some(true) => parts.push(shared.view.table.clone()),
                None => {}
            }
        }
        let notices = [
            (
                &differing,
                "the sides hold different rows although nothing is left to exchange; `tidewater verify` names them",
            ),
            (&parts, "who holds a part of it has heard of newer rows; that ends when the others have, too"),
        ];
        for (tables, what) in notices.into_iter().filter(|(tables, _)| !tables.is_empty()) {
            let notice = format!("{}: {what}", tables.join(", "));
            self.event(Event::Notice(&notice));
            self.report.notices.push(notice);
        }
        Ok(Some(differing.is_empty() && parts.is_empty()))
    }

    /// Journals forget what they need not keep any more, a little at a time.
    pub(super) async fn forget(&mut self) -> Result<()> {
        if self.settings.journal_keep_days.is_none() {
            return Ok(());
        }
        for at in 0..self.present.len() {
            while !self.present[at].out && !self.stopped() && self.present[at].replica.forget().await? {}
        }
        Ok(())
    }

    /// Rules may change, at all members of a sync, also while one of them is away. Where each of two has rules that the
    /// other never had, they were told by two who do not agree.
    fn check_rules(&self, before: &[Introduction]) -> Result<()> {
        for shared in self.shared.iter() {
            let name = shared.view.table.to_ascii_lowercase();
            let said = || before.iter().enumerate().filter_map(|(at, said)| Some((at, said.tables.get(&name)?)));
            for (at, one) in said() {
                let strange = |other: &TableSaid| {
                    one.rules != other.rules
                        && !one.rules_before.contains(&other.rules)
                        && !other.rules_before.contains(&one.rules)
                };
                if said().any(|(_, other)| strange(other)) {
                    return Err(rules_differ(&self.members[self.present[at].at].shown(), &shared.view.table));
                }
            }
        }
        Ok(())
    }
}

/// The refusal of rules that are not the same at all replicas.
fn rules_differ(shown: &str, table: &str) -> Error {
    Error::new(Kind::Conflict, code::RULES_DIFFER, format!("{shown} settles conflicts in {table} by other rules"))
        .meaning("Replicas with different rules would show different rows. Nothing was exchanged.")
        .remedy("Write the same `conflicts` and `together` for every sync that shares this table.")
}

fn no_key(table: &str) -> Error {
    Error::new(Kind::Invalid, code::UNSUPPORTED_TABLE, format!("{table} has no primary key"))
        .meaning("Both ways, the sides could not know which rows are the same. Nothing was written.")
        .remedy("Give it a primary key, carry it one way, or leave it out with --tables.")
}

fn check_policy(table: &str, policy: &Policy, columns: &[ViewColumn]) -> Result<()> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    match Rules::new(policy, &names) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(Kind::Invalid, code::SCOPE, format!("the rules of {table}: {error}"))
            .meaning("Nothing was read or written.")
            .remedy(format!("Correct `conflicts` or `together`; {table} has: {}", names.join(", ")))),
    }
}

/// Columns that only another member has: the table is to have them everywhere.
fn add_columns(known: &mut Table, other: &Table) {
    let new = |name: &String| known.column(name).is_none();
    let with_new = other.foreign_keys.iter().filter(|fk| fk.columns.iter().any(new));
    let with_new: Vec<_> = with_new.cloned().collect();
    known.foreign_keys.extend(with_new);
    for column in &other.columns {
        if known.column(&column.name).is_none() {
            known.columns.push(column.clone());
        }
    }
}
