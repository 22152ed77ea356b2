//! One attempt of a link: both ends open, the tables resolved, every table in a known phase.

use super::drain::Drain;
use super::lanes::Lane;
use super::spooling::of_target;
use super::state::{Event, Observer, State};
use super::throttle::Throttle;
use super::{Ends, Link, Report, Run, Settings};
use crate::apply::{Existing, Ledger, Phase, TableLedger, Target, Writer};
use crate::capture::{Reader, Resumed, Source, Survey};
use crate::change::{Key, Mapping, Position, Scope, Table};
use crate::env::Env;
use crate::error::{Error, Kind, Result, code};
use crate::transport::{Budget, Pace, Spool};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Rows are counted up to here before they are read, which takes some ten milliseconds; who copies more sees its
/// progress by an estimate, if there is one. A count of all would hold up the first chunk, and the source's writers where reading
/// locks them out.
const COUNTED_MAX: u64 = 200_000;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is nothing more to do.
    Done,
    /// The schema changed: look again.
    Again,
}

/// Both ends, open, and what is known about them.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) env: &'a Env,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) report: &'a mut Report,
    pub(super) source: Box<dyn Source>,
    pub(super) target: Box<dyn Target>,
    pub(super) names: Names,
    pub(super) source_survey: Survey,
    pub(super) target_survey: Survey,
    pub(super) mappings: Arc<[Mapping]>,
    pub(super) tables: Vec<Table>,
    pub(super) ledger: Ledger,
    /// By mapping, where a round of trying rows of the quarantine again goes on.
    pub(super) tried: BTreeMap<usize, Key>,
    /// By mapping; the truth is the target's ledger, this is its copy.
    pub(super) phases: Vec<Phase>,
    pub(super) position: Position,
    /// The newest position that survives a crash of the target; the only one that may be confirmed.
    pub(super) durable: Option<Position>,
    pub(super) throttle: Throttle,
    pub(super) pace: Pace,
    /// Further connections, while tables are copied.
    pub(super) lanes: Option<Vec<Lane>>,
    pub(super) ends: Arc<dyn Ends>,
    /// Set where it is the target that fails, because it is away.
    pub(super) at_target: &'a mut bool,
    pub(super) spool: &'a mut Option<Spool>,
    /// What was spooled and is not applied yet.
    pub(super) drain: Option<Drain>,
    observer: &'a dyn Observer,
    pub(super) reader: Reader,
    writer: Writer,
}

/// The ends' names for people.
pub(super) struct Names {
    pub(super) source_name: String,
    pub(super) target_name: String,
    /// The command that ends a link in the other direction.
    reversal: String,
}

impl Names {
    /// The refusal to work on a link that was never begun.
    pub(super) fn not_begun(&self) -> Error {
        let (source, target) = (&self.source_name, &self.target_name);
        Error::new(Kind::Invalid, code::USAGE, format!("{target} has no sync from {source}"))
            .meaning("Nothing was read or written.")
            .remedy(format!("`tidewater status` lists the syncs of {target}; `tidewater sync` begins one."))
    }
}

