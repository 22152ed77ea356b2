//! `tidewater verify`: prove that both sides are equal, or name what differs; `--repair` mends it.

use super::wanted::{Wanted, WantedExchange, WantedLink, wanted};
use super::{ATTENTION, DONE, Worst, stop_signal};
use crate::args::VerifyArgs;
use crate::endpoint::{Endpoint, Pair, SqliteMember, no_rows};
use crate::output::{self, GOOD, LOOK, Progress, STRONG, count, number, styled};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewater_core::change::{Identity, Pattern};
use tidewater_core::env::Env;
use tidewater_core::link::{DifferingRow, Link, Settings, Verdict};
use tidewater_core::verify::{DifferenceKind, Scan};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, SqliteReplica};
use tokio::sync::watch;

/// Differing rows shown of each table; `--json` has them all.
const SHOWN: usize = 20;

/// What would mend a difference one way, and both ways.
const REPAIR: &str = "Send what differs with --repair; replaced rows are kept in the journal.";
const SYNC: &str = "Run the sync: it settles what differs by its rules; all sides are kept in the journal.";

/// Compares every link, and of a sync both ways each member with the first.
pub(crate) async fn verify(args: VerifyArgs) -> Result<u8> {
    let json = args.pair.json;
    let mut links = Vec::new();
    for wanted in wanted(args.pair, None)? {
        match wanted {
            Wanted::Link(link) => links.push((link, (!args.repair).then_some(REPAIR))),
            Wanted::Exchange(exchange) if args.repair => return Err(not_repaired(&exchange)),
            Wanted::Exchange(exchange) => links.extend(pairs(&exchange).await?.into_iter().map(|l| (l, Some(SYNC)))),
        }
    }
    let (alone, mut worst) = (links.len() == 1, Worst::default());
    let stop = stop_signal();
    for (mut link, hint) in links {
        link.settings.existing = args.existing.into();
        let outcome = verify_one(&link, hint, json, &stop).await;
        worst.note(&link.name, &link.shown(), outcome, alone, json)?;
    }
    Ok(worst.code)
}

/// The first member that holds everything with each of the others, in what both ways carries: tables with a primary key.
async fn pairs(exchange: &WantedExchange) -> Result<Vec<WantedLink>> {
    let is_leaf = |at: usize| exchange.settings.parts.contains_key(&at);
    let Some(whole) = (0..exchange.members.len()).find(|at| !is_leaf(*at)) else { return Ok(Vec::new()) };
    let first = &exchange.members[whole];
    let others: Vec<_> = exchange.members.iter().enumerate().filter(|(at, _)| *at != whole).collect();
    let mut scope = exchange.settings.scope.clone();
    if first.database.exists() {
        let survey = SqliteReplica::open(&first.database, Access::Read, &Env::real())?.survey().await?;
        let keyless = survey.tables.iter().filter(|table| table.identity == Identity::RowNumber);
        scope.tables.extend(keyless.map(|table| Pattern::new(&format!("!{}", table.name))));
    }
    let pair = |(at, other): (usize, &SqliteMember)| {
        let mut scope = scope.clone();
        scope.special.extend(exchange.settings.parts.get(&at).cloned().unwrap_or_default());
        WantedLink {
            name: match others.len() {
                1 => exchange.name.clone(),
                _ => format!("{}/{}", exchange.name, other.endpoint),
            },
            source: first.database.clone().into(),
            target: other.database.clone().into(),
            settings: Settings { sync: exchange.settings.sync.clone(), scope, ..Settings::default() },
        }
    };
    Ok(others.iter().copied().map(pair).collect())
}

/// Both ways there is no side whose rows would be right.
fn not_repaired(exchange: &WantedExchange) -> Error {
    let what = format!("--repair does not go with the sync {}, which is both ways", exchange.name);
    Error::new(Kind::Invalid, code::USAGE, what)
        .meaning("A repair sends the source's rows, and both ways no side is the source. Nothing was changed.")
        .remedy("Run the sync: it settles what differs by its rules. Or repair one way: tidewater verify A B --repair")
}

