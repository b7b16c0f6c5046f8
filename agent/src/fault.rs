//! Named points at which a test kills the process. Compiled to nothing unless the feature `fault-points` is on, which no
//! release build has.
//!
//! `TAXDISK_FAULT_POINT=name` dies at the first pass of that point, `name:3` at the third. The process dies by SIGKILL
//! (Windows: `TerminateProcess`), as in
//! a power cut: no destructor runs and nothing is flushed.
//!
//! Beside the points there are guards that a simulation takes out ([`plant`]): it proves that it would notice.
//!
//! Points of the agent, in the order of an attempt: `before_intent`, `after_intent`, `before_send`, `after_answer`,
//! `before_outcome`, `after_outcome`, `before_report`, `after_report`, `after_confirm`. In the order of an update:
//! `update_offered`, `update_begun`, `update_fetched`, `update_stored`, `update_drained`, `update_marked`, `update_on_trial`,
//! `trial_proven` (of the new version), `update_proven`, `update_switched`; or else `update_failed`. In the order of an
//! exchange of its key: `key_made`, `key_taken`, `key_kept`, `key_adopted`.

use std::time::Duration;

/// A time, or the shorter one of a test that cannot wait for it: milliseconds in this variable.
pub fn shorter(_name: &str, time: Duration) -> Duration {
    #[cfg(feature = "fault-points")]
    if let Some(ms) = std::env::var(_name).ok().and_then(|ms| ms.parse().ok()) {
        return Duration::from_millis(ms);
    }
    time
}

/// Dies here if the environment says so.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Dies here if the environment says so.
#[cfg(feature = "fault-points")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("TAXDISK_FAULT_POINT").ok()?;
        let (name, nth) = match text.split_once(':') {
            Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
            None => (text, 1),
        };
        Some((name, nth))
    });
    if let Some((wanted, nth)) = wanted
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        crate::platform::end_now();
    }
}

/// Has a simulation taken this guard out ([`plant`])? Never without the feature: the guard is then compiled as it stands.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn planted(_guard: &str) -> bool {
    false
}

/// Has a simulation taken this guard out?
#[cfg(feature = "fault-points")]
pub(crate) fn planted(guard: &str) -> bool {
    PLANTED.with_borrow(|guards| guards.iter().any(|out| out == guard))
}

#[cfg(feature = "fault-points")]
thread_local! {
    static PLANTED: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Takes a guard of this crate out for the calling thread (several: joined by `+`), or puts all back. False: this build
/// cannot, as no release can.
pub fn plant(guard: Option<&str>) -> bool {
    #[cfg(feature = "fault-points")]
    PLANTED.set(guard.into_iter().flat_map(|guards| guards.split('+')).map(str::to_owned).collect());
    cfg!(feature = "fault-points") || guard.is_none()
}
