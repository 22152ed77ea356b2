//! The tables and the writes to them. The same numbers make the same rows on every server.

/// A kind of table and a mixture of writes to it.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// For people.
    pub(super) name: &'static str,
    /// `CREATE TABLE items`, and what tells the end of the writes.
    pub(super) tables: String,
    /// The values of a row, from its number `n`.
    row: String,
    /// What an update sets, from the number `i` of the write.
    set: String,
    /// How many in twenty writes insert, update, delete.
    mix: [u64; 3],
    pub(super) rows: u64,
    pub(super) changes: u64,
}

/// Its only row is the last thing that is written.
const DONE: &str = "CREATE TABLE done(id int PRIMARY KEY);";

impl Workload {
    /// Rows of about 175 bytes, as many applications have.
    pub(super) fn plain(rows: u64, changes: u64) -> Self {
        let item = "id bigint PRIMARY KEY, name text, doc jsonb, at timestamptz, amount numeric(12, 2)";
        let row = "n, md5(n::text) || '-' || n % 1000, \
                   jsonb_build_object('k', n % 1000, 'tag', md5((n * 7)::text), 'ok', n % 2 = 0), \
                   timestamptz '2026-01-01 00:00+00' + n * interval '1 second', (n % 100000) / 100.0";
        let set =
            "doc = jsonb_build_object('k', i % 1000, 'tag', md5((i * 5)::text), 'ok', false), amount = amount + 1";
        Self::new("rows of 175 bytes", item, row, set, rows, changes)
    }

    /// Sixty columns of five types.
    pub(super) fn wide(rows: u64, changes: u64) -> Self {
        let (mut columns, mut values) = ("id bigint PRIMARY KEY".to_owned(), "n".to_owned());
        for at in 1..60 {
            let (kind, value) = match at % 5 {
                0 => ("int", format!("(n * {at} % 100000)::int")),
                1 => ("text", format!("substr(md5((n + {at})::text), 1, 12)")),
                2 => ("numeric(10, 2)", format!("(n * {at} % 10000) / 100.0")),
                3 => ("boolean", format!("n % {} = 0", at + 1)),
                _ => ("timestamptz", format!("timestamptz '2026-01-01 00:00+00' + n * interval '{at} second'")),
            };
            columns += &format!(", c{at} {kind}");
            values += &format!(", {value}");
        }
        Self::new("rows of 60 columns", &columns, &values, "c1 = md5(i::text), c5 = i, c7 = c7 + 1", rows, changes)
    }

    /// Texts of 100 kB, which do not compress well. Every other update leaves the text as it is.
    pub(super) fn texts(rows: u64, changes: u64) -> Self {
        let text = |number: &str, salt: &str| {
            format!(
                "(SELECT string_agg(md5(({number} * 100000 + k + {salt})::text), '') FROM generate_series(1, 3125) k)"
            )
        };
        let row = format!("n, {}, 'as it came'", text("n", "0"));
        let set = format!("note = 'seen ' || i, body = CASE WHEN i % 2 = 0 THEN {} ELSE body END", text("i", "7"));
        Self::new("texts of 100 kB", "id bigint PRIMARY KEY, body text, note text", &row, &set, rows, changes)
    }

    /// Texts of 8 MiB, which the server stores compressed and sends as they are.
    pub(super) fn large_texts(rows: u64) -> Self {
        let (row, set) = ("n, repeat(md5(n::text), 262144)", "body = repeat(md5((-i)::text), 262144)");
        Self::new("texts of 8 MiB", "id bigint PRIMARY KEY, body text", row, set, rows, rows / 2)
    }

    fn new(name: &'static str, columns: &str, row: &str, set: &str, rows: u64, changes: u64) -> Self {
        let tables = format!("CREATE TABLE items({columns}); {DONE}");
        Self { name, tables, row: row.to_owned(), set: set.to_owned(), mix: [12, 6, 2], rows, changes }
    }

    /// The same with another mixture.
    pub(super) fn mixed(mut self, name: &'static str, mix: [u64; 3]) -> Self {
        (self.name, self.mix) = (name, mix);
        self
    }

    /// The mixture for people.
    pub(super) fn mixture(&self) -> String {
        self.mix.map(|share| (share * 5).to_string()).join("/")
    }

    /// Fills `items` with the rows after one number up to another.
    pub(super) fn insert(&self, after: u64, up_to: u64) -> String {
        format!("INSERT INTO items SELECT {} FROM generate_series({after}::bigint + 1, {up_to}) AS g(n)", self.row)
    }

    /// Updates fall on rows far from each other below this; above it are those that are deleted.
    pub(super) fn kept(&self) -> u64 {
        self.rows - (self.changes / 20 + 1) * self.mix[2] - 1
    }

    /// Which row the write `i` is about, where it updates.
    pub(super) fn updated(&self) -> String {
        format!("i * 7919 % {} + 1", self.kept())
    }

    /// Which row the write `i` is about, where it deletes.
    pub(super) fn deleted(&self) -> String {
        format!("{} - (i / 20 * {} + i % 20 - {})", self.rows, self.mix[2], self.mix[0] + self.mix[1])
    }

    /// Whether the write `i` is an update, and whether it deletes.
    pub(super) fn is_update_or_delete(&self) -> [String; 2] {
        let [inserts, updates, _] = self.mix;
        let after = inserts + updates;
        [format!("i % 20 >= {inserts} AND i % 20 < {after}"), format!("i % 20 >= {after}")]
    }

    /// Does all the writes, one row a statement, and says so in `done`. Who waits for the disk is not what is measured.
    pub(super) fn write(&self, per_transaction: u64) -> String {
        let (row, set, rows, changes) = (&self.row, &self.set, self.rows, self.changes);
        let (updated, deleted, [is_update, _]) = (self.updated(), self.deleted(), self.is_update_or_delete());
        let inserts = self.mix[0];
        format!(
            "DO $$ DECLARE i bigint; BEGIN FOR at IN 0..{changes} - 1 LOOP i := at; \
             IF i % 20 < {inserts} THEN \
             INSERT INTO items SELECT {row} FROM (VALUES ({rows}::bigint + 1 + i)) AS g(n); \
             ELSIF {is_update} THEN UPDATE items SET {set} WHERE id = {updated}; \
             ELSE DELETE FROM items WHERE id = {deleted}; END IF; \
             IF (i + 1) % {per_transaction} = 0 THEN COMMIT; END IF; \
             END LOOP; COMMIT; INSERT INTO done VALUES (1); END $$"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_and_deletes_fall_on_different_rows_which_are_there() {
        for mix in [[12, 6, 2], [1, 18, 1], [1, 1, 18]] {
            let workload = Workload::plain(1_000_000, 500_000).mixed("mixed", mix);
            let deletes = workload.changes / 20 * mix[2];
            let lowest_deleted = workload.rows - (deletes - 1);
            assert!((1..lowest_deleted).contains(&workload.kept()), "{mix:?}");
        }
    }

    #[test]
    fn a_mixture_is_named_in_hundredths() {
        assert_eq!(Workload::plain(1000, 100).mixture(), "60/30/10");
    }
}
