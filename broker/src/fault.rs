//! Named points at which a test can kill the process: built with the feature `fault-points` only, never into a release.
//!
//! Beside the points there are guards that a simulation takes out ([`plant`]): it proves that it would notice.
//!
//! `TAXDISK_FAULT_POINT=before_commit:3` kills by SIGKILL at the third passage.

/// A point. Without the feature it is nothing.
#[cfg(not(feature = "fault-points"))]
pub(crate) fn point(_name: &str) {}

/// A point.
#[cfg(feature = "fault-points")]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("TAXDISK_FAULT_POINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((text.as_str(), "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    if let Some((at, nth)) = wanted
        && at == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
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
