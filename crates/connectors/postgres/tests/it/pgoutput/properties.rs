//! Whatever a server can send comes through; whatever it cannot is refused, and never a panic.

use super::model::{Change, Column, Model};
use crate::given::rounds;
use proptest::collection::vec;
use proptest::prelude::*;
use tidewater_postgres::Lsn;
use tidewater_postgres::pgoutput::{Abort, Begin, Commit, Decoder, Message, StreamCommit};

fn name() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn column() -> impl Strategy<Value = Column> {
    let bytes = || vec(any::<u8>(), 0..20);
    prop_oneof![
        Just(Column::Null),
        Just(Column::Unchanged),
        bytes().prop_map(Column::Text),
        bytes().prop_map(Column::Binary),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let row = || vec(column(), 0..6);
    let old = || (prop_oneof![Just(b'K'), Just(b'O')], row());
    let defs = vec((any::<bool>(), name(), any::<u32>(), any::<i32>()), 0..6);
    let identity = prop_oneof![Just(b'd'), Just(b'n'), Just(b'f'), Just(b'i')];
    prop_oneof![
        (any::<u32>(), name(), name(), identity, defs).prop_map(|(a, b, c, d, e)| Change::Relation(a, b, c, d, e)),
        (any::<u32>(), name(), name()).prop_map(|(a, b, c)| Change::Type(a, b, c)),
        (any::<u32>(), row()).prop_map(|(a, b)| Change::Insert(a, b)),
        (any::<u32>(), proptest::option::of(old()), row()).prop_map(|(a, b, c)| Change::Update(a, b, c)),
        (any::<u32>(), old()).prop_map(|(a, b)| Change::Delete(a, b)),
        (vec(any::<u32>(), 0..5), any::<bool>(), any::<bool>()).prop_map(|(a, b, c)| Change::Truncate(a, b, c)),
        (any::<bool>(), any::<u64>(), name(), vec(any::<u8>(), 0..20))
            .prop_map(|(a, b, c, d)| Change::Logical(a, b, c, d)),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let commit = || {
        (any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(commit, end, committed_at)| Commit {
            commit: Lsn(commit),
            end: Lsn(end),
            committed_at,
        })
    };
    let begin = (any::<u64>(), any::<i64>(), any::<u32>()).prop_map(|(commit, committed_at, xid)| Begin {
        commit: Lsn(commit),
        committed_at,
        xid,
    });
    let at = proptest::option::of((any::<u64>().prop_map(Lsn), any::<i64>()));
    let abort = (any::<u32>(), any::<u32>(), at);
    prop_oneof![
        1 => begin.prop_map(Model::Begin),
        1 => commit().prop_map(Model::Commit),
        1 => (any::<u64>(), name()).prop_map(|(a, b)| Model::Origin(a, b)),
        1 => (any::<u32>(), any::<bool>()).prop_map(|(a, b)| Model::StreamStart(a, b)),
        1 => Just(Model::StreamStop),
        1 => (any::<u32>(), commit()).prop_map(|(xid, commit)| Model::StreamCommit(StreamCommit { xid, commit })),
        1 => abort.prop_map(|(xid, subtransaction, at)| Model::StreamAbort(Abort { xid, subtransaction, at })),
        5 => (proptest::option::of(any::<u32>()), change()).prop_map(|(xid, change)| Model::Change(xid, change)),
    ]
}

/// In the state in which such a message may come.
fn decoder_for(model: &Model) -> Decoder {
    let mut decoder = Decoder::new(4);
    if matches!(model, Model::Change(Some(_), _) | Model::StreamStop) {
        decoder.decode(b"S\0\0\0\x01\x01").expect("a part begins");
    }
    decoder
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: rounds() * 20, failure_persistence: None, ..ProptestConfig::default() }
}

/// Goes over everything that a message lends.
fn touch(message: &Message<'_>) -> usize {
    format!("{:?}", Model::of(message)).len()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn messages_come_through(model in model()) {
        let bytes = model.encode();
        let found = Model::of(&decoder_for(&model).decode(&bytes).unwrap());
        prop_assert_eq!(found, model);
    }

    #[test]
    fn a_message_that_is_cut_is_refused(model in model(), at in any::<prop::sample::Index>()) {
        let bytes = model.encode();
        let cut = at.index(bytes.len());
        // The place and time of a rollback may be left out.
        let is_whole = matches!(&model, Model::StreamAbort(abort) if abort.at.is_some() && cut == 9);
        prop_assert_eq!(decoder_for(&model).decode(&bytes[..cut]).is_ok(), is_whole);
    }

    #[test]
    fn a_message_with_more_behind_it_is_refused(model in model(), more in vec(any::<u8>(), 1..9)) {
        let bytes = [model.encode(), more].concat();
        prop_assert!(decoder_for(&model).decode(&bytes).is_err());
    }

    #[test]
    fn changed_bytes_are_refused_or_mean_something_else(
        model in model(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = model.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut decoder = decoder_for(&model);
        if let Ok(message) = decoder.decode(&bytes) {
            touch(&message);
            // One message has one encoding.
            prop_assert_eq!(Model::of(&message).encode(), bytes);
        }
    }

    #[test]
    fn noise_is_no_panic(messages in vec(vec(any::<u8>(), 0..60), 1..8), version in 0u8..6) {
        let mut decoder = Decoder::new(version);
        for bytes in &messages {
            if let Ok(message) = decoder.decode(bytes) {
                touch(&message);
            }
        }
    }
}
