//! The flags of a sync whose sides both accept writes.

use std::str::FromStr;

/// `--both-ways` and what goes with it.
#[derive(Debug, clap::Args)]
pub(crate) struct BothWaysArgs {
    /// Both sides accept writes; a side that is missing is created and filled from the other
    #[arg(long, requires = "source")]
    pub(crate) both_ways: bool,
    /// Whose rows count where both sides differ at first contact: source, target or newest:COLUMN
    #[arg(long, value_name = "SIDE", requires = "both_ways")]
    pub(crate) prefer: Option<PreferArg>,
    /// How rows that both sides changed are settled: merge (the default), last-writer, first-writer, prefer:source,
    /// prefer:target or manual; the same at every run
    #[arg(long, value_name = "RULE", requires = "both_ways")]
    pub(crate) conflicts: Option<RuleArg>,
}

/// One of the two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideArg {
    Source,
    Target,
}

/// `--prefer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PreferArg {
    Side(SideArg),
    Newest(String),
}

/// `--conflicts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleArg {
    Merge,
    LastWriter,
    FirstWriter,
    Prefer(SideArg),
    Manual,
}

impl FromStr for SideArg {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "source" => Ok(SideArg::Source),
            "target" => Ok(SideArg::Target),
            _ => Err(()),
        }
    }
}

impl FromStr for PreferArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("newest:") {
            Some(column) if !column.is_empty() => Ok(PreferArg::Newest(column.to_owned())),
            _ => text.parse().map(PreferArg::Side).map_err(|()| "it is source, target or newest:COLUMN"),
        }
    }
}

impl FromStr for RuleArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "merge" => RuleArg::Merge,
            "last-writer" => RuleArg::LastWriter,
            "first-writer" => RuleArg::FirstWriter,
            "manual" => RuleArg::Manual,
            _ => match text.strip_prefix("prefer:").map(str::parse) {
                Some(Ok(side)) => RuleArg::Prefer(side),
                _ => return Err("it is merge, last-writer, first-writer, prefer:source, prefer:target or manual"),
            },
        })
    }
}
