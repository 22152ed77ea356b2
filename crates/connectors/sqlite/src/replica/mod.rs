//! A SQLite database as a replica: it accepts writes of its own, and takes in those of others.
//!
//! `join` makes it one, `seal` gives what other programs wrote a version, in the order of `window`, `queue` hands versions out, `take_in` joins
//! those of others, `show` writes the row of a state with its version, `parked` keeps rows aside that cannot be shown,
//! `orphans` those that refer to rows that are not there, `journal` keeps what collided, `forget` forgets what of it is
//! over for long, `ledger` counts, `witness` tells a copy from the original, `leaves` sees to replicas that hold a part.
//!
//! Architecture invariants: a state is decoded only with the row sealed, in the same transaction; what uses a number
//! notes it with the witness before its commit; every commit here survives a crash of the machine, but for parts of a
//! seal before its last, and then nothing is handed out: so nothing leaves that could be lost.

mod alike;
mod choose;
mod forget;
mod join;
mod journal;
mod key;
mod leaves;
mod ledger;
mod orphans;
mod parked;
mod prune;
mod queue;
mod seal;
mod show;
mod take_in;
mod widen;
mod window;
mod witness;

use crate::apply::TableWriter;
use crate::capture::Following;
use crate::connection::{Access, Database, Open};
use crate::worker::Worker;
use async_trait::async_trait;
pub(crate) use join::rule_word;
use ledger::Ledger;
use rusqlite::Connection;
use seal::{Phase, Sealed};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use tidewater_core::apply::Prepared;
use tidewater_core::change::{Mapping, Row, Table, View};
use tidewater_core::env::Env;
use tidewater_core::merge::{Node, Policy, Rules};
use tidewater_core::replica::{
    Adopted, Choice, Entry, Introduction, Joined, Membership, Merged, Part, Preference, Replica, Selection, Shared,
    Versions,
};
use tidewater_core::transport::{Budget, Pace};
use tidewater_core::{Error, Kind, Result, code};
use window::Window;
use witness::Witness;

/// As what sealing reads the log, and under what the engine's own writes are logged.
pub(crate) const READER: &str = "both ways";

/// So many times in a row somebody writes between sealing and reading, before it is left for another time.
const READS_MAX: usize = 5;

/// A table that is shared.
#[derive(Debug, Clone)]
struct SharedTable {
    /// Its number in the log.
    tab: i64,
    /// What this file holds of it: its own table. Rows outside of versions are of these columns.
    view: View,
    /// The names of all columns, in the order of rows in versions.
    names: Vec<String>,
    /// Which of them this file holds; `None` is all.
    part: Option<Vec<usize>>,
    /// Where contents may lack columns: what stands in their place in the table, by all columns.
    defaults: Option<Row>,
    policy: Policy,
    /// For how many days the journal keeps its conflicts once they ended.
    keep_days: Option<u64>,
    rules: Rules,
    writer: TableWriter,
    rivals: Vec<parked::Rivals>,
    /// The columns by which a row claims its unique values.
    claimed: Vec<usize>,
    /// Whether rows that stand aside are to be looked at again.
    touched: bool,
    /// To whom its rows refer, and who refers to them.
    kin: orphans::Kin,
}

impl SharedTable {
    /// Where it is on its way to having versions, and how far.
    fn phase(&self, c: &Connection) -> rusqlite::Result<(Phase, Option<Vec<u8>>)> {
        c.query_row("SELECT phase, through FROM _tidewater_shared WHERE tab = ?1", [self.tab], |row| {
            Ok((Phase::from_word(&row.get::<_, String>(0)?), row.get(1)?))
        })
    }

    fn enter(&self, c: &Connection, phase: Phase, through: Option<&[u8]>) -> rusqlite::Result<()> {
        let sql = "UPDATE _tidewater_shared SET phase = ?2, through = ?3 WHERE tab = ?1";
        c.execute(sql, (self.tab, phase.word(), through)).map(drop)
    }
}

