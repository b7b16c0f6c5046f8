//! The disk's own memory of every number it gave away: an append-only file, one JSON object a line, each with its checksum.
//!
//! It is the oracle of every safety test: what stands here was issued, whatever the line said. A record is durable
//! (`File::sync_data`) before the operation that made it returns. It never holds two entries of one (kind, code, number):
//! the append refuses. It does not decide what may be issued.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};

use super::clock::Stamp;
use super::details::Details;
pub use super::details::EntryLine;

/// Name of the ledger in the disk's folder.
pub const LEDGER_FILE: &str = "ledger.jsonl";
/// What a power cut tore off is kept here for people; the disk itself forgets it.
pub const TORN_FILE: &str = "ledger.torn";

/// What became of a number (fpzt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// 0: a positive invoice.
    Positive,
    /// 1: a red one.
    Negative,
    /// 2: a voided blank.
    BlankVoid,
    /// 3: a positive invoice, voided.
    PositiveVoid,
    /// 4: a red one, voided.
    NegativeVoid,
}

impl EntryStatus {
    /// fpzt.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Who used the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The program on the line.
    #[default]
    Host,
    /// Another program with access to the same disk.
    Foreign,
}

/// One number that was given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Kind.
    pub kind: InvoiceKind,
    /// Code.
    pub code: InvoiceCode,
    /// Number.
    pub number: InvoiceNumber,
    /// What became of it.
    pub status: EntryStatus,
    /// Buyer's name.
    pub buyer_name: String,
    /// Buyer's number; fifteen zeros for a person.
    pub buyer_number: String,
    /// Lines.
    pub lines: Vec<EntryLine>,
    /// Sum without tax.
    pub net: Amount,
    /// Sum of tax.
    pub tax: Amount,
    /// Both.
    pub gross: Amount,
    /// Remark.
    pub remark: String,
    /// Operator.
    pub clerk: String,
    /// Disk clock at signing (or at voiding of a blank).
    pub time: Stamp,
    /// 税控码.
    pub fiscal_code: String,
    /// 签名.
    pub signature: String,
    /// Who asked for it.
    pub origin: Origin,
    /// The original that a red names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<NumberPair>,
    /// `false` = signed, but the power went before the converter saved its own record: only a query by number finds it.
    pub saved: bool,
    /// When and by whom it was voided, and the signature of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided: Option<VoidMark>,
    /// What a full invoice says besides; empty on a till's receipt.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Box<Details>,
}

impl LedgerEntry {
    /// Code and number.
    pub fn pair(&self) -> NumberPair {
        NumberPair { code: self.code, number: self.number }
    }

    fn key(&self) -> Key {
        (self.kind, self.pair())
    }
}

/// How an invoice was voided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidMark {
    /// Disk clock.
    pub time: Stamp,
    /// Who did it.
    pub operator: String,
    /// Signature of the void.
    pub signature: String,
    /// Which program.
    pub origin: Origin,
}

type Key = (InvoiceKind, NumberPair);

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Number(Box<LedgerEntry>),
    Void { kind: InvoiceKind, pair: NumberPair, mark: VoidMark },
}

/// All entries in the order of signing, and the file behind them.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<LedgerEntry>,
    by_key: BTreeMap<Key, usize>,
    signatures: u64,
    file: Option<File>,
    /// An append failed: what the medium holds is unknown, so nothing more is written.
    failed: bool,
}

impl Ledger {
    /// A ledger without a file, for simulations in memory.
    pub fn in_memory() -> Ledger {
        Ledger::default()
    }

