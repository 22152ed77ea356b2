//! Whether anything was lost, told by tokens alone.
//!
//! Invariant: a token that was written must in the end be shown where it was written, or be kept (in a journal of
//! conflicts, or in a row that stands aside), or a transaction that saw it there wrote something over it. A file that
//! is put back to an older state takes with it what it held and no other file does, and nothing else; what such a
//! transaction had written over counts as written over only if that transaction had left the file, or was itself
//! written over by one that stays. From a leaf rows are taken back: what it wrote to such a row is where it was given,
//! and goes with that file, and so does what it had written over there. What went is back where a copy is put back that
//! has it. Who does not see a column, or not all that was written to it, cannot say what he takes away: any token of
//! that column and row counts as gone then.

use super::programs::{Note, Place};
use std::collections::{BTreeMap, BTreeSet};

/// A token at its place.
pub(super) type Item = (Place, String);

/// What one file holds at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// What its tables show, and rows that stand aside.
    pub(super) rows: BTreeSet<Item>,
    /// What its journal holds.
    pub(super) journal: BTreeSet<Item>,
    pub(super) notes: BTreeMap<String, Note>,
    /// Whether rows may be taken back from it.
    pub(super) is_leaf: bool,
}

impl Holding {
    fn has(&self, item: &Item) -> bool {
        self.rows.contains(item) || self.journal.contains(item)
    }
}

/// Everything that was written, and what went with files that were put back.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    notes: BTreeMap<String, Note>,
    /// Notes whose token no file holds any more, since one was put back; and of deletes that never left such a file.
    undone: BTreeSet<String>,
    /// What was in journals that went.
    journaled: BTreeSet<Item>,
}

fn is_token(text: &str) -> bool {
    text.starts_with(['g', 'w'])
}

/// The token that a transaction wrote.
fn wrote(note: &Note) -> Option<Item> {
    note.after.as_ref().map(|after| (note.place.clone(), after.clone()))
}

/// The one that it saw there.
fn saw(note: &Note) -> Option<Item> {
    note.before.as_ref().map(|before| (note.place.clone(), before.clone()))
}

impl Oracle {
    pub(super) fn hear(&mut self, notes: &BTreeMap<String, Note>) {
        self.notes.extend(notes.iter().map(|(id, note)| (id.clone(), note.clone())));
    }

    /// A file is put back. `sealable`: what it had noted when an engine last worked on it.
    pub(super) fn put_back(
        &mut self,
        before: &Holding,
        after: &Holding,
        others: &[Holding],
        sealable: &BTreeSet<String>,
    ) {
        self.hear(&before.notes);
        // A leaf still notes what it wrote to a row that it gave away.
        let noted = |id: &String| after.notes.contains_key(id);
        let notes = &self.notes;
        self.undone.retain(|id| match wrote(&notes[id]) {
            Some(item) => !after.has(&item) && (after.is_leaf || !noted(id)),
            None => !noted(id),
        });
        self.journaled.extend(before.journal.iter().cloned());
        let stays =
            |id: &String| after.notes.contains_key(id) || others.iter().any(|other| other.notes.contains_key(id));
        let vanishing: BTreeMap<&String, &Note> = before.notes.iter().filter(|(id, _)| !stays(id)).collect();
        let gone = self.gone(&vanishing, before, after, others);
        let deletes = vanishing.iter().filter(|(_, note)| note.after.is_none());
        let undone: Vec<String> =
            deletes.filter(|(id, _)| !sealable.contains(**id)).map(|(id, _)| (*id).clone()).collect();
        let went = |note: &Note| wrote(note).is_some_and(|item| gone.contains(&item));
        let gone: Vec<String> = self.notes.iter().filter(|(_, note)| went(note)).map(|(id, _)| id.clone()).collect();
        self.undone.extend(undone.into_iter().chain(gone));
    }

