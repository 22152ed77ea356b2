//! What can be said about the spool.

use crate::spool::{SpoolChoice, size};
use clap::ValueEnum;
use std::path::PathBuf;
use tidewater_core::link::Full;

#[derive(Debug, clap::Args)]
pub(crate) struct SpoolArgs {
    /// With --watch, from PostgreSQL: the folder where changes are stored while the target is away, or "off"
    #[arg(long, value_name = "DIR", conflicts_with_all = ["both_ways", "once"])]
    spool: Option<PathBuf>,
    /// How large that may get, as in 500MB or "2 GiB" [default: 1 GiB]
    #[arg(long, value_name = "BYTES", value_parser = size_of, conflicts_with_all = ["both_ways", "once"])]
    spool_max: Option<u64>,
    /// What happens when it is full
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["both_ways", "once"])]
    spool_full: FullArg,
}

/// `--spool-full`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FullArg {
    /// Reading stops; the source's log grows until the target is back
    #[default]
    Pause,
    /// The source's log is given up; all tables are compared when the target is back
    GiveUp,
}

impl SpoolArgs {
    /// What they say.
    pub(crate) fn choice(&self) -> SpoolChoice {
        let full = match self.spool_full {
            FullArg::Pause => Full::Pause,
            FullArg::GiveUp => Full::GiveUp,
        };
        SpoolChoice { folder: self.spool.clone(), bytes_max: self.spool_max, full }
    }
}

fn size_of(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| "expected a size such as 500MB, 2GiB or a number of bytes".to_owned())
}
