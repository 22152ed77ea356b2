//! Bytes as servers send them, and what must be refused.

use super::model::{Change, Column, Model};
use tidewater_postgres::Lsn;
use tidewater_postgres::pgoutput::{Abort, Begin, Commit, DecodeError, Decoder, StreamCommit};

fn text(text: &str) -> Column {
    Column::Text(text.as_bytes().to_owned())
}

/// Version 1, outside of parts.
#[track_caller]
fn is(bytes: &[u8], wanted: &Model) {
    let mut decoder = Decoder::new(4);
    if matches!(wanted, Model::Change(Some(_), _) | Model::StreamStop) {
        decoder.decode(b"S\0\0\x02\xE5\x01").expect("a part begins");
        assert_eq!(decoder.part(), Some(741));
    }
    assert_eq!(&Model::of(&decoder.decode(bytes).expect("a message")), wanted);
    assert_eq!(wanted.encode(), bytes);
}

#[test]
fn messages_of_servers_are_understood() {
    let commit = Commit { commit: Lsn(0x152_8378), end: Lsn(0x152_83A8), committed_at: 0x2_A9E5_0B1C_0D3E };
    is(
        b"B\0\0\0\0\x01\x52\x83\x78\0\x02\xA9\xE5\x0B\x1C\x0D\x3E\0\0\x02\xE4",
        &Model::Begin(Begin { commit: commit.commit, committed_at: commit.committed_at, xid: 740 }),
    );
    is(b"C\0\0\0\0\0\x01\x52\x83\x78\0\0\0\0\x01\x52\x83\xA8\0\x02\xA9\xE5\x0B\x1C\x0D\x3E", &Model::Commit(commit));
    is(b"O\0\0\0\0\0\0\0\x07node\0", &Model::Origin(7, "node".to_owned()));
    let columns = vec![(true, "id".to_owned(), 23, -1), (false, "v".to_owned(), 1043, 36)];
    is(
        b"R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF\0v\0\0\0\x04\x13\0\0\0\x24",
        &Model::Change(None, Change::Relation(16385, "public".to_owned(), "t".to_owned(), b'd', columns)),
    );
    is(
        b"Y\0\0\x40\x02public\0mood\0",
        &Model::Change(None, Change::Type(16386, "public".to_owned(), "mood".to_owned())),
    );
    is(
        b"I\0\0\x40\x01N\0\x03t\0\0\0\x011nb\0\0\0\x02\x01\xFF",
        &Model::Change(None, Change::Insert(16385, vec![text("1"), Column::Null, Column::Binary(vec![1, 255])])),
    );
    is(
        b"U\0\0\x40\x01N\0\x02t\0\0\0\x011u",
        &Model::Change(None, Change::Update(16385, None, vec![text("1"), Column::Unchanged])),
    );
    is(
        b"U\0\0\x40\x01K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012t\0\0\0\0",
        &Model::Change(
            None,
            Change::Update(16385, Some((b'K', vec![text("1"), Column::Null])), vec![text("2"), text("")]),
        ),
    );
    is(b"D\0\0\x40\x01O\0\x01n", &Model::Change(None, Change::Delete(16385, (b'O', vec![Column::Null]))));
    is(
        b"T\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02",
        &Model::Change(None, Change::Truncate(vec![16385, 16386], true, true)),
    );
    is(
        b"M\x01\0\0\0\0\0\0\0\x09us\0\0\0\0\x02\0\xFF",
        &Model::Change(None, Change::Logical(true, 9, "us".to_owned(), vec![0, 255])),
    );
}

