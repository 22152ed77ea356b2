//! Taking part: the tables that are shared, capture, the incarnation; and leaving.

use super::ledger::Ledger;
use super::seal::Phase;
use super::witness::Witness;
use super::{Member, READER, SharedTable, State, leaves, orphans, parked};
use crate::capture::{self, At};
use crate::meta;
use crate::own_ddl;
use crate::schema;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use std::sync::Arc;
use tidewater_core::capture::{Reader, Resumed};
use tidewater_core::change::{Deletes, Identity, Mapping, Row, Value, View, ViewColumn};
use tidewater_core::merge::{Node, Policy, Rules};
use tidewater_core::replica::{Introduction, Joined, Membership, TableSaid};
use tidewater_core::{Error, Kind, Result, code};

/// A mapping of a table to itself.
pub(super) fn mapping(view: &View) -> Mapping {
    Mapping {
        source: view.clone(),
        target: view.clone(),
        identity: Identity::PrimaryKey,
        deletes: Deletes::Apply,
        whole: true,
    }
}

/// Words as bytes, in the canonical encoding.
pub(super) fn packed(words: &[String]) -> Vec<u8> {
    Row::new(words.iter().map(|word| Value::Text(word.into()))).as_bytes().to_vec()
}

pub(super) fn unpacked(bytes: &[u8]) -> Result<Vec<String>> {
    let row = crate::ledger::key(bytes)?;
    let word = |value: Value<'_>| if let Value::Text(text) = value { text.into_owned() } else { String::new() };
    Ok(row.values().map(word).collect())
}

/// The word of the row's rule, out of rules as they are stored.
pub(crate) fn rule_word(bytes: &[u8]) -> String {
    unpacked(bytes).ok().and_then(|words| words.into_iter().next()).unwrap_or_default()
}

/// A table as it is noted among those shared.
struct Noted {
    tab: i64,
    name: String,
    columns: Vec<u8>,
    rules: Vec<u8>,
    keep_days: Option<u64>,
    part: Option<Vec<u8>>,
    lacking: bool,
}

impl Noted {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tab: row.get(0)?,
            name: row.get(1)?,
            columns: row.get(2)?,
            rules: row.get(3)?,
            keep_days: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
            part: row.get(5)?,
            lacking: row.get(6)?,
        })
    }
}

/// Rows adopted in one transaction, where nobody asks for a number.
pub(super) const ADOPTED_MAX: usize = 5_000;

fn hexadecimal(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// A random name for an incarnation.
pub(super) fn node(env: &tidewater_core::env::Env) -> Node {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        half.copy_from_slice(&env.random.bits().to_le_bytes());
    }
    Node(bytes)
}

impl State {
    /// Takes part.
    pub(super) fn join(&mut self, membership: &Membership, peers: &[Introduction]) -> Result<Joined> {
        let mut witness = Witness::new(&self.open.database.canonical(), &self.open.database.shown);
        let open = &self.open;
        let (joined, member) = open.write(|c| {
            let sqlite = |e| open.explain(e);
            let before = meta::cookie(c).map_err(sqlite)?;
            let mut joined = Joined::default();
            if meta::make_replica(c, &open.identity).map_err(sqlite)? {
                joined.installed.push("versions of rows, conflicts and their bookkeeping: tables _tidewater_…".into());
            }
            // What we just made is no news to anybody; what others made is.
            let before = own_ddl::known(c, before).map_err(sqlite)?;
            let mut ledger = self.account(c, &witness, &membership.endpoint, peers, &mut joined).map_err(sqlite)?;
            self.share(c, membership, &mut ledger, &mut joined)?;
            let tables = self.tables(c)?;
            let mappings: Arc<[Mapping]> = tables.iter().map(|table| mapping(&table.view)).collect();
            let reader = Reader {
                link: READER.into(),
                target: "other replicas".into(),
                target_identity: "".into(),
                origins: false,
            };
            let resume = (!ledger.sealed.mark.is_empty()).then_some(&ledger.sealed);
            let mark = open.env.token()[..16].to_owned();
            let begun = capture::begin(open, c, &reader, &mappings, resume, &mark).map_err(sqlite)?;
            let (start, following) = begun;
            joined.installed.extend(start.installed);
            let lost = matches!(start.resumed, Resumed::Lost(_));
            for (at, table) in tables.iter().enumerate() {
                if lost || start.void.contains(&at) {
                    self.void(c, table, &mut ledger, &mut joined).map_err(sqlite)?;
                }
            }
            ledger.sealed = At::parse(&start.position).unwrap_or(ledger.sealed);
            let mut member = Member::new(ledger, following, tables, membership)?;
            // What void tables are to the log is written down as a phase of theirs.
            capture::confirm_here(c, &mut member.following, &member.ledger.sealed.clone()).map_err(sqlite)?;
            member.ledger.witnessed_ns = witness.note(member.ledger.node(), member.ledger.seq)?;
            member.ledger.store(c).map_err(sqlite)?;
            own_ddl::known(c, before).map_err(sqlite)?;
            member.following.cookie = meta::cookie(c).map_err(sqlite)?;
            for (place, table) in member.of.iter().enumerate() {
                if member.tables[*table].phase(c).map_err(sqlite)?.0 != Phase::Whole {
                    joined.unadopted.push(place);
                }
            }
            Ok((joined, member))
        })?;
        self.witness = Some(witness);
        self.member = Some(member);
        self.made.clear();
        self.adopt_others()?;
        Ok(joined)
    }

