//! Taking in versions: joined with what is here, in one transaction with the rows that they show.

use super::show::{Here, Showing};
use super::{Member, key, parked, seal};
use crate::connection::Open;
use rusqlite::Connection;
use tidewater_core::Result;
use tidewater_core::change::{Key, Row, Value};
use tidewater_core::merge::{Dot, Joined, Stamp, State, Write};
use tidewater_core::replica::{Merged, Preference, Version, Versions};

impl Member {
    /// Joins versions with what is here, writes the rows, and what there is to say of them.
    pub(super) fn take_in(
        &mut self,
        open: &Open,
        c: &Connection,
        versions: Versions,
        prefer: Option<&Preference>,
        run: &str,
    ) -> Result<Merged> {
        let sqlite = |e| open.explain(e);
        let via = self.ledger.number_of(&versions.node);
        let mut merged = Merged::default();
        let mut pending = Vec::new();
        let mut incoming = versions.versions;
        // Neighbours lie on the same pages.
        incoming.sort_by_cached_key(|version| (version.table, key::place(&version.key)));
        let leaf = self.leaves.get(&versions.node).cloned();
        let mut given_back = Vec::new();
        for version in incoming {
            if let Some(leaf) = &leaf {
                self.told_by_leaf(c, leaf, (version.table, &version.key)).map_err(sqlite)?;
                given_back.extend(version.withdrawn.then(|| (version.table, version.key.clone())));
                if version.state.siblings().is_empty() {
                    continue;
                }
            } else if version.withdrawn {
                self.take_back(open, c, &version, via, &mut merged)?;
                continue;
            }
            let live = |state: &State| state.siblings().iter().any(|sibling| sibling.content.is_some());
            let had = leaf.as_ref().filter(|_| live(&version.state));
            let had = had.map(|leaf| (leaf, version.table, version.key.clone()));
            let joined = self.join_one(open, c, version, via, prefer)?;
            if let Some((leaf, table, key)) = had {
                self.had_by_leaf(c, leaf, (table, &key), joined.is_some()).map_err(sqlite)?;
            }
            match joined {
                Some(one) => pending.push(one),
                None => merged.known += 1,
            }
        }
        // Deletes first: they free unique values.
        pending.sort_by_key(|one| one.row.is_some());
        for one in &pending {
            self.show(open, c, one, run, &mut merged)?;
        }
        for (leaf, (table, key)) in leaf.iter().flat_map(|leaf| given_back.iter().map(move |one| (leaf, one))) {
            self.lost_by_leaf(c, leaf, (*table, key)).map_err(sqlite)?;
        }
        // All at once: they were made by another thread, which waits whenever one of them is freed while it works.
        drop(pending);
        self.catching_up = !versions.settled;
        self.arrange(open, c)?;
        if versions.settled {
            self.enter_parked(open, c, run)?;
        }
        merged.parked = parked::count(c).map_err(sqlite)?;
        c.prepare_cached(
            "INSERT INTO _tidewater_heard(node, scope, seq, at) VALUES (?1, ?2, ?3, datetime('now')) \
             ON CONFLICT (node, scope) DO UPDATE SET seq = excluded.seq, at = excluded.at",
        )
        .and_then(|mut s| s.execute((via, &self.scope, i64::try_from(versions.through).unwrap_or(i64::MAX))))
        .map_err(sqlite)?;
        Ok(merged)
    }

