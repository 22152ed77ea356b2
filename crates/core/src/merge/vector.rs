//! What a row's state has seen: a version vector, and beside it the genesis contents, which have no order.

use super::dot::{Dot, Genesis, Node};

/// A set of dots of one row. A node's dots are seen in their order, so its greatest counter stands for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vector {
    /// Ascending by node.
    counters: Vec<(Node, u64)>,
    /// Ascending.
    genesis: Vec<Genesis>,
}

impl Vector {
    /// Whether `dot` is among the dots seen.
    pub fn saw(&self, dot: &Dot) -> bool {
        match dot {
            Dot::Write { node, counter } => self.counter(node) >= *counter,
            Dot::Genesis(genesis) => self.genesis.contains(genesis),
        }
    }

    /// The greatest counter seen of `node`; 0 where none is.
    pub fn counter(&self, node: &Node) -> u64 {
        // Vectors are as long as a sync has masters: a handful.
        self.counters.iter().find(|(of, _)| of == node).map_or(0, |(_, counter)| *counter)
    }

    /// The greatest counter of each node, ascending by node.
    pub fn counters(&self) -> &[(Node, u64)] {
        &self.counters
    }

    /// The genesis contents seen, ascending.
    pub fn genesis(&self) -> &[Genesis] {
        &self.genesis
    }

    /// Adds `dot`, and with it all earlier ones of its node.
    pub fn add(&mut self, dot: Dot) {
        match dot {
            Dot::Write { node, counter } => match self.counters.binary_search_by(|(of, _)| of.cmp(&node)) {
                Ok(at) => self.counters[at].1 = self.counters[at].1.max(counter),
                Err(at) => self.counters.insert(at, (node, counter)),
            },
            Dot::Genesis(genesis) => {
                if let Err(at) = self.genesis.binary_search(&genesis) {
                    self.genesis.insert(at, genesis);
                }
            }
        }
    }

    /// All that either has seen.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (node, counter) in &other.counters {
            joined.add(Dot::Write { node: *node, counter: *counter });
        }
        for genesis in &other.genesis {
            joined.add(Dot::Genesis(*genesis));
        }
        joined
    }

    /// Whether it has seen all that `other` has.
    pub fn dominates(&self, other: &Self) -> bool {
        other.counters.iter().all(|(node, counter)| self.counter(node) >= *counter)
            && other.genesis.iter().all(|genesis| self.genesis.contains(genesis))
    }

    /// Whether the two have seen a write in common.
    pub fn meets(&self, other: &Self) -> bool {
        other.counters.iter().any(|(node, _)| self.counter(node) > 0)
            || other.genesis.iter().any(|genesis| self.genesis.contains(genesis))
    }
}

impl FromIterator<Dot> for Vector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::default();
        for dot in dots {
            vector.add(dot);
        }
        vector
    }
}