    /// Rows of a table may have been written unseen: they are all looked at. A table that is empty although it had
    /// rows was dropped, or made anew by somebody: that is no delete of all of them, and it is filled again.
    fn void(
        &self,
        c: &Connection,
        table: &SharedTable,
        ledger: &mut Ledger,
        joined: &mut Joined,
    ) -> rusqlite::Result<()> {
        let (phase, _) = table.phase(c)?;
        let has = |sql: String| c.query_row(&sql, [], |row| row.get::<_, bool>(0));
        let rows = has(format!("SELECT EXISTS (SELECT 1 FROM {})", crate::sql::quote(&table.view.table)))?;
        let versions = has(format!(
            "SELECT EXISTS (SELECT 1 FROM _tidewater_version WHERE tab = {} AND hash IS NOT NULL)",
            table.tab
        ))?;
        if versions && !rows {
            self.forget(c, table.tab, &table.view.table, ledger, joined)?;
        } else if matches!(phase, Phase::Adopting | Phase::Widening) {
            // What is widened is looked at as a whole afterwards.
            table.enter(c, phase, None)?;
        } else {
            table.enter(c, Phase::Rescanning, None)?;
        }
        Ok(())
    }

    /// A table begins anew: everything known of its rows is asked for again, from everybody.
    fn forget(
        &self,
        c: &Connection,
        tab: i64,
        name: &str,
        ledger: &mut Ledger,
        joined: &mut Joined,
    ) -> rusqlite::Result<()> {
        // Rows that stand aside never were in the table: they stay, and so does the journal.
        let parked = "key NOT IN (SELECT key FROM _tidewater_parked p WHERE p.tab = ?1)";
        for of in ["_tidewater_version", "_tidewater_queue"] {
            c.execute(&format!("DELETE FROM {of} WHERE tab = ?1 AND {parked}"), [tab])?;
        }
        c.execute("DELETE FROM _tidewater_heard", [])?;
        c.execute("UPDATE _tidewater_shared SET phase = 'adopting', through = NULL WHERE tab = ?1", [tab])?;
        ledger.count_anew(tab);
        // Others leave out what came from the node that this one was.
        let endpoint = ledger.endpoint().to_owned();
        ledger.renew(node(&self.open.env), &endpoint);
        joined.renewed = Some(format!("its table {name} was dropped, or made anew without rows, and is filled again"));
        Ok(())
    }

    /// This replica's account, and whether it is still the one who wrote it.
    fn account(
        &self,
        c: &Connection,
        witness: &Witness,
        endpoint: &str,
        peers: &[Introduction],
        joined: &mut Joined,
    ) -> rusqlite::Result<Ledger> {
        let env = &self.open.env;
        let Some(mut ledger) = Ledger::load(c)? else { return Ok(Ledger::new(node(env), endpoint)) };
        let why = if !witness.confirms(ledger.node(), ledger.seq, ledger.witnessed_ns) {
            Some("it was copied, restored, or not closed properly".to_owned())
        } else if ledger.endpoint() != endpoint {
            Some("it has another name now".to_owned())
        } else {
            // Before anything is sealed: what is sealed under a number that was used cannot be taken back.
            peers.iter().find_map(|peer| ledger.contradicted(peer))
        };
        if why.is_some() {
            ledger.renew(node(env), endpoint);
            joined.renewed = why;
        }
        Ok(ledger)
    }