impl<'a> Session<'a> {
    /// Opens both ends and resolves the scope. Writes nothing.
    pub(super) async fn open(link: &'a mut Link, report: &'a mut Report) -> Result<Session<'a>> {
        let names = Names {
            source_name: link.ends.source_name(),
            target_name: link.ends.target_name(),
            reversal: format!("tidewater teardown {} {}", link.ends.target_url(), link.ends.source_url()),
        };
        let mut source = link.ends.source().await?;
        let source_survey = source.survey().await?;
        let mut target = of_target(&mut link.at_target, link.ends.target().await)?;
        let target_survey = of_target(&mut link.at_target, target.survey().await)?;
        refuse_reversal(&source_survey, &target_survey, &names)?;
        let id = link_id(&link.settings.sync, &source_survey.identity, &target_survey.identity);
        let writer = Writer {
            link: id.clone(),
            source: names.source_name.clone(),
            source_identity: source_survey.identity.clone(),
            existing: link.settings.existing,
            protect: (link.settings.run != Run::Once && link.settings.resync.is_none())
                .then_some(link.settings.protect),
            run_triggers: link.settings.run_triggers.clone(),
            journal_keep_days: link.settings.journal_keep_days,
        };
        let reader = Reader {
            link: id.clone(),
            target: names.target_name.clone(),
            target_identity: target_survey.identity.clone(),
            origins: target.streams(),
        };
        let ledger = of_target(&mut link.at_target, target.ledger(&writer).await)?;
        let known = known(&link.settings, &source_survey, &ledger, &names)?;
        let (mut tables, mappings) = resolve(&link.settings, &known, &names.source_name)?;
        if source_survey.dialect != target_survey.dialect {
            tables = tables.into_iter().map(Table::in_other_words).collect();
        }
        link.opened = true;
        report.begin(id, &tables, &source_survey, &link.env);
        Ok(Session {
            settings: &link.settings,
            env: &link.env,
            stop: link.stop.clone(),
            report,
            source,
            target,
            names,
            source_survey,
            target_survey,
            phases: vec![Phase::Following; mappings.len()],
            mappings,
            tables,
            position: ledger.position.clone().unwrap_or_default(),
            durable: None,
            ledger,
            tried: BTreeMap::new(),
            throttle: Throttle::new(link.settings.rows_per_second_max),
            pace: Pace::default(),
            lanes: None,
            ends: link.ends.clone(),
            at_target: &mut link.at_target,
            spool: &mut link.spool,
            drain: None,
            observer: &*link.observer,
            reader,
            writer,
        })
    }

    /// First contact, or taking up where the link was: decides every table's phase and records it.
    pub(super) async fn meet(&mut self) -> Result<()> {
        let fit = self.target.prepare(self.mappings.clone(), &self.tables, false).await;
        let fit = self.of_target(fit)?;
        let mut phases = Vec::new();
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            let created = fit.created.contains(&mapping.target.table);
            phases.push(self.phase_of(mapping, created, fit.unfit.get(&at)).await?);
        }
        self.compare_anew(&mut phases)?;
        self.refuse_collisions(&phases).await?;
        let (backlog, resume) = self.take_up_spool()?;
        let start = self.source.begin(&self.reader, self.mappings.clone(), resume.as_ref()).await?;
        self.report.installed.extend(start.installed.clone());
        let lost = match &start.resumed {
            Resumed::Lost(why) => {
                let what = if self.target.streams() { "all rows are sent again" } else { "all tables are compared" };
                self.notice(format!("{}: {why}; {what}", self.names.source_name));
                true
            }
            Resumed::Fresh | Resumed::At => false,
        };
        for (at, phase) in phases.iter_mut().enumerate() {
            let stale = lost || start.void.contains(&at);
            let began = matches!(phase, Phase::Copying(done) if !done.is_empty());
            if stale && (began || *phase == Phase::Following) {
                *phase = Phase::Comparing;
            }
            // There is nothing to compare with.
            if self.target.streams() && matches!(phase, Phase::Comparing | Phase::Meeting) {
                *phase = Phase::Copying(vec![]);
            }
        }
        let made = self.target.prepare(self.mappings.clone(), &self.tables, true).await;
        let made = self.of_target(made)?;
        self.report.created.extend(made.created);
        self.report.added.extend(made.added);
        self.phases = phases;
        let tables = self.ledger_tables(|_| true);
        let anew = (start.resumed != Resumed::At).then_some(&start.position);
        let recorded = self.target.record(anew, &tables).await;
        self.of_target(recorded)?;
        self.report.resynced = self.settings.resync.is_some();
        self.position = start.position.clone();
        self.settle_spool(backlog, &start)?;
        // The source may now forget which tables were void: the target's ledger has it.
        self.durable = Some(self.position.clone());
        self.confirm(true).await?;
        self.note_vanished();
        Ok(())
    }

    /// Tables that somebody wants to be compared are, whatever is known of them.
    fn compare_anew(&self, phases: &mut [Phase]) -> Result<()> {
        let Some(wanted) = self.settings.resync.as_ref().filter(|_| !self.report.resynced) else { return Ok(()) };
        let known: Vec<&str> = self.mappings.iter().map(|mapping| mapping.source.table.as_str()).collect();
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
            let what = format!("{} gets no table {unknown} from {}", self.names.target_name, self.names.source_name);
            return Err(Error::new(Kind::Invalid, code::USAGE, what)
                .meaning("Nothing was read or written.")
                .remedy(format!("This sync carries: {}", known.join(", "))));
        }
        for (name, phase) in known.iter().zip(phases) {
            let is_wanted = wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
            let began = match phase {
                Phase::Copying(done) => !done.is_empty(),
                Phase::Comparing | Phase::Following => true,
                Phase::Halted(_) | Phase::Meeting => false,
            };
            if is_wanted && began {
                *phase = Phase::Comparing;
            }
        }
        Ok(())
    }

    async fn phase_of(&mut self, mapping: &Mapping, created: bool, unfit: Option<&String>) -> Result<Phase> {
        let name = &mapping.source.table;
        let known = self.ledger.tables.get(name).cloned();
        if let Some(why) = unfit {
            if known.is_none() {
                return Err(self.does_not_fit(mapping, why));
            }
            self.report.halted.insert(name.clone(), why.clone());
            return Ok(Phase::Halted(why.clone()));
        }
        Ok(match known {
            None if created => Phase::Copying(vec![]),
            None if self.target.count(&mapping.target, 1).await? == 0 => Phase::Copying(vec![]),
            None => Phase::Meeting,
            Some(ledger) if created && ledger.phase != Phase::Copying(vec![]) => Phase::Comparing,
            Some(TableLedger { phase: Phase::Meeting, .. }) => Phase::Meeting,
            Some(TableLedger { phase: Phase::Halted(_), .. }) => Phase::Comparing,
            Some(TableLedger { digest, .. }) if digest != mapping.digest() => Phase::Comparing,
            Some(ledger) => ledger.phase,
        })
    }

    /// The refusal of a table that the target has in another shape.
    pub(super) fn does_not_fit(&self, mapping: &Mapping, why: &str) -> Error {
        let what = format!("{}: the table {} does not fit", self.names.target_name, mapping.target.table);
        Error::new(Kind::Conflict, code::COLUMNS_DIFFER, what)
            .meaning(why)
            .remedy("Nothing was written. Mend the target's table, or leave the table out with --tables.")
    }

    /// Under `refuse`, tables that meet for the first time are compared before anything is written.
    pub(super) async fn refuse_collisions(&mut self, phases: &[Phase]) -> Result<()> {
        if self.settings.existing != Existing::Refuse {
            return Ok(());
        }
        let mut counts = Vec::new();
        for (mapping, phase) in self.mappings.clone().iter().zip(phases) {
            if *phase == Phase::Meeting && !self.ledger.tables.contains_key(&mapping.source.table) {
                self.tell(&State::Comparing);
                counts.push(self.count_differences(mapping).await?);
            }
        }
        if counts.iter().any(super::Counts::collides) { Err(self.refusal(&counts)) } else { Ok(()) }
    }

    /// Confirms to the source what is durable at the target, and nothing else.
    pub(super) async fn confirm(&mut self, flush: bool) -> Result<()> {
        match &self.durable {
            // What is applied from the spool was confirmed when it was stored there.
            Some(position) if self.drain.is_none() => self.source.confirm(position, flush).await,
            _ => Ok(()),
        }
    }

    /// What may happen to the target's rows: as this run says, or else as first contact was told.
    pub(super) fn existing(&self) -> Existing {
        match self.settings.existing {
            Existing::Refuse => self.ledger.existing,
            chosen => chosen,
        }
    }

    /// The phases of some mappings, as the target's ledger stores them.
    pub(super) fn ledger_tables(&self, which: impl Fn(usize) -> bool) -> BTreeMap<String, TableLedger> {
        let mapped = self.mappings.iter().zip(&self.phases).enumerate().filter(|(at, _)| which(*at));
        mapped
            .map(|(_, (mapping, phase))| {
                (mapping.source.table.clone(), TableLedger { digest: mapping.digest(), phase: phase.clone() })
            })
            .collect()
    }

    /// Tables that the ledger knows and the source has no more.
    fn note_vanished(&mut self) {
        let gone = |name: &&String| {
            !self.source_survey.tables.iter().any(|t| &&t.name == name) && self.settings.scope.sees(name)
        };
        let vanished: Vec<String> = self.ledger.tables.keys().filter(gone).cloned().collect();
        for table in vanished {
            let name = self.settings.scope.special(&table).name.unwrap_or_else(|| table.clone());
            if !self.target_survey.tables.iter().any(|t| t.name.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let skipped = self.source_survey.skipped.iter().find(|(name, _)| *name == table);
            let why = match skipped {
                Some((_, why)) => format!("{table} cannot be carried any more: {why}; the target's rows stay"),
                None => format!(
                    "{} has no table {table} any more; the target's rows stay. To mend it at the target:\n\
                     \x20 DROP TABLE \"{}\";",
                    self.names.source_name,
                    name.replace('"', "\"\"")
                ),
            };
            self.report.halted.insert(table, why);
        }
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    pub(super) fn budget(&self) -> Budget {
        let budget = self.pace.budget();
        Budget { rows_max: budget.rows_max.min(self.throttle.rows_max()), ..budget }
    }

    /// Waits as the throttle says, and no longer than until a stop.
    pub(super) async fn throttle(&mut self, rows: u64) {
        let wait = self.throttle.wait(rows, self.env.clock.monotonic());
        self.rest(wait).await;
    }

    pub(super) async fn rest(&mut self, wait: Duration) {
        if wait > Duration::ZERO {
            super::rest(self.env, &mut self.stop, wait).await;
        }
    }

    /// An error once a stop was asked for; the link takes it for the end, not for a failure.
    pub(super) fn check_stop(&self) -> Result<()> {
        if *self.stop.borrow() { Err(super::interrupted()) } else { Ok(()) }
    }

    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn tell(&self, state: &State) {
        self.observer.on(&self.settings.sync, Event::State(state));
    }

    pub(super) fn event(&self, event: Event<'_>) {
        self.observer.on(&self.settings.sync, event);
    }

    /// How many rows a table of the source has, if that is known soon: nothing waits for a long count.
    pub(super) async fn total(&mut self, mapping: &Mapping) -> Result<Option<u64>> {
        let rows = self.source.count(&mapping.source, COUNTED_MAX).await?;
        if rows < COUNTED_MAX { Ok(Some(rows)) } else { self.source.estimate(&mapping.source).await }
    }

    pub(super) fn progress(&self, table: &str, done: u64, total: Option<u64>) {
        self.event(Event::Progress { table, done, total: total.map(|total| total.max(done)) });
    }

    pub(super) fn notice(&mut self, text: String) {
        self.event(Event::Notice(&text));
        self.report.notices.push(text);
    }
}

/// The name under which both ends know a link: made of its sync's name and of their identities.
pub fn link_id(sync: &str, source_identity: &str, target_identity: &str) -> String {
    let identity = format!("{sync}|{source_identity}|{target_identity}");
    blake3::hash(identity.as_bytes()).to_hex()[..16].to_owned()
}

/// `sync B A` over an established A→B would send old rows back over newer ones.
fn refuse_reversal(source: &Survey, target: &Survey, names: &Names) -> Result<()> {
    if !source.fed_by.iter().any(|feed| feed.source_identity == target.identity) {
        return Ok(());
    }
    let (source, target) = (&names.source_name, &names.target_name);
    Err(Error::new(
        Kind::Conflict,
        code::DIRECTION,
        format!("these two are in step the other way: {target} → {source}"),
    )
    .meaning(format!("{source} is a replica of {target}; sending its rows back would undo newer ones there."))
    .remedy(format!(
        "Swap the arguments to go on as before. To turn the direction round, end the old sync first: {}",
        names.reversal
    )))
}

/// The tables of the scope and their mappings, in an order in which parents come before their children.
pub(super) fn resolve(settings: &Settings, survey: &Survey, shown: &str) -> Result<(Vec<Table>, Arc<[Mapping]>)> {
    let tables = select(&settings.scope, survey, shown)?;
    let mappings = tables.iter().map(|t| settings.scope.special(&t.name).resolve(t)).collect::<Result<Vec<_>>>()?;
    Ok((tables, mappings.into()))
}

/// What of a source a run looks at: one that compares anew begins no table.
fn known(settings: &Settings, survey: &Survey, ledger: &Ledger, names: &Names) -> Result<Survey> {
    let mut known = survey.clone();
    if settings.resync.is_some() {
        if ledger.position.is_none() {
            return Err(names.not_begun());
        }
        known.tables.retain(|table| ledger.tables.contains_key(&table.name));
    }
    Ok(known)
}

/// The tables of the scope, in an order in which parents come before their children. `shown` is whose tables they are.
pub(super) fn select(scope: &Scope, survey: &Survey, shown: &str) -> Result<Vec<Table>> {
    let there: Vec<&str> = survey.tables.iter().map(|t| t.name.as_str()).collect();
    let selected = scope.select(&there).map_err(|error| {
        let skipped = survey.skipped.iter().find(|(name, _)| error.what.ends_with(&format!(" {name}")));
        match skipped {
            Some((name, why)) => {
                Error::new(Kind::Invalid, code::UNSUPPORTED_TABLE, format!("{name} cannot be carried: {why}"))
            }
            None => error,
        }
    })?;
    if selected.is_empty() {
        return Err(no_tables(survey, shown));
    }
    let mut tables: Vec<&Table> = survey.tables.iter().filter(|t| selected.contains(&t.name.as_str())).collect();
    refuse_outside_parents(&tables, survey)?;
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waits = |t: &&Table, all: &[&Table]| {
            t.foreign_keys.iter().any(|fk| {
                !fk.parent.eq_ignore_ascii_case(&t.name) && all.iter().any(|o| o.name.eq_ignore_ascii_case(&fk.parent))
            })
        };
        // In a cycle everybody waits: then the first goes first, which is as good as any.
        let next = tables.iter().position(|t| !waits(t, &tables)).unwrap_or(0);
        ordered.push(tables.remove(next).clone());
    }
    Ok(ordered)
}

