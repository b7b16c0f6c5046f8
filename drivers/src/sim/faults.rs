//! Faults on demand, as data. Each fires a number of times, may let matching commands pass first, and may be bound to
//! commands. Several can be active together; all that match one command fire on it.
//!
//! This module only counts and selects. What a fault does to the bytes is the dialect's device side; what it does to the
//! disk is done through the disk's own operations, so that a fault never makes a ledger that a real disk could not have.

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;

use super::issue::IssueOrder;

/// Most faults that wait at once. A test needs a handful; a control client that loops must not fill the memory.
pub const MAX_FAULTS: usize = 1000;

/// Before or after the command is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before: nothing has changed yet.
    #[default]
    Before,
    /// After: a number may be used already.
    After,
}

/// Which way a multi-packet exchange goes when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The command, host to device: the packet is not acknowledged and all of the command is forgotten.
    #[default]
    Command,
    /// The answer, device to host: it stops after this packet.
    Answer,
}

/// When another program takes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ForeignTime {
    /// Just before the command executes.
    #[default]
    BeforeIssue,
    /// Right after the stock was read (the command filter defaults to stock queries then).
    AfterStock,
}

/// What another program issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignContent {
    /// Exactly this.
    Invoice(IssueOrder),
    /// What the command itself is about to issue, but with this remark. `None` keeps even the remark. Needs an issuing
    /// command: at a stock query it waits for the next one.
    SameAsNext(Option<String>),
}

impl Default for ForeignContent {
    fn default() -> Self {
        ForeignContent::Invoice(IssueOrder::default())
    }
}

