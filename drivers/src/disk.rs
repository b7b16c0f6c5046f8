//! A tax disk as the agent sees it: one trait over all dialects and transports.
//!
//! Every call blocks the disk's own thread and comes back within its stated time; nothing here is retried behind the
//! caller's back. Read [`TaxDisk::issue`] and [`IssueAnswer`] first: they carry what I1 rests on.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};
use taxdisk_protocol::printed::Printed;

use crate::operation::{Operation, OperationAnswer, PasswordKind};

/// What went wrong, in the device's words and in ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{class}: {text}")]
pub struct DiskError {
    /// What to tell people and where to route next. Proves nothing about execution.
    pub class: DeviceClass,
    /// The device's own code, such as `JSK176`, where it gave one.
    pub code: Option<String>,
    /// The device's text, or ours where the line failed.
    pub text: String,
    /// Tries left, where a password was refused and the device says so.
    pub tries_left: Option<u8>,
}

impl DiskError {
    /// The dialect or the device cannot do this. Nothing was sent.
    pub fn unsupported(text: impl Into<String>) -> DiskError {
        DiskError { class: DeviceClass::Unsupported, code: None, text: text.into(), tries_left: None }
    }
}

/// Who the disk is and what it is licensed for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The number inside the disk: its identity (I7).
    pub disk: DiskNumber,
    /// The taxpayer that the disk was issued to.
    pub taxpayer: TaxpayerNumber,
    /// His name, as the disk writes it on every invoice.
    pub taxpayer_name: String,
    /// Licensed kinds. A kind that is not listed is unsupported.
    pub kinds: Vec<InvoiceKind>,
    /// The disk's clock, `yyyyMMddHHmmss`, where it tells.
    pub clock: Option<String>,
    /// Version text of the disk.
    pub version: String,
}

impl Identity {
    /// What no decoder takes. The name goes onto every invoice: it is never guessed.
    pub(crate) fn unreadable(&self) -> Option<String> {
        let damaged = self.taxpayer_name.contains(char::REPLACEMENT_CHARACTER);
        damaged.then(|| "the taxpayer's name that the disk gives is no text in its character set".to_owned())
    }
}

/// The next pair of a kind and how many blank invoices are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stock {
    /// The pair that the next invoice will get.
    pub current: NumberPair,
    /// Blank invoices left over all segments of this kind, this one included.
    pub remaining: u32,
}

/// Limits and dates of a kind. `None` means that the disk did not tell, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// 开票截止日期 `yyyyMMdd`: issuing stops after this day.
    pub issue_deadline: Option<String>,
    /// 报税起始, 报税终止 as the disk writes them.
    pub period: Option<(String, String)>,
    /// 单张限额.
    pub invoice_limit: Option<Amount>,
    /// 上传截止日: day of the month.
    pub upload_day: Option<u8>,
    /// 离线时长, hours.
    pub offline_hours: Option<u32>,
    /// 离线累计金额上限.
    pub offline_amount: Option<Amount>,
}

/// What was issued while the disk had no network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OfflineTotals {
    /// Invoices that were not uploaded.
    pub count: u32,
    /// Time of the first of them, `yyyyMMddHHmmss`.
    pub first: Option<String>,
    /// Their sum with tax.
    pub sum: Amount,
}

/// Everything that an issuing command needs. The remark that goes to the disk is [`IssueRequest::remark`], not the invoice's.
#[derive(Debug, Clone, Copy)]
pub struct IssueRequest<'a> {
    /// Kind to issue.
    pub kind: InvoiceKind,
    /// The pair that the caller read just before and has journalled. Sent where the dialect can carry it.
    pub expected: NumberPair,
    /// Content, already checked against the disk's [`Capabilities`].
    pub invoice: &'a Invoice,
    /// The remark with our mark in it, exactly as it is to be printed and read back.
    pub remark: &'a str,
    /// Who issues, as the disk knows him.
    pub seller: &'a Identity,
    /// The invoice that this one reverses; `None` for a blue invoice. A red one's amounts are negative.
    pub red: Option<&'a Red>,
    /// The job's serial number: at most 20 letters and digits, which every component takes, and the same for every attempt.
    /// Dialects without such a field ignore it.
    pub request_id: &'a str,
}

