//! `taxdisk-bridge LIBRARY`, `taxdisk-bridge --class CLASS`: takes one document from its standard input, hands it to the maker's
//! library or class of COM, and writes the answer to its standard output. Give it as `command` of a `[[disk]]` in the agent's
//! configuration.
//!
//! It exists because makers' libraries hang and crash, and are 32-bit: here that costs one short-lived process, which the agent
//! starts for each document and ends when its time is over. So a late answer has nobody left to take it for another's. It knows
//! nothing of what the document says, tries nothing twice, and keeps nothing.
//!
//! How it ends is what the agent rests on:
//!
//! | exit code | standard output | the library |
//! |---|---|---|
//! | 0 | its answer, as it came | answered |
//! | 86 | [`NOT_PASSED_ON`] and the reason | was never called: the request cannot have been carried out |
//! | any other, or none | anything | may have got the request, and may still carry it out |

mod class;
mod library;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use class::Class;
use library::{Failed, Library};

/// The longest document, bytes; the agent's are far shorter.
const DOCUMENT_MAX_BYTES: u64 = 1024 * 1024;
/// Exit code and first words if the library was never called. The agent believes it only with both.
const NEVER_CALLED: u8 = 86;
const NOT_PASSED_ON: &str = "taxdisk-bridge: not passed on: ";

/// The maker's component.
#[derive(Debug, PartialEq, Eq)]
enum Component {
    /// A function of a library.
    Library { path: PathBuf, function: String },
    /// A method of a class, which is named by its `ProgID` or as `{CLSID}`.
    Class { name: String, method: String },
}

/// What the program was asked. Parsed by hand: as little as can be is in the process in which the component runs.
#[derive(Debug, PartialEq, Eq)]
struct Args {
    component: Component,
    /// Only load the component and look for its entry point.
    check: bool,
}

const USAGE: &str = "Usage: taxdisk-bridge LIBRARY [--function NAME] [--check]\n\
    \x20      taxdisk-bridge --class CLASS [--method NAME] [--check]\n\n\
    Hands one document from standard input to the component of a tax disk's maker, and writes its answer.\n\n\
    LIBRARY          its full path, such as C:\\Program Files (x86)\\…\\NISEC_SKSC.dll\n\
    --function NAME  its function [default: PostAndRecvEx]\n\
    --class CLASS    a class of COM instead, such as {003BD8F2-A6C3-48EF-9B72-ECFD8FC4D49F}\n\
    --method NAME    its method [default: Operate]\n\
    --check          only load it and look for the function or method";

impl Args {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Args> {
        let mut words = words.into_iter();
        let first = words.next()?;
        let mut component = if first == "--class" {
            Component::Class { name: words.next()?.into_string().ok()?, method: "Operate".to_owned() }
        } else {
            let path = PathBuf::from(Some(first).filter(|word| !word.as_encoded_bytes().starts_with(b"-"))?);
            Component::Library { path, function: "PostAndRecvEx".to_owned() }
        };
        let mut check = false;
        while let Some(word) = words.next() {
            match (word.to_str()?, &mut component) {
                ("--function", Component::Library { function: name, .. })
                | ("--method", Component::Class { method: name, .. }) => {
                    *name = words.next()?.into_string().ok()?;
                }
                ("--check", _) => check = true,
                _ => return None,
            }
        }
        Some(Args { component, check })
    }
}

fn main() -> ExitCode {
    let args = Args::parse(std::env::args_os().skip(1));
    match args.ok_or_else(|| Failed::NeverCalled(USAGE.to_owned())).and_then(|args| work(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::NeverCalled(why)) => {
            let _ = writeln!(std::io::stdout(), "{NOT_PASSED_ON}{why}");
            NEVER_CALLED.into()
        }
        Err(Failed::Unknown(why)) => {
            eprintln!("taxdisk-bridge: {why}: the request may have been carried out");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<(), Failed> {
    match &args.component {
        Component::Library { path, function } => {
            let library = Library::open(path, function)?;
            pass_on(args.check, |document| library.call(document))
        }
        Component::Class { name, method } => {
            let class = Class::open(name, method)?;
            pass_on(args.check, |document| class.call(document))
        }
    }
}

fn pass_on(check: bool, call: impl Fn(&[u8]) -> Result<Vec<u8>, Failed>) -> Result<(), Failed> {
    if check {
        return Ok(());
    }
    let mut document = Vec::new();
    let read = std::io::stdin().lock().take(DOCUMENT_MAX_BYTES + 1).read_to_end(&mut document);
    if read.is_err() || document.len() as u64 > DOCUMENT_MAX_BYTES {
        return Err(Failed::NeverCalled("the document is too long, or broke off".to_owned()));
    }
    let answer = call(&document)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&answer)
        .and_then(|()| out.flush())
        .map_err(|error| Failed::Unknown(format!("nobody took the answer ({error})")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(words: &[&str]) -> Option<Args> {
        Args::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn words_that_are_not_understood_call_nothing() {
        let library = |function: &str| Component::Library { path: "/a.so".into(), function: function.to_owned() };
        let class = |method: &str| Component::Class { name: "A.B".to_owned(), method: method.to_owned() };
        for (words, component, check) in [
            (&["/a.so"][..], library("PostAndRecvEx"), false),
            (&["/a.so", "--function", "F", "--check"], library("F"), true),
            (&["--class", "A.B"], class("Operate"), false),
            (&["--class", "A.B", "--check", "--method", "M"], class("M"), true),
        ] {
            assert_eq!(parsed(words), Some(Args { component, check }), "{words:?}");
        }
        for words in [
            &[][..],
            &["--check"],
            &["/a.so", "--function"],
            &["/a.so", "/b.so"],
            &["--help"],
            &["--class"],
            &["/a.so", "--method", "M"],
            &["--class", "A.B", "--function", "F"],
        ] {
            assert_eq!(parsed(words), None, "{words:?}");
        }
    }
}
