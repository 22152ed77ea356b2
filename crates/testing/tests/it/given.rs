//! What the tests begin with: processes that exist or do not, and waiting for a state, with a deadline.

use std::path::Path;
use std::time::{Duration, Instant};

/// Whether a process runs. One that has ended and that nobody has waited for does not.
pub(crate) fn exists(pid: u32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// Waits until `state` holds.
#[track_caller]
pub(crate) fn until(what: &str, state: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !state() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
