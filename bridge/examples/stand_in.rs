//! Plays the maker's component, as a library and as a class of COM: answers well, answers late, hangs, crashes, or answers
//! nonsense, as the variable `TAXDISK_STAND_IN` of its process says; behind an `@` it names a file that says so. Every document
//! that it gets it writes down first, into the file that `TAXDISK_STAND_IN_SEEN` names: that is what may have been carried out.
//!
//! Behind it is one answer to everything, or a simulated disk: in the folder that `TAXDISK_STAND_IN_DISK` names (not on
//! Windows), or over HTTP at `TAXDISK_STAND_IN_URL`.
// The functions of C that it plays take pointers and are not marked: their caller answers for them.
#![allow(unsafe_code, clippy::unwrap_used, clippy::not_unsafe_ptr_arg_deref, missing_docs)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr::null_mut;

/// What the real one answers to a question that it does not know.
const ANSWER: &str = "<?xml version=\"1.0\" encoding=\"gbk\"?><business id=\"SKPXXCX\"><body yylxdm=\"1\"><output>\
                      <returncode>0</returncode><returnmsg>ok</returnmsg></output></body></business>";

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "system" fn PostAndRecvEx(request: *const c_char, answer: *mut *mut c_char) -> c_int {
    // SAFETY: the caller gives text that ends in zero.
    let request = unsafe { CStr::from_ptr(request) }.to_bytes();
    let (said, number) = match play(request) {
        Some(bytes) => (CString::new(bytes).unwrap().into_raw(), 0),
        None => (null_mut(), 7),
    };
    // SAFETY: the caller gives a valid place.
    unsafe { *answer = said };
    number
}

