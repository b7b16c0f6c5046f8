//! What Windows does that the standard library does not offer: access lists, DPAPI, proxies, the event log, clocks, the console.
//!
//! Every function is safe to call and small enough to be read beside the page of the documentation that it names. This is one of
//! the two crates of the workspace with `unsafe` in it (the other loads makers' libraries, in a process of its own); it holds
//! nothing else, so that nobody else needs any. What it refuses to do: decide, keep state, or exist on other systems.
#![cfg(windows)]
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod service;

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_sys::Win32::Foundation::{GetLastError, GlobalFree, HANDLE, LocalFree, SetLastError};
use windows_sys::Win32::Networking::WinHttp::{
    WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO, WinHttpGetDefaultProxyConfiguration,
    WinHttpGetIEProxyConfigForCurrentUser,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_LOCAL_MACHINE, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetFileSecurityW, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, SetFileSecurityW,
};
use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
use windows_sys::Win32::System::Console::{ENABLE_ECHO_INPUT, GetConsoleMode, GetStdHandle, STD_INPUT_HANDLE, SetConsoleMode};
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW,
    ReportEventW,
};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_EXPAND_SZ, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW, RegSetKeyValueW,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};
use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

/// The longest security descriptor of a file that is read, bytes. Windows allows an access list of 64 KiB.
const DESCRIPTOR_MAX_BYTES: u32 = 128 * 1024;
/// The longest registry text that is read, UTF-16 units.
const REGISTRY_TEXT_MAX: usize = 256;
/// The longest text about proxies that is read, UTF-16 units.
const PROXY_TEXT_MAX: usize = 8192;
/// The longest text of an event, UTF-16 units (`ReportEventW`: 31,839).
const EVENT_TEXT_MAX: usize = 31_000;

fn wide(text: impl AsRef<std::ffi::OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain(std::iter::once(0)).collect()
}

/// Ends this process as a power cut would: no destructor, no handler and no library's goodbye runs (`TerminateProcess`).
pub fn end_now() -> ! {
    // SAFETY: the pseudo-handle of this process is always valid.
    unsafe { TerminateProcess(GetCurrentProcess(), 9) };
    // The call returns before the process is gone; nothing after this may run.
    loop {
        std::thread::park();
    }
}

/// Time since boot in which the machine was awake (`QueryUnbiasedInterruptTime`).
pub fn awake() -> Duration {
    let mut ticks = 0;
    // SAFETY: `ticks` is a valid place for the answer.
    unsafe { QueryUnbiasedInterruptTime(&mut ticks) };
    // Units of 100 ns.
    Duration::from_micros(ticks / 10)
}

/// What this account may still write below a folder, bytes (`GetDiskFreeSpaceExW`).
///
/// # Errors
/// As the system says.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let mut free = 0;
    // SAFETY: the path ends in zero; the other places may be absent.
    match unsafe { GetDiskFreeSpaceExW(wide(folder).as_ptr(), &mut free, null_mut(), null_mut()) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(free),
    }
}

/// Text of the registry below `HKEY_LOCAL_MACHINE`, as a 64-bit program sees it. `None`: it is not there, or is no text.
pub fn machine_setting(key: &str, name: &str) -> Option<String> {
    let mut text = [0u16; REGISTRY_TEXT_MAX];
    let mut bytes = u32::try_from(size_of_val(&text)).ok()?;
    let (key, name) = (wide(key), wide(name));
    let flags = RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY;
    // SAFETY: both names end in zero, and `bytes` says how much room `text` has.
    let result = unsafe {
        RegGetValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), flags, null_mut(), text.as_mut_ptr().cast(), &mut bytes)
    };
    let length = text.iter().position(|unit| *unit == 0)?;
    (result == 0).then(|| String::from_utf16_lossy(&text[..length]))
}

/// Something that Windows gave and wants back by `LocalFree`.
struct Local<T>(*mut T);

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a function whose documentation asks for this call, once.
        unsafe { LocalFree(self.0.cast()) };
    }
}

/// Owner and access list of a file or folder, as text (Security Descriptor Definition Language).
///
/// # Errors
/// As the system says.
pub fn access_list(path: &Path) -> io::Result<String> {
    let path = wide(path);
    let parts = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let mut bytes = 0;
    // SAFETY: asks for the size only; no buffer is written.
    unsafe { GetFileSecurityW(path.as_ptr(), parts, null_mut(), 0, &mut bytes) };
    if bytes == 0 || bytes > DESCRIPTOR_MAX_BYTES {
        return Err(io::Error::last_os_error());
    }
    // Of 8-byte units, since a descriptor is a structure with its alignment.
    let mut descriptor = vec![0u64; bytes.div_ceil(8) as usize];
    let place: PSECURITY_DESCRIPTOR = descriptor.as_mut_ptr().cast();
    // SAFETY: `descriptor` has room for `bytes` bytes.
    if unsafe { GetFileSecurityW(path.as_ptr(), parts, place, bytes, &mut bytes) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut text, mut units) = (null_mut(), 0);
    // SAFETY: the descriptor was filled by Windows; the text is freed below.
    let good =
        unsafe { ConvertSecurityDescriptorToStringSecurityDescriptorW(place, SDDL_REVISION_1, parts, &mut text, &mut units) };
    if good == 0 {
        return Err(io::Error::last_os_error());
    }
    let text = Local(text);
    // SAFETY: Windows wrote `units` units there.
    let units = unsafe { std::slice::from_raw_parts(text.0, units as usize) };
    Ok(String::from_utf16_lossy(units).trim_end_matches('\0').to_owned())
}

