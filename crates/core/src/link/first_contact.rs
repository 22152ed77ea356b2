//! First contact is safe: what the target holds is compared before anything is written.

use super::session::Session;
use crate::change::{Deletes, Mapping};
use crate::error::{Error, Kind, Result, code};
use crate::verify::{Comparison, DifferenceKind};

/// What a comparison counted in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// The table at the source.
    pub table: String,
    /// Rows equal on both sides.
    pub equal: u64,
    /// Rows with other contents.
    pub differ: u64,
    /// Rows only at the source.
    pub missing: u64,
    /// Rows only at the target.
    pub extra: u64,
}

impl Counts {
    /// Whether the sync would change rows that the target has.
    pub fn collides(&self) -> bool {
        self.differ + self.extra > 0
    }
}

impl Session<'_> {
    /// Compares one table without writing.
    pub(super) async fn count_differences(&mut self, mapping: &Mapping) -> Result<Counts> {
        let mut counts = Counts { table: mapping.source.table.clone(), ..Counts::default() };
        let total = self.total(mapping).await?;
        let mut comparison = Comparison::default();
        let mut done = 0;
        while let Some(step) = comparison.step(mapping, &mut *self.source, &mut *self.target).await? {
            self.check_stop()?;
            done += step.source_rows;
            let mut differing_here = 0;
            for difference in step.differences {
                match difference.kind {
                    DifferenceKind::Missing => counts.missing += 1,
                    DifferenceKind::Differs => counts.differ += 1,
                    // Where deletes are ignored, rows only at the target are never touched.
                    DifferenceKind::Extra if mapping.deletes == Deletes::Ignore => {}
                    DifferenceKind::Extra => counts.extra += 1,
                }
                differing_here += u64::from(difference.kind != DifferenceKind::Extra);
            }
            counts.equal += step.source_rows - differing_here;
            self.progress(&mapping.source.table, done, total);
        }
        Ok(counts)
    }

    /// The refusal of first contact.
    pub(super) fn refusal(&self, counts: &[Counts]) -> Error {
        let (source, target) = (&self.names.source_name, &self.names.target_name);
        let width = counts.iter().map(|c| c.table.chars().count()).max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::new();
        for c in counts.iter().filter(|c| c.collides()) {
            let mut line = format!("  {:width$}  {} equal", c.table, c.equal);
            for (count, what) in [(c.differ, "differ"), (c.extra, "only in target"), (c.missing, "only in source")] {
                if count > 0 {
                    line.push_str(&format!("  {count} {what}"));
                }
            }
            lines.push(line);
        }
        let differ: u64 = counts.iter().map(|c| c.differ).sum();
        let extra: u64 = counts.iter().map(|c| c.extra).sum();
        let stay = if extra == 1 { "1 stays" } else { &format!("{extra} stay") };
        let deleted = if extra == 1 { "1 is deleted" } else { &format!("{extra} are deleted") };
        Error::new(
            Kind::Conflict,
            code::FIRST_CONTACT_DIFFERS,
            format!("{target} holds rows this sync would change (source {source} → target {target})"),
        )
        .meaning(lines.join("\n"))
        .remedy(format!(
            "Nothing was written. Choose what happens to them:\n\
             \x20 --existing keep       add missing rows only\n\
             \x20 --existing overwrite  the source wins the {differ}; the {stay}\n\
             \x20 --existing mirror     as overwrite, and the {deleted}\n\
             \x20 --both-ways --prefer source|target|newest:COLUMN  both keep what is theirs, and accept writes\n\
             What is replaced or deleted is kept in the journal. Wrong direction? Swap the arguments."
        ))
    }
}
