//! `taxdisk-bridge LIBRARY`: takes one document from its standard input, hands it to the maker's library, and writes the
//! answer to
//! its standard output. Give it as `command` of a `[[disk]]` in the agent's configuration.
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

mod library;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use library::{Failed, Library};

/// The longest document, bytes; the agent's are far shorter.
const DOCUMENT_MAX_BYTES: u64 = 1024 * 1024;
/// Exit code and first words if the library was never called. The agent believes it only with both.
const NEVER_CALLED: u8 = 86;
const NOT_PASSED_ON: &str = "taxdisk-bridge: not passed on: ";

/// What the program was asked. Parsed by hand: as little as can be is in the process in which the library runs.
#[derive(Debug, PartialEq, Eq)]
struct Args {
    library: PathBuf,
    function: String,
    /// Only load the library and look for the function.
    check: bool,
}

const USAGE: &str = "Usage: taxdisk-bridge LIBRARY [--function NAME] [--check]\n\n\
    Hands one document from standard input to the library of a tax disk's maker, and writes its answer.\n\n\
    LIBRARY          its full path, such as C:\\Program Files (x86)\\…\\NISEC_SKSC.dll\n\
    --function NAME  its function [default: PostAndRecvEx]\n\
    --check          only load it and look for the function";

impl Args {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Args> {
        let mut words = words.into_iter();
        let library = PathBuf::from(words.next().filter(|word| !word.as_encoded_bytes().starts_with(b"-"))?);
        let mut args = Args { library, function: "PostAndRecvEx".to_owned(), check: false };
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--function" => args.function = words.next()?.into_string().ok()?,
                "--check" => args.check = true,
                _ => return None,
            }
        }
        Some(args)
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
    let library = Library::open(&args.library, &args.function)?;
    if args.check {
        return Ok(());
    }
    let mut document = Vec::new();
    let read = std::io::stdin().lock().take(DOCUMENT_MAX_BYTES + 1).read_to_end(&mut document);
    if read.is_err() || document.len() as u64 > DOCUMENT_MAX_BYTES {
        return Err(Failed::NeverCalled("the document is too long, or broke off".to_owned()));
    }
    let answer = library.call(&document)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&answer)
        .and_then(|()| out.flush())
        .map_err(|error| Failed::Unknown(format!("nobody took the answer ({error})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<Args> {
        Args::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn words_that_are_not_understood_call_nothing() {
        let args = Args { library: "/a.so".into(), function: "PostAndRecvEx".to_owned(), check: false };
        assert_eq!(parsed(&["/a.so"]), Some(args));
        assert_eq!(
            parsed(&["/a.so", "--function", "F", "--check"]).map(|args| (args.function, args.check)),
            Some(("F".into(), true))
        );
        for words in [&[][..], &["--check"], &["/a.so", "--function"], &["/a.so", "/b.so"], &["--help"]] {
            assert_eq!(parsed(words), None, "{words:?}");
        }
    }
}
