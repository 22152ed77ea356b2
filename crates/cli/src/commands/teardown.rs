//! `tidewater teardown`: takes out what was installed. Rows stay.

use super::{DONE, configuration, from_configuration};
use crate::args::TeardownArgs;
use crate::endpoint::database;
use crate::output;
use serde_json::json;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::Run;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database, SqliteSource, SqliteTarget, Status};

/// Takes out the links named.
pub(crate) async fn teardown(args: TeardownArgs) -> Result<u8> {
    let pairs: Vec<(Database, Option<Database>)> = match &args.urls[..] {
        [] => {
            let links = from_configuration(&configuration(args.config)?, &[], Run::UntilInStep)?;
            links.into_iter().map(|l| (l.source, Some(l.target))).collect()
        }
        [one] => vec![(database(one)?, None)],
        [source, target, ..] => vec![(database(source)?, Some(database(target)?))],
    };
    let env = Env::real();
    let several = pairs.len() > 1;
    let mut code = DONE;
    for (one, other) in pairs {
        // Both are known by their identities, which go with the last link: so they are read first.
        let both = [Some(&one), other.as_ref()];
        let identities = both.map(|d| d.filter(|d| d.exists()).and_then(|d| Status::of(d, &env).ok()?.identity));
        for at in [0, 1] {
            let Some(database) = both[at] else { continue };
            let peer = both[1 - at].map(|peer| Peer { shown: &peer.shown, identity: identities[1 - at].as_deref() });
            match take_out(database, peer.as_ref(), &env).await {
                Ok(gone) => tell(database, &gone, args.json),
                Err(error) if several => {
                    output::failure_of(&database.shown, "nothing taken out", &error, args.json);
                    code = code.max(crate::exit_code(&error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(code)
}

/// The other end of the links to take out.
struct Peer<'a> {
    shown: &'a str,
    identity: Option<&'a str>,
}

fn tell(database: &Database, gone: &[String], json: bool) {
    if json {
        output::line(&json!({ "database": database.shown, "removed": gone }).to_string());
    } else if gone.is_empty() {
        output::line(&format!("{}: nothing of Tidewater's was there", database.shown));
    } else {
        output::line(&format!("{}: took out {}", database.shown, gone.join(", ")));
    }
}

/// Takes out of one database the links with a peer, or all of them.
async fn take_out(database: &Database, peer: Option<&Peer<'_>>, env: &Env) -> Result<Vec<String>> {
    let status = Status::of(database, env)?;
    // A peer that is gone has no identity to compare: then its name decides.
    let named = |identity: &str, name: &str| match peer {
        None => true,
        Some(Peer { identity: Some(peer), .. }) => *peer == identity,
        Some(peer) => peer.shown == name,
    };
    let mut gone = Vec::new();
    for follower in status.followers.iter().filter(|f| named(&f.target_identity, &f.target)) {
        gone.extend(SqliteSource::open(database, Access::Write, env)?.leave(&follower.link).await?);
    }
    let mut links: Vec<&str> =
        status.links.iter().filter(|l| named(&l.source_identity, &l.source)).map(|l| l.link.as_str()).collect();
    if links.is_empty() && !status.journal.is_empty() && status.links.is_empty() {
        // A journal left by --once has no link.
        links.push("");
    }
    for link in links {
        gone.extend(SqliteTarget::open(database, Access::Write, env)?.leave(link).await?);
    }
    if let Some(peer) = peer
        && gone.is_empty()
        && status.identity.is_some()
    {
        let what = format!("{} has no link with {}", database.shown, peer.shown);
        return Err(Error::new(Kind::Invalid, code::USAGE, what)
            .meaning("It has links with others; nothing was taken out.")
            .remedy(format!("`tidewater status sqlite:{}` lists them.", database.shown)));
    }
    Ok(gone)
}
