//! What the device remembers of its commands: the last changing and the last reading token with their answers. C.4.2, C.4.4.
//!
//! Kept in `bot.json` in the disk's folder: written beside, synced, renamed, and the folder synced, before the effect that
//! it stands for. It holds one token of each sort and never more: an older one is unknown, as on a small device.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the file in the disk's folder.
pub const MEMORY_FILE: &str = "bot.json";

/// What makes two commands the same command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    xml: bool,
    cmd: u8,
    length: usize,
    sha256: String,
}

impl Fingerprint {
    pub(super) fn of(xml: bool, cmd: u8, payload: &[u8]) -> Fingerprint {
        let sha256 = Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint { xml, cmd, length: payload.len(), sha256 }
    }
}

/// An answer as it is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) good: bool,
    /// Link error where there is no text, else 0.
    pub(super) link: u8,
    pub(super) payload: Vec<u8>,
}

/// An accepted token. Without an answer its outcome is unknown, unless it is being executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) token: u32,
    pub(super) fingerprint: Fingerprint,
    pub(super) answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Slots {
    changing: Option<Remembered>,
    reading: Option<Remembered>,
}

/// The memory.
pub(super) struct Memory {
    slots: Slots,
    folder: Option<PathBuf>,
    /// Weak hardware: nothing survives the power.
    durable: bool,
}

impl Memory {
    /// Reads what is there. Without a folder it lives with the process, power cuts included.
    pub(super) fn open(folder: Option<PathBuf>, durable: bool) -> io::Result<Memory> {
        let mut memory = Memory { slots: Slots::default(), folder, durable };
        if let Some(folder) = memory.folder.as_ref().filter(|_| durable) {
            match std::fs::read(folder.join(MEMORY_FILE)) {
                Ok(bytes) => memory.slots = serde_json::from_slice(&bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(memory)
    }

    /// The token, wherever it is remembered.
    pub(super) fn find(&self, token: u32) -> Option<&Remembered> {
        [&self.slots.changing, &self.slots.reading].into_iter().flatten().find(|known| known.token == token)
    }

    /// The last changing one.
    pub(super) fn last_changing(&self) -> Option<&Remembered> {
        self.slots.changing.as_ref()
    }

    /// A token is accepted. Durable on return. If the power goes just before, the host never hears of an acceptance; just
    /// after, the token is known and has no answer.
    pub(super) fn accept(&mut self, token: u32, fingerprint: Fingerprint, changing: bool) -> io::Result<()> {
        let slot = if changing { &mut self.slots.changing } else { &mut self.slots.reading };
        let before = slot.replace(Remembered { token, fingerprint, answer: None });
        let saved = self.save();
        if saved.is_err() {
            *(if changing { &mut self.slots.changing } else { &mut self.slots.reading }) = before;
        }
        saved
    }

    /// Its answer. Durable on return; if the power goes just before, the token stays without one.
    pub(super) fn answer(&mut self, token: u32, answer: Answer) -> io::Result<()> {
        self.set_answer(token, Some(answer));
        let saved = self.save();
        if saved.is_err() {
            // An answer that is not durable is never shown: the memory failed, the token is lost.
            self.set_answer(token, None);
        }
        saved
    }

    fn set_answer(&mut self, token: u32, answer: Option<Answer>) {
        let slots = [&mut self.slots.changing, &mut self.slots.reading];
        if let Some(known) = slots.into_iter().flatten().find(|known| known.token == token) {
            known.answer = answer;
        }
    }

    /// The power went.
    pub(super) fn power_cut(&mut self) {
        if !self.durable {
            self.slots = Slots::default();
        }
    }

    fn save(&self) -> io::Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.durable) else { return Ok(()) };
        let (path, beside) = (folder.join(MEMORY_FILE), folder.join("bot.json.new"));
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&self.slots)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        // The rename itself is durable only with its folder.
        File::open(folder)?.sync_all()
    }
}