/// What a replica knows once it joined.
struct Member {
    ledger: Ledger,
    following: Following,
    /// Every table that this database shares.
    tables: Vec<SharedTable>,
    /// The tables of the membership, as places in `tables`.
    of: Vec<usize>,
    /// What this replica holds of each of these.
    parts: Vec<Option<Part>>,
    /// Those who hold a part of what is here, by their present incarnation.
    leaves: HashMap<Node, leaves::Leaf>,
    /// The name under which this leaf writes rows of which it does not know everything.
    beside: Option<Node>,
    /// What positions in others' queues are good for: the tables that were asked for.
    scope: String,
    /// The tables by their places, parents before their children; those that refer to each other together.
    generations: Vec<Vec<usize>>,
    /// Whether there is more to come of what is being taken in.
    catching_up: bool,
    /// The schema for which the engine's own triggers were made, if others read this database.
    chained_at: Option<i64>,
    /// How many rows are sealed in one transaction.
    pace: Pace,
    /// What was read of the log and is not sealed yet.
    window: Option<Window>,
    /// There may be more to prune of the log than was.
    unpruned: bool,
    /// The number of a table with a row that was written past the log: it is to be looked at as a whole.
    suspect: Cell<Option<i64>>,
    /// The number that changes when another connection commits, as seen with nothing left to seal.
    quiet_at: Option<i64>,
}

impl Member {
    fn new(ledger: Ledger, following: Following, tables: Vec<SharedTable>, membership: &Membership) -> Result<Self> {
        let (mut of, mut names) = (Vec::new(), Vec::new());
        for shared in membership.tables.iter() {
            let name = &shared.view.table;
            let place = tables.iter().position(|table| table.view.table.eq_ignore_ascii_case(name));
            let place = place.ok_or_else(|| Error::internal(format!("{name} is not among the tables shared")))?;
            of.push(place);
            // Another part is another position: rows that came to it were not sent before.
            let part = shared.part.as_ref().map(|part| leaves::scope_of(part, &tables[place].names));
            names.push(tables[place].view.table.to_ascii_lowercase() + &part.unwrap_or_default());
        }
        names.sort();
        let parts = membership.tables.iter().map(|shared| shared.part.clone()).collect();
        let scope = names.join(",");
        let pace = Pace::default();
        Ok(Self {
            generations: orphans::generations(&tables),
            ledger,
            following,
            tables,
            of,
            parts,
            leaves: HashMap::new(),
            beside: None,
            scope,
            catching_up: false,
            chained_at: None,
            pace,
            window: None,
            unpruned: false,
            suspect: Cell::new(None),
            quiet_at: None,
        })
    }

    /// A row of a table is not as it was sealed, although the log is.
    fn unsealed(&self, table: usize) -> Error {
        let of = &self.tables[table];
        self.suspect.set(Some(of.tab));
        let what = format!("a row of {} is not as it was sealed, although the log is", of.view.table);
        Error::new(Kind::Lost, code::POSITION_LOST, what)
            .meaning("It was written in a way that fires no triggers. Nothing was changed.")
            .remedy("Nothing to do: the table is looked at as a whole.")
    }

    /// Another replica of this process, for another sync, may have used the same account meanwhile: then it goes on
    /// from there. Anybody else was not this file.
    fn take_up(&mut self, open: &Open, c: &Connection, witness: &Witness) -> Result<()> {
        let sqlite = |e| open.explain(e);
        if self.ledger.is_stored(c).map_err(sqlite)? {
            return Ok(());
        }
        match Ledger::load(c).map_err(sqlite)? {
            Some(now) if now.continues(&self.ledger) && witness.confirms(now.node(), now.seq, now.witnessed_ns) => {
                self.ledger = now;
                self.window = None;
                Ok(())
            }
            _ => Err(crate::capture::restored(&open.database.shown)),
        }
    }

