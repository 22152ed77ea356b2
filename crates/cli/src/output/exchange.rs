//! The summary of a run both ways, for people and for programs.

use super::{FAINT, GOOD, LOOK, STRONG, count, number, styled, table};
use crate::endpoint::{SqliteMember, typed};
use serde_json::{Value, json};
use tidewater_core::link::{ExchangeReport, MemberReport};

/// What a run did, line by line. The members in the order of the report.
pub(crate) fn summary(members: &[SqliteMember], report: &ExchangeReport) -> Vec<String> {
    let shown: Vec<&str> = report.members.iter().map(|member| member.shown.as_str()).collect();
    let state = match (report.needs_attention(), report.in_step) {
        (true, _) => styled(LOOK, "needs attention"),
        (false, true) => styled(GOOD, "in step"),
        (false, false) => styled(LOOK, "stopped on the way; the next run goes on from here"),
    };
    let mut lines = vec![format!("{}  {state}", styled(STRONG, &shown.join(" ↔ ")))];
    lines.push(format!("  {} · {:.2} s", count(report.tables.len() as u64, "table", "tables"), report.seconds));
    let header = ["database", "rows written", "deleted", "conflicts", "parked", "taken up"];
    let rows = report.members.iter().filter(|member| member.away.is_none()).map(|member| {
        let counts = [member.upserts, member.deletes, member.conflicts, member.parked, member.adopted];
        std::iter::once(member.shown.clone()).chain(counts.map(number)).collect()
    });
    lines.push(table(&header, rows.collect(), &[1, 2, 3, 4, 5]));
    for member in report.members.iter().filter(|member| !member.created.is_empty()) {
        lines.push(format!("  created in {}: {}", member.shown, member.created.join(", ")));
    }
    for member in &report.members {
        for (table, column) in &member.added {
            lines.push(format!("  added in {}: column {column} of {table}", member.shown));
        }
    }
    for member in report.members.iter().filter(|member| member.withdrawn > 0) {
        let rows = count(
            member.withdrawn,
            "row is not of its part any more and was",
            "rows are not of its part any more and were",
        );
        lines.push(format!("  {}: {rows} taken out there; the others keep them", member.shown));
    }
    lines.extend(report.notices.iter().map(|notice| format!("  {notice}")));
    lines.extend(report.skipped.iter().map(|(table, why)| styled(FAINT, &format!("  skipped {table}: {why}"))));
    // The same conflict counts once: it is in every journal that saw it.
    let most = members.iter().zip(&report.members).max_by_key(|(_, member)| member.conflicts);
    if let Some((member, MemberReport { conflicts: 1.., .. })) = most {
        lines.push(format!(
            "  {} in the journal, with all sides; see: tidewater conflicts list {} --run {}",
            count(report.conflicts(), "conflict is", "conflicts are"),
            typed(&member.database),
            report.run
        ));
    }
    for (member, report) in members.iter().zip(&report.members).filter(|(_, report)| !report.installed.is_empty()) {
        lines.push(format!("Installed in {}: {}", report.shown, report.installed.join(", ")));
        lines.push(format!("  take it out with: tidewater teardown {}", typed(&member.database)));
    }
    lines.extend(report.members.iter().flat_map(attention));
    lines
}

/// What a person should look at.
fn attention(member: &MemberReport) -> Vec<String> {
    let shown = &member.shown;
    let mut lines = Vec::new();
    if let Some(why) = &member.away {
        let why = why.lines().next().unwrap_or_default();
        lines.push(styled(LOOK, &format!("{shown} is away, the others go on without it: {why}")));
    }
    if member.parked > 0 {
        let rows = count(member.parked, "row stands aside", "rows stand aside");
        let what = format!("{rows} at {shown}: another row has a unique value of theirs, or a parent is missing");
        lines.push(styled(LOOK, &what));
    }
    lines
}

/// What a run did, as facts.
pub(crate) fn facts(members: &[SqliteMember], report: &ExchangeReport) -> Value {
    let each = members.iter().zip(&report.members).map(|(member, report)| {
        json!({
            "database": report.shown,
            "endpoint": member.endpoint,
            "away": report.away,
            "created": report.created,
            "added": report.added.iter().map(|(table, column)| json!({ "table": table, "column": column })).collect::<Vec<_>>(),
            "installed": report.installed,
            "renewed": report.renewed,
            "rows_taken_up": report.adopted,
            "changes_applied": report.changes(),
            "upserts": report.upserts,
            "deletes": report.deletes,
            "withdrawn": report.withdrawn,
            "conflicts": report.conflicts,
            "parked": report.parked,
            "known": report.known,
        })
    });
    let skipped: Vec<Value> = report.skipped.iter().map(|(t, why)| json!({ "table": t, "reason": why })).collect();
    json!({
        "members": each.collect::<Vec<_>>(),
        "run": report.run,
        "tables": report.tables,
        "skipped": skipped,
        "conflicts": report.conflicts(),
        "notices": report.notices,
        "in_step": report.in_step,
        "seconds": report.seconds,
        "needs_attention": report.needs_attention(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidewater_sqlite::Database;

    fn plain(lines: &[String]) -> String {
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    fn member(name: &str) -> SqliteMember {
        SqliteMember { endpoint: name.to_owned(), database: Database::new(format!("{name}.db")) }
    }

    #[test]
    fn a_summary_names_each_side_and_the_commands_to_go_on_with() {
        let members = ["shop", "till"].map(member);
        let side = |shown: &str| MemberReport { shown: shown.to_owned(), ..MemberReport::default() };
        let shop = MemberReport { upserts: 1_200, conflicts: 2, installed: vec!["a log".into()], ..side("shop.db") };
        let till = MemberReport { deletes: 1, created: vec!["products".into()], ..side("till.db") };
        let report = ExchangeReport {
            run: "c0ffee".into(),
            members: vec![shop, till],
            tables: vec!["products".into()],
            in_step: true,
            ..ExchangeReport::default()
        };
        let wanted = "\
shop.db ↔ till.db  in step
  1 table · 0.00 s
  database  rows written  deleted  conflicts  parked  taken up
  shop.db          1,200        0          2       0         0
  till.db              0        1          0       0         0
  created in till.db: products
  2 conflicts are in the journal, with all sides; see: tidewater conflicts list sqlite:shop.db --run c0ffee
Installed in shop.db: a log
  take it out with: tidewater teardown sqlite:shop.db";
        assert_eq!(plain(&summary(&members, &report)), wanted);
        let facts = facts(&members, &report);
        assert_eq!((&facts["members"][0]["endpoint"], &facts["conflicts"]), (&json!("shop"), &json!(2)));
    }

    #[test]
    fn who_is_away_is_named_with_the_reason() {
        let members = ["shop", "till", "stick"].map(member);
        let mut report = ExchangeReport { in_step: true, ..ExchangeReport::default() };
        report.members = members
            .iter()
            .map(|m| MemberReport { shown: m.database.shown.clone(), ..MemberReport::default() })
            .collect();
        report.members[2].away = Some("E0010 stick.db: its folder does not exist\nMore.".into());
        let said = plain(&summary(&members, &report));
        assert!(said.starts_with("shop.db ↔ till.db ↔ stick.db  needs attention\n"), "{said}");
        let away = "stick.db is away, the others go on without it: E0010 stick.db: its folder does not exist";
        assert!(said.ends_with(away), "{said}");
    }
}