/// Gives a file or folder this access list and takes away what it inherited. The owner stays.
///
/// # Errors
/// The text is no descriptor, or the system refuses.
pub fn set_access_list(path: &Path, sddl: &str) -> io::Result<()> {
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    let text = wide(sddl);
    // SAFETY: the text ends in zero; the descriptor is freed below.
    let good = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(text.as_ptr(), SDDL_REVISION_1, &mut descriptor, null_mut())
    };
    if good == 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = Local(descriptor);
    let parts = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: path and descriptor are valid for the call.
    match unsafe { SetFileSecurityW(wide(path).as_ptr(), parts, descriptor.0) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Seals bytes so that this machine alone can open them again (DPAPI, scope of the machine: the service and an administrator are
/// different accounts). It keeps a stolen drive or a copy from telling; on this machine the access list does.
///
/// # Errors
/// As the system says.
pub fn seal(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut sealed = CRYPT_INTEGER_BLOB { cbData: 0, pbData: null_mut() };
    let flags = CRYPTPROTECT_UI_FORBIDDEN | CRYPTPROTECT_LOCAL_MACHINE;
    // SAFETY: the input is only read; the output is freed by `take`.
    let good = unsafe { CryptProtectData(&blob(plain)?, null(), null(), null(), null(), flags, &mut sealed) };
    take(good, sealed)
}

/// Opens what [`seal`] made on this machine.
///
/// # Errors
/// It was made on another machine, or was changed.
pub fn unseal(sealed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = CRYPT_INTEGER_BLOB { cbData: 0, pbData: null_mut() };
    // SAFETY: the input is only read; the output is freed by `take`.
    let good =
        unsafe { CryptUnprotectData(&blob(sealed)?, null_mut(), null(), null(), null(), CRYPTPROTECT_UI_FORBIDDEN, &mut plain) };
    take(good, plain)
}

fn blob(bytes: &[u8]) -> io::Result<CRYPT_INTEGER_BLOB> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // Windows asks for a mutable pointer and does not write through it.
    Ok(CRYPT_INTEGER_BLOB { cbData: length, pbData: bytes.as_ptr().cast_mut() })
}

fn take(good: i32, blob: CRYPT_INTEGER_BLOB) -> io::Result<Vec<u8>> {
    if good == 0 || blob.pbData.is_null() {
        return Err(io::Error::last_os_error());
    }
    let held = Local(blob.pbData);
    // SAFETY: Windows wrote `cbData` bytes there.
    let bytes = unsafe { std::slice::from_raw_parts_mut(held.0, blob.cbData as usize) };
    let copy = bytes.to_vec();
    // One of the two is a secret.
    bytes.fill(0);
    Ok(copy)
}

/// The proxy that this machine was given (`netsh winhttp set proxy`), else that of this account's *Internet Options*, and what is
/// reached without it, both as Windows writes them. `None`: neither names one. Scripts that choose a proxy are not run.
pub fn proxy() -> Option<(String, String)> {
    let mut machine = WINHTTP_PROXY_INFO::default();
    // SAFETY: `machine` is a valid place; its texts are freed by `global_text`, as the documentation asks.
    let found = unsafe { WinHttpGetDefaultProxyConfiguration(&mut machine) } != 0;
    let named = found.then(|| (global_text(machine.lpszProxy), global_text(machine.lpszProxyBypass)));
    if let Some((Some(proxy), past)) = named {
        return Some((proxy, past.unwrap_or_default()));
    }
    let mut own = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
    // SAFETY: as above; the third text is freed, too.
    if unsafe { WinHttpGetIEProxyConfigForCurrentUser(&mut own) } == 0 {
        return None;
    }
    global_text(own.lpszAutoConfigUrl);
    let (proxy, past) = (global_text(own.lpszProxy), global_text(own.lpszProxyBypass));
    Some((proxy?, past.unwrap_or_default()))
}

/// Takes over a text that Windows wants back by `GlobalFree`. `None`: there is none.
fn global_text(text: *mut u16) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: Windows wrote a text that ends in zero, which nobody else frees.
    let copy = unsafe {
        let length = (0..PROXY_TEXT_MAX).position(|at| *text.add(at) == 0);
        let copy = length.map(|length| String::from_utf16_lossy(std::slice::from_raw_parts(text, length)));
        GlobalFree(text.cast());
        copy
    };
    copy.filter(|copy| !copy.trim().is_empty())
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It went as meant.
    Information,
    /// A person should look some time.
    Warning,
    /// A person must look.
    Error,
}