    /// Opens or creates the ledger in `folder` and holds it: a second simulator on the same folder is refused.
    ///
    /// A last line without its end is what a power cut leaves of a record whose operation never returned: it is moved to
    /// `ledger.torn`, as the real disk forgets an unfinished write.
    ///
    /// # Errors
    /// The file cannot be opened, is in use, or holds a complete line that is damaged or repeats a number.
    pub fn open(folder: &Path) -> io::Result<Ledger> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(LEDGER_FILE))?;
        file.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::ResourceBusy, format!("another simulator uses the disk in {}", folder.display()))
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut ledger, whole) = Ledger::parse(&bytes)?;
        if whole < bytes.len() {
            std::fs::write(folder.join(TORN_FILE), &bytes[whole..])?;
            file.set_len(whole as u64)?;
            file.sync_data()?;
        }
        file.seek(SeekFrom::Start(whole as u64))?;
        // The name of a new file is durable only with its folder.
        File::open(folder)?.sync_all()?;
        ledger.file = Some(file);
        Ok(ledger)
    }

    /// Reads the entries in `folder` without opening the disk: safe beside a running simulator. A torn last line is left out.
    ///
    /// # Errors
    /// The file cannot be read or is damaged. No file = no entries.
    pub fn read(folder: &Path) -> io::Result<Vec<LedgerEntry>> {
        match std::fs::read(folder.join(LEDGER_FILE)) {
            Ok(bytes) => Ok(Ledger::parse(&bytes)?.0.entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The ledger in `bytes`, and how many of them are whole lines.
    fn parse(bytes: &[u8]) -> io::Result<(Ledger, usize)> {
        let mut ledger = Ledger::default();
        let mut whole = 0;
        for (index, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            // A torn write may leave zeros where data should be, and then no line end.
            let Some(line) = line.strip_suffix(b"\n") else { break };
            let damaged =
                |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{LEDGER_FILE}, line {}: {why}", index + 1));
            let record = unseal(line).ok_or_else(|| damaged("checksum or form is wrong"))?;
            ledger.apply(record).map_err(|why| damaged(&why))?;
            whole += line.len() + 1;
        }
        Ok((ledger, whole))
    }

    /// Appends one number, durable on return.
    ///
    /// # Errors
    /// The number was given away before, or the medium refuses; then nothing more is ever written.
    pub fn append(&mut self, entry: LedgerEntry) -> io::Result<()> {
        self.commit(Record::Number(Box::new(entry)))
    }

    /// Marks an invoice as voided, durable on return.
    ///
    /// # Errors
    /// There is no such invoice, it is void, or the medium refuses.
    pub fn void(&mut self, kind: InvoiceKind, pair: NumberPair, mark: VoidMark) -> io::Result<()> {
        self.commit(Record::Void { kind, pair, mark })
    }

    fn commit(&mut self, record: Record) -> io::Result<()> {
        self.check(&record).map_err(io::Error::other)?;
        if self.failed {
            return Err(io::Error::other("an earlier write failed: what the medium holds is unknown"));
        }
        if let Some(file) = &mut self.file {
            let line = seal(&record)?;
            // If we stop inside, the torn line is dropped at the next start: not signed. After sync_data: signed for ever.
            if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
                self.failed = true;
                return Err(error);
            }
        }
        self.apply(record).map_err(io::Error::other)
    }

    fn check(&self, record: &Record) -> Result<(), String> {
        match record {
            Record::Number(entry) if self.by_key.contains_key(&entry.key()) => {
                Err(format!("{} {} was given away before", entry.kind, entry.pair()))
            }
            Record::Void { kind, pair, .. } => match self.find(*kind, *pair).map(|entry| entry.status) {
                Some(EntryStatus::Positive | EntryStatus::Negative) => Ok(()),
                Some(_) => Err(format!("{kind} {pair} is void already")),
                None => Err(format!("{kind} {pair} was never given away")),
            },
            Record::Number(_) => Ok(()),
        }
    }

    fn apply(&mut self, record: Record) -> Result<(), String> {
        self.check(&record)?;
        self.signatures += 1;
        match record {
            Record::Number(entry) => {
                self.by_key.insert(entry.key(), self.entries.len());
                self.entries.push(*entry);
            }
            Record::Void { kind, pair, mark } => {
                let entry = self.by_key.get(&(kind, pair)).and_then(|index| self.entries.get_mut(*index));
                let entry = entry.ok_or("a checked record lost its entry")?;
                entry.status =
                    if entry.status == EntryStatus::Negative { EntryStatus::NegativeVoid } else { EntryStatus::PositiveVoid };
                entry.voided = Some(mark);
            }
        }
        Ok(())
    }

    /// All entries, oldest first, with their voids.
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// One number.
    pub fn find(&self, kind: InvoiceKind, pair: NumberPair) -> Option<&LedgerEntry> {
        self.by_key.get(&(kind, pair)).and_then(|index| self.entries.get(*index))
    }

    /// The highest number given away under a code from a range.
    pub fn highest(
        &self,
        kind: InvoiceKind,
        code: InvoiceCode,
        first: InvoiceNumber,
        last: InvoiceNumber,
    ) -> Option<InvoiceNumber> {
        let key = |number| (kind, NumberPair { code, number });
        self.by_key.range(key(first)..=key(last)).next_back().map(|((_, pair), _)| pair.number)
    }

    /// The standing reds of an original: one full, or several partial ones.
    pub fn reds_of(&self, original: NumberPair) -> impl Iterator<Item = &LedgerEntry> {
        self.entries.iter().filter(move |entry| entry.original == Some(original) && entry.status == EntryStatus::Negative)
    }

    /// How often the disk has signed: issues, blank voids and voids.
    pub fn signatures(&self) -> u64 {
        self.signatures
    }
}

/// `{"sum":"<crc32>","record":<record>}` and the line end.
fn seal(record: &Record) -> io::Result<Vec<u8>> {
    let record = serde_json::to_string(record)?;
    Ok(format!("{PREFIX}{:08x}{MIDDLE}{record}}}\n", crc32(record.as_bytes())).into_bytes())
}

const PREFIX: &str = r#"{"sum":""#;
const MIDDLE: &str = r#"","record":"#;

fn unseal(line: &[u8]) -> Option<Record> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix(PREFIX)?;
    let (sum, rest) = rest.split_at_checked(8)?;
    let record = rest.strip_prefix(MIDDLE)?.strip_suffix('}')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32(record.as_bytes())).then_some(())?;
    serde_json::from_str(record).ok()
}

