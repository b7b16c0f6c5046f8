//! The maker's library: loaded by its path, called by its documented entry point.
//!
//! `int PostAndRecvEx(const char *request, char **answer)`, with the calling convention of Windows (`stdcall` on 32 bits):
//! request and answer end in zero and are GBK (facts on the component, A.1). What its number means is not documented; the
//! answer's own text decides. Who frees the answer is not documented either: nobody does, and this process ends.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

/// The longest answer, bytes: as much as the agent takes.
pub(crate) const ANSWER_MAX_BYTES: usize = 1024 * 1024;

type PostAndRecv = unsafe extern "system" fn(*const c_char, *mut *mut c_char) -> c_int;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The library was never called.
    NeverCalled(String),
    /// It was.
    Unknown(String),
}

/// A loaded library and its function.
pub(crate) struct Library {
    function: PostAndRecv,
    /// The function lives as long as this.
    _loaded: libloading::Library,
}

impl Library {
    /// Loads it. What the library does when it is loaded is its own; no document has been given to it yet.
    pub(crate) fn open(path: &Path, function: &str) -> Result<Library, Failed> {
        let never = |why: String| Failed::NeverCalled(format!("{}: {why}", path.display()));
        if !path.is_absolute() {
            return Err(never("give the full path of the library".to_owned()));
        }
        // Makers' libraries look for their settings where they are themselves.
        if let Some(folder) = path.parent() {
            std::env::set_current_dir(folder).map_err(|error| never(error.to_string()))?;
        }
        // SAFETY: whoever configured this path trusts what the library does when it is loaded, as with any program
        // that he starts.
        let loaded = unsafe { load(path) }.map_err(|error| never(error.to_string()))?;
        // SAFETY: the type is the documented one; a library of another kind is a wrong configuration, which can
        // only end this process.
        let function = unsafe { loaded.get::<PostAndRecv>(function.as_bytes()).map(|symbol| *symbol) };
        let function = function.map_err(|error| never(error.to_string()))?;
        Ok(Library { function, _loaded: loaded })
    }

    /// Calls it. From the call on, whatever happens, the request may have been carried out.
    pub(crate) fn call(&self, document: &[u8]) -> Result<Vec<u8>, Failed> {
        let document = CString::new(document).map_err(|_| Failed::NeverCalled("a document with a zero byte".to_owned()))?;
        let mut answer: *mut c_char = std::ptr::null_mut();
        // SAFETY: the request ends in zero and lives through the call; the answer's place is a valid one. What the library does
        // beside its word can end this process, which is what it is for.
        let said = unsafe { (self.function)(document.as_ptr(), &mut answer) };
        if answer.is_null() {
            return Err(Failed::Unknown(format!("the library gave no answer, and the number {said}")));
        }
        // SAFETY: by its documentation it is text that ends in zero. If it is not, this process ends.
        let answer = unsafe { CStr::from_ptr(answer) }.to_bytes();
        if answer.is_empty() || answer.len() > ANSWER_MAX_BYTES {
            return Err(Failed::Unknown(format!("the library's answer has {} bytes", answer.len())));
        }
        Ok(answer.to_vec())
    }
}

/// Its own folder first when it looks for other libraries.
#[cfg(windows)]
unsafe fn load(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::windows::{LOAD_WITH_ALTERED_SEARCH_PATH, Library};
    // SAFETY: as the caller says.
    unsafe { Library::load_with_flags(path, LOAD_WITH_ALTERED_SEARCH_PATH) }.map(Into::into)
}

#[cfg(not(windows))]
unsafe fn load(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: as the caller says.
    unsafe { libloading::Library::new(path) }
}