    /// Where others read this database, too, what is written here is logged for them.
    fn chain(&mut self, open: &Open, c: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT EXISTS (SELECT 1 FROM _tidewater_reader WHERE link <> ?1)";
        let others: bool = c.prepare_cached(sql)?.query_row([READER], |row| row.get(0))?;
        let cookie = crate::meta::cookie(c)?;
        if others && self.chained_at != Some(cookie) {
            let _ = crate::chain::refresh(c, READER, &[], open.database.log_rows_max)?;
            self.chained_at = Some(cookie);
        }
        Ok(())
    }
}

/// What lives on the connection's thread.
struct State {
    open: Open,
    member: Option<Member>,
    witness: Option<Witness>,
    /// Tables that were made here, because they were missing.
    made: Vec<String>,
}

impl State {
    /// Runs `work` in a write transaction that may use numbers, and keeps what it did to the account only with it.
    /// Where `work` answers `None`, nothing is kept.
    fn change<T>(
        &mut self,
        work: impl FnOnce(&Open, &Connection, &mut Member) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let (Some(member), Some(witness)) = (&mut self.member, &mut self.witness) else {
            return Err(Error::internal("a replica is used before it joined"));
        };
        let open = &self.open;
        if !open.is_same_file() {
            return Err(crate::capture::restored(&open.database.shown));
        }
        let mut before = member.ledger.clone();
        let noted = |ledger: &Ledger| (ledger.node(), ledger.seq);
        let mut told = false;
        let done = open.write_or_not(|c| {
            member.take_up(open, c, witness)?;
            before.clone_from(&member.ledger);
            member.chain(open, c).map_err(|e| open.explain(e))?;
            let done = work(open, c, member)?;
            if done.is_some() {
                if noted(&member.ledger) != noted(&before) {
                    told = true;
                    member.ledger.witnessed_ns = witness.note(member.ledger.node(), member.ledger.seq)?;
                }
                member.ledger.store(c).map_err(|e| open.explain(e))?;
            }
            Ok(done)
        });
        if !matches!(done, Ok(Some(_))) {
            member.ledger = before;
            member.chained_at = None;
            member.beside = None;
            member.window = None;
            if told {
                // The database keeps another time for it: whoever opens it before the next commit takes it for a copy.
                witness.note(member.ledger.node(), member.ledger.seq)?;
            }
            self.look_at_suspect()?;
        }
        done
    }

    /// Has a table that was written past the log looked at as a whole, when this replica joins again.
    fn look_at_suspect(&self) -> Result<()> {
        let Some(tab) = self.member.as_ref().and_then(|member| member.suspect.take()) else { return Ok(()) };
        self.open.write(|c| {
            c.execute(
                "UPDATE _tidewater_shared SET phase = ?2, through = NULL WHERE tab = ?1",
                (tab, Phase::Rescanning.word()),
            )
            .map(drop)
            .map_err(|e| self.open.explain(e))
        })
    }

    fn adopt(&mut self, table: usize, rows_max: usize) -> Result<Adopted> {
        let adopted = self.change(|open, c, member| {
            let table = member.of[table];
            member.adopt(open, c, table, rows_max).map(Some)
        })?;
        Ok(adopted.unwrap_or_default())
    }

    /// Seals everything that is pending, in transactions of their own. False where the schema changed.
    fn seal_all(&mut self) -> Result<bool> {
        let version = |open: &Open| -> Result<i64> {
            let read = open.connection.prepare_cached("PRAGMA data_version");
            read.and_then(|mut s| s.query_row([], |row| row.get(0))).map_err(|e| open.explain(e))
        };
        loop {
            let now = version(&self.open)?;
            if self.member.as_ref().is_some_and(|member| member.quiet_at == Some(now)) {
                return Ok(true);
            }
            self.read_ahead()?;
            let more = self.member.as_ref().is_some_and(Member::seals_in_parts);
            // Nothing is handed out before the last part is sealed: flushing that flushes those before it, too.
            let unflushed = more && self.open.flush_later()?;
            let sealed = self.change(|open, c, member| {
                let sealed = member.seal(open, c)?;
                if matches!(sealed, Sealed::All) {
                    member.arrange(open, c)?;
                }
                Ok(Some(sealed))
            });
            if unflushed {
                self.open.for_replica()?;
            }
            let sealed = sealed?;
            match sealed {
                Some(Sealed::Some) => {}
                // Once more, which is flushed.
                Some(Sealed::All) if unflushed => {}
                Some(Sealed::All) => {
                    if let Some(member) = &mut self.member {
                        member.quiet_at = Some(now);
                    }
                    return Ok(true);
                }
                Some(Sealed::SchemaChanged) | None => return Ok(false),
            }
        }
    }

