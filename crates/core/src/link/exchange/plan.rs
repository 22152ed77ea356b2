//! What an exchange would do, found without writing anything. The members are opened as they say for looking.

use super::super::first_contact::Counts;
use super::rounds::{HUB, Rounds};
use super::{Exchange, ExchangeReport};
use crate::capture::Survey;
use crate::error::Result;
use crate::merge::Policy;

/// The plan of one exchange.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExchangePlan {
    /// By member: why it takes no part, where it is away.
    pub away: Vec<Option<String>>,
    /// The tables carried.
    pub tables: Vec<PlannedShare>,
    /// The tables not carried, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// The plan of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannedShare {
    /// Its name.
    pub name: String,
    /// The columns by which both sides know a row.
    pub key: Vec<String>,
    /// Its rules.
    pub policy: Policy,
    /// By member: its rows. `None` where the table would be created, or the member is away.
    pub rows: Vec<Option<u64>>,
    /// How the first member that is there compares with others now, by member.
    pub counts: Vec<(usize, Counts)>,
    /// Where it cannot be carried, by member: why, and the DDL that would mend it.
    pub unfit: Vec<(usize, String)>,
}

impl Exchange {
    /// What a run would do. Writes nothing.
    pub async fn plan(&mut self) -> Result<ExchangePlan> {
        let mut report = ExchangeReport::new(String::new(), &self.members);
        let mut rounds = Rounds::open(self, &mut report).await?;
        let tables = rounds.plan().await?;
        Ok(ExchangePlan {
            away: report.members.into_iter().map(|member| member.away).collect(),
            tables,
            skipped: report.skipped,
        })
    }
}

impl Rounds<'_> {
    async fn plan(&mut self) -> Result<Vec<PlannedShare>> {
        let mut surveys = Vec::new();
        for present in &mut self.present {
            surveys.push(present.replica.survey().await?);
        }
        let tables = self.tables(&surveys)?;
        self.share(&tables)?;
        let mut planned = Vec::new();
        for (shared, table) in self.shared.iter().zip(&tables) {
            let rows = vec![None; self.members.len()];
            let (name, key, policy) = (table.name.clone(), table.key.clone(), shared.policy.clone());
            planned.push(PlannedShare { name, key, policy, rows, ..PlannedShare::default() });
        }
        for present in &mut self.present {
            let fit = present.replica.prepare(present.shared.clone(), &tables, false).await?;
            fit.unfit.into_iter().for_each(|(at, why)| planned[at].unfit.push((present.at, why)));
        }
        for (at, plan) in planned.iter_mut().enumerate() {
            for (n, survey) in surveys.iter().enumerate() {
                if self.has(n, survey, at) {
                    let view = self.present[n].shared[at].own();
                    let present = &mut self.present[n];
                    plan.rows[present.at] = Some(present.replica.count(&view, u64::MAX).await?);
                }
            }
            for other in HUB + 1..self.present.len() {
                if self.has(HUB, &surveys[HUB], at) && self.has(other, &surveys[other], at) {
                    plan.counts.push((self.present[other].at, self.compare(at, HUB, other, true).await?));
                }
            }
        }
        Ok(planned)
    }

    /// Whether a table is there, with all columns that are to be held.
    fn has(&self, present: usize, survey: &Survey, at: usize) -> bool {
        let view = self.present[present].shared[at].own();
        let there = survey.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&view.table));
        there.is_some_and(|table| view.columns.iter().all(|column| table.column(&column.name).is_some()))
    }
}