/// What a red invoice (红字发票) says of the invoice that it reverses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Red {
    /// The invoice that is reversed.
    pub original: NumberPair,
    /// 信息表编号, which a red special invoice needs.
    pub notice: Option<String>,
}

/// What the device signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signed {
    /// Code and number that the device gave.
    pub pair: NumberPair,
    /// Issued at, disk clock, `yyyyMMddHHmmss`.
    pub issued_at: String,
    /// 税控码 (skm); may be empty.
    pub fiscal_code: String,
    /// 签名; may be empty.
    pub signature: String,
    /// What the device gave for the printed form.
    #[serde(default)]
    pub printed: Printed,
}

/// The answers to an issuing command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueAnswer {
    /// OK. Clean only if the pair is the expected one; the caller compares.
    Signed(Signed),
    /// The command's last byte was not written, and the dialect guarantees that nothing runs before it. Not issued.
    NotSent(DiskError),
    /// The component answered this very command, on an exchange of its own, and refused it for a definite reason: it does not
    /// run any more. Whether it had issued before it refused, only reading proves.
    Refused(DiskError),
    /// Anything else: an error text, silence, a broken answer. Whatever the class, settle by reading.
    InDoubt(DiskError),
}

impl IssueAnswer {
    /// A refusal of a component that is synchronous and answers each document on its own exchange
    /// (device-xml-and-usb.md, A.1, B.1). Where its reason leaves open what the device did, or says that it is still at work,
    /// it is doubt.
    pub fn refused_by_component(error: DiskError) -> IssueAnswer {
        match error.class {
            DeviceClass::InProgress | DeviceClass::Duplicate | DeviceClass::DeviceFault | DeviceClass::Link => {
                IssueAnswer::InDoubt(error)
            }
            _ => IssueAnswer::Refused(error),
        }
    }
}

/// Status of a number that was consumed (fpzt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberStatus {
    /// 0: a positive invoice.
    Positive,
    /// 1: a red invoice.
    Negative,
    /// 2: voided blank.
    BlankVoid,
    /// 3: a positive invoice that was voided.
    PositiveVoid,
    /// 4: a red invoice that was voided.
    NegativeVoid,
}

/// One line as the disk gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FoundLine {
    /// Item name.
    pub name: String,
    /// Price, as text of the device.
    pub price: String,
    /// Quantity, as text of the device.
    pub quantity: String,
    /// Net amount.
    pub net: Amount,
    /// Rate, as text of the device.
    pub rate: String,
    /// Tax.
    pub tax: Amount,
    /// 规格型号; empty where the dialect has no such field.
    #[serde(default)]
    pub specification: String,
    /// 单位; empty where the dialect has no such field.
    #[serde(default)]
    pub unit: String,
    /// 商品编码; empty where the dialect has no such field.
    #[serde(default)]
    pub goods_code: String,
    /// 发票行性质 (fphxz), as text of the device; empty where the dialect has no such field.
    #[serde(default)]
    pub nature: String,
}

