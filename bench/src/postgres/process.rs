//! What processes cost, as the kernel counts it: CPU time in hundredths of a second, memory at the peak.
//!
//! Invariant: a process is read once more after its end and before anybody waits for it, so that nothing of its CPU
//! time is missing. Its memory is asked for while it runs; the last few milliseconds of it are not seen.

use crate::Result;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Linux tells programs of time in hundredths of a second, whatever it counts in itself.
const TICKS_PER_SECOND: f64 = 100.0;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(4);

/// What the processes between two databases took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    pub(super) cpu_seconds: f64,
    /// The most that one of them ever held.
    pub(super) peak_mib: f64,
}

/// Runs commands, each of which reads what the one before it prints, to their end.
pub(super) fn pipe(commands: Vec<Command>) -> Result<Carried> {
    let mut children: Vec<Child> = Vec::new();
    let last = commands.len().saturating_sub(1);
    for (at, mut command) in commands.into_iter().enumerate() {
        if let Some(before) = children.last_mut().and_then(|child| child.stdout.take()) {
            command.stdin(before);
        }
        command.stdout(if at == last { Stdio::null() } else { Stdio::piped() });
        children.push(command.spawn().map_err(|error| format!("{command:?} cannot be started: {error}"))?);
    }
    let mut carried = Carried::default();
    while !all_ended(&children, &mut carried)? {
        thread::sleep(LOOK);
    }
    for child in &mut children {
        carried.cpu_seconds += Stat::of(child.id())?.own_seconds;
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a program failed: {status}").into());
        }
    }
    Ok(carried)
}

fn all_ended(children: &[Child], carried: &mut Carried) -> Result<bool> {
    let mut all = true;
    for child in children {
        match peak_mib(child.id())? {
            Some(peak) => {
                carried.peak_mib = carried.peak_mib.max(peak);
                all = false;
            }
            None => all &= Stat::of(child.id())?.has_ended,
        }
    }
    Ok(all)
}

/// The most memory that a process ever held; nothing where it has ended.
pub(super) fn peak_mib(pid: u32) -> Result<Option<f64>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { return Ok(None) };
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(Some(kib / 1024.0))
}

/// CPU seconds of a process and of its children, those that have ended with them.
pub(super) fn family_seconds(pid: u32) -> Result<f64> {
    let mut own = Stat::of(pid)?;
    loop {
        let mut seconds = own.own_seconds + own.ended_seconds;
        for entry in Path::new("/proc").read_dir()? {
            let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Not of this family, as a rule; where it was, it is seen below.
            let Ok(stat) = Stat::of(other) else { continue };
            if stat.parent == pid {
                seconds += stat.own_seconds + stat.ended_seconds;
            }
        }
        // A child that ended meanwhile may be counted nowhere, or twice.
        let after = Stat::of(pid)?;
        if after.ended_ticks == own.ended_ticks {
            return Ok(seconds);
        }
        own = after;
    }
}

struct Stat {
    has_ended: bool,
    parent: u32,
    own_seconds: f64,
    /// Of children that were waited for.
    ended_seconds: f64,
    /// The same, to be compared.
    ended_ticks: [u64; 2],
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name of the program, which comes before, may hold anything.
        let (_, rest) = text.rsplit_once(") ").ok_or("a stat without a name")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |at: usize| fields.get(at).copied().ok_or("a stat that is too short");
        let seconds = |at: usize| -> Result<f64> { Ok(field(at)?.parse::<f64>()? / TICKS_PER_SECOND) };
        Ok(Self {
            has_ended: matches!(field(0)?, "Z" | "X"),
            parent: field(1)?.parse()?,
            own_seconds: seconds(11)? + seconds(12)?,
            ended_seconds: seconds(13)? + seconds(14)?,
            ended_ticks: [field(13)?.parse()?, field(14)?.parse()?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_cost_of_a_pipe_is_that_of_all_its_processes() {
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; echo done";
        let one = pipe(vec![shell(busy)]).unwrap();
        let two = pipe(vec![shell(busy), shell(&format!("read -r line && [ $line = done ] && {busy}"))]).unwrap();
        assert!(one.cpu_seconds > 0.0 && one.peak_mib > 0.0, "{one:?}");
        assert!(two.cpu_seconds > one.cpu_seconds * 1.3, "{two:?} and {one:?}");
    }

    #[test]
    fn a_program_that_fails_in_the_middle_of_a_pipe_ends_the_run() {
        assert!(pipe(vec![shell("exit 3"), shell("cat")]).is_err());
    }

    #[test]
    fn children_count_with_their_parent_before_and_after_their_end() {
        let before = family_seconds(std::process::id()).unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
        let spent = pipe(vec![shell(busy)]).unwrap().cpu_seconds;
        let after = family_seconds(std::process::id()).unwrap();
        assert!(after - before >= spent, "{before} {after} {spent}");
    }
}