    /// Reads the log ahead, in a transaction that holds nobody up.
    fn read_ahead(&mut self) -> Result<()> {
        let (Some(member), Some(witness)) = (&mut self.member, &self.witness) else {
            return Err(Error::internal("a replica is used before it joined"));
        };
        let open = &self.open;
        open.read(|c| {
            member.take_up(open, c, witness)?;
            member.read_ahead(open, c)
        })
    }

    fn seal_anew(&mut self) -> Result<bool> {
        if let Some(member) = &mut self.member {
            member.quiet_at = None;
        }
        self.seal_all()
    }

    /// Runs `work` with nothing left to seal, in the same transaction. `None` where the schema changed.
    fn sealed<T>(
        &mut self,
        work: impl FnOnce(&Open, &Connection, &mut Member) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if !self.seal_all()? {
            return Ok(None);
        }
        self.change(|open, c, member| match member.seal_to_end(open, c)? {
            true => work(open, c, member),
            false => Ok(None),
        })
    }

    fn versions(&mut self, peer: Node, after: u64, budget: Budget) -> Result<Option<Versions>> {
        if !self.seal_all()? {
            return Ok(None);
        }
        for _ in 0..READS_MAX {
            let (Some(member), Some(witness)) = (&mut self.member, &self.witness) else {
                return Err(Error::internal("versions before join"));
            };
            if after == member.ledger.seq {
                let node = member.ledger.node();
                return Ok(Some(Versions { versions: vec![], node, through: after, settled: true }));
            }
            // What a leaf is sent is written down first: it is told of no other rows.
            let noted = member.leaves.get(&peer).is_some_and(leaves::Leaf::is_filtered);
            let found = if noted {
                self.change(|open, c, member| member.queue(open, c, peer, after, budget).map(Some)).map(Option::flatten)
            } else {
                let open = &self.open;
                let found = open.read(|c| {
                    member.take_up(open, c, witness)?;
                    member.queue(open, c, peer, after, budget)
                });
                self.look_at_suspect()?;
                found
            };
            match found? {
                Some(versions) => return Ok(Some(versions)),
                // Somebody wrote between sealing and reading, or it was ourselves, for links that read this database.
                None if self.seal_anew()? => {}
                None => return Ok(None),
            }
        }
        let member = self.member.as_ref().ok_or_else(|| Error::internal("versions before join"))?;
        let node = member.ledger.node();
        Ok(Some(Versions { versions: vec![], node, through: after, settled: false }))
    }

    fn merge(&mut self, versions: Versions, prefer: Option<&Preference>, run: &str) -> Result<Option<Merged>> {
        self.sealed(|open, c, member| member.take_in(open, c, versions, prefer, run).map(Some))
    }

    fn prepare(&mut self, shared: &[Shared], tables: &[Table], create: bool) -> Result<Prepared> {
        let open = &self.open;
        let sqlite = |e| open.explain(e);
        let mappings: Vec<_> = shared
            .iter()
            .map(|shared| {
                let own = shared.own();
                Mapping { whole: own.columns.len() == shared.view.columns.len(), ..join::mapping(&own) }
            })
            .collect();
        if create {
            crate::create::write_ahead_if_new(open)?;
        }
        let fit = |c: &Connection| {
            leaves::refuse_other_parts(open, c, shared)?;
            let before = crate::meta::cookie(c).map_err(sqlite)?;
            let (mut prepared, _) = crate::create::fit(c, None, &mappings, tables, create).map_err(sqlite)?;
            if create {
                crate::own_ddl::known(c, before).map_err(sqlite)?;
            }
            for (at, table) in tables.iter().enumerate() {
                if let Some(why) = alike::differs(c, &shared[at], table).map_err(sqlite)? {
                    prepared.unfit.entry(at).or_insert(why);
                }
            }
            if !create {
                orphans::refuse_standing(c, &open.database.shown, shared).map_err(sqlite)??;
            }
            Ok(prepared)
        };
        let prepared = if create { open.write(fit) } else { open.read(fit) }?;
        if create {
            self.made.extend(prepared.created.iter().cloned());
        }
        Ok(prepared)
    }
}