/// An invoice read back from the disk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FoundInvoice {
    /// Its identity.
    pub pair: NumberPair,
    /// What became of the number.
    pub status: NumberStatus,
    /// Issued at, disk clock, `yyyyMMddHHmmss`; empty on voided blanks.
    pub issued_at: String,
    /// 税控码.
    pub fiscal_code: String,
    /// Buyer's name.
    pub buyer_name: String,
    /// Buyer's number as the disk keeps it (fifteen zeros for a person on ZC).
    pub buyer_number: String,
    /// Lines.
    pub lines: Vec<FoundLine>,
    /// Sum without tax.
    pub net: Amount,
    /// Sum of tax.
    pub tax: Amount,
    /// Net and tax.
    pub gross: Amount,
    /// Remark as it was stored, our mark in it if it is ours.
    pub remark: String,
    /// Operator.
    pub clerk: String,
    /// Voided at, where it was.
    pub voided_at: Option<String>,
    /// Signature; may be empty.
    pub signature: String,
    /// What the device gives for the printed form. No comparison reads it.
    #[serde(default)]
    pub printed: Printed,
    /// The invoice that a red one reverses, where the dialect tells.
    #[serde(default)]
    pub original: Option<NumberPair>,
    /// The request that it was issued for, where the component keeps it ([`IssueRequest::request_id`]).
    #[serde(default)]
    pub request_id: Option<String>,
    /// Buyer's address and telephone; empty where the dialect has no such field.
    #[serde(default)]
    pub buyer_address_phone: String,
    /// Buyer's bank and account; empty where the dialect has no such field.
    #[serde(default)]
    pub buyer_bank_account: String,
}

impl FoundInvoice {
    /// What no decoder takes. Our mark may have stood there: taken for a foreign invoice it would be issued again. Half a
    /// character at the end of a field is no damage: other programs cut their texts, and ours fit.
    pub(crate) fn unreadable(&self) -> Option<String> {
        let damaged = |text: &str| {
            let cut = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(text);
            cut.contains(char::REPLACEMENT_CHARACTER)
        };
        let texts = [("remark", &self.remark), ("buyer's name", &self.buyer_name), ("clerk", &self.clerk)];
        let lines = self.lines.iter().map(|line| ("item name", &line.name));
        let (field, _) = texts.into_iter().chain(lines).find(|(_, text)| damaged(text))?;
        Some(format!("the {field} of {} reads as no text in the disk's character set: whose it is cannot be told", self.pair))
    }
}

/// One piece of stock: a roll, a box, or a range that was distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Segment {
    /// Code of all its numbers.
    pub code: InvoiceCode,
    /// First number of the segment as it was bought.
    pub first: InvoiceNumber,
    /// Last number.
    pub last: InvoiceNumber,
    /// Blanks left in it.
    pub remaining: u32,
}

/// A question for more than one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search<'a> {
    /// What was issued for this request. An empty answer says that the component never issued it: a dialect gives one only
    /// where its query by request was proven on a known invoice, and an error otherwise.
    Request(&'a str),
    /// The invoice that was issued last.
    Last,
    /// Every consumed number of a code from the first to the last, both included.
    Range(InvoiceCode, InvoiceNumber, InvoiceNumber),
}

/// How a found invoice compares with what was sent, through the dialect's own normalisation (devices rewrite empty numbers,
/// units, decimals).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Kind, buyer, lines, totals and remark are what was sent. Whether that is proof is for the caller (I10).
    Equal,
    /// These fields differ.
    Different(Vec<&'static str>),
}

/// A tax disk behind a dialect and a transport. All calls block; each ends within the dialect's stated times.
///
/// A driver that has not heard the end of an older command brings its line to a known state by itself, as [`Self::resync`]
/// does, before it sends anything else; a new driver begins in that state, because the program before it may have been
/// ended in the middle of a command. So a late answer is never taken for that of another command.
pub trait TaxDisk: Send {
    /// What the disk can express. [`Self::identity`] may change it, where it proves what the disk can do; nothing else does.
    fn capabilities(&self) -> &Capabilities;

    /// When nothing older can still run on the device.
    fn fence(&self) -> Fence;

    /// Name of the dialect, as in profiles (`zc`).
    fn dialect(&self) -> &'static str;

    /// The longest that any call below takes when the device answers as slowly as it may. Whoever waits for a call waits at
    /// least so long, or takes a device that is slow for one that hangs. Zero: nothing is known beyond the caller's own limits.
    fn longest_call(&self) -> Duration {
        Duration::ZERO
    }

