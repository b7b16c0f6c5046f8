//! The changing commands: sent once, and a doubt settled by what the card itself shows (part D.2 and D.4).
//!
//! The day record is read just before a command. An answer that was got again counts only if the record then shows this
//! number and that fiscal code. With no usable answer the record decides: this number, one invoice more, and exactly these
//! amounts more mean issued. Everything else stays in doubt; "the record did not move" is told, but it is for the agent to
//! conclude from its own readings.

use jiff::civil::Date;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::apdu::issue::{Invoice, Type};
use super::apdu::{Command, declare, issue};
use super::content::bcd;
use super::disk::CardDisk;
use super::errors::{is_good, own_error, refused};
use super::files::{DECLARATION, DayRecord, Declaration, date_text};
use super::frame::RequestType;
use super::link::GetAgain;
use crate::disk::{DiskError, NumberStatus};
use crate::operation::OperationAnswer;
use crate::transport::ByteLine;

/// What F2 came to.
pub(super) enum Outcome {
    /// Issued, or spoiled, with this fiscal code.
    Done([u8; 8]),
    /// Not a byte was written.
    NotSent(DiskError),
    /// Everything else.
    InDoubt(DiskError),
}

/// What a changing command brought back.
enum Sent {
    /// A good answer that came by itself.
    Answer(Vec<u8>),
    /// A good answer that was got again.
    Again(Vec<u8>),
    /// A refusal that came by itself: it answers this command.
    Refused(DiskError),
    /// Nothing that can be used.
    Lost(DiskError),
    /// Not a byte was written.
    NotBegun(DiskError),
}

impl<L: ByteLine> CardDisk<L> {
    /// Sends F2, once, and finds out what became of it.
    pub(super) fn issue_once(&mut self, invoice: &Invoice, before: &DayRecord) -> Outcome {
        let Some(command) = issue::request(invoice) else {
            return Outcome::NotSent(own_error(DeviceClass::InvalidRequest, "more tax indexes than the card takes"));
        };
        let (claimed, error) = match self.send(&command) {
            Sent::NotBegun(error) => return Outcome::NotSent(error),
            Sent::Refused(error) => return Outcome::InDoubt(error),
            Sent::Answer(data) => match data.try_into() {
                Ok(code) => return Outcome::Done(code),
                Err(_) => (None, own_error(DeviceClass::DeviceFault, "the card's answer has no fiscal code")),
            },
            Sent::Again(data) => {
                let text = "the card's answer was lost, and what was got again is not what the card's record shows";
                (data.try_into().ok(), own_error(DeviceClass::Link, text))
            }
            Sent::Lost(error) => (None, error),
        };
        // The record may not be readable now, or be that of another card: then the doubt stays, with the first reason.
        let after = self.verify().and_then(|_| self.day_record());
        let Ok(after) = after else { return Outcome::InDoubt(error) };
        let code: Option<[u8; 8]> = claimed;
        match code {
            Some(code) if after.previous == invoice.number && after.fiscal_code == code => Outcome::Done(code),
            Some(_) => Outcome::InDoubt(error),
            None if shows(before, &after, invoice) => Outcome::Done(after.fiscal_code),
            None if after == *before => {
                let text = format!("{}; the card's record did not move", error.text);
                Outcome::InDoubt(DiskError { text, ..error })
            }
            None => Outcome::InDoubt(error),
        }
    }

