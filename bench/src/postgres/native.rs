//! Logical replication as the server brings it.

use super::process::Carried;
use super::servers::{Server, Servers, wait_for};
use crate::Result;

/// What is published at the source.
const PUBLICATION: &str = "CREATE PUBLICATION native FOR TABLE items, done";

/// Publishes the tables.
pub(super) fn publish(source: &Server, database: &str) -> Result<()> {
    source.client(database)?.query(PUBLICATION)?;
    Ok(())
}

/// Subscribes and waits until the first copy of all tables is there.
pub(super) fn copy(servers: &Servers, source: &str, target: &str) -> Result<Carried> {
    let mut client = servers.target.client(target)?;
    client.query(&subscription(servers, source, target, "create_slot = true"))?;
    let copied = "SELECT bool_and(srsubstate IN ('s', 'r')) FROM pg_subscription_rel";
    wait_for(|| Ok(client.one(copied)? == "t"))?;
    Ok(Carried::default())
}

/// A slot at the source, and a subscription that does not read it yet.
pub(super) fn prepare(servers: &Servers, source: &str, target: &str) -> Result<()> {
    servers.source.client(source)?.query(&slot(target))?;
    let options = "create_slot = false, copy_data = false, enabled = false";
    servers.target.client(target)?.query(&subscription(servers, source, target, options))?;
    Ok(())
}

/// Makes a slot for the plugin that native subscriptions read by.
pub(super) fn slot(name: &str) -> String {
    format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
}

fn subscription(servers: &Servers, source: &str, target: &str, options: &str) -> String {
    let from = servers.source.conninfo(source);
    format!(
        "CREATE SUBSCRIPTION {target} CONNECTION '{from}' PUBLICATION native WITH (slot_name = {target}, {options})"
    )
}

/// Lets a prepared subscription read until the last write is there.
pub(super) fn catch_up(servers: &Servers, target: &str) -> Result<Carried> {
    let mut client = servers.target.client(target)?;
    client.query(&format!("ALTER SUBSCRIPTION {target} ENABLE"))?;
    wait_for(|| Ok(client.one("SELECT count(*) FROM done")? == "1"))?;
    Ok(Carried::default())
}