/// A SQLite database as a replica.
pub struct SqliteReplica {
    worker: Worker<State>,
}

impl SqliteReplica {
    /// Opens it; with [`Access::Create`] it is made where it is missing. With [`Access::Read`] it can be scanned and
    /// asked for its conflicts.
    pub fn open(database: &Database, access: Access, env: &Env) -> Result<Self> {
        let open = Open::new(database, access, env)?;
        if access != Access::Read {
            open.for_replica()?;
        }
        Ok(Self { worker: Worker::start("replica", State { open, member: None, witness: None, made: vec![] })? })
    }

    /// The conflicts in its journal, the latest first.
    pub async fn conflicts(&mut self, selection: &Selection) -> Result<Vec<Entry>> {
        let selection = selection.clone();
        self.worker.call(move |s| s.conflicts(&selection)).await
    }

    /// How many conflicts a selection has, whatever its page.
    pub async fn count_conflicts(&mut self, selection: &Selection) -> Result<u64> {
        let selection = selection.clone();
        self.worker.call(move |s| s.count_conflicts(&selection)).await
    }

    /// Forgets the conflicts that ended more than so many days ago, in all tables. Says how many.
    pub async fn forget_older(&mut self, days: u64) -> Result<u64> {
        self.worker.call(move |s| s.forget_older(days)).await
    }

    /// Settles a conflict as a person chose. A new write, which goes to the other replicas like any other.
    /// Says whether the row changed here.
    pub async fn settle(&mut self, id: [u8; 16], choice: Choice) -> Result<bool> {
        self.worker.call(move |s| s.settle(&id, &choice)).await
    }
}

crate::scan::scan_on_its_thread!(SqliteReplica);

#[async_trait]
impl Replica for SqliteReplica {
    async fn prepare(&mut self, shared: Arc<[Shared]>, tables: &[Table], create: bool) -> Result<Prepared> {
        let tables = tables.to_vec();
        self.worker.call(move |s| s.prepare(&shared, &tables, create)).await
    }

    async fn join(&mut self, membership: Membership, peers: &[Introduction]) -> Result<Joined> {
        let peers = peers.to_vec();
        self.worker.call(move |s| s.join(&membership, &peers)).await
    }

    async fn adopt(&mut self, table: usize, rows_max: usize) -> Result<Adopted> {
        self.worker.call(move |s| s.adopt(table, rows_max)).await
    }

    async fn introduce(&mut self) -> Result<Introduction> {
        self.worker.call(State::introduce).await
    }

    async fn hear(&mut self, peer: &Introduction) -> Result<u64> {
        let peer = peer.clone();
        self.worker.call(move |s| s.hear(&peer)).await
    }

    async fn versions(&mut self, peer: Node, after: u64, budget: Budget) -> Result<Option<Versions>> {
        self.worker.call(move |s| s.versions(peer, after, budget)).await
    }

    async fn merge(&mut self, versions: Versions, prefer: Option<Preference>, run: &str) -> Result<Option<Merged>> {
        let run = run.to_owned();
        self.worker.call(move |s| s.merge(versions, prefer.as_ref(), &run)).await
    }

    async fn met(&mut self, peer: &Introduction) -> Result<()> {
        let peer = peer.clone();
        self.worker.call(move |s| s.met(&peer)).await
    }

    async fn forget(&mut self) -> Result<bool> {
        self.worker.call(State::forget_kept).await
    }

    async fn leave(&mut self) -> Result<Vec<String>> {
        self.worker.call(State::leave).await
    }
}
