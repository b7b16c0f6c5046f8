//! Plays the maker's library: answers well, answers late, hangs, crashes, or answers nonsense, as the variable
//! `TAXDISK_STAND_IN` of its process says. Every document that it gets it writes down first, into the file that
//! `TAXDISK_STAND_IN_SEEN` names: that is what may have been carried out.
// The function of C that it plays takes pointers and is not marked: its caller answers for them.
#![allow(unsafe_code, clippy::unwrap_used, clippy::not_unsafe_ptr_arg_deref, missing_docs)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::Write;
use std::ptr::null_mut;

/// What the real one answers to a question that it does not know.
const ANSWER: &str = "<?xml version=\"1.0\" encoding=\"gbk\"?><business id=\"SKPXXCX\"><body yylxdm=\"1\"><output>\
                      <returncode>0</returncode><returnmsg>ok</returnmsg></output></body></business>";

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn out(answer: *mut *mut c_char, bytes: impl Into<Vec<u8>>) -> c_int {
    // SAFETY: the caller gives a valid place.
    unsafe { *answer = CString::new(bytes).unwrap().into_raw() };
    0
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "system" fn PostAndRecvEx(request: *const c_char, answer: *mut *mut c_char) -> c_int {
    // SAFETY: the caller gives text that ends in zero.
    let request = unsafe { CStr::from_ptr(request) }.to_bytes();
    if let Some(seen) = Some(given("TAXDISK_STAND_IN_SEEN")).filter(|seen| !seen.is_empty()) {
        let mut file = std::fs::File::options().create(true).append(true).open(seen).unwrap();
        file.write_all(request).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    // Where a business is named, only its documents meet what is wrong.
    let at = given("TAXDISK_STAND_IN_AT");
    let meant = at.is_empty() || request.windows(at.len()).any(|part| part == at.as_bytes());
    let mode = if meant { given("TAXDISK_STAND_IN") } else { String::new() };
    match mode.as_str() {
        "" | "good" => answered(request, answer),
        // After it was carried out: the answer is there, and nobody gets it any more.
        "late" => {
            answered(request, answer);
            park()
        }
        "hang" => park(),
        "crash" => {
            // SAFETY: none: that is what it is for.
            unsafe { std::ptr::null_mut::<c_int>().write_volatile(1) };
            1
        }
        "exit" => std::process::exit(0),
        "garbage" => out(answer, vec![0xff; 4096]),
        "empty" => out(answer, ""),
        "null" => {
            // SAFETY: the caller gives a valid place.
            unsafe { *answer = null_mut() };
            7
        }
        "chatter" => {
            println!("NISEC debug: device opened");
            answered(request, answer)
        }
        other => panic!("TAXDISK_STAND_IN={other}"),
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// With a simulated disk behind it where a folder is named, else one answer to everything.
#[cfg(unix)]
fn answered(request: &[u8], answer: *mut *mut c_char) -> c_int {
    let folder = given("TAXDISK_STAND_IN_DISK");
    if folder.is_empty() {
        return out(answer, ANSWER);
    }
    let mut said = Vec::new();
    match taxdisk_drivers::sim::bridge::run_filter(std::path::Path::new(&folder), &mut &request[..], &mut said) {
        Ok(()) => out(answer, said),
        Err(_) => 1,
    }
}

#[cfg(not(unix))]
fn answered(_request: &[u8], answer: *mut *mut c_char) -> c_int {
    out(answer, ANSWER)
}