    /// What no file holds any more, since one is put back.
    fn gone(
        &self,
        vanishing: &BTreeMap<&String, &Note>,
        before: &Holding,
        after: &Holding,
        others: &[Holding],
    ) -> BTreeSet<Item> {
        let elsewhere = |item: &Item| after.has(item) || others.iter().any(|other| other.has(item));
        // What such a transaction saw was there, too: it may have come from elsewhere, and be there no more.
        let written = vanishing.values().flat_map(|note| saw(note).into_iter().chain(wrote(note)));
        let mut looked_at: BTreeSet<Item> = written.chain(before.rows.iter().cloned()).collect();
        let leaves = || others.iter().filter(|other| other.is_leaf).flat_map(|leaf| &leaf.notes);
        let mut gone: BTreeSet<Item> = BTreeSet::new();
        loop {
            // A leaf's own write stays noted there when its row was given to the file that is put back.
            let given: BTreeMap<&String, &Note> =
                leaves().filter(|(_, note)| wrote(note).is_some_and(|item| gone.contains(&item))).collect();
            looked_at.extend(given.values().filter_map(|note| saw(note)));
            let counts =
                |id: &String| !vanishing.contains_key(id) && !given.contains_key(id) && !self.undone.contains(id);
            let seen: BTreeSet<Item> =
                self.notes.iter().filter(|(id, _)| counts(id)).filter_map(|(_, note)| saw(note)).collect();
            let now = looked_at.iter().filter(|item| !elsewhere(item) && !seen.contains(*item)).cloned().collect();
            if now == gone {
                return gone;
            }
            gone = now;
        }
    }

    /// The tokens that are neither shown nor kept nor written over.
    pub(super) fn lost(&self, shown: &BTreeSet<Item>, kept: &BTreeSet<Item>) -> Vec<String> {
        let mut search = Search { oracle: self, kept, over: BTreeMap::new() };
        for (id, note) in &self.notes {
            if let Some(before) = saw(note) {
                search.over.entry(before).or_default().push(id);
            }
        }
        // A row that somebody deleted who does not see this column of it.
        let gone = |note: &&Note| note.before.is_none() && note.after.is_none();
        let counts = self.notes.iter().filter(|(id, _)| !self.undone.contains(*id)).map(|(_, note)| note);
        let gone: BTreeSet<&Place> = counts.filter(gone).map(|note| &note.place).collect();
        let accounted = |id: &String, item: &Item| {
            !is_token(&item.1)
                || self.undone.contains(id)
                || shown.contains(item)
                || gone.contains(&item.0)
                || search.keeps(item)
                || search.written_over(item, &mut BTreeSet::new())
        };
        let items = self.notes.iter().filter_map(|(id, note)| Some((id, wrote(note)?)));
        items.filter(|(id, item)| !accounted(id, item)).map(|(_, item)| search.tell(&item, 0)).collect()
    }
}

/// What became of tokens.
struct Search<'a> {
    oracle: &'a Oracle,
    kept: &'a BTreeSet<Item>,
    /// Who saw a token and wrote over it.
    over: BTreeMap<Item, Vec<&'a String>>,
}

impl<'a> Search<'a> {
    fn keeps(&self, item: &Item) -> bool {
        self.kept.contains(item) || self.oracle.journaled.contains(item)
    }

    fn after(&self, id: &String) -> Option<Item> {
        wrote(&self.oracle.notes[id])
    }

    /// Whether a write that counts saw the token and wrote over it. One that went with a file counts where it had met
    /// others before: it is in a journal, or one that counts wrote over it in turn.
    fn written_over(&self, item: &Item, on_the_way: &mut BTreeSet<&'a String>) -> bool {
        self.over.get(item).is_some_and(|ids| {
            ids.iter().any(|id| {
                let met = |next: Item, on_the_way: &mut BTreeSet<&'a String>| {
                    self.keeps(&next) || (on_the_way.insert(id) && self.written_over(&next, on_the_way))
                };
                !self.oracle.undone.contains(*id) || self.after(id).is_some_and(|next| met(next, on_the_way))
            })
        })
    }

    /// A token, and what was written over it, for a failure.
    fn tell(&self, item: &Item, depth: usize) -> String {
        let mut told = format!("{item:?}");
        for id in self.over.get(item).into_iter().flatten().filter(|_| depth < 6) {
            let went = if self.oracle.undone.contains(*id) { ", which went" } else { "" };
            let next = self.after(id).map_or("nothing".to_owned(), |next| self.tell(&next, depth + 1));
            told.push_str(&format!(" <- {id}{went} ({next})"));
        }
        told
    }
}
