//! The service: started and stopped by the service control manager, installed and taken away by an administrator.
//!
//! It runs under a virtual account of its own (`NT SERVICE\taxdisk-agent`), so nobody has to be signed in and no password exists.
//! An order to stop is what SIGTERM is elsewhere: running attempts end first, and what does not end in time is settled by reading
//! at the next start. If it ends by itself, Windows starts it again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use taxdisk_win32::service::windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept, ServiceDependency,
    ServiceErrorControl, ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType,
    ServiceState, ServiceStatus, ServiceType,
};
use taxdisk_win32::service::windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use taxdisk_win32::service::windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use taxdisk_win32::service::{dispatch, windows_service};
use tokio::sync::Notify;

use super::log::{Severity, report};
use crate::failure::Failure;
use crate::run::{LAST_REPORTS_LIMIT, STOP_LIMIT};

/// Name of the service, of its account and of its events.
pub const NAME: &str = "taxdisk-agent";
const DISPLAY_NAME: &str = "taxdisk agent";
const DESCRIPTION: &str = "Issues invoices on the tax disk of this PC, as the broker asks.";

/// Windows waits so long for the next word of a service that starts or stops.
const PATIENCE: Duration = Duration::from_secs(15);
/// It starts again so long after its first, second and every further end.
const RESTARTS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(60)];
/// After a day without an end the count begins anew.
const RESET: Duration = Duration::from_secs(24 * 3600);
/// Added to what stopping may take, before Windows shuts down without it.
const MARGIN: Duration = Duration::from_secs(15);
/// `ERROR_SERVICE_DOES_NOT_EXIST`, `ERROR_SERVICE_NOT_ACTIVE`, `ERROR_SERVICE_CANNOT_ACCEPT_CTRL`, `ERROR_SERVICE_EXISTS`,
/// `ERROR_SERVICE_ALREADY_RUNNING`, `ERROR_ACCESS_DENIED`.
const MISSING: i32 = 1060;
const NOT_ACTIVE: i32 = 1062;
const NOT_NOW: i32 = 1061;
const EXISTS: i32 = 1073;
const RUNNING: i32 = 1056;
const DENIED: i32 = 5;

static HANDLE: OnceLock<ServiceStatusHandle> = OnceLock::new();
static STATE: Mutex<ServiceState> = Mutex::new(ServiceState::StartPending);
static CHECKPOINT: AtomicU32 = AtomicU32::new(1);
static STOP: Notify = Notify::const_new();
static WORK: OnceLock<Box<dyn Fn() -> Result<(), Failure> + Send + Sync>> = OnceLock::new();
static LOG: OnceLock<PathBuf> = OnceLock::new();

/// The service control manager started this process.
pub fn is_service() -> bool {
    WORK.get().is_some()
}

/// Where its log goes, if it is a service.
pub(super) fn log_file() -> Option<PathBuf> {
    LOG.get().cloned()
}

/// Its log goes there.
pub fn log_to(file: PathBuf) {
    let _ = LOG.set(file);
}

/// Ends when Windows wants the service to stop.
pub(super) async fn stop_wanted() {
    STOP.notified().await;
}

/// Hands this process to the service control manager, which runs `work` in it. Comes back when it has stopped.
///
/// # Errors
/// A person started it.
pub fn serve(work: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) -> Result<(), Failure> {
    let _ = WORK.set(Box::new(work));
    dispatch(NAME, main).map_err(|error| {
        Failure::usage(format!("This is for the service control manager ({}): start the service, or use `run`.", said(&error)))
    })
}

fn main() {
    let Some(work) = WORK.get() else { return };
    let control = |control| match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            tell(ServiceState::StopPending, 0);
            STOP.notify_one();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    match service_control_handler::register(NAME, control) {
        Ok(handle) => drop(HANDLE.set(handle)),
        Err(error) => return report(Severity::Error, &format!("The service cannot be controlled ({}).", said(&error))),
    }
    tell(ServiceState::StartPending, 0);
    match work() {
        Ok(()) => {
            report(Severity::Information, "The agent has stopped.");
            tell(ServiceState::Stopped, 0);
        }
        Err(failure) => {
            report(Severity::Error, &failure.text);
            // Not zero: Windows starts it again.
            tell(ServiceState::Stopped, 1);
        }
    }
}

/// Tells Windows how the service is.
fn tell(state: ServiceState, exit: u32) {
    let Some(handle) = HANDLE.get() else { return };
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = state;
    let pending = matches!(state, ServiceState::StartPending | ServiceState::StopPending);
    let controls_accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN,
        ServiceState::StartPending => ServiceControlAccept::STOP,
        _ => ServiceControlAccept::empty(),
    };
    let exit_code = if exit == 0 { ServiceExitCode::NO_ERROR } else { ServiceExitCode::ServiceSpecific(exit) };
    let told = handle.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: if pending { CHECKPOINT.fetch_add(1, Ordering::Relaxed) } else { 0 },
        wait_hint: if pending { PATIENCE } else { Duration::ZERO },
        process_id: None,
    });
    if let Err(error) = told {
        tracing::warn!(error = said(&error), "the service control manager could not be told");
    }
}

