//! Whether anything was lost, told by tokens alone.
//!
//! Invariant: a token that was written must in the end be shown where it was written, or be kept (in a journal of
//! conflicts, or in a row that stands aside), or a transaction that saw it there wrote something over it. A file that
//! is put back to an older state takes with it what it held and no other file does, and nothing else; what such a
//! transaction had written over counts as written over only if that transaction had left the file, or was itself
//! written over by one that stays.

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
        self.journaled.extend(before.journal.iter().cloned());
        let elsewhere = |item: &Item| after.has(item) || others.iter().any(|other| other.has(item));
        let stays =
            |id: &String| after.notes.contains_key(id) || others.iter().any(|other| other.notes.contains_key(id));
        let vanishing: BTreeMap<&String, &Note> = before.notes.iter().filter(|(id, _)| !stays(id)).collect();
        let seen: BTreeSet<Item> = self
            .notes
            .iter()
            .filter(|(id, _)| !vanishing.contains_key(id) && !self.undone.contains(*id))
            .filter_map(|(_, note)| Some((note.place.clone(), note.before.clone()?)))
            .collect();
        // What such a transaction saw was there, too: it may have come from elsewhere, and be there no more.
        let written = vanishing.values().flat_map(|note| {
            let values = [&note.before, &note.after];
            values.into_iter().flatten().map(|token| (note.place.clone(), token.clone())).collect::<Vec<_>>()
        });
        let written = written.chain(before.rows.iter().cloned());
        let gone: BTreeSet<Item> = written.filter(|item| !elsewhere(item) && !seen.contains(item)).collect();
        let wrote =
            |note: &Note| note.after.as_ref().is_some_and(|after| gone.contains(&(note.place.clone(), after.clone())));
        let deletes = vanishing.iter().filter(|(_, note)| note.after.is_none());
        let undone: Vec<String> =
            deletes.filter(|(id, _)| !sealable.contains(**id)).map(|(id, _)| (*id).clone()).collect();
        let gone: Vec<String> = self.notes.iter().filter(|(_, note)| wrote(note)).map(|(id, _)| id.clone()).collect();
        self.undone.extend(undone.into_iter().chain(gone));
    }

    /// The tokens that are neither shown nor kept nor written over.
    pub(super) fn lost(&self, shown: &BTreeSet<Item>, kept: &BTreeSet<Item>) -> Vec<String> {
        let mut over: BTreeMap<Item, Vec<&String>> = BTreeMap::new();
        for (id, note) in &self.notes {
            if let Some(before) = &note.before {
                over.entry((note.place.clone(), before.clone())).or_default().push(id);
            }
        }
        let accounted = |id: &String, item: &Item| {
            !is_token(&item.1)
                || self.undone.contains(id)
                || shown.contains(item)
                || kept.contains(item)
                || self.journaled.contains(item)
                || self.written_over(item, &over, &mut BTreeSet::new())
        };
        let tell = |item: &Item| {
            let by = over.get(item).map(|ids| ids.iter().map(|id| (*id, &self.notes[*id].after)).collect::<Vec<_>>());
            format!("{item:?}, written over by {by:?}")
        };
        let items = self.notes.iter().filter_map(|(id, note)| Some((id, (note.place.clone(), note.after.clone()?))));
        items.filter(|(id, item)| !accounted(id, item)).map(|(_, item)| tell(&item)).collect()
    }

    /// Whether a write that counts saw the token and wrote over it.
    fn written_over<'a>(
        &self,
        item: &Item,
        over: &BTreeMap<Item, Vec<&'a String>>,
        on_the_way: &mut BTreeSet<&'a String>,
    ) -> bool {
        let Some(ids) = over.get(item) else { return false };
        ids.iter().any(|id| {
            let note = &self.notes[*id];
            let next = |after: &String| (note.place.clone(), after.clone());
            let undone = self.undone.contains(*id);
            let mut after_all = || {
                on_the_way.insert(id)
                    && note.after.as_ref().is_some_and(|after| self.written_over(&next(after), over, on_the_way))
            };
            !undone || after_all()
        })
    }
}