#[test]
fn parts_of_transactions_are_understood() {
    is(b"S\0\0\x02\xE5\x01", &Model::StreamStart(741, true));
    is(b"E", &Model::StreamStop);
    let commit = Commit { commit: Lsn(1), end: Lsn(2), committed_at: -3 };
    is(
        b"c\0\0\x02\xE5\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFD",
        &Model::StreamCommit(StreamCommit { xid: 741, commit }),
    );
    is(b"A\0\0\x02\xE5\0\0\x02\xE6", &Model::StreamAbort(Abort { xid: 741, subtransaction: 742, at: None }));
    let at = Some((Lsn(5), 6));
    is(
        b"A\0\0\x02\xE5\0\0\x02\xE6\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06",
        &Model::StreamAbort(Abort { xid: 741, subtransaction: 742, at }),
    );
    is(b"I\0\0\x02\xE6\0\0\x40\x01N\0\x01n", &Model::Change(Some(742), Change::Insert(16385, vec![Column::Null])));
}

#[test]
fn what_is_not_a_message_is_refused() {
    use DecodeError::{Field, Kind, Name, Place, Trailing, Truncated, TwoPhase};
    for (bytes, wanted) in [
        (&b""[..], Truncated("kind")),
        (b"x", Kind(b'x')),
        (b"\0", Kind(0)),
        (b"b\0", TwoPhase(b'b')),
        (b"P\0", TwoPhase(b'P')),
        (b"K\0", TwoPhase(b'K')),
        (b"r\0", TwoPhase(b'r')),
        (b"p\0", TwoPhase(b'p')),
        (b"E", Place(b'E', "outside of a part of a transaction")),
        (b"C\x01", Field(1, "flags")),
        (b"S\0\0\0\x01\x02", Field(2, "flags")),
        (b"S\0\0\0\x01\x01x", Trailing(1)),
        (b"O\0\0\0\0\0\0\0\x07\xFF\0", Name("origin")),
        (b"O\0\0\0\0\0\0\0\x07node", Truncated("origin")),
        (b"R\0\0\0\x01\0t\0x", Field(b'x', "replica identity")),
        (b"R\0\0\0\x01\0t\0d\xFF\xFF", Truncated("column's flags")),
        (b"R\0\0\0\x01\0t\0d\0\x01\x02", Field(2, "column's flags")),
        (b"I\0\0\0\x01K\0\0", Field(b'K', "row's mark")),
        (b"I\0\0\0\x01N\0\x01x", Field(b'x', "values")),
        (b"I\0\0\0\x01N\0\x01t\xFF\xFF\xFF\xFFab", Truncated("values")),
        (b"I\0\0\0\x01N\xFF\xFFnn", Truncated("values")),
        (b"U\0\0\0\x01K\0\0K\0\0", Field(b'K', "row's mark")),
        (b"D\0\0\0\x01N\0\0", Field(b'N', "row's mark")),
        (b"T\xFF\xFF\xFF\xFF\0\0\0\0\x01", Truncated("tables")),
        (b"T\0\0\0\x01\x04\0\0\0\x01", Field(4, "options")),
        (b"M\x02", Field(2, "flags")),
        (b"M\0\0\0\0\0\0\0\0\0p\0\x7F\xFF\xFF\xFF", Truncated("content")),
        (b"A\0\0\0\x01\0\0\0\x02\0", Truncated("place")),
    ] {
        assert_eq!(Decoder::new(4).decode(bytes), Err(wanted), "{}", bytes.escape_ascii());
    }
    let told = b"A\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06";
    assert_eq!(Decoder::new(3).decode(told), Err(Trailing(16)));
    assert_eq!(Decoder::new(1).decode(b"S\0\0\0\x01\x01"), Err(Place(b'S', "needs version 2")));
}

#[test]
fn parts_do_not_nest_and_hold_changes_only() {
    let mut decoder = Decoder::new(2);
    decoder.decode(b"S\0\0\0\x01\x01").unwrap();
    for kind in *b"SBCcA" {
        assert_eq!(decoder.decode(&[kind]), Err(DecodeError::Place(kind, "inside a part of a transaction")));
    }
    // An error changes nothing.
    assert_eq!(decoder.decode(b"Ex"), Err(DecodeError::Trailing(1)));
    assert_eq!(decoder.part(), Some(1));
    decoder.decode(b"E").unwrap();
    assert_eq!(decoder.part(), None);
}