pub(super) fn tell_running() {
    // An order to stop may have come first.
    let starting = *STATE.lock().unwrap_or_else(PoisonError::into_inner) == ServiceState::StartPending;
    if starting && HANDLE.get().is_some() {
        tell(ServiceState::Running, 0);
        report(Severity::Information, "The agent is up.");
    }
}

pub(super) fn tell_stopping() {
    tell(ServiceState::StopPending, 0);
}

pub(super) fn tell_alive() {
    let stopping = *STATE.lock().unwrap_or_else(PoisonError::into_inner) == ServiceState::StopPending;
    if stopping {
        tell(ServiceState::StopPending, 0);
    }
}

fn said(error: &windows_service::Error) -> String {
    match error {
        windows_service::Error::Winapi(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn wrong(what: &str, error: &windows_service::Error) -> Failure {
    let hint = if code(error) == Some(DENIED) { ": run this as an administrator" } else { "" };
    Failure::failed(format!("The service {NAME} cannot be {what} ({}){hint}.", said(error)))
}

/// Installs the service for this program and starts it if asked; one that is there is given the same settings anew.
///
/// # Errors
/// Windows refuses, usually to somebody who is no administrator.
pub fn install(config: Option<&Path>, state_dir: Option<&Path>, start: bool) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("The system does not say which program this is ({error}).")))?;
    let mut arguments = vec![OsString::from("service")];
    for (name, path) in [("--config", config), ("--state-dir", state_dir)] {
        if let Some(path) = path {
            let path = std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())))?;
            arguments.extend([OsString::from(name), path.into_os_string()]);
        }
    }
    let manager =
        ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)
            .map_err(|error| wrong("installed", &error))?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: DISPLAY_NAME.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: arguments,
        dependencies: vec![ServiceDependency::Service("Tcpip".into())],
        account_name: Some(format!(r"NT SERVICE\{NAME}").into()),
        account_password: None,
    };
    let made = match manager.create_service(&info, ServiceAccess::ALL_ACCESS) {
        Err(error) if code(&error) == Some(EXISTS) => {
            let service = manager.open_service(NAME, ServiceAccess::ALL_ACCESS).map_err(|error| wrong("opened", &error))?;
            // It runs as it was installed before, perhaps on another folder, and would go on so.
            stop(&service)?;
            service.change_config(&info).map(|()| service)
        }
        done => done,
    };
    let service = made.map_err(|error| wrong("installed", &error))?;
    let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    let failure = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(RESET),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTS.into_iter().map(restart).collect()),
    };
    // What a system does not know (an older Windows, Wine) changes when the service starts, not whether it is safe.
    for (what, done) in [
        ("the description", service.set_description(DESCRIPTION)),
        ("that it is started again", service.update_failure_actions(failure)),
        ("that it is started again after an error", service.set_failure_actions_on_non_crash_failures(true)),
        ("the delayed start", service.set_delayed_auto_start(true)),
        ("the time to stop before Windows does", service.set_preshutdown_timeout(STOP_LIMIT + LAST_REPORTS_LIMIT + MARGIN)),
    ] {
        if let Err(error) = done {
            eprintln!("taxdisk-agent: {what} could not be set ({}).", said(&error));
        }
    }
    taxdisk_win32::name_event_source(NAME);
    if start {
        match service.start::<&str>(&[]) {
            Err(error) if code(&error) != Some(RUNNING) => return Err(wrong("started", &error)),
            _ => {}
        }
    }
    Ok(())
}

/// Stops the service and takes it away. State and configuration stay. False: there was none.
///
/// # Errors
/// Windows refuses, or the service does not stop.
pub fn uninstall() -> Result<bool, Failure> {
    let manager =
        ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(|error| wrong("opened", &error))?;
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    let service = match manager.open_service(NAME, access) {
        Err(error) if code(&error) == Some(MISSING) => return Ok(false),
        opened => opened.map_err(|error| wrong("opened", &error))?,
    };
    stop(&service)?;
    service.delete().map_err(|error| wrong("taken away", &error))?;
    Ok(true)
}

/// Stops the service and waits for its end: a running attempt ends first.
fn stop(service: &Service) -> Result<(), Failure> {
    let end = Instant::now() + STOP_LIMIT + LAST_REPORTS_LIMIT + MARGIN;
    let mut ordered = false;
    loop {
        if !ordered {
            match service.stop() {
                Ok(_) => ordered = true,
                // Somebody else, such as an installer, has ordered it: it ends, or takes the order a moment later.
                Err(error) if matches!(code(&error), Some(NOT_ACTIVE | NOT_NOW)) => {}
                Err(error) => return Err(wrong("stopped", &error)),
            }
        }
        let status = service.query_status().map_err(|error| wrong("asked", &error))?;
        if status.current_state == ServiceState::Stopped {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Failure::failed(format!("The service {NAME} does not stop: look into its log; nothing was changed.")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
