//! `tidewater quarantine …`: rows that a target could not write; and `tidewater resync`.

use clap::{ArgGroup, Subcommand};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidewater quarantine list sqlite:till.db
  tidewater quarantine retry sqlite:shop.db sqlite:till.db
  tidewater quarantine retry catalog --table products --key 5      the sync catalog of tidewater.toml
  tidewater quarantine discard sqlite:till.db --table products --key 5

A row that a target cannot write goes into its quarantine: the target keeps what it has of it, everything else goes on,
and runs try it again by themselves. Keys are written as `list` shows them; a text also without its quotes.")]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    pub(crate) command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the rows in quarantine, with the reason
    List(ListHeldArgs),
    /// Read rows again from the source and try to write them now
    Retry(RetryArgs),
    /// Give rows up: the target keeps what it has of each until the source changes it again
    Discard(DiscardArgs),
}

/// Whose quarantine.
#[derive(Debug, clap::Args)]
pub(crate) struct WhoseArgs {
    /// The target's URL, or the source's and the target's, or the name of a sync; without any, all of the configuration
    /// file
    #[arg(value_name = "URL|SYNC", num_args = 0..=2)]
    pub(crate) whose: Vec<String>,
    /// The configuration file; several are laid over each other [default: tidewater.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Only rows of this table, by its name at the source
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListHeldArgs {
    #[command(flatten)]
    pub(crate) whose: WhoseArgs,
    /// Those that were given up and did not change at the source since
    #[arg(long)]
    pub(crate) discarded: bool,
    /// So many on a page
    #[arg(long, value_name = "N", default_value_t = ListHeldArgs::LIMIT, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) limit: u64,
    /// Which page
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) page: u64,
}

impl ListHeldArgs {
    /// What a page holds unless somebody says.
    pub(crate) const LIMIT: u64 = 100;
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) whose: WhoseArgs,
    /// Only the row with this key; may be given again
    #[arg(long, requires = "table")]
    pub(crate) key: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    pub(crate) whose: WhoseArgs,
    /// The row with this key; may be given again
    #[arg(long, requires = "table", group = "what")]
    pub(crate) key: Vec<String>,
    /// All of them; with --table, all of that table
    #[arg(long, group = "what")]
    pub(crate) all: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidewater resync sqlite:shop.db sqlite:till.db products orders
  tidewater resync catalog products                    the sync catalog of tidewater.toml
  tidewater resync sqlite:shop.db sqlite:till.db --all

All rows of these tables are compared, what differs is sent, and the command ends when the target is in step. What is
replaced or deleted at the target is kept in the journal. A run that is stopped on the way goes on with the next run.
No engine may run on the sync meanwhile: stop it first. Unlike `verify --repair` it counts as a run of the sync.")]
pub(crate) struct ResyncArgs {
    /// The source's and the target's URL, or the name of a sync; then the tables, by their names at the source
    #[arg(value_name = "URL URL|SYNC", required = true)]
    pub(crate) whose: Vec<String>,
    /// All tables of the sync
    #[arg(long)]
    pub(crate) all: bool,
    /// The configuration file; several are laid over each other [default: tidewater.toml]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ResyncArgs {
    /// Whose tables, and which; none are all. `None` where the one or the other was not said.
    pub(crate) fn divided(self) -> Option<(WhoseArgs, Vec<String>)> {
        let is_url = |at: usize| self.whose.get(at).is_some_and(|word: &String| word.contains(':'));
        let mut whose = self.whose.clone();
        let tables = whose.split_off(if is_url(0) && is_url(1) { 2 } else { 1 });
        if is_url(0) != is_url(1) && is_url(0) || self.all != tables.is_empty() {
            return None;
        }
        Some((WhoseArgs { whose, config: self.config, table: None, json: self.json }, tables))
    }
}

impl QuarantineCommand {
    pub(super) fn json(&self) -> bool {
        match self {
            QuarantineCommand::List(ListHeldArgs { whose, .. })
            | QuarantineCommand::Retry(RetryArgs { whose, .. })
            | QuarantineCommand::Discard(DiscardArgs { whose, .. }) => whose.json,
        }
    }
}