/// The refusal of a scope in which nothing is left.
pub(super) fn no_tables(survey: &Survey, shown: &str) -> Error {
    let skipped: Vec<String> = survey.skipped.iter().map(|(name, why)| format!("  {name}: {why}")).collect();
    Error::new(Kind::Invalid, code::NO_TABLES, format!("{shown} has no table to sync"))
        .meaning(if skipped.is_empty() { String::new() } else { format!("Skipped:\n{}", skipped.join("\n")) })
        .remedy("Wrong direction? Swap the arguments. Otherwise create the tables first.")
}

fn refuse_outside_parents(tables: &[&Table], survey: &Survey) -> Result<()> {
    let named = |parent: &str, name: &str| name.eq_ignore_ascii_case(parent);
    for table in tables {
        let inside = |parent: &str| tables.iter().any(|t| named(parent, &t.name));
        for fk in table.foreign_keys.iter().filter(|fk| !inside(&fk.parent)) {
            let skipped = survey.skipped.iter().find(|(name, _)| named(&fk.parent, name));
            let remedy = match skipped {
                Some((parent, why)) => {
                    format!("{parent} cannot be carried: {why}. Mend that, or leave {} out.", table.name)
                }
                None if survey.tables.iter().any(|t| named(&fk.parent, &t.name)) => {
                    format!("Add {} to the tables, or leave {} out.", fk.parent, table.name)
                }
                // A parent that is nowhere is missing at the source already.
                None => continue,
            };
            return Err(Error::new(
                Kind::Invalid,
                code::FOREIGN_KEY_OUTSIDE,
                format!("{} refers to {}, which this sync does not carry", table.name, fk.parent),
            )
            .meaning("Rows at the target would refer to rows that are not there.")
            .remedy(remedy));
        }
    }
    Ok(())
}