    /// Joins one version; `None` where it brings nothing new.
    fn join_one(
        &mut self,
        open: &Open,
        c: &Connection,
        version: Version,
        via: u32,
        prefer: Option<&Preference>,
    ) -> Result<Option<Showing>> {
        let sqlite = |e| open.explain(e);
        let Version { table: at, key, state: theirs, .. } = version;
        let table = self.of[at];
        let tab = self.tables[table].tab;
        self.ledger.saw(theirs.seen());
        let lacking = self.may_lack(open, c, table, &theirs)? || self.is_leaf();
        let stored = seal::stored(c, tab, &key).map_err(sqlite)?;
        let Some(stored) = stored else {
            return Ok(Some(self.showing(table, key, theirs, Some(via), Here::default())));
        };
        // Contents matter only where both sides have something that the other has not.
        let ours = self.decode(open, table, &stored, None)?;
        let hash = stored.hash;
        let aside = hash.is_none() && ours.siblings().iter().any(|sibling| sibling.content.is_some());
        let here = Here { hash, aside, disputed: ours.siblings().len() > 1 };
        if !lacking && ours.is_of_the_same_writes(&theirs) {
            return Ok(None);
        }
        match State::join(&ours, &theirs) {
            _ if lacking => {}
            Joined::Same | Joined::Left => return Ok(None),
            Joined::Right => return Ok(Some(self.showing(table, key, theirs, Some(via), here))),
            Joined::New(_) => {}
        }
        let row = match hash.is_some() {
            true => self.tables[table].row(c, &key).map_err(sqlite)?,
            false => parked::row(c, tab, &key).map_err(sqlite)?,
        };
        let ours = self.decode(open, table, &stored, row.as_ref())?;
        if let Some(state) = self.says_the_same(&ours, &theirs) {
            return Ok(Some(self.showing(table, key, state, None, here)));
        }
        let joined = match (self.is_leaf(), lacking) {
            (true, _) => State::join_beside(&ours, &theirs),
            (false, true) => State::join_filling(&ours, &theirs),
            (false, false) => State::join(&ours, &theirs),
        };
        match joined {
            Joined::Same | Joined::Left => Ok(None),
            Joined::Right => Ok(Some(self.showing(table, key, theirs, Some(via), here))),
            Joined::New(state) => {
                let old = |state: &State| state.siblings().iter().any(|one| matches!(one.dot, Dot::Genesis(_)));
                let first = !ours.seen().meets(theirs.seen()) && (old(&ours) || old(&theirs));
                let chosen = match prefer {
                    Some(prefer) if first => self.preferred(table, at, &ours, &theirs, prefer),
                    _ => None,
                };
                let Some(content) = chosen else { return Ok(Some(self.showing(table, key, state, None, here))) };
                Ok(Some(self.resolved(open, (table, key), state, content, here)))
            }
        }
    }

    /// What first contact was told to choose; `None` where that is for the rules to say.
    fn preferred(
        &self,
        table: usize,
        at: usize,
        ours: &State,
        theirs: &State,
        prefer: &Preference,
    ) -> Option<Option<Row>> {
        let (ours, theirs) = (self.shown(table, ours).content, self.shown(table, theirs).content);
        match prefer {
            Preference::Ours => Some(ours),
            Preference::Theirs => Some(theirs),
            Preference::Newest(columns) => {
                let column = *columns.get(&at)?;
                let value =
                    |row: &Option<Row>| row.as_ref().and_then(|row| row.pick(&[column]).values().next().map(own));
                match compare(&value(&ours)?, &value(&theirs)?)? {
                    std::cmp::Ordering::Greater => Some(ours),
                    std::cmp::Ordering::Less => Some(theirs),
                    std::cmp::Ordering::Equal => None,
                }
            }
        }
    }

    /// A conflict that is settled as it is met, by a write of this node.
    fn resolved(
        &mut self,
        open: &Open,
        (table, key): (usize, Key),
        state: State,
        content: Option<Row>,
        here: Here,
    ) -> Showing {
        let shown = self.shown(table, &state);
        let wall = u64::try_from(open.env.clock.now_ms()).unwrap_or(0);
        let stamp = Stamp::next(wall, state.stamp_max());
        let write = Write { dot: self.ledger.take_dot(), stamp, content: content.clone() };
        let settled = state.resolve(write, &shown, &self.tables[table].rules);
        let content = content.map(|row| self.tables[table].own_of(row));
        let conflict = shown.conflict.map(|conflict| (state, conflict));
        Showing { table, key, state: settled, row: content, fallback: None, here, via: None, conflict }
    }
}

fn own(value: Value<'_>) -> Row {
    Row::new([value])
}

/// Which of two values is greater, where they can be compared.
fn compare(one: &Row, other: &Row) -> Option<std::cmp::Ordering> {
    let number = |value: &Value<'_>| match value {
        Value::I64(v) => Some(*v as f64),
        Value::U64(v) => Some(*v as f64),
        Value::F64(v) => Some(*v),
        _ => None,
    };
    match (one.values().next()?, other.values().next()?) {
        (Value::Null, Value::Null) => Some(std::cmp::Ordering::Equal),
        // What was never written is older than anything.
        (Value::Null, _) => Some(std::cmp::Ordering::Less),
        (_, Value::Null) => Some(std::cmp::Ordering::Greater),
        (Value::I64(a), Value::I64(b)) => Some(a.cmp(&b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(&b)),
        (a, b) => number(&a)?.partial_cmp(&number(&b)?),
    }
}