/// Writes one event to the application log (`ReportEventW`). Where there is no log, nothing happens.
pub fn report(source: &str, severity: Severity, id: u32, text: &str) {
    let kind = match severity {
        Severity::Information => EVENTLOG_INFORMATION_TYPE,
        Severity::Warning => EVENTLOG_WARNING_TYPE,
        Severity::Error => EVENTLOG_ERROR_TYPE,
    };
    // SAFETY: the name ends in zero.
    let log: HANDLE = unsafe { RegisterEventSourceW(null(), wide(source).as_ptr()) };
    if log.is_null() {
        return;
    }
    let mut text: Vec<u16> = text.encode_utf16().filter(|unit| *unit != 0).take(EVENT_TEXT_MAX).collect();
    text.push(0);
    let texts = [text.as_ptr()];
    // SAFETY: one text that ends in zero, no data, no account; the handle is open and closed once.
    unsafe {
        ReportEventW(log, kind, 0, id, null_mut(), 1, 0, texts.as_ptr(), null());
        DeregisterEventSource(log);
    }
}

/// Lets the event log show our texts as they are: the message file of the system's own `eventcreate` says of each number
/// between 1
/// and 1000 "%1". Without it the texts are shown behind a sentence about a missing description.
pub fn name_event_source(source: &str) {
    let key = wide(format!(r"SYSTEM\CurrentControlSet\Services\EventLog\Application\{source}"));
    let (name, file) = (wide("EventMessageFile"), wide(r"%SystemRoot%\System32\EventCreate.exe"));
    let bytes = u32::try_from(file.len() * 2).unwrap_or(0);
    // SAFETY: the names end in zero, and `bytes` is the size of `file`. That it is not allowed changes a text only.
    unsafe { RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), REG_EXPAND_SZ, file.as_ptr().cast(), bytes) };
}

/// The console shows nothing of what is typed until this is dropped.
#[derive(Debug)]
pub struct NoEcho(u32);

impl NoEcho {
    /// Begins.
    ///
    /// # Errors
    /// Standard input is no console.
    pub fn begin() -> io::Result<NoEcho> {
        let mut mode = 0;
        // SAFETY: a handle that is none is refused by the call.
        unsafe {
            SetLastError(0);
            let input = GetStdHandle(STD_INPUT_HANDLE);
            if GetConsoleMode(input, &mut mode) == 0 || SetConsoleMode(input, mode & !ENABLE_ECHO_INPUT) == 0 {
                return Err(io::Error::from_raw_os_error(GetLastError().cast_signed()));
            }
        }
        Ok(NoEcho(mode))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // SAFETY: as in `begin`.
        unsafe { SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), self.0) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_what_was_changed_does_not() {
        let mut sealed = seal(b"12345678").unwrap();
        assert!(!sealed.windows(8).any(|part| part == b"12345678"));
        assert_eq!(unseal(&sealed).unwrap(), b"12345678");
        // Windows notices any change, Wine one of what it sealed, which is at the end.
        *sealed.last_mut().unwrap() ^= 1;
        assert!(unseal(&sealed).is_err());
    }

    #[test]
    fn a_folder_gets_the_list_it_is_given_and_inherits_nothing() {
        let folder = std::env::temp_dir().join("taxdisk-win32-list");
        std::fs::create_dir_all(&folder).unwrap();
        let lets_in_everybody = || access_list(&folder).unwrap().contains(";;;WD)");
        set_access_list(&folder, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FR;;;WD)").unwrap();
        assert!(lets_in_everybody());
        set_access_list(&folder, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)").unwrap();
        assert!(!lets_in_everybody());
        std::fs::remove_dir(&folder).unwrap();
        assert!(access_list(&folder).is_err() && set_access_list(&folder, "no list").is_err());
    }

    #[test]
    fn the_machines_proxy_comes_before_the_accounts() {
        use windows_sys::Win32::Networking::WinHttp::{WINHTTP_ACCESS_TYPE_NAMED_PROXY, WinHttpSetDefaultProxyConfiguration};
        let set = |proxy: &str, past: &str| {
            let (mut proxy, mut past) = (wide(proxy), wide(past));
            let mut info = WINHTTP_PROXY_INFO {
                dwAccessType: WINHTTP_ACCESS_TYPE_NAMED_PROXY,
                lpszProxy: proxy.as_mut_ptr(),
                lpszProxyBypass: past.as_mut_ptr(),
            };
            // SAFETY: both texts end in zero and live through the call.
            assert_ne!(unsafe { WinHttpSetDefaultProxyConfiguration(&mut info) }, 0);
        };
        set("proxy.example:3128", "*.shop.example;<local>");
        assert_eq!(proxy(), Some(("proxy.example:3128".to_owned(), "*.shop.example;<local>".to_owned())));
    }

    #[test]
    fn this_machine_has_an_id_room_and_a_clock() {
        assert!(machine_setting(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid").is_some_and(|id| id.len() == 36));
        assert_eq!(machine_setting(r"SOFTWARE\Microsoft\Cryptography", "NoSuchName"), None);
        assert!(free_bytes(&std::env::temp_dir()).unwrap() > 0);
        assert!(awake() > Duration::ZERO);
    }
}
