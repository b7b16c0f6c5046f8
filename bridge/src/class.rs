//! The maker's component as a class of COM: `NISEC_SKSCX.ocx` has a method `Operate` that takes a document as text and gives
//! the answer as text (facts on the component, A.1). It is called late-bound, by names alone, so that no file of the maker is
//! needed to build this.
//!
//! The method's text is Unicode; what the agent sends and wants is GBK, as with the library.
#![cfg_attr(windows, allow(unsafe_code))]

use encoding_rs::GBK;

use super::library::{ANSWER_MAX_BYTES, Failed};

/// The document as the method takes it.
fn text_of(document: &[u8]) -> Result<String, Failed> {
    let (text, _, damaged) = GBK.decode(document);
    if damaged { Err(Failed::NeverCalled("the document is not GBK".to_owned())) } else { Ok(text.into_owned()) }
}

/// The answer as the agent takes it. What GBK has no place for would be read as another text: that is no answer.
fn bytes_of(answer: &str) -> Result<Vec<u8>, Failed> {
    let (bytes, _, lost) = GBK.encode(answer);
    match bytes.len() {
        _ if lost => Err(Failed::Unknown("the component's answer has characters that GBK lacks".to_owned())),
        0 => Err(Failed::Unknown("the component gave no answer".to_owned())),
        length if length > ANSWER_MAX_BYTES => Err(Failed::Unknown(format!("the component's answer has {length} bytes"))),
        _ => Ok(bytes.into_owned()),
    }
}

/// An object of the class, and the number of its method.
#[cfg(windows)]
pub(crate) struct Class {
    object: windows::Win32::System::Com::IDispatch,
    method: i32,
}

#[cfg(windows)]
mod real {
    use windows::Win32::Globalization::GetUserDefaultLCID;
    use windows::Win32::System::Com::{
        CLSCTX_INPROC_SERVER, CLSCTX_LOCAL_SERVER, CLSIDFromProgID, CLSIDFromString, COINIT_APARTMENTTHREADED, CoCreateInstance,
        CoInitializeEx, DISPATCH_METHOD, DISPPARAMS, IDispatch,
    };
    use windows::Win32::System::Variant::{VARIANT, VT_BSTR};
    use windows::core::{BSTR, GUID, HSTRING, PCWSTR};

    use super::{Class, Failed, bytes_of, text_of};

    impl Class {
        /// Makes an object of it. What its own code does at that is its own; no document has been given to it yet.
        pub(crate) fn open(class: &str, method: &str) -> Result<Class, Failed> {
            let never = |error: windows::core::Error| Failed::NeverCalled(format!("{class}: {error}"));
            let (name, method) = (HSTRING::from(class), HSTRING::from(method));
            // SAFETY: all of these take texts that end in zero and live through the call, and places for one answer. This
            // thread is the only one and ends with the process, which gives back what COM holds.
            unsafe {
                CoInitializeEx(None, COINIT_APARTMENTTHREADED).ok().map_err(never)?;
                let id = if class.starts_with('{') { CLSIDFromString(&name) } else { CLSIDFromProgID(&name) }.map_err(never)?;
                let object: IDispatch = CoCreateInstance(&id, None, CLSCTX_INPROC_SERVER | CLSCTX_LOCAL_SERVER).map_err(never)?;
                let mut number = 0;
                let names = PCWSTR(method.as_ptr());
                object.GetIDsOfNames(&GUID::zeroed(), &names, 1, GetUserDefaultLCID(), &mut number).map_err(never)?;
                Ok(Class { object, method: number })
            }
        }

        /// Calls its method. From the call on, whatever happens, the request may have been carried out.
        pub(crate) fn call(&self, document: &[u8]) -> Result<Vec<u8>, Failed> {
            let mut argument = VARIANT::from(BSTR::from(text_of(document)?));
            let parameters = DISPPARAMS { rgvarg: &mut argument, cArgs: 1, ..DISPPARAMS::default() };
            let mut answer = VARIANT::default();
            // SAFETY: one argument, which lives through the call, and a place for one answer.
            let called = unsafe {
                self.object.Invoke(
                    self.method,
                    &GUID::zeroed(),
                    GetUserDefaultLCID(),
                    DISPATCH_METHOD,
                    &parameters,
                    Some(&mut answer),
                    None,
                    None,
                )
            };
            called.map_err(|error| Failed::Unknown(format!("the component failed: {error}")))?;
            if answer.vt() != VT_BSTR {
                return Err(Failed::Unknown("the component's answer is no text".to_owned()));
            }
            // SAFETY: its type says that it holds a text.
            let text = unsafe { String::from_utf16(&answer.Anonymous.Anonymous.Anonymous.bstrVal) };
            bytes_of(&text.map_err(|_| Failed::Unknown("the component's answer is no Unicode".to_owned()))?)
        }
    }
}

/// There are no such classes elsewhere.
#[cfg(not(windows))]
pub(crate) enum Class {}

#[cfg(not(windows))]
impl Class {
    pub(crate) fn open(class: &str, _method: &str) -> Result<Class, Failed> {
        Err(Failed::NeverCalled(format!("{class}: classes of COM are of Windows")))
    }

    pub(crate) fn call(&self, document: &[u8]) -> Result<Vec<u8>, Failed> {
        // The same two steps, so that both are compiled and tested everywhere.
        text_of(document).and_then(|text| bytes_of(&text))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_go_through_whole_or_not_at_all() {
        let document = "<business id=\"FPKJ\"><spmc>*纸制品*打印纸</spmc></business>";
        let bytes = GBK.encode(document).0.into_owned();
        assert_eq!(text_of(&bytes).unwrap(), document);
        assert_eq!(bytes_of(document).unwrap(), bytes);
        assert!(matches!(text_of(b"<a>\xff\xff</a>"), Err(Failed::NeverCalled(_))));
        for answer in ["", "<a>\u{1f600}</a>", &"x".repeat(ANSWER_MAX_BYTES + 1)] {
            assert!(matches!(bytes_of(answer), Err(Failed::Unknown(_))), "{:.20}", answer);
        }
    }
}
