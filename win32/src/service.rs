//! The entry point by which the service control manager runs a service: it is a function of C.

use std::ffi::OsString;
use std::sync::OnceLock;

pub use windows_service;

static MAIN: OnceLock<fn()> = OnceLock::new();

windows_service::define_windows_service!(entry, run);

fn run(_arguments: Vec<OsString>) {
    if let Some(main) = MAIN.get() {
        main();
    }
}

/// Hands this process to the service control manager, which runs `main` in a thread of its own. Comes back when the service has
/// told that it has stopped.
///
/// # Errors
/// The process was not started by it.
pub fn dispatch(name: &str, main: fn()) -> windows_service::Result<()> {
    let _ = MAIN.set(main);
    windows_service::service_dispatcher::start(name, entry)
}
