//! What can be typed. What is special both ways is in `args/both_ways.rs`, the journal's commands in
//! `args/conflicts.rs`, those of the quarantine in `args/quarantine.rs`, the spool in `args/spool.rs`.

mod both_ways;
mod conflicts;
mod quarantine;
mod spool;

pub(crate) use both_ways::{BothWaysArgs, PreferArg, RuleArg, SideArg};
pub(crate) use conflicts::{ConflictsArgs, ConflictsCommand, JournalArgs, ListArgs, ResolveArgs, RestoreArgs};
pub(crate) use quarantine::{
    DiscardArgs, ListHeldArgs, QuarantineArgs, QuarantineCommand, ResyncArgs, RetryArgs, WhoseArgs,
};
pub(crate) use spool::SpoolArgs;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tidewater_core::link::Existing;

/// Keeps tables in step between databases, and can prove that they are.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Examples:
  tidewater demo                                            see it work on two sample databases
  tidewater sync sqlite:shop.db sqlite:till.db              bring till.db up to shop.db; later runs send only changes
  tidewater sync sqlite:shop.db sqlite:till.db --watch      and keep it so until Ctrl-C
  tidewater sync sqlite:shop.db sqlite:till.db --both-ways  both accept writes
  tidewater sync postgres://ana@db/shop stdout: | jq        print rows and changes as lines of JSON
  tidewater sync postgres://ana@db/shop sqlite:shop.db      between a PostgreSQL database and a file, either way
  tidewater verify sqlite:shop.db sqlite:till.db            prove that both are equal
  tidewater run                                             everything in tidewater.toml

Exit codes: 0 done, 1 differs or needs attention, 2 wrong use or configuration, 3 an endpoint is unavailable.")]
pub(crate) struct Args {
    /// Log what happens to standard error; twice for more
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make two sample databases in tidewater-demo/, write to both at once, sync, and show what happened
    Demo,
    /// Bring the target in step with the source, or both in step with each other
    #[command(after_help = "Examples:
  tidewater sync sqlite:shop.db sqlite:till.db --tables products,orders
  tidewater sync sqlite:shop.db sqlite:copy.db --once --existing mirror
  tidewater sync postgres://ana@db.example.org/shop sqlite:shop.db --watch
  tidewater sync sqlite:shop.db postgres://ana@localhost/shop --existing overwrite
  tidewater sync sqlite:shop.db sqlite:till.db --both-ways --prefer newest:updated_at
  tidewater sync postgres://ana@localhost/shop stdout: --watch | jq -c .row

A database is written sqlite:PATH or postgres://USER@HOST:PORT/DATABASE. A password comes from PGPASSWORD or
~/.pgpass; the connection is encrypted and the certificate verified, unless ?sslmode= says otherwise.

First contact is safe: if the target holds rows that would change, nothing is written and the command says which.
Both ways, rows that both sides changed are settled by the rule and kept: see `tidewater conflicts`.")]
    Sync(SyncArgs),
    /// Show what a sync would do, without touching anything
    #[command(after_help = "Examples:
  tidewater plan sqlite:shop.db sqlite:till.db
  tidewater plan sqlite:shop.db sqlite:till.db --both-ways
  tidewater plan -c tidewater.toml")]
    Plan(PlanArgs),
    /// Run every sync of a configuration file
    #[command(after_help = "Examples:
  tidewater run                                  tidewater.toml, until Ctrl-C
  tidewater run -c base.toml -c prod.toml --until-in-step")]
    Run(RunArgs),
    /// Show how far each sync has come, and what needs attention
    #[command(after_help = "Examples:
  tidewater status sqlite:shop.db sqlite:till.db
  tidewater status                               every endpoint in tidewater.toml")]
    Status(StatusArgs),
    /// Prove that source and target are equal, or name the rows that differ
    #[command(after_help = "Examples:
  tidewater verify sqlite:shop.db sqlite:till.db            exit 0 equal, 1 differs
  tidewater verify sqlite:shop.db sqlite:till.db --repair   send what differs; replaced rows enter the journal")]
    Verify(VerifyArgs),
    /// List, show, settle and undo conflicts, and what a first contact replaced
    Conflicts(ConflictsArgs),
    /// Read all of some tables again and send what differs
    Resync(ResyncArgs),
    /// List, try again and give up rows that a target could not write
    Quarantine(QuarantineArgs),
    /// Take out everything that Tidewater installed; the rows stay
    #[command(after_help = "Examples:
  tidewater teardown sqlite:shop.db sqlite:till.db    the sync between these two
  tidewater teardown sqlite:shop.db                   every sync of this database
  tidewater teardown postgres://ana@db/shop           the same; a slot that nobody reads keeps a server's log")]
    Teardown(TeardownArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// Where rows come from, as sqlite:PATH or postgres://USER@HOST/DATABASE
    pub(crate) source: String,
    /// Where rows go, written the same way; a file is created if missing, and so are tables. Or stdout: for a line of
    /// JSON each
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) both: BothWaysArgs,
    /// Keep going until Ctrl-C
    #[arg(long, conflicts_with = "once")]
    pub(crate) watch: bool,
    /// Compare and copy once; install nothing, remember nothing
    #[arg(long, conflicts_with = "both_ways")]
    pub(crate) once: bool,
    /// Only these tables; patterns with * and ?, and ! for exceptions
    #[arg(long, value_delimiter = ',', value_name = "TABLE,…")]
    pub(crate) tables: Vec<String>,
    /// What first contact does where the target has rows already
    #[arg(long, value_enum, default_value_t, conflicts_with = "both_ways")]
    pub(crate) existing: ExistingArg,
    /// Keep other programs from writing the target's tables
    #[arg(long, conflicts_with = "both_ways")]
    pub(crate) protect: bool,
    /// Leave the replication slot of a PostgreSQL source in place when the run ends, so that the next one reads only
    /// what changed; the server keeps its log until then
    #[arg(long, conflicts_with_all = ["both_ways", "once"])]
    pub(crate) keep_slot: bool,
    /// With the target stdout: remember in this file how far it came, so that the next run prints only what changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["both_ways", "once"])]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) spool: SpoolArgs,
    /// Send at most this many rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "both_ways")]
    pub(crate) rows_per_second_max: Option<u64>,
    /// Forget what is over in journals of conflicts and of replaced rows after so many days; without it they keep it
    /// for ever
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "once")]
    pub(crate) journal_keep_days: Option<u64>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `--existing`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExistingArg {
    /// If any row would change, write nothing and say which
    #[default]
    Refuse,
    /// Add missing rows only
    Keep,
    /// The source wins where both have the row
    Overwrite,
    /// As overwrite, and rows only at the target are deleted
    Mirror,
}

