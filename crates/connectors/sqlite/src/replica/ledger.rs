//! What a replica keeps of itself and of the nodes it knows: the numbers under which nodes are stored, its own
//! incarnations, its last number, and how far it sealed the log.
//!
//! Invariant: a number is used once. Versions and dots take theirs from the same count, which lies in the database;
//! the witness outside says whether the database still is the one that counted.

use crate::capture::At;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use tidewater_core::change::Position;
use tidewater_core::merge::{Dot, Node, State, Vector};
use tidewater_core::replica::{Incarnation, Introduction, Known};

/// Room for a state of as many bytes is made at once.
const BYTES_USUAL: usize = 128;

/// A node, as it is stored.
#[derive(Debug, Clone)]
struct Stored {
    node: Node,
    number: u32,
    endpoint: String,
    counter: u64,
    /// Where it is an incarnation of this replica: the number after which it began.
    own_from: Option<u64>,
    changed: bool,
}

/// The replica's own account. Changed in a transaction, and kept only if that is.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    nodes: Vec<Stored>,
    /// The place of the present incarnation in `nodes`.
    own: usize,
    /// The last number used.
    pub(super) seq: u64,
    /// How far the log is sealed.
    pub(super) sealed: At,
    /// By table: the sum of the hashes of its rows, and whether it changed.
    digests: BTreeMap<i64, (u128, bool)>,
    /// When the witness was last written, by the file system's clock.
    pub(super) witnessed_ns: i64,
}

impl Ledger {
    /// The account of a database that takes part for the first time.
    pub(super) fn new(node: Node, endpoint: &str) -> Self {
        let own =
            Stored { node, number: 1, endpoint: endpoint.to_owned(), counter: 0, own_from: Some(0), changed: true };
        Self {
            nodes: vec![own],
            own: 0,
            seq: 0,
            sealed: At { seq: 0, within: None, mark: String::new() },
            digests: BTreeMap::new(),
            witnessed_ns: 0,
        }
    }

    /// Reads it; `None` where this database never took part.
    pub(super) fn load(c: &Connection) -> rusqlite::Result<Option<Self>> {
        let row: Option<(u32, i64, String, i64)> = c
            .query_row("SELECT node, seq, position, witnessed FROM _tidewater_replica", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((number, seq, position, witnessed_ns)) = row else { return Ok(None) };
        let nodes: Vec<Stored> = c
            .prepare_cached("SELECT number, node, endpoint, counter, own_from FROM _tidewater_node ORDER BY number")?
            .query_map([], |row| {
                Ok(Stored {
                    number: row.get(0)?,
                    node: Node(row.get(1)?),
                    endpoint: row.get(2)?,
                    counter: row.get::<_, i64>(3)?.unsigned_abs(),
                    own_from: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
                    changed: false,
                })
            })?
            .collect::<Result<_, _>>()?;
        let sealed = At::parse(&Position(position)).unwrap_or(At { seq: 0, within: None, mark: String::new() });
        let own = nodes.iter().position(|stored| stored.number == number);
        let digests = c
            .prepare_cached("SELECT tab, digest FROM _tidewater_shared")?
            .query_map([], |row| Ok((row.get(0)?, (u128::from_le_bytes(row.get(1)?), false))))?
            .collect::<Result<_, _>>()?;
        Ok(own.map(|own| Self { nodes, own, seq: seq.unsigned_abs(), sealed, digests, witnessed_ns }))
    }

    /// Whether the database still says what this account did when it was stored.
    pub(super) fn is_stored(&self, c: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT node, seq, witnessed, (SELECT count(*) FROM _tidewater_node) FROM _tidewater_replica";
        let row: Option<(u32, i64, i64, usize)> = c
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let seq = i64::try_from(self.seq).unwrap_or(i64::MAX);
        Ok(row == Some((self.nodes[self.own].number, seq, self.witnessed_ns, self.nodes.len())))
    }

    /// Whether this is the account of the same incarnation, later.
    pub(super) fn continues(&self, before: &Self) -> bool {
        self.nodes.iter().any(|stored| stored.own_from.is_some() && stored.node == before.node())
            && self.seq >= before.seq
    }

    /// Writes down what changed.
    pub(super) fn store(&mut self, c: &Connection) -> rusqlite::Result<()> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for stored in self.nodes.iter_mut().filter(|stored| stored.changed) {
            c.prepare_cached(
                "INSERT INTO _tidewater_node(number, node, endpoint, counter, own_from) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (node) DO UPDATE SET endpoint = excluded.endpoint, counter = excluded.counter",
            )?
            .execute((
                stored.number,
                stored.node.0,
                &stored.endpoint,
                number(stored.counter),
                stored.own_from.map(number),
            ))?;
            stored.changed = false;
        }
        for (tab, (digest, changed)) in self.digests.iter_mut().filter(|(_, (_, changed))| *changed) {
            c.prepare_cached("UPDATE _tidewater_shared SET digest = ?2 WHERE tab = ?1")?
                .execute((tab, digest.to_le_bytes()))?;
            *changed = false;
        }
        c.prepare_cached(
            "INSERT INTO _tidewater_replica(id, endpoint, node, seq, position, witnessed) \
             VALUES (1, ?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET endpoint = excluded.endpoint, node = excluded.node, seq = excluded.seq, \
             position = excluded.position, witnessed = excluded.witnessed",
        )?
        .execute((
            self.endpoint(),
            self.nodes[self.own].number,
            number(self.seq),
            self.sealed.position().0,
            self.witnessed_ns,
        ))?;
        Ok(())
    }

    /// A row of a table is another one than before.
    pub(super) fn count(&mut self, tab: i64, before: Option<u128>, now: Option<u128>) {
        if before != now {
            let (digest, changed) = self.digests.entry(tab).or_default();
            *digest = digest.wrapping_sub(before.unwrap_or(0)).wrapping_add(now.unwrap_or(0));
            *changed = true;
        }
    }

