//! `tidewater quarantine`: rows that a target could not write. `list.rs` shows them, `retry.rs` tries them again,
//! `discard.rs` gives them up.
//!
//! Nothing here needs an engine to be stopped but `retry` at a file, which has one writer of ours at a time.
//! Tests: `tests/it/quarantine.rs`.

mod discard;
mod list;
mod retry;

use super::wanted::{Wanted, WantedLink, ad_hoc_scope, configuration, from_configuration};
use super::{DONE, Worst};
use crate::args::{QuarantineArgs, QuarantineCommand, WhoseArgs};
use crate::endpoint::{Endpoint, quoted};
use tidewater_core::apply::Which;
use tidewater_core::env::Env;
use tidewater_core::link::{LinkStatus, Run, Settings, link_id};
use tidewater_core::{Error, Kind, Result, code};

/// Carries it out.
pub(crate) async fn quarantine(args: QuarantineArgs) -> Result<u8> {
    match args.command {
        QuarantineCommand::List(args) => list::list(args).await,
        QuarantineCommand::Retry(args) => retry::retry(args).await,
        QuarantineCommand::Discard(args) => discard::discard(args).await,
    }
}

/// A target, and of which of its syncs.
struct Asked {
    target: Endpoint,
    /// The sync's name and source; `None` is all syncs of the target.
    of: Option<(String, Endpoint)>,
    /// Whom this is about, as a shell takes it.
    typed: String,
}

/// The links of a target that were asked about, with what it knows of them.
struct Found {
    target: Endpoint,
    links: Vec<LinkStatus>,
    /// Whether it is said where rows come from.
    has_source: bool,
    /// Whom this is about, as a shell takes it.
    typed: String,
}

impl WhoseArgs {
    /// Which targets.
    fn asked(&self) -> Result<Vec<Asked>> {
        if let [url] = &self.whose[..]
            && is_url(url)
        {
            let target = Endpoint::parse(url)?;
            return Ok(vec![Asked { typed: target.typed(), target, of: None }]);
        }
        let files: String = self.config.iter().map(|file| format!(" -c {}", quoted(&file.to_string_lossy()))).collect();
        let asked = |link: WantedLink| {
            let typed = match self.whose.len() {
                2 => format!("{} {}", link.source.typed(), link.target.typed()),
                _ => quoted(&link.settings.sync) + &files,
            };
            Asked { target: link.target, of: Some((link.settings.sync, link.source)), typed }
        };
        Ok(self.links()?.into_iter().map(asked).collect())
    }

    /// Which links.
    pub(super) fn links(&self) -> Result<Vec<WantedLink>> {
        if let [source, target] = &self.whose[..] {
            let (source, target) = (Endpoint::parse(source)?, Endpoint::parse(target)?);
            let settings = Settings { scope: ad_hoc_scope(&[]), ..Settings::default() };
            return Ok(vec![WantedLink { name: "sync".into(), source, target, settings }]);
        }
        if let Some(url) = self.whose.first().filter(|word| is_url(word)) {
            let url = Endpoint::parse(url)?.typed();
            let what = "the source is to be named too: rows are read from it";
            return Err(Error::new(Kind::Invalid, code::USAGE, what)
                .meaning("Nothing was read or written.")
                .remedy(format!("Write SOURCE {url}, or the name of the sync in the configuration file.")));
        }
        let all = from_configuration(&configuration(self.config.clone())?, &self.whose, Run::UntilInStep)?;
        let link = |wanted| match wanted {
            Wanted::Link(link) => Some(link),
            Wanted::Exchange(_) => None,
        };
        let links: Vec<WantedLink> = all.into_iter().filter_map(link).collect();
        if links.is_empty() {
            let remedy = "Both ways, rows that stand aside are conflicts: see `tidewater conflicts list`.";
            return Err(Error::new(Kind::Invalid, code::USAGE, "only syncs one way have a quarantine")
                .meaning("Nothing was read or written.")
                .remedy(remedy));
        }
        Ok(links)
    }
}

/// Whether a word is a URL, and not the name of a sync.
fn is_url(word: &str) -> bool {
    word.contains(':')
}

/// Does one thing with each target that was asked about; `what` it is, where that fails.
async fn each(whose: &WhoseArgs, what: &str, one: impl AsyncFn(&Found, &Env) -> Result<u8>) -> Result<u8> {
    let (asked, env) = (whose.asked()?, Env::real());
    let (alone, mut worst) = (asked.len() == 1, Worst::default());
    for asked in asked {
        let shown = asked.target.shown();
        let outcome = match asked.find(&env).await {
            Ok(found) => one(&found, &env).await,
            Err(error) => Err(error),
        };
        worst.note(&shown, what, outcome, alone, whose.json)?;
    }
    Ok(worst.code)
}

impl Asked {
    /// Looks them up at the target.
    async fn find(self, env: &Env) -> Result<Found> {
        let status = self.target.status(env).await?;
        let mut links = status.links;
        let (target, typed) = (self.target, self.typed);
        let Some((sync, source)) = self.of else { return Ok(Found { target, links, has_source: false, typed }) };
        // A source that is away is known by its name.
        match source.status(env).await.ok().and_then(|status| status.identity) {
            Some(identity) => {
                let id = link_id(&sync, &identity, &status.identity.unwrap_or_default());
                links.retain(|link| link.link == id);
            }
            None => links.retain(|link| link.source == source.shown()),
        }
        if links.is_empty() {
            let what = format!("{} has no sync from {}", target.shown(), source.shown());
            return Err(Error::new(Kind::Invalid, code::USAGE, what)
                .meaning("Nothing was changed.")
                .remedy(format!("`tidewater status {}` lists its syncs.", target.typed())));
        }
        Ok(Found { target, links, has_source: true, typed })
    }
}

impl Found {
    /// The entries that a command is about: of these links.
    fn which(&self, table: Option<&String>) -> Which {
        let links = self.links.iter().map(|link| link.link.clone()).collect();
        Which { links, table: table.cloned(), ..Which::default() }
    }
}