    /// Brings a line in doubt back to a known state: waits out the dialect's silence time, drops input, and needs a good
    /// handshake. After an `Ok` on an [`Fence::Ordered`] line nothing that was sent before can still run.
    ///
    /// # Errors
    /// The line does not answer as it should; the state stays in doubt.
    fn resync(&mut self) -> Result<(), DiskError>;

    /// A cheap round trip that changes nothing.
    ///
    /// # Errors
    /// As the device or the line says.
    fn handshake(&mut self) -> Result<(), DiskError>;

    /// Who the disk is. Carries a password on some dialects: a `BadPassword` must stop every further call that does.
    ///
    /// # Errors
    /// As the device or the line says.
    fn identity(&mut self) -> Result<Identity, DiskError>;

    /// The next pair of a kind, and what is left. `NoStock` here means that the last number was consumed.
    ///
    /// # Errors
    /// As the device or the line says.
    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError>;

    /// Limits and dates of a kind.
    ///
    /// # Errors
    /// As the device or the line says.
    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError>;

    /// Invoices that wait for upload.
    ///
    /// # Errors
    /// As the device or the line says.
    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError>;

    /// Issues one invoice. The caller has journalled the expected pair before this call. Sends the command at most once.
    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer;

    /// Reads one number. `Ok(None)` only if the device itself says that it has no such invoice; a failing query is an error.
    ///
    /// # Errors
    /// As the device or the line says. An error is never "absent".
    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError>;

    /// Finds numbers otherwise than by their pair. Reads only.
    ///
    /// # Errors
    /// As the device or the line says; `Unsupported` where the dialect has no such question. An error is never "absent".
    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        let _ = (kind, search);
        Err(DiskError::unsupported("this device cannot be asked for it: ask by code and number"))
    }

    /// The stock of a kind, segment by segment, the current one first.
    ///
    /// # Errors
    /// As the device or the line says; `Unsupported` where the device tells no more than [`Self::stock`].
    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        let _ = kind;
        Err(DiskError::unsupported("this device does not tell its segments"))
    }

    /// Does one of the other changing things, such as a void or a period report. The caller has journalled it before this
    /// call. Sends the command at most once; only a read proves what came of it.
    ///
    /// [`Capabilities::operations`] says what the dialect can do; the rest is [`OperationAnswer::NotSent`] with
    /// `Unsupported`.
    fn operate(&mut self, operation: &Operation) -> OperationAnswer;

    /// The passwords that a good [`Self::identity`] proves to be right. Empty: it carries none that the device checks.
    fn identity_proves(&self) -> &'static [PasswordKind] {
        &[]
    }

    /// Compares what was read with what was sent, field by field, as this dialect would have written it.
    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn damaged_text_is_no_evidence_and_half_a_character_at_the_end_is_no_damage() {
        let found = |remark: &str, item: &str| FoundInvoice {
            pair: NumberPair { code: "011002000107".parse().unwrap(), number: "00000088".parse().unwrap() },
            status: NumberStatus::Positive,
            issued_at: String::new(),
            fiscal_code: String::new(),
            buyer_name: "测试买方".to_owned(),
            buyer_number: String::new(),
            lines: vec![FoundLine { name: item.to_owned(), ..FoundLine::default() }],
            net: Amount::ZERO,
            tax: Amount::ZERO,
            gross: Amount::ZERO,
            remark: remark.to_owned(),
            clerk: String::new(),
            voided_at: None,
            signature: String::new(),
            printed: Printed::default(),
            original: None,
            request_id: None,
            buyer_address_phone: String::new(),
            buyer_bank_account: String::new(),
        };
        assert_eq!(found("订单 #ABC", "打印纸").unreadable(), None);
        assert_eq!(found("别人的很长的备\u{FFFD}", "打印\u{FFFD}").unreadable(), None);
        assert!(found("订单 \u{FFFD}ABC", "打印纸").unreadable().unwrap().contains("remark"));
        assert!(found("", "打\u{FFFD}纸").unreadable().unwrap().contains("item name"));
    }
}