/// Compares one pair. Without a `hint` at what would mend it, it is mended.
async fn verify_one(wanted: &WantedLink, hint: Option<&str>, json: bool, stop: &watch::Receiver<bool>) -> Result<u8> {
    let repair = hint.is_none();
    let progress = Arc::new(Progress::new(false, json));
    let (source, target) = (wanted.source.clone(), wanted.target.clone());
    if let Endpoint::Stdout(output) = &target {
        return Err(no_rows(output, "there is nothing to compare", "Compare two databases."));
    }
    if target.is_missing() {
        return Err(target.missing("There is nothing to compare with. Nothing was changed."));
    }
    let env = Env::real();
    let ends = match repair {
        true => Pair::writing(source, target, true, &env)?,
        false => Pair::looking(source, target, &env)?,
    };
    let mut link = Link::new(ends, wanted.settings.clone(), env, progress.clone(), stop.clone());
    let verdicts = link.verify(repair).await;
    progress.clear();
    let (verdicts, report) = verdicts?;
    let equal = verdicts.iter().all(Verdict::equal);
    let (source, target) = (wanted.source.shown(), wanted.target.shown());
    if json {
        let tables: Vec<Value> = verdicts.iter().map(facts).collect();
        let facts = json!({
            "sync": wanted.name, "source": source, "target": target, "tables": tables,
            "equal": equal, "run": report.run, "rows_journaled": report.journaled,
        });
        output::line(&facts.to_string());
    } else {
        output::line(&styled(STRONG, &format!("{source} ↔ {target}")));
        lines(&verdicts, hint).iter().for_each(|line| output::line(line));
        if report.journaled > 0 {
            output::line(&format!(
                "  {} kept in the journal; undo with: tidewater conflicts restore {} --run {}",
                count(report.journaled, "replaced or deleted row is", "replaced or deleted rows are"),
                wanted.target.typed(),
                report.run
            ));
        }
    }
    Ok(if equal { DONE } else { ATTENTION })
}

fn word(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "only in source",
        DifferenceKind::Differs => "differs",
        DifferenceKind::Extra => "only in target",
    }
}

fn lines(verdicts: &[Verdict], hint: Option<&str>) -> Vec<String> {
    let rows = verdicts.iter().map(|v| {
        let differing = v.differing.len() as u64 + v.more;
        let state = match (v.equal(), v.mended) {
            (false, _) if v.unfit.is_some() => styled(LOOK, "does not fit"),
            (true, 0) => styled(GOOD, "equal"),
            (true, mended) => styled(GOOD, &format!("{} mended, equal", count(mended, "row", "rows"))),
            (false, _) => styled(LOOK, &count(differing, "row differs", "rows differ")),
        };
        vec![v.table.clone(), number(v.source_rows), number(v.target_rows), state]
    });
    let mut lines = vec![output::table(&["table", "source rows", "target rows", ""], rows.collect(), &[1, 2])];
    for verdict in verdicts.iter().filter(|v| !v.equal()) {
        if let Some(why) = &verdict.unfit {
            lines.push(styled(LOOK, &format!("E0023 {} does not fit: {why}", verdict.table)));
        }
        for row in verdict.differing.iter().take(SHOWN) {
            let columns = if row.columns.is_empty() { String::new() } else { format!(": {}", row.columns.join(", ")) };
            lines.push(format!("  {} key {}  {}{columns}", verdict.table, row.key, word(row.kind)));
        }
        let rest = (verdict.differing.len() as u64 + verdict.more).saturating_sub(SHOWN as u64);
        if rest > 0 {
            lines.push(format!("  {} … and {} more", verdict.table, number(rest)));
        }
    }
    lines.extend(hint.filter(|_| verdicts.iter().any(|v| !v.differing.is_empty())).map(str::to_owned));
    lines
}

fn facts(verdict: &Verdict) -> Value {
    let row = |d: &DifferingRow| json!({ "key": d.key.to_string(), "kind": word(d.kind), "columns": d.columns });
    json!({
        "table": verdict.table, "source_rows": verdict.source_rows, "target_rows": verdict.target_rows,
        "equal": verdict.equal(), "mended": verdict.mended, "more": verdict.more, "kept": verdict.kept, "unfit": verdict.unfit,
        "differing": verdict.differing.iter().map(row).collect::<Vec<_>>(),
    })
}
