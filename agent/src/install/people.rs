//! Who is asked: a person at a terminal, or nobody.

use std::io::{BufRead, IsTerminal, Read, Write};

use crate::failure::Failure;

/// The longest answer, bytes.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Somebody who may know.
pub trait People {
    /// Asks for a line. `key` is what it is called in the file of answers.
    ///
    /// # Errors
    /// Nobody answers; the text says how to answer.
    fn ask(&mut self, key: &str, question: &str, usual: Option<&str>) -> Result<String, Failure>;

    /// The same without echo.
    ///
    /// # Errors
    /// Nobody answers.
    fn hidden(&mut self, key: &str, question: &str) -> Result<String, Failure>;

    /// Tells what happens.
    fn say(&mut self, text: &str);
}

/// Whoever sits at the terminal; without one, nobody.
#[derive(Debug, Default)]
pub struct Terminal {
    /// Say nothing but the result.
    pub quiet: bool,
}

impl Terminal {
    fn is_there() -> bool {
        std::io::stdin().is_terminal()
    }
}

fn nobody(key: &str, question: &str) -> Failure {
    Failure::usage(format!(
        "Nobody is there to answer ({question}): put {key} = \"…\" into a file and give it by --answers FILE."
    ))
}

impl People for Terminal {
    fn ask(&mut self, key: &str, question: &str, usual: Option<&str>) -> Result<String, Failure> {
        if !Terminal::is_there() {
            return Err(nobody(key, question));
        }
        let shown = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
        eprint!("{question}{shown}: ");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        let read = std::io::stdin().lock().take(ANSWER_MAX_BYTES).read_line(&mut line);
        match (read, line.trim(), usual) {
            (Ok(1..), "", Some(usual)) => Ok(usual.to_owned()),
            (Ok(1..), text, _) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(nobody(key, question)),
        }
    }

    fn hidden(&mut self, key: &str, question: &str) -> Result<String, Failure> {
        if Terminal::is_there() { crate::commands::ask_hidden(&format!("{question}: ")) } else { Err(nobody(key, question)) }
    }

    fn say(&mut self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}