fn default_code_locked() -> u32 {
    702
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// The command is executed, the answer never arrives.
    LoseAnswerAfterSigning,
    /// The command is swallowed: no answer, nothing executed.
    LoseAnswerBeforeSigning,
    /// `WT` so many times with so much time between.
    WtStorm {
        /// How many.
        count: u32,
        /// Milliseconds before each.
        #[serde(default)]
        interval_ms: u64,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// The answer's checksum is wrong.
    CrcError,
    /// The device says ER 1F, as if it had seen a bad checksum. Nothing is executed.
    RefuseCrc {
        /// Which packet of the command; absent = the last.
        #[serde(default)]
        packet: Option<u8>,
    },
    /// The answer trickles, byte by byte.
    Split {
        /// Milliseconds between bytes.
        delay_ms: u64,
    },
    /// Silence before or after executing, then all goes on.
    Stall {
        /// How long.
        ms: u64,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// The answer stops after so many bytes and the line is dead until it is plugged in again.
    DieMidFrame {
        /// How many bytes still arrive.
        after_bytes: usize,
    },
    /// A multi-packet exchange breaks after a packet.
    BreakAfterPacket {
        /// The packet after which nothing more comes.
        packet: u8,
        /// Which way.
        #[serde(default)]
        direction: Direction,
    },
    /// Another program takes a number.
    ForeignIssue {
        /// When.
        #[serde(default)]
        at: ForeignTime,
        /// What it issues.
        #[serde(default)]
        content: ForeignContent,
    },
    /// JSK176.
    OutOfStock,
    /// Locked.
    Locked {
        /// The disk's code: 702, 701, 21, 781 …
        #[serde(default = "default_code_locked")]
        jsk: u32,
    },
    /// Any refusal, before or after signing. After signing the number is used all the same: 784 after signing is the
    /// device's own second try, 120, 121, 240, 3001 are faults of its saving.
    Refuse {
        /// The disk's code; absent = text only.
        #[serde(default)]
        jsk: Option<u32>,
        /// The text; absent = the one that belongs to the code.
        #[serde(default)]
        text: Option<String>,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// The disk takes the password for a wrong one: 237 or 238, and a try is gone.
    WrongPassword,
    /// JSK506.
    ClockFault,
    /// Before the command executes, the current pair jumps to the next segment.
    RollJump {
        /// Of which kind; absent = of the command.
        #[serde(default)]
        kind: Option<InvoiceKind>,
    },
    /// The power goes. After signing: the number is used and the converter's own record is missing.
    PowerCut {
        /// Before or after signing.
        #[serde(default)]
        when: When,
        /// Milliseconds until the device is back.
        #[serde(default)]
        off_ms: u64,
    },
    /// Bytes before the answer.
    Garbage {
        /// The bytes, in hex.
        hex: String,
    },
    /// Everything that the host sends comes back first.
    Echo,
    /// USB: the endpoint of a stage answers STALL once.
    UsbStall {
        /// Which stage of the transfer.
        #[serde(default)]
        stage: UsbStage,
    },
    /// USB: the device holds the host off (NAK) for so long at a stage.
    UsbNak {
        /// Which stage of the transfer.
        #[serde(default)]
        stage: UsbStage,
        /// How long.
        ms: u64,
    },
    /// USB: the CSW carries another tag.
    UsbWrongTag,
    /// USB: the CSW says phase error (02); whatever was accepted stays accepted.
    UsbPhaseError,
    /// USB: the device leaves the bus after the command was executed and before its answer can be fetched. Its power stays.
    UsbUnplug,
    /// USB: after the command was executed another host uses the device: it issues an invoice, and the device remembers its
    /// token in place of ours.
    OtherHost,
    /// Card reader: no card in the slot.
    CardAbsent,
}

/// A stage of a bulk-only transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UsbStage {
    /// The command block, host to device.
    Command,
    /// The data, either way.
    Data,
    /// The status, device to host.
    #[default]
    Status,
}

/// The command code of stock queries and of issuing, the defaults of some faults.
const CMD_STOCK: u8 = 0x08;
const CMD_ISSUE: u8 = 0x0A;
const CMD_VOID: u8 = 0x0B;
/// First bytes of the USB profile's own command blocks. A filter of a USB transfer fault names the command block's first
/// byte (`"12"`: INQUIRY), not the business command inside it.
const CDB_SEND: u8 = 0xD0;
const CDB_FETCH: u8 = 0xD1;

impl FaultKind {
    /// Commands that the fault is for when its owner names none. Empty = every command.
    fn default_commands(&self) -> &'static [u8] {
        match self {
            FaultKind::LoseAnswerAfterSigning
            | FaultKind::LoseAnswerBeforeSigning
            | FaultKind::RollJump { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::UsbUnplug
            | FaultKind::OtherHost
            | FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, .. } => &[CMD_ISSUE],
            FaultKind::ForeignIssue { at: ForeignTime::AfterStock, content: ForeignContent::SameAsNext(_) } => &[CMD_ISSUE],
            FaultKind::ForeignIssue { at: ForeignTime::AfterStock, .. } => &[CMD_STOCK],
            FaultKind::OutOfStock => &[CMD_STOCK, CMD_ISSUE],
            FaultKind::Locked { .. } | FaultKind::ClockFault => &[CMD_ISSUE, CMD_VOID],
            FaultKind::UsbStall { .. } | FaultKind::UsbNak { .. } | FaultKind::UsbWrongTag | FaultKind::UsbPhaseError => {
                &[CDB_SEND, CDB_FETCH]
            }
            FaultKind::WrongPassword => &[0x04, 0x06, 0x07, CMD_STOCK, CMD_ISSUE, CMD_VOID, 0x0C, 0x13],
            _ => &[],
        }
    }

    /// Fires while a command is still being received, not when it is complete.
    fn while_receiving(&self) -> bool {
        matches!(
            self,
            FaultKind::BreakAfterPacket { direction: Direction::Command, .. } | FaultKind::RefuseCrc { packet: Some(_) }
        )
    }

    /// Fires on a USB transfer, whatever business command is inside.
    fn is_of_transfer(&self) -> bool {
        use FaultKind::{UsbNak, UsbPhaseError, UsbStall, UsbWrongTag};
        matches!(self, UsbStall { .. } | UsbNak { .. } | UsbWrongTag | UsbPhaseError)
    }

    fn is_for_packet(&self, number: u8) -> bool {
        match self {
            FaultKind::BreakAfterPacket { packet, direction: Direction::Command } => *packet == number,
            FaultKind::RefuseCrc { packet: Some(packet) } => *packet == number,
            _ => false,
        }
    }
}

/// A fault with its count and filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How often it fires.
    #[serde(default = "default_times")]
    pub times: u32,
    /// How many matching commands pass before.
    #[serde(default)]
    pub skip: u32,
    /// Only for this command, two hex digits (`"0A"`); absent = those that the fault is usually for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_command")]
    pub cmd: Option<u8>,
}

fn default_times() -> u32 {
    1
}

impl Fault {
    /// Once, at the next command that it is for.
    pub fn once(kind: FaultKind) -> Fault {
        Fault { kind, times: 1, skip: 0, cmd: None }
    }

