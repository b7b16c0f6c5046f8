//! Rows that a transaction writes at its end, with one statement for each table: what people search by, histories, and tokens
//! that were used. Who asks for such rows on the same connection has them written first, or looks here too.
//!
//! Every statement is a way to the database and back; a group of requests would otherwise go it several times for each.

use std::collections::HashMap;

use super::console::words;
use super::{Field, Note, UsedToken};
use crate::core::request::Request;

/// Rows of one statement at most: SQLite takes 32,766 values.
pub(super) const ROWS: usize = 1_000;

/// A word under which a request is found.
#[derive(Debug)]
pub(super) struct Word {
    pub tenant: String,
    pub field: &'static str,
    pub word: String,
    pub created_at: i64,
    pub serial: String,
}

/// A line of a request's history.
#[derive(Debug)]
pub(super) struct Line {
    pub tenant: String,
    pub serial: String,
    pub note: Note,
}

/// For each line of a statement, how many of the same request stand before it there.
pub(super) fn earlier(lines: &[Line]) -> Vec<i64> {
    let mut seen = HashMap::<(&str, &str), i64>::new();
    let mut earlier = Vec::with_capacity(lines.len());
    for line in lines {
        let count = seen.entry((line.tenant.as_str(), line.serial.as_str())).or_default();
        earlier.push(*count);
        *count += 1;
    }
    earlier
}

/// What waits for the end of the transaction.
#[derive(Debug, Default)]
pub(super) struct Late {
    open: bool,
    words: Vec<Word>,
    notes: Vec<Line>,
    tokens: Vec<UsedToken>,
}

impl Late {
    /// A transaction has begun.
    pub(super) fn open(&mut self) {
        self.open = true;
    }

    /// It ends.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// Is there a transaction at whose end they are written?
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// A request is to be found by its words.
    pub(super) fn add_words(&mut self, request: &Request) {
        let word = |(field, word): (Field, &str)| Word {
            tenant: request.tenant.clone(),
            field: field.as_str(),
            word: word.to_owned(),
            created_at: request.created_at,
            serial: request.serial.clone(),
        };
        self.words.extend(words(request).into_iter().map(word));
    }

    /// Something happened to a request.
    pub(super) fn add_note(&mut self, tenant: &str, serial: &str, note: &Note) {
        self.notes.push(Line { tenant: tenant.to_owned(), serial: serial.to_owned(), note: note.clone() });
    }

    /// A token was used.
    pub(super) fn add_token(&mut self, token: &UsedToken) {
        self.tokens.push(token.clone());
    }

    /// Those that wait: this one, and those of this `jti` if it is not empty.
    pub(super) fn used_tokens(&self, appid: &str, token: &str, jti: &str) -> impl Iterator<Item = UsedToken> {
        let like = move |used: &&UsedToken| used.appid == appid && (used.token == token || !jti.is_empty() && used.jti == jti);
        self.tokens.iter().filter(like).cloned()
    }

    /// The tokens, which no longer wait.
    pub(super) fn take_tokens(&mut self) -> Vec<UsedToken> {
        std::mem::take(&mut self.tokens)
    }

    /// The words, which no longer wait.
    pub(super) fn take_words(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.words)
    }

    /// The lines, which no longer wait.
    pub(super) fn take_notes(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.notes)
    }
}
