//! What a run would do, found without writing anything.

use super::first_contact::Counts;
use super::session::Session;
use crate::apply::Phase;
use crate::change::{Deletes, Identity};
use crate::error::Result;

/// The plan of one link.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The tables carried.
    pub tables: Vec<PlannedTable>,
    /// The tables not carried, with the reason.
    pub skipped: Vec<(String, String)>,
    /// The user's triggers at the target, which the engine's writes do not run: name, table.
    pub target_triggers: Vec<(String, String)>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The plan of one table.
#[derive(Debug, Clone)]
pub struct PlannedTable {
    /// Its name at the source.
    pub source: String,
    /// Its name at the target.
    pub target: String,
    /// How rows are told apart.
    pub key: String,
    /// Rows at the source.
    pub source_rows: u64,
    /// Rows at the target; `None` when the table is to be created.
    pub target_rows: Option<u64>,
    /// What is done first.
    pub action: String,
    /// How the two sides compare now, where both have rows.
    pub counts: Option<Counts>,
    /// Where the table cannot be written: why, and the DDL that would mend it.
    pub unfit: Option<String>,
}

impl Session<'_> {
    /// Looks at both sides.
    pub(super) async fn survey_plan(&mut self) -> Result<Plan> {
        let mut plan = Plan { skipped: self.source_survey.skipped.clone(), ..Plan::default() };
        let fit = self.target.prepare(self.mappings.clone(), &self.tables, false).await?;
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            let created = fit.created.contains(&mapping.target.table);
            let unfit = fit.unfit.get(&at).cloned();
            let source_rows = self.source.count(&mapping.source, u64::MAX).await?;
            let target_rows = if created { None } else { Some(self.target.count(&mapping.target, u64::MAX).await?) };
            let known = self.ledger.tables.get(&mapping.source.table).map(|t| t.phase.clone());
            let comparable = unfit.is_none() && target_rows.is_some_and(|rows| rows > 0);
            let counts = if comparable { Some(self.count_differences(mapping).await?) } else { None };
            let action = match (known, created, target_rows) {
                _ if unfit.is_some() => "does not fit",
                (Some(Phase::Following), _, _) => "follow",
                (Some(Phase::Copying(_)), _, _) => "resume the copy",
                (Some(_), _, _) => "compare, then follow",
                (None, true, _) => "create, copy, follow",
                (None, false, Some(0)) => "copy, follow",
                (None, false, _) => "compare, then follow",
            };
            if mapping.identity == Identity::RowNumber {
                plan.notes.push(no_key_note(&mapping.source.table));
            }
            if mapping.deletes == Deletes::Ignore {
                plan.notes.push(format!("{}: deletes are not carried", mapping.source.table));
            }
            plan.tables.push(PlannedTable {
                source: mapping.source.table.clone(),
                target: mapping.target.table.clone(),
                key: self.tables[at].key.join(", "),
                source_rows,
                target_rows,
                action: action.to_owned(),
                counts,
                unfit,
            });
        }
        let carried: Vec<String> = self.mappings.iter().map(|m| m.target.table.clone()).collect();
        let triggers = self.target.survey().await?.triggers;
        plan.target_triggers = triggers.into_iter().filter(|(_, table)| carried.contains(table)).collect();
        Ok(plan)
    }
}

/// What a table without a primary key means.
pub fn no_key_note(table: &str) -> String {
    format!(
        "{table} has no primary key: rows are told apart by their hidden row number. New rows are followed; \
         VACUUM renumbers rows, which is noticed and costs a comparison of the table"
    )
}