    /// Notes the tables of this membership, and their rules.
    fn share(&self, c: &Connection, membership: &Membership, ledger: &mut Ledger, joined: &mut Joined) -> Result<()> {
        let sqlite = |e| self.open.explain(e);
        for shared in membership.tables.iter() {
            let name = &shared.view.table;
            let details = schema::details(c, name).map_err(sqlite)?;
            let Some(details) = details else {
                return Err(Error::internal(format!("the table {name} is gone before it is shared")));
            };
            let name = &details.table.name;
            parked::rivals(&details, &shared.own()).map_err(|why| unsupported(&self.open.database.shown, &why))?;
            let tab = meta::table_number(c, name, "").map_err(sqlite)?;
            let columns: Vec<String> = shared.view.columns.iter().map(|c| c.name.to_ascii_lowercase()).collect();
            let part = shared.part.as_ref().map(|part| leaves::packed_part(part, &columns));
            let rules = packed(&shared.policy.words());
            let keep_days = shared.journal_keep_days.map(|days| i64::try_from(days).unwrap_or(i64::MAX));
            let there: Option<(Vec<u8>, Vec<u8>, String)> = c
                .query_row("SELECT columns, rules, rules_before FROM _tidewater_shared WHERE tab = ?1", [tab], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
                .map_err(sqlite)?;
            let Some((columns_before, rules_before, history)) = there else {
                c.execute(
                    "INSERT INTO _tidewater_shared(tab, name, columns, rules, rules_before, reshow, phase, digest, \
                     keep_days, part) VALUES (?1, ?2, ?3, ?4, '', 0, ?5, zeroblob(16), ?6, ?7)",
                    (tab, name, packed(&columns), rules, Phase::Adopting.word(), keep_days, part),
                )
                .map_err(sqlite)?;
                continue;
            };
            c.execute("UPDATE _tidewater_shared SET keep_days = ?2, part = ?3 WHERE tab = ?1", (tab, keep_days, part))
                .map_err(sqlite)?;
            if columns_before != packed(&columns) {
                let before = unpacked(&columns_before)?;
                if before.iter().any(|column| !columns.contains(column)) {
                    return Err(columns_changed(&self.open.database.shown, name));
                }
                c.execute(
                    "UPDATE _tidewater_shared SET columns = ?2, columns_before = coalesce(columns_before, ?3), \
                     phase = ?4, through = NULL WHERE tab = ?1",
                    (tab, packed(&columns), columns_before, Phase::Widening.word()),
                )
                .map_err(sqlite)?;
            }
            if rules_before != rules {
                let old = Policy::from_words(&unpacked(&rules_before)?).unwrap_or_default();
                let history = format!("{history} {}", hexadecimal(&old.hash()));
                c.execute(
                    "UPDATE _tidewater_shared SET rules = ?2, rules_before = ?3, reshow = 1 WHERE tab = ?1",
                    (tab, rules, history.trim()),
                )
                .map_err(sqlite)?;
            }
            if self.made.iter().any(|made| made.eq_ignore_ascii_case(name)) {
                self.forget(c, tab, name, ledger, joined).map_err(sqlite)?;
            }
        }
        Ok(())
    }

    /// Every table that this database shares, also with others than those it meets now: one log tells of all.
    pub(super) fn tables(&self, c: &Connection) -> Result<Vec<SharedTable>> {
        let sqlite = |e| self.open.explain(e);
        // What was made before there were parts holds everything.
        let parted = meta::has_column(c, "_tidewater_shared", "part").map_err(sqlite)?;
        let parted = if parted { "keep_days, part, lacking" } else { "NULL, NULL, 0" };
        let rows: Vec<Noted> = c
            .prepare(&format!("SELECT tab, name, columns, rules, {parted} FROM _tidewater_shared ORDER BY tab"))
            .and_then(|mut s| s.query_map([], Noted::read)?.collect())
            .map_err(sqlite)?;
        let (mut tables, mut described) = (Vec::new(), Vec::new());
        for Noted { tab, name, columns, rules, keep_days, part, lacking } in rows {
            // A table that was dropped is shared no more; its versions stay until it comes back.
            let Some(details) = schema::details(c, &name).map_err(sqlite)? else { continue };
            let names = unpacked(&columns)?;
            let policy = Policy::from_words(&unpacked(&rules)?).unwrap_or_default();
            let columns = part.as_deref().map_or_else(|| Ok(names.clone()), unpacked)?;
            let in_whole = |name: &String| names.iter().position(|whole| whole == name);
            let part: Option<Vec<usize>> = part.is_some().then(|| columns.iter().filter_map(in_whole).collect());
            if columns.iter().any(|column| details.table.column(column).is_none()) {
                return Err(columns_changed(&self.open.database.shown, &name));
            }
            let collation = |name: &String| details.table.column(name).map(|column| column.collation.clone());
            let view_columns = columns.iter().map(|name| ViewColumn {
                name: name.clone(),
                collation: collation(name).unwrap_or_else(|| "BINARY".to_owned()),
            });
            let place = |key: &String| columns.iter().position(|column| column.eq_ignore_ascii_case(key));
            let view = View {
                table: name.clone(),
                columns: view_columns.collect(),
                key: details.table.key.iter().filter_map(place).collect(),
                filter: None,
                deleted_when: None,
                value_bytes_max: None,
            };
            let (rivals, mut claimed) =
                parked::rivals(&details, &view).map_err(|why| unsupported(&self.open.database.shown, &why))?;
            if let Some(part) = &part {
                claimed = claimed.into_iter().filter_map(|at| part.get(at).copied()).collect();
            }
            let rules = Rules::new(&policy, &names.iter().map(String::as_str).collect::<Vec<_>>())
                .map_err(|e| Error::internal(format!("the rules stored for {name} do not fit: {e}")))?;
            let writer = crate::apply::TableWriter::new(&mapping(&view), !details.key_is_row_number, &[]);
            let defaults = lacking.then(|| leaves::defaults(c, &details, &names)).transpose().map_err(sqlite)?;
            tables.push(SharedTable {
                tab,
                view,
                names,
                part,
                defaults,
                policy,
                keep_days,
                rules,
                writer,
                rivals,
                claimed,
                // What was to be looked at when an engine died is looked at now.
                touched: true,
                kin: orphans::Kin::new(),
            });
            described.push(details);
        }
        // A leaf has not all parents: it shows what those show who have.
        if tables.iter().all(|of: &SharedTable| of.part.is_none()) {
            orphans::relate(c, &mut tables, &described).map_err(sqlite)?;
        }
        Ok(tables)
    }

    /// Tables that are shared with others only, and may have been written unseen.
    fn adopt_others(&mut self) -> Result<()> {
        let Some(member) = &self.member else { return Ok(()) };
        let others: Vec<usize> = (0..member.tables.len()).filter(|table| !member.of.contains(table)).collect();
        for table in others {
            while !self
                .change(|open, c, member| member.adopt(open, c, table, ADOPTED_MAX).map(Some))?
                .is_none_or(|a| a.done)
            {}
        }
        Ok(())
    }

    /// What it says of itself; nothing, if it never took part.
    pub(super) fn introduce(&mut self) -> Result<Introduction> {
        let open = &self.open;
        open.read(|c| {
            let sqlite = |e| open.explain(e);
            let nothing = Introduction::default;
            if !meta::has_table(c, "_tidewater_replica").map_err(sqlite)? {
                return Ok(nothing());
            }
            let Some(ledger) = Ledger::load(c).map_err(sqlite)? else { return Ok(nothing()) };
            let mut said = ledger.introduction();
            let scope = self.member.as_ref().map(|member| &member.scope);
            for known in &mut said.known {
                let (heard, met): (i64, bool) = c
                    .query_row(
                        "SELECT (SELECT coalesce(max(seq), 0) FROM _tidewater_heard h WHERE h.node = n.number \
                         AND (?2 IS NULL OR h.scope = ?2)), met FROM _tidewater_node n WHERE n.node = ?1",
                        (known.node.0, scope),
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .map_err(sqlite)?;
                (known.heard, known.met) = (heard.unsigned_abs(), met);
            }
            self.say_tables(c, &ledger, &mut said)?;
            said.parked = parked::count(c).map_err(sqlite)?;
            Ok(said)
        })
    }

    fn say_tables(&self, c: &Connection, ledger: &Ledger, said: &mut Introduction) -> Result<()> {
        let sqlite = |e| self.open.explain(e);
        let rows: Vec<(i64, String, Vec<u8>, String)> = c
            .prepare("SELECT tab, name, rules, rules_before FROM _tidewater_shared")
            .and_then(|mut s| {
                s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect()
            })
            .map_err(sqlite)?;
        for (tab, name, words, before) in rows {
            let policy = Policy::from_words(&unpacked(&words)?).unwrap_or_default();
            let rules_before = before.split(' ').filter_map(from_hexadecimal).collect();
            let place = |m: &&Member| m.of.iter().position(|table| m.tables[*table].tab == tab);
            let part = self.member.as_ref().and_then(|member| member.parts[place(&member)?].clone());
            let table = TableSaid { rules: policy.hash(), rules_before, digest: ledger.digest(tab), part };
            said.tables.insert(name.to_ascii_lowercase(), table);
        }
        Ok(())
    }

    /// Learns what a peer says; answers how far its queue was read.
    pub(super) fn hear(&mut self, peer: &Introduction) -> Result<u64> {
        let env = self.open.env.clone();
        let heard = self.change(|open, c, member| {
            let sqlite = |e| open.explain(e);
            if let Some(why) = member.ledger.contradicted(peer) {
                let endpoint = member.ledger.endpoint().to_owned();
                tracing::info!(database = open.database.shown, why, "goes on as a new node");
                member.ledger.renew(node(&env), &endpoint);
            }
            member.ledger.learn(peer);
            member.hear_parts(peer);
            let mut until = u64::MAX;
            for incarnation in peer.incarnations.iter().rev() {
                let number = member.ledger.number_of(&incarnation.node);
                let seq: Option<i64> = c
                    .query_row(
                        "SELECT seq FROM _tidewater_heard WHERE node = ?1 AND scope = ?2",
                        (number, &member.scope),
                        |row| row.get(0),
                    )
                    .optional()
                    .map_err(sqlite)?;
                if let Some(seq) = seq {
                    return Ok(Some(seq.unsigned_abs().min(until)));
                }
                // What the next one began after, this one had done.
                until = incarnation.from;
            }
            Ok(Some(0))
        })?;
        heard.ok_or_else(|| {
            Error::new(Kind::Unavailable, code::HALTED, "a table changed its schema meanwhile")
                .meaning("Nothing was exchanged.")
        })
    }

    /// A peer, and whom it has met, are met; and how far it read the queue here is noted, for those who ask.
    pub(super) fn met(&mut self, peer: &Introduction) -> Result<()> {
        if let Some(member) = &mut self.member {
            member.catching_up = false;
        }
        let met = self.sealed(|open, c, member| {
            let sqlite = |e| open.explain(e);
            member.ledger.learn(peer);
            member.ledger.store(c).map_err(sqlite)?;
            let own = peer.incarnations.iter().map(|incarnation| incarnation.node);
            let theirs = peer.known.iter().filter(|known| known.met).map(|known| known.node);
            for node in own.chain(theirs) {
                c.prepare_cached("UPDATE _tidewater_node SET met = 1 WHERE node = ?1 AND NOT met")
                    .and_then(|mut s| s.execute([node.0]))
                    .map_err(sqlite)?;
            }
            let here = member.ledger.node();
            let read = peer.known.iter().find(|known| known.node == here).map_or(0, |known| known.heard);
            if let Some(node) = peer.node() {
                c.prepare_cached("UPDATE _tidewater_node SET confirmed = ?2 WHERE node = ?1")
                    .and_then(|mut s| s.execute((node.0, i64::try_from(read).unwrap_or(i64::MAX))))
                    .map_err(sqlite)?;
            }
            Ok(Some(()))
        });
        met?;
        self.prune()
    }

    /// Takes out everything but the rows.
    pub(super) fn leave(&mut self) -> Result<Vec<String>> {
        self.member = None;
        let open = &self.open;
        let gone = open.write(|c| crate::teardown::replica(c).map_err(|e| open.explain(e)))?;
        Witness::new(&open.database.canonical(), &open.database.shown).remove();
        self.witness = None;
        Ok(gone)
    }
}

fn unsupported(shown: &str, why: &str) -> Error {
    Error::new(Kind::Invalid, code::UNSUPPORTED_TABLE, format!("{shown}: {why}"))
        .meaning(
            "Which of two rows with the same value is shown could not be the same on all sides. Nothing was written.",
        )
        .remedy("Drop that index, carry the table one way, or leave it out with --tables.")
}

fn columns_changed(shown: &str, table: &str) -> Error {
    Error::new(Kind::Conflict, code::HALTED, format!("{shown}: the columns of {table} are not those it is shared with"))
        .meaning("Columns that are renamed or dropped while a table is written on several sides are not followed yet. Nothing was exchanged.")
        .remedy(
            "Bring all members in step first if you can, change the table on every side, run `tidewater teardown` on \
             every side, and sync again: rows that are equal meet without a conflict.",
        )
}