/// CRC-32 (IEEE 802.3, reflected), as zip and Ethernet use it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(number: u32) -> LedgerEntry {
        LedgerEntry {
            kind: InvoiceKind::Roll,
            code: "011002000107".parse().unwrap(),
            number: InvoiceNumber::new(number).unwrap(),
            status: EntryStatus::Positive,
            buyer_name: "个人".to_owned(),
            buyer_number: "0".repeat(15),
            lines: vec![EntryLine { name: "停车费".to_owned(), ..EntryLine::default() }],
            net: "9.43".parse().unwrap(),
            tax: "0.57".parse().unwrap(),
            gross: "10.00".parse().unwrap(),
            remark: String::new(),
            clerk: "张三".to_owned(),
            time: "20260302101530".parse().unwrap(),
            fiscal_code: String::new(),
            signature: "S".to_owned(),
            origin: Origin::Host,
            original: None,
            saved: true,
            voided: None,
            details: Box::default(),
        }
    }

    fn mark() -> VoidMark {
        VoidMark {
            time: "20260302103000".parse().unwrap(),
            operator: "李四".to_owned(),
            signature: "V".to_owned(),
            origin: Origin::Host,
        }
    }

    #[test]
    fn entries_and_voids_survive_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        ledger.append(entry(1)).unwrap();
        ledger.append(entry(2)).unwrap();
        ledger.void(InvoiceKind::Roll, entry(1).pair(), mark()).unwrap();
        let before = ledger.entries().to_vec();
        // Read beside the running disk, and again after it went without a goodbye.
        assert_eq!(Ledger::read(folder.path()).unwrap(), before);
        drop(ledger);
        let ledger = Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.entries(), before);
        assert_eq!(ledger.entries()[0].status, EntryStatus::PositiveVoid);
        assert_eq!(ledger.signatures(), 3);
    }

    #[test]
    fn a_line_written_before_full_invoices_existed_reads_back_and_is_written_the_same() {
        let record = concat!(
            r#"{"number":{"kind":"025","code":"011002000107","number":"00000001","status":"positive","buyer_name":"个人","#,
            r#""buyer_number":"000000000000000","lines":[{"name":"停车费","price":"","quantity":"","net":"0.00","rate":"","#,
            r#""tax":"0.00","gross_price":"","gross":"0.00"}],"net":"9.43","tax":"0.57","gross":"10.00","remark":"","#,
            r#""clerk":"张三","time":"20260302101530","fiscal_code":"","signature":"S","origin":"host","saved":true}}"#
        );
        let line = format!("{PREFIX}{:08x}{MIDDLE}{record}}}\n", crc32(record.as_bytes()));
        let (ledger, whole) = Ledger::parse(line.as_bytes()).unwrap();
        assert_eq!((ledger.entries(), whole), ([entry(1)].as_slice(), line.len()));
        assert_eq!(String::from_utf8(seal(&Record::Number(Box::new(entry(1)))).unwrap()).unwrap(), line);
    }

    #[test]
    fn a_number_is_never_entered_twice_and_voided_once() {
        let mut ledger = Ledger::in_memory();
        ledger.append(entry(1)).unwrap();
        assert!(ledger.append(entry(1)).is_err());
        assert!(ledger.void(InvoiceKind::Roll, entry(2).pair(), mark()).is_err());
        ledger.void(InvoiceKind::Roll, entry(1).pair(), mark()).unwrap();
        assert!(ledger.void(InvoiceKind::Roll, entry(1).pair(), mark()).is_err());
        assert_eq!(ledger.entries().len(), 1);
    }

    #[test]
    fn a_power_cut_at_every_byte_loses_only_the_unfinished_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER_FILE);
        let mut ledger = Ledger::open(folder.path()).unwrap();
        ledger.append(entry(1)).unwrap();
        let first = std::fs::metadata(&path).unwrap().len() as usize;
        ledger.append(entry(2)).unwrap();
        drop(ledger);
        let bytes = std::fs::read(&path).unwrap();
        for cut in first..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut ledger = Ledger::open(folder.path()).unwrap();
            let expected = if cut == bytes.len() { 2 } else { 1 };
            assert_eq!(ledger.entries().len(), expected, "cut at byte {cut}");
            ledger.append(entry(3)).unwrap();
            assert_eq!(Ledger::read(folder.path()).unwrap().len(), expected + 1, "cut at byte {cut}");
        }
        // Zeros in place of the last record, as some file systems leave them.
        let mut zeros = bytes[..first].to_vec();
        zeros.extend([0; 5_000]);
        std::fs::write(&path, zeros).unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.entries().len(), 1);
        // Nothing of the torn bytes may stand behind what is written next.
        ledger.append(entry(2)).unwrap();
        drop(ledger);
        assert_eq!(Ledger::open(folder.path()).unwrap().entries().len(), 2);
        assert_eq!(Ledger::read(folder.path()).unwrap().len(), 2);
        assert_eq!(std::fs::metadata(folder.path().join(TORN_FILE)).unwrap().len(), 5_000);
    }

    #[test]
    fn a_damaged_whole_line_or_a_repeated_number_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER_FILE);
        let mut ledger = Ledger::open(folder.path()).unwrap();
        ledger.append(entry(1)).unwrap();
        assert_eq!(Ledger::open(folder.path()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(ledger);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, [good.clone(), good.clone()].concat()).unwrap();
        assert!(Ledger::open(folder.path()).unwrap_err().to_string().contains("line 2"));
        // Still good JSON, but not what was signed.
        let bad = String::from_utf8(good).unwrap().replace("10.00", "90.00");
        std::fs::write(&path, bad).unwrap();
        assert!(Ledger::open(folder.path()).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn checksum_is_the_common_crc32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