/// Does what it was told to; `None` is no answer at all.
fn play(request: &[u8]) -> Option<Vec<u8>> {
    if let Some(seen) = Some(given("TAXDISK_STAND_IN_SEEN")).filter(|seen| !seen.is_empty()) {
        let mut file = std::fs::File::options().create(true).append(true).open(seen).unwrap();
        file.write_all(request).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    // Where a business is named, only its documents meet what is wrong.
    let at = given("TAXDISK_STAND_IN_AT");
    let meant = at.is_empty() || request.windows(at.len()).any(|part| part == at.as_bytes());
    let told = given("TAXDISK_STAND_IN");
    let told = told.strip_prefix('@').map_or(told.clone(), |file| std::fs::read_to_string(file).unwrap_or_default());
    match if meant { told.trim() } else { "" } {
        "" | "good" => Some(answered(request)),
        // After it was carried out: the answer is there, and nobody gets it any more.
        "late" => {
            answered(request);
            park()
        }
        "hang" => park(),
        "crash" => {
            // SAFETY: none: that is what it is for.
            unsafe { null_mut::<c_int>().write_volatile(1) };
            None
        }
        "exit" => std::process::exit(0),
        "garbage" => Some(vec![0xff; 4096]),
        "empty" => Some(Vec::new()),
        "null" => None,
        "chatter" => {
            println!("NISEC debug: device opened");
            Some(answered(request))
        }
        other => panic!("TAXDISK_STAND_IN={other}"),
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn answered(request: &[u8]) -> Vec<u8> {
    let url = given("TAXDISK_STAND_IN_URL");
    if !url.is_empty() {
        return posted(&url, request);
    }
    #[cfg(unix)]
    if let Some(folder) = Some(given("TAXDISK_STAND_IN_DISK")).filter(|folder| !folder.is_empty()) {
        let mut said = Vec::new();
        // A disk that does not answer answers nothing.
        let _ = taxdisk_drivers::sim::bridge::run_filter(std::path::Path::new(&folder), &mut &request[..], &mut said);
        return said;
    }
    ANSWER.into()
}

/// The answer of a simulated disk on this host: it closes the connection behind it.
fn posted(url: &str, request: &[u8]) -> Vec<u8> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", request.len());
    stream.write_all(&[head.as_bytes(), request].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(body)
}

/// The same component as a class with the method `Operate`.
#[cfg(windows)]
mod class {
    use std::ffi::c_void;

    use encoding_rs::GBK;
    use windows::Win32::Foundation::{
        CLASS_E_CLASSNOTAVAILABLE, DISP_E_MEMBERNOTFOUND, DISP_E_TYPEMISMATCH, DISP_E_UNKNOWNNAME, E_NOTIMPL,
    };
    use windows::Win32::System::Com::{
        DISPATCH_FLAGS, DISPPARAMS, EXCEPINFO, IClassFactory, IClassFactory_Impl, IDispatch, IDispatch_Impl, ITypeInfo,
    };
    use windows::Win32::System::Variant::{VARIANT, VT_BSTR};
    use windows::core::{BOOL, BSTR, GUID, HRESULT, IUnknown, Interface, PCWSTR, Ref, Result, implement};

    /// The real one's.
    const CLASS: GUID = GUID::from_u128(0x003B_D8F2_A6C3_48EF_9B72_ECFD_8FC4_D49F);
    const OPERATE: i32 = 1;

    #[implement(IDispatch)]
    struct Disk;

    impl IDispatch_Impl for Disk_Impl {
        fn GetTypeInfoCount(&self) -> Result<u32> {
            Ok(0)
        }

        fn GetTypeInfo(&self, _which: u32, _language: u32) -> Result<ITypeInfo> {
            Err(E_NOTIMPL.into())
        }

        fn GetIDsOfNames(&self, _: *const GUID, names: *const PCWSTR, _count: u32, _: u32, number: *mut i32) -> Result<()> {
            // SAFETY: the caller gives one name that ends in zero, and a place for its number.
            unsafe {
                if (*names).to_string().is_ok_and(|name| name == "Operate") {
                    *number = OPERATE;
                    return Ok(());
                }
            }
            Err(DISP_E_UNKNOWNNAME.into())
        }

        fn Invoke(
            &self,
            number: i32,
            _: *const GUID,
            _language: u32,
            _how: DISPATCH_FLAGS,
            given: *const DISPPARAMS,
            answer: *mut VARIANT,
            _: *mut EXCEPINFO,
            _: *mut u32,
        ) -> Result<()> {
            // SAFETY: the caller gives its arguments, which live through the call.
            let given = unsafe { &*given };
            if number != OPERATE || given.cArgs != 1 {
                return Err(DISP_E_MEMBERNOTFOUND.into());
            }
            // SAFETY: as above; there is one, and its type says what it holds.
            let document = unsafe {
                let argument = &*given.rgvarg;
                if argument.vt() != VT_BSTR {
                    return Err(DISP_E_TYPEMISMATCH.into());
                }
                argument.Anonymous.Anonymous.Anonymous.bstrVal.to_string()
            };
            let request = GBK.encode(&document).0.into_owned();
            if let Some(said) = super::play(&request) {
                // SAFETY: the caller gives a place for the answer.
                unsafe { answer.write(VARIANT::from(BSTR::from(GBK.decode(&said).0.as_ref()))) };
            }
            Ok(())
        }
    }

    #[implement(IClassFactory)]
    struct Factory;

    impl IClassFactory_Impl for Factory_Impl {
        fn CreateInstance(&self, _outer: Ref<IUnknown>, interface: *const GUID, object: *mut *mut c_void) -> Result<()> {
            let disk: IUnknown = Disk.into();
            // SAFETY: the caller gives the interface that he wants, and a place for it.
            unsafe { disk.query(interface, object).ok() }
        }

        fn LockServer(&self, _lock: BOOL) -> Result<()> {
            Ok(())
        }
    }

    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "system" fn DllGetClassObject(class: *const GUID, interface: *const GUID, object: *mut *mut c_void) -> HRESULT {
        // SAFETY: COM gives the class and the interface that it wants, and a place for it.
        unsafe {
            if *class != CLASS {
                return CLASS_E_CLASSNOTAVAILABLE;
            }
            let factory: IUnknown = Factory.into();
            factory.query(interface, object)
        }
    }
}