    /// 03 of F2: gives up the current number.
    pub(super) fn spoil(&mut self, kind: InvoiceKind, expected: NumberPair) -> OperationAnswer {
        let before = match self.prepare(kind, expected) {
            Ok(day) => day,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        let date = bcd((self.config.today)());
        let number = expected.number.value();
        let spoiled = Invoice { date, kind: Type::Spoiled, number, amounts: Vec::new(), total: 0 };
        match self.issue_once(&spoiled, &before) {
            Outcome::Done(_) => {
                self.last = Some((number, NumberStatus::BlankVoid));
                OperationAnswer::Done { pair: Some(expected), at: date_text(date).map(|date| date + "000000") }
            }
            Outcome::NotSent(error) => OperationAnswer::NotSent(error),
            Outcome::InDoubt(error) => OperationAnswer::InDoubt(error),
        }
    }

    /// F4: declares from the day after the last declaration to the day of the record, with the record's sums.
    pub(super) fn declare(&mut self) -> OperationAnswer {
        let read = self.file(DECLARATION, Declaration::read).and_then(|last| Ok((last, self.day_record()?)));
        let (last, day) = match read {
            Ok(both) => both,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        let start = match period_start(&last, &day) {
            Some(start) => start,
            None => {
                let text = "the card's last declaration reaches to this day or beyond: nothing was sent";
                return OperationAnswer::NotSent(own_error(DeviceClass::Duplicate, text));
            }
        };
        let period = declare::Period::of(start, &day);
        let error = match self.send(&declare::request(&period)) {
            Sent::NotBegun(error) => return OperationAnswer::NotSent(error),
            Sent::Refused(error) => return OperationAnswer::InDoubt(error),
            Sent::Answer(data) | Sent::Again(data) if declare::is_whole(&data) => {
                own_error(DeviceClass::DeviceFault, "the card answered, but its last declaration is not this one")
            }
            Sent::Answer(_) | Sent::Again(_) => {
                own_error(DeviceClass::DeviceFault, "the card's answer to the declaration is damaged")
            }
            Sent::Lost(error) => error,
        };
        // The card's own record decides, whatever the answer was.
        match self.verify().and_then(|_| self.file(DECLARATION, Declaration::read)) {
            Ok(now) if now.start == period.start && now.end == period.end && now.counts == period.counts => {
                OperationAnswer::Done { pair: None, at: None }
            }
            _ => OperationAnswer::InDoubt(error),
        }
    }

    /// The only place that sends a changing command.
    fn send(&mut self, command: &Command) -> Sent {
        let reply = match self.link.exchange(RequestType::Apdu, &command.bytes, GetAgain::Twice) {
            Ok(reply) => reply,
            Err(broken) => {
                self.notice(&broken.fault);
                let error = DiskError::from(broken.fault);
                return if broken.begun { Sent::Lost(error) } else { Sent::NotBegun(error) };
            }
        };
        match reply.answer.status {
            Some(status) if is_good(status) && reply.again => Sent::Again(reply.answer.data),
            Some(status) if is_good(status) => Sent::Answer(reply.answer.data),
            Some(status) if !reply.again => Sent::Refused(refused(status, command.instruction())),
            // A refusal that was got again may be that of an older command.
            Some(status) => Sent::Lost(refused(status, command.instruction())),
            None => Sent::Lost(own_error(DeviceClass::DeviceFault, "the card's answer has no status word")),
        }
    }
}

/// The record after it shows this invoice and nothing else: its number, one more of its type, and its amounts.
fn shows(before: &DayRecord, after: &DayRecord, sent: &Invoice) -> bool {
    // On a new day the card begins its record anew.
    let fresh = before.date != after.date;
    let from = |count: u16| if fresh { 0 } else { count };
    let counts =
        |normal: u16, spoiled: u16| (after.normal, after.returned, after.spoiled) == (normal, from(before.returned), spoiled);
    let counted = match sent.kind {
        Type::Normal => counts(from(before.normal).saturating_add(1), from(before.spoiled)),
        Type::Spoiled => counts(from(before.normal), from(before.spoiled).saturating_add(1)),
    };
    let sum = |record: u64| if fresh { 0 } else { record };
    let amounts =
        sent.amounts.iter().all(|(index, fen)| after.normal_of(*index) == sum(before.normal_of(*index)) + u64::from(*fen));
    let total = after.normal_total() == sum(before.normal_total()) + u64::from(sent.total);
    after.previous == sent.number && before.previous != sent.number && counted && amounts && total
}

/// The day after the last declaration; the day of the record when there was none. `None` when nothing is left to declare.
fn period_start(last: &Declaration, day: &DayRecord) -> Option<[u8; 4]> {
    if last.end == [0; 4] {
        return Some(day.date);
    }
    let digits = date_text(last.end)?;
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i16>().ok();
    let date = Date::new(part(0..4)?, i8::try_from(part(4..6)?).ok()?, i8::try_from(part(6..8)?).ok()?).ok()?;
    let start = bcd(date.tomorrow().ok()?);
    // BCD dates are in the order of their bytes.
    (start <= day.date).then_some(start)
}