impl From<ExistingArg> for Existing {
    fn from(arg: ExistingArg) -> Self {
        match arg {
            ExistingArg::Refuse => Existing::Refuse,
            ExistingArg::Keep => Existing::Keep,
            ExistingArg::Overwrite => Existing::Overwrite,
            ExistingArg::Mirror => Existing::Mirror,
        }
    }
}

/// Two URLs, or a configuration file.
#[derive(Debug, clap::Args)]
pub(crate) struct PairArgs {
    /// The source; without it, the configuration file counts
    #[arg(requires = "target")]
    pub(crate) source: Option<String>,
    /// The target
    pub(crate) target: Option<String>,
    /// The configuration file; several are laid over each other [default: tidewater.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "source")]
    pub(crate) config: Vec<PathBuf>,
    /// Only these tables
    #[arg(long, value_delimiter = ',', value_name = "TABLE,…", requires = "source")]
    pub(crate) tables: Vec<String>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    #[command(flatten)]
    pub(crate) both: BothWaysArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration file; several are laid over each other [default: tidewater.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Only these syncs
    #[arg(value_name = "SYNC")]
    pub(crate) syncs: Vec<String>,
    /// End when every target is where its source stood, and all sides of a sync both ways are equal
    #[arg(long)]
    pub(crate) until_in_step: bool,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The databases; without any, those of the configuration file
    pub(crate) urls: Vec<String>,
    /// The configuration file [default: tidewater.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "urls")]
    pub(crate) config: Vec<PathBuf>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    /// Send what differs
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: an empty source may empty the target
    #[arg(long, value_enum, default_value_t, requires = "repair")]
    pub(crate) existing: ExistingArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TeardownArgs {
    /// One database, or the two that a sync is between
    #[arg(num_args = 0..=2)]
    pub(crate) urls: Vec<String>,
    /// The configuration file; takes out every sync in it
    #[arg(short, long, value_name = "FILE", conflicts_with = "urls")]
    pub(crate) config: Vec<PathBuf>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Whether facts, and so failures too, are printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Demo => false,
            Command::Sync(args) => args.json,
            Command::Plan(args) => args.pair.json,
            Command::Run(args) => args.json,
            Command::Status(args) => args.json,
            Command::Verify(args) => args.pair.json,
            Command::Conflicts(args) => args.command.json(),
            Command::Resync(args) => args.json,
            Command::Quarantine(args) => args.command.json(),
            Command::Teardown(args) => args.json,
        }
    }
}
