//! `tidewater teardown`: takes out what was installed. Rows stay.

use super::DONE;
use super::wanted::{Wanted, configuration, from_configuration, spool_folders};
use crate::args::TeardownArgs;
use crate::endpoint::{Access, Endpoint, typed};
use crate::output;
use crate::spool;
use serde_json::json;
use std::path::PathBuf;
use tidewater_core::env::Env;
use tidewater_core::link::{ReplicaStatus, Run};
use tidewater_core::replica::Replica;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Database, SqliteReplica};

/// Takes out the syncs named.
pub(crate) async fn teardown(args: TeardownArgs) -> Result<u8> {
    // Each a sync's databases; one alone means all of its syncs.
    let config = if args.urls.is_empty() { Some(configuration(args.config)?) } else { None };
    let groups: Vec<Vec<Endpoint>> = match &config {
        Some(config) => from_configuration(config, &[], Run::UntilInStep)?.into_iter().map(endpoints).collect(),
        None => vec![args.urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<_>>()?],
    };
    let folders = spool_folders(config.as_ref());
    let env = Env::real();
    let several = groups.len() > 1;
    let mut code = DONE;
    for group in groups {
        // They know each other by identities, which go with the last link: so all are read first.
        let mut peers: Vec<Peer> = Vec::new();
        for endpoint in &group {
            peers.push(Peer::of(endpoint, &env).await);
        }
        for (at, endpoint) in group.iter().enumerate() {
            let others: Vec<&Peer> = peers.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, peer)| peer).collect();
            match take_out(endpoint, &others, &folders, &env).await {
                Ok(gone) => tell(&endpoint.shown(), &gone, args.json),
                Err(error) if several || group.len() > 2 => {
                    output::failure_of(&endpoint.shown(), "nothing taken out", &error, args.json);
                    code = code.max(crate::exit_code(&error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(code)
}

fn endpoints(wanted: Wanted) -> Vec<Endpoint> {
    match wanted {
        Wanted::Link(link) => vec![link.source, link.target],
        Wanted::Exchange(exchange) => exchange.members.into_iter().map(|member| member.database.into()).collect(),
    }
}

/// Another database of the sync to take out.
struct Peer {
    shown: String,
    identity: Option<String>,
    path: String,
    /// The links that it knows.
    links: Vec<String>,
    /// Its name in rules, where it is a replica.
    endpoint: Option<String>,
}

impl Peer {
    async fn of(endpoint: &Endpoint, env: &Env) -> Self {
        let status = endpoint.status(env).await.unwrap_or_default();
        Self {
            shown: endpoint.shown(),
            identity: status.identity,
            links: status
                .links
                .into_iter()
                .map(|link| link.link)
                .chain(status.followers.into_iter().map(|f| f.link))
                .collect(),
            path: match endpoint {
                Endpoint::Sqlite(database) => database.canonical().to_string_lossy().into_owned(),
                Endpoint::Postgres(_) | Endpoint::Stdout(_) => endpoint.shown(),
            },
            endpoint: status.replica.map(|replica| replica.endpoint),
        }
    }

    /// Whether others know it by this name. Where it is gone, or taken out already, the end of its path decides.
    fn is(&self, endpoint: &str) -> bool {
        match &self.endpoint {
            Some(own) => own == endpoint,
            None => self.path.ends_with(endpoint),
        }
    }
}

fn tell(shown: &str, gone: &[String], json: bool) {
    if json {
        output::line(&json!({ "database": shown, "removed": gone }).to_string());
    } else if gone.is_empty() {
        output::line(&format!("{shown}: nothing of Tidewater's was there"));
    } else {
        output::line(&format!("{shown}: took out {}", gone.join(", ")));
    }
}

/// Takes out of one database what it shares with others, or everything where none are named.
async fn take_out(endpoint: &Endpoint, others: &[&Peer], folders: &[PathBuf], env: &Env) -> Result<Vec<String>> {
    let status = endpoint.status(env).await?;
    let named = |link: &str, identity: &str, name: &str| {
        others.is_empty()
            || others.iter().any(|peer| match &peer.identity {
                Some(known) => known == identity || peer.links.iter().any(|known| known == link),
                // A peer that is gone has no identity to compare: then its name decides.
                None => peer.shown == name,
            })
    };
    let mut gone = Vec::new();
    if let (Endpoint::Sqlite(database), Some(replica)) = (endpoint, &status.replica)
        && leaves(database, replica, others)?
    {
        gone.extend(SqliteReplica::open(database, Access::Write.into(), env)?.leave().await?);
    }
    for follower in status.followers.iter().filter(|f| named(&f.link, &f.target_identity, &f.target)) {
        gone.extend(endpoint.source(Access::Write, env).await?.leave(&follower.link).await?);
        gone.extend(spool::remove(folders, &follower.link)?);
    }
    let mut links: Vec<&str> = status
        .links
        .iter()
        .filter(|l| named(&l.link, &l.source_identity, &l.source))
        .map(|l| l.link.as_str())
        .collect();
    if links.is_empty() && !status.journal.is_empty() && status.links.is_empty() {
        // A journal left by --once has no link.
        links.push("");
    }
    for link in links {
        gone.extend(endpoint.target(Access::Write, env).await?.leave(link).await?);
        if !link.is_empty() {
            gone.extend(spool::remove(folders, link)?);
        }
    }
    if let [other, ..] = others
        && gone.is_empty()
        && status.identity.is_some()
    {
        let what = format!("{} has no sync with {}", endpoint.shown(), other.shown);
        return Err(Error::new(Kind::Invalid, code::USAGE, what)
            .meaning("It has syncs with others; nothing was taken out.")
            .remedy(format!("`tidewater status {}` lists them.", endpoint.typed())));
    }
    Ok(gone)
}

/// Whether it leaves its syncs both ways: alone, or with all that it has met. It leaves whole or not at all.
fn leaves(database: &Database, replica: &ReplicaStatus, others: &[&Peer]) -> Result<bool> {
    let met = replica.peers.iter().map(|peer| peer.endpoint.as_str());
    let rest: Vec<&str> = met.filter(|endpoint| !others.iter().any(|peer| peer.is(endpoint))).collect();
    if others.is_empty() || rest.is_empty() {
        return Ok(true);
    }
    if rest.len() == replica.peers.len() {
        // What is to be taken out is a link.
        return Ok(false);
    }
    Err(Error::new(Kind::Invalid, code::USAGE, format!("{} is in step with {} too", database.shown, rest.join(", ")))
        .meaning("It has one set of versions for all of them. Nothing was taken out.")
        .remedy(format!("To take it out of all: tidewater teardown {}", typed(database))))
}
