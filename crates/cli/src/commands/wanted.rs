//! What a command is about: links and exchanges, from URLs or from a configuration file.

use crate::args::{BothWaysArgs, PairArgs, PreferArg, RuleArg, SideArg};
use crate::config::{self, BothWays, Config, Latency, OneWay, Sync};
use crate::endpoint::{Endpoint, SqliteMember, no_rows};
use crate::spool::{SpoolChoice, default_folder};
use std::path::PathBuf;
use std::time::Duration;
use tidewater_core::change::{Deletes, Pattern, Scope, TableScope};
use tidewater_core::link::{ExchangeSettings, Existing, Prefer, Run, Settings, SpoolSettings};
use tidewater_core::merge::{Policy, Rule};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_lines::Output;
use tidewater_sqlite::Database;

/// What runs by itself.
pub(super) enum Wanted {
    Link(WantedLink),
    Exchange(WantedExchange),
}

/// One link.
pub(super) struct WantedLink {
    /// What to call it: the sync's name, and its target's where it has several.
    pub(super) name: String,
    pub(super) source: Endpoint,
    pub(super) target: Endpoint,
    pub(super) settings: Settings,
}

/// One sync both ways.
pub(super) struct WantedExchange {
    /// The sync's name.
    pub(super) name: String,
    /// At least two.
    pub(super) members: Vec<SqliteMember>,
    pub(super) settings: ExchangeSettings,
}

impl WantedLink {
    /// Refuses what its target cannot do yet, so that nobody relies on it.
    pub(super) fn checked(self) -> Result<Self> {
        if let Endpoint::Stdout(output) = &self.source {
            return Err(no_rows(output, "it cannot be a source", "Name a database first, and stdout: second."));
        }
        if let Endpoint::Stdout(output) = self.target.clone() {
            return self.printed_to(&output);
        }
        Ok(self)
    }

    /// As it is where rows are printed: what is about rows that are kept is refused.
    fn printed_to(mut self, output: &Output) -> Result<Self> {
        let settings = &mut self.settings;
        let marks = |table: &TableScope| matches!(table.deletes, Deletes::Mark { .. });
        for (is_asked, what) in [
            (settings.protect, "--protect and local_writes"),
            (!settings.run_triggers.is_empty(), "run_triggers"),
            (settings.existing != Existing::Refuse, "--existing and existing"),
            (settings.journal_keep_days.is_some(), "--journal-keep-days and journal_keep_days"),
            (settings.scope.special.values().any(marks), "deletes as marks"),
        ] {
            if is_asked {
                let what = format!("{what} mean nothing there");
                return Err(no_rows(output, &what, "Leave it out."));
            }
        }
        settings.spool = None;
        settings.leaves = !output.is_resumable();
        // What is taken out altogether does not have to be made small.
        settings.keeps_log |= settings.leaves;
        Ok(self)
    }

    /// The spool, where its source keeps a log that grows.
    pub(super) fn spool(&self) -> Option<&SpoolSettings> {
        self.settings.spool.as_ref().filter(|_| matches!(self.source, Endpoint::Postgres(_)))
    }

    /// Between which.
    pub(super) fn shown(&self) -> String {
        format!("{} → {}", self.source.shown(), self.target.shown())
    }
}

impl WantedExchange {
    /// Between which.
    pub(super) fn shown(&self) -> String {
        let shown: Vec<&str> = self.members.iter().map(|member| member.database.shown.as_str()).collect();
        shown.join(" ↔ ")
    }
}

impl Wanted {
    /// What to call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Wanted::Link(link) => &link.name,
            Wanted::Exchange(exchange) => &exchange.name,
        }
    }

    /// Between which.
    pub(super) fn shown(&self) -> String {
        match self {
            Wanted::Link(link) => link.shown(),
            Wanted::Exchange(exchange) => exchange.shown(),
        }
    }
}

/// The file that is read when none is named.
const CONFIGURATION: &str = "tidewater.toml";

/// The configuration.
pub(super) fn configuration(files: Vec<PathBuf>) -> Result<Config> {
    let files = if files.is_empty() { vec![PathBuf::from(CONFIGURATION)] } else { files };
    config::load(&files)
}

/// The folders where spools may be: the user's own, and those that the file names.
pub(super) fn spool_folders(config: Option<&Config>) -> Vec<PathBuf> {
    let syncs = config.map(|config| &config.syncs[..]).unwrap_or_default();
    let named = syncs.iter().filter_map(|sync| match sync {
        Sync::OneWay(sync) => sync.spool.settings().map(|settings| settings.folder),
        Sync::BothWays(_) => None,
    });
    let mut folders: Vec<PathBuf> = default_folder().into_iter().chain(named).collect();
    folders.sort();
    folders.dedup();
    folders
}

/// What a command with two URLs, or a configuration file, is about.
pub(super) fn wanted(args: PairArgs, both: Option<&BothWaysArgs>) -> Result<Vec<Wanted>> {
    let (Some(source), Some(target)) = (args.source, args.target) else {
        return from_configuration(&configuration(args.config)?, &[], Run::UntilInStep);
    };
    let (source, target) = (Endpoint::parse(&source)?, Endpoint::parse(&target)?);
    if let Some(both) = both.filter(|both| both.both_ways) {
        let (source, target) = (source.for_both_ways()?, target.for_both_ways()?);
        return Ok(vec![Wanted::Exchange(ad_hoc_exchange(source, target, &args.tables, both, Run::UntilInStep))]);
    }
    let settings =
        Settings { scope: ad_hoc_scope(&args.tables), spool: SpoolChoice::default().settings(), ..Settings::default() };
    Ok(vec![Wanted::Link(WantedLink { name: "sync".into(), source, target, settings }.checked()?)])
}

