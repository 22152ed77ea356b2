//! `tidewater conflicts …`: the journal of what was settled, replaced or deleted.

use clap::{ArgGroup, Subcommand};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidewater conflicts list sqlite:shop.db --open
  tidewater conflicts show sqlite:shop.db 3f2a91bc
  tidewater conflicts resolve sqlite:shop.db 3f2a91bc --take 1
  tidewater conflicts restore sqlite:shop.db 3f2a91bc

A conflict has the same ID in every database that saw it; the beginning of one is enough.")]
pub(crate) struct ConflictsArgs {
    #[command(subcommand)]
    pub(crate) command: ConflictsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsCommand {
    /// List the conflicts in a database's journal, the latest first
    List(ListArgs),
    /// Show all sides of a conflict, one beside the other
    Show {
        #[command(flatten)]
        journal: JournalArgs,
        /// The conflict's ID, or the beginning of it
        id: String,
    },
    /// Settle a conflict as you choose; the choice goes to the other databases like any write
    Resolve(ResolveArgs),
    /// Put back what lost a conflict, or all that a run replaced, deleted or settled
    Restore(RestoreArgs),
    /// Print every conflict with all its sides, one JSON object a line
    Export {
        #[command(flatten)]
        journal: JournalArgs,
    },
    /// Forget conflicts superseded, and rows replaced by runs one way, longer ago than so many days; no others
    Forget {
        #[command(flatten)]
        journal: JournalArgs,
        /// How many days ago; 0 is all of them
        #[arg(long, value_name = "DAYS")]
        older_than_days: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) journal: JournalArgs,
    /// Only those of this table
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Only those that wait for a person's choice
    #[arg(long)]
    pub(crate) open: bool,
    /// Only those that this run met, as its summary names it
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only those whose ID begins so
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// So many on a page; 0 is all
    #[arg(long, value_name = "N", default_value_t = ListArgs::LIMIT)]
    pub(crate) limit: usize,
    /// Which page, the latest conflicts being on the first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) page: u32,
}

impl ListArgs {
    /// What a page holds unless somebody says.
    pub(crate) const LIMIT: usize = 100;
}

/// A database with a journal.
#[derive(Debug, clap::Args)]
pub(crate) struct JournalArgs {
    /// The database, as sqlite:PATH; for restore --run and forget also as postgres://USER@HOST/DATABASE
    pub(crate) url: String,
    /// Print facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidewater conflicts resolve sqlite:shop.db 3f2a91bc --take 2
  tidewater conflicts resolve sqlite:shop.db 3f2a91bc --set price=9.5 --set \"name='Ana''s anchor'\" --set note=NULL

Values are written as in SQL: 12, 1.5, 'text' (with '' for a quote inside), x'00ff', NULL.
A shell takes quotes of its own off: write \"name='text'\".",
    group(ArgGroup::new("choice").required(true))
)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    pub(crate) journal: JournalArgs,
    /// The conflict's ID, or the beginning of it
    pub(crate) id: String,
    /// Take this side whole, by its number in `conflicts show`
    #[arg(long, value_name = "N", group = "choice")]
    pub(crate) take: Option<usize>,
    /// The row as it is now, with this value in this column; may be given again
    #[arg(long, value_name = "COLUMN=VALUE", group = "choice")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) journal: JournalArgs,
    /// The conflict's ID, or the beginning of it
    #[arg(group = "what")]
    pub(crate) id: Option<String>,
    /// All of this run, as its summary and `status` name it
    #[arg(long, group = "what")]
    pub(crate) run: Option<String>,
}

impl ConflictsCommand {
    pub(super) fn json(&self) -> bool {
        match self {
            ConflictsCommand::List(ListArgs { journal, .. })
            | ConflictsCommand::Forget { journal, .. }
            | ConflictsCommand::Show { journal, .. }
            | ConflictsCommand::Resolve(ResolveArgs { journal, .. })
            | ConflictsCommand::Restore(RestoreArgs { journal, .. }) => journal.json,
            ConflictsCommand::Export { .. } => true,
        }
    }
}