    /// Only for this command.
    pub fn on(self, cmd: u8) -> Fault {
        Fault { cmd: Some(cmd), ..self }
    }

    /// So many times.
    pub fn times(self, times: u32) -> Fault {
        Fault { times, ..self }
    }

    /// After so many matching commands.
    pub fn after(self, skip: u32) -> Fault {
        Fault { skip, ..self }
    }

    fn matches(&self, cmd: u8) -> bool {
        match self.cmd {
            Some(wanted) => wanted == cmd,
            None => self.kind.default_commands().is_empty() || self.kind.default_commands().contains(&cmd),
        }
    }
}

/// The faults that wait.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    waiting: Vec<Fault>,
}

impl Faults {
    /// Adds one; `false` when too many wait already.
    pub fn add(&mut self, fault: Fault) -> bool {
        if self.waiting.len() >= MAX_FAULTS {
            return false;
        }
        self.waiting.push(fault);
        true
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// What still waits.
    pub fn waiting(&self) -> &[Fault] {
        &self.waiting
    }

    /// The faults that fire on this complete command. Counts them down.
    pub(super) fn at_command(&mut self, cmd: u8) -> Vec<FaultKind> {
        self.take(|fault| !fault.kind.while_receiving() && !fault.kind.is_of_transfer() && fault.matches(cmd))
    }

    /// The faults that fire on this USB transfer, by the first byte of its command block. Counts them down.
    pub(super) fn at_transfer(&mut self, operation: u8) -> Vec<FaultKind> {
        self.take(|fault| fault.kind.is_of_transfer() && fault.matches(operation))
    }

    /// The faults that fire on this packet of a command. Counts them down.
    pub(super) fn at_packet(&mut self, cmd: u8, packet: u8) -> Vec<FaultKind> {
        self.take(|fault| fault.kind.is_for_packet(packet) && fault.matches(cmd))
    }

    fn take(&mut self, matches: impl Fn(&Fault) -> bool) -> Vec<FaultKind> {
        let mut firing = Vec::new();
        self.waiting.retain_mut(|fault| {
            if !matches(fault) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            if fault.times > 0 {
                fault.times -= 1;
                firing.push(fault.kind.clone());
            }
            fault.times > 0
        });
        firing
    }
}

mod hex_command {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(cmd: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        match cmd {
            Some(cmd) => serializer.collect_str(&format_args!("{cmd:02X}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| u8::from_str_radix(&text, 16)).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_skip_fire_and_end() {
        let mut faults = Faults::default();
        assert!(faults.add(Fault::once(FaultKind::CrcError).on(0x0C).times(2).after(1)));
        assert!(faults.add(Fault::once(FaultKind::Echo)));
        assert_eq!(faults.at_command(0x0C), [FaultKind::Echo]);
        assert_eq!(faults.at_command(0x0A), []);
        assert_eq!(faults.at_command(0x0C), [FaultKind::CrcError]);
        assert_eq!(faults.at_command(0x0C), [FaultKind::CrcError]);
        assert!(faults.waiting().is_empty());
    }

    #[test]
    fn faults_are_readable_json_with_defaults() {
        let fault: Fault = serde_json::from_str(r#"{"fault":"wt_storm","count":3,"when":"after","cmd":"0A"}"#).unwrap();
        let kind = FaultKind::WtStorm { count: 3, interval_ms: 0, when: When::After };
        assert_eq!(fault, Fault { kind, times: 1, skip: 0, cmd: Some(0x0A) });
        let foreign: Fault =
            serde_json::from_str(r#"{"fault":"foreign_issue","content":{"same_as_next":"other"},"times":2}"#).unwrap();
        assert!(foreign.matches(0x0A) && !foreign.matches(0x08));
        let text = serde_json::to_string(&foreign).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), foreign);
        assert!(serde_json::from_str::<Fault>(r#"{"fault":"no_such"}"#).is_err());
    }

    #[test]
    fn packet_faults_wait_for_their_packet() {
        let mut faults = Faults::default();
        faults.add(Fault::once(FaultKind::BreakAfterPacket { packet: 2, direction: Direction::Command }));
        assert_eq!(faults.at_command(0x0A), []);
        assert_eq!(faults.at_packet(0x0A, 1), []);
        assert_eq!(faults.at_packet(0x0A, 2).len(), 1);
        assert_eq!(faults.at_packet(0x0A, 2), []);
    }
}