    /// The sum of the hashes of a table's rows.
    pub(super) fn digest(&self, tab: i64) -> u128 {
        self.digests.get(&tab).map_or(0, |(digest, _)| *digest)
    }

    /// Forgets what a table summed up to.
    pub(super) fn count_anew(&mut self, tab: i64) {
        self.digests.insert(tab, (0, true));
    }

    /// The present incarnation.
    pub(super) fn node(&self) -> Node {
        self.nodes[self.own].node
    }

    /// The name by which rules know it.
    pub(super) fn endpoint(&self) -> &str {
        &self.nodes[self.own].endpoint
    }

    /// Goes on as another node: what this file did since `seq` may have been done otherwise elsewhere.
    pub(super) fn renew(&mut self, node: Node, endpoint: &str) {
        self.own = self.add(node, endpoint, Some(self.seq));
    }

    fn add(&mut self, node: Node, endpoint: &str, own_from: Option<u64>) -> usize {
        let number = self.nodes.iter().map(|stored| stored.number).max().unwrap_or(0) + 1;
        let endpoint = endpoint.to_owned();
        self.nodes.push(Stored { node, number, endpoint, counter: 0, own_from, changed: true });
        self.nodes.len() - 1
    }

    /// The number under which a node is stored, which it gets now if it has none.
    pub(super) fn number_of(&mut self, node: &Node) -> u32 {
        let at = match self.nodes.iter().position(|stored| stored.node == *node) {
            Some(at) => at,
            None => self.add(*node, "", None),
        };
        self.nodes[at].number
    }

    /// The number under which a node is stored, and one that stands for nobody where it has none.
    pub(super) fn known_as(&self, node: &Node) -> i64 {
        self.nodes.iter().find(|stored| stored.node == *node).map_or(-1, |stored| i64::from(stored.number))
    }

    /// This replica writes under the name of this node, too.
    pub(super) fn also_is(&mut self, node: &Node) {
        if !self.nodes.iter().any(|stored| stored.node == *node) {
            let endpoint = self.endpoint().to_owned();
            self.add(*node, &endpoint, None);
        }
    }

    /// The node that is stored under a number.
    pub(super) fn node_of(&self, number: u32) -> Option<Node> {
        self.nodes.iter().find(|stored| stored.number == number).map(|stored| stored.node)
    }

    /// The endpoint that a node belongs to.
    pub(super) fn endpoint_of(&self, node: &Node) -> Option<&str> {
        self.nodes.iter().find(|stored| stored.node == *node).map(|stored| stored.endpoint.as_str())
    }

    /// The next number.
    pub(super) fn advance(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The dot of a write that is about to take the next number.
    pub(super) fn next_dot(&self) -> Dot {
        Dot::Write { node: self.node(), counter: self.seq + 1 }
    }

    /// The dot of a write, which takes the next number for itself.
    pub(super) fn take_dot(&mut self) -> Dot {
        Dot::Write { node: self.node(), counter: self.advance() }
    }

    /// Remembers the greatest counters of a state that came from elsewhere.
    pub(super) fn saw(&mut self, seen: &Vector) {
        for (node, counter) in seen.counters() {
            if let Some(stored) = self.nodes.iter_mut().find(|s| s.node == *node && s.counter < *counter) {
                (stored.counter, stored.changed) = (*counter, true);
            }
        }
    }

    /// Learns what a peer says of nodes.
    pub(super) fn learn(&mut self, peer: &Introduction) {
        for known in &peer.known {
            self.number_of(&known.node);
            let stored = self.nodes.iter_mut().find(|stored| stored.node == known.node);
            let Some(stored) = stored.filter(|stored| stored.own_from.is_none()) else { continue };
            let named = !known.endpoint.is_empty() && stored.endpoint != known.endpoint;
            if named || stored.counter < known.counter {
                if named {
                    stored.endpoint.clone_from(&known.endpoint);
                }
                stored.counter = stored.counter.max(known.counter);
                stored.changed = true;
            }
        }
    }

    /// Why this file cannot be what `peer` knows of it, if it cannot.
    pub(super) fn contradicted(&self, peer: &Introduction) -> Option<String> {
        let own = self.node();
        if peer.node() == Some(own) {
            return Some("another file goes by the same name: one is a copy of the other".to_owned());
        }
        let known = peer.known.iter().find(|known| known.node == own)?;
        (known.counter > self.seq || known.heard > self.seq).then(|| {
            "others have seen writes of it that it does not have: it was put back to an older state".to_owned()
        })
    }

    /// What it says of itself, but for how far it heard others and its rules.
    pub(super) fn introduction(&self) -> Introduction {
        let own = |stored: &Stored| Some(Incarnation { node: stored.node, from: stored.own_from? });
        let mut incarnations: Vec<Incarnation> = self.nodes.iter().filter_map(own).collect();
        // Incarnations of a file that was copied are in both; the present one is last in any case.
        incarnations.sort_by_key(|incarnation| (incarnation.node == self.node(), incarnation.from));
        let known = self.nodes.iter().map(|stored| Known {
            node: stored.node,
            endpoint: stored.endpoint.clone(),
            counter: if stored.node == self.node() { self.seq } else { stored.counter },
            heard: 0,
            met: false,
        });
        Introduction { incarnations, known: known.collect(), tables: BTreeMap::new(), parked: 0 }
    }

    /// Encodes a state under this account's numbers.
    pub(super) fn encode(&mut self, state: &State, rules: &tidewater_core::merge::Rules) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES_USUAL);
        state.encode(rules, &mut |node| self.number_of(node), &mut bytes);
        bytes
    }
}