/// The scope of a sync without a file.
pub(super) fn ad_hoc_scope(tables: &[String]) -> Scope {
    let tables = tables.iter().map(|t| Pattern::new(t.trim())).collect();
    Scope { tables, value_bytes_max: Some(Scope::VALUE_BYTES_MAX_DEFAULT), ..Scope::default() }
}

/// A sync both ways without a file.
pub(super) fn ad_hoc_exchange(
    source: Database,
    target: Database,
    tables: &[String],
    both: &BothWaysArgs,
    run: Run,
) -> WantedExchange {
    let members = SqliteMember::pair(source, target);
    let at = |side: SideArg| usize::from(side == SideArg::Target);
    let row = match both.conflicts.unwrap_or(RuleArg::Merge) {
        RuleArg::Merge => Rule::Merge,
        RuleArg::LastWriter => Rule::LastWriter,
        RuleArg::FirstWriter => Rule::FirstWriter,
        RuleArg::Prefer(side) => Rule::Prefer(members[at(side)].endpoint.clone()),
        RuleArg::Manual => Rule::Manual,
    };
    let prefer = both.prefer.clone().map(|prefer| match prefer {
        PreferArg::Side(side) => Prefer::Member(at(side)),
        PreferArg::Newest(column) => Prefer::Newest(column),
    });
    let settings = ExchangeSettings {
        scope: Scope { value_bytes_max: None, ..ad_hoc_scope(tables) },
        policy: Policy { row, ..Policy::default() },
        prefer,
        run,
        ..ExchangeSettings::default()
    };
    WantedExchange { name: "sync".to_owned(), members: members.into(), settings }
}

/// The syncs of a configuration: one way a link for each target, both ways one exchange.
pub(super) fn from_configuration(config: &Config, only: &[String], run: Run) -> Result<Vec<Wanted>> {
    if let Some(unknown) = only.iter().find(|name| !config.syncs.iter().any(|s| s.name() == **name)) {
        let there: Vec<&str> = config.syncs.iter().map(Sync::name).collect();
        return Err(Error::new(Kind::Invalid, code::USAGE, format!("no sync is called {unknown}"))
            .meaning("Nothing was read or written.")
            .remedy(format!("{} has: {}", config.path.display(), there.join(", "))));
    }
    let mut wanted = Vec::new();
    for sync in config.syncs.iter().filter(|s| only.is_empty() || only.iter().any(|name| name == s.name())) {
        match sync {
            Sync::OneWay(sync) => {
                for to in &sync.to {
                    wanted.push(Wanted::Link(link(config, sync, to, run)?));
                }
            }
            Sync::BothWays(sync) => wanted.push(Wanted::Exchange(exchange(config, sync, run)?)),
        }
    }
    Ok(wanted)
}

fn link(config: &Config, sync: &OneWay, to: &str, run: Run) -> Result<WantedLink> {
    let settings = Settings {
        sync: sync.name.clone(),
        scope: sync.scope_for(to)?,
        existing: sync.existing,
        protect: sync.local_writes_refused,
        run_triggers: sync.run_triggers.clone(),
        rows_per_second_max: sync.rows_per_second_max,
        journal_keep_days: sync.journal_keep_days,
        every: pause(sync.latency),
        patient: true,
        spool: sync.spool.settings(),
        run,
        ..Settings::default()
    };
    let name = if sync.to.len() > 1 { format!("{}/{to}", sync.name) } else { sync.name.clone() };
    let (source, target) = (endpoint(config, &sync.from)?, endpoint(config, to)?);
    WantedLink { name, source, target, settings }.checked()
}

fn exchange(config: &Config, sync: &BothWays, run: Run) -> Result<WantedExchange> {
    let member = |name: &String| {
        let database = endpoint(config, name)?.for_both_ways()?;
        Ok(SqliteMember { endpoint: name.clone(), database })
    };
    // A table that is described is there, or a name is wrong.
    let special = sync.policies.keys().map(|table| (table.clone(), TableScope::default())).collect();
    let settings = ExchangeSettings {
        parts: sync.parts.clone(),
        sync: sync.name.clone(),
        scope: Scope { tables: sync.tables.clone(), special, value_bytes_max: None },
        policy: sync.policy.clone(),
        policies: sync.policies.clone(),
        prefer: sync.prefer.clone(),
        journal_keep_days: sync.journal_keep_days,
        every: pause(sync.latency),
        patient: true,
        run,
    };
    let members = sync.between.iter().map(member).collect::<Result<_>>()?;
    Ok(WantedExchange { name: sync.name.clone(), members, settings })
}

fn pause(latency: Latency) -> Duration {
    match latency {
        Latency::Live => Duration::ZERO,
        Latency::Every(pause) => pause,
    }
}

fn endpoint(config: &Config, name: &str) -> Result<Endpoint> {
    let found = config.endpoints.get(name);
    let found = found.ok_or_else(|| Error::internal(format!("the endpoint {name} went unchecked")))?;
    let mut endpoint = Endpoint::parse(&found.url)?;
    if let (Endpoint::Sqlite(database), Some(most)) = (&mut endpoint, found.log_rows_max) {
        database.log_rows_max = most;
    }
    Ok(endpoint)
}
