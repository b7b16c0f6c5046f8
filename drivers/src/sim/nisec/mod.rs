//! The device side of the disk component NISEC_SKSC(X): one XML document in, one out, without I/O. Read [`answer`].
//!
//! device-xml-and-usb.md, part A. The component knows no request serials: the same document twice is two invoices. It
//! neither waits nor fails on purpose; the doors in front of it do ([`crate::sim::component`]). Printing, margins and the
//! reporting disk's business ids are refused as illegal commands (092000), with nothing done.

mod failure;
mod invoice;
mod queries;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use self::tests::{disk as sim_disk, fpkj_sample, gbk as to_gbk};

pub(super) use self::failure::Failure;
pub(super) use self::invoice::{Wanted, check_code, qr_text, read_kind, read_order, read_pair, write_entries};
pub(super) use self::queries::{write_limits, write_segments, write_stock};

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

pub use self::failure::CodePlace;
use super::disk::{Access, Secret, SimDisk};
use super::issue::{IssueOrder, Saving};
use super::ledger::Origin;
use super::markup::{Element, Encoding, Markup};
use super::refusal::{Refusal, VOID_SUM_DIFFERS, WRONG_TAXPAYER, WRONG_VOID};

/// How a particular component answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NisecOptions {
    /// Zeros of a good returncode: 1 or 8; absent = 8 for information queries and 1 for issue, void and query.
    pub zeros: Option<u8>,
    /// Where the disk's code stands when it refuses.
    pub code_in: CodePlace,
    /// A query that finds nothing says count 0 with a good returncode; else 09d106.
    pub empty_is_count_zero: bool,
    /// What answers declare and are written in.
    pub encoding: Encoding,
    /// FPKJ must name the pair that the host expects (`dqfpdm`, `dqfphm` after `qmcs`), as over USB.
    pub expected_pair_required: bool,
}

/// Answers one document, the component's whole work. Never panics, whatever the bytes; what it changed is durable on return.
///
/// With `expected_pair_required` an FPKJ must carry `dqfpdm` and `dqfphm` after `qmcs` (092400 otherwise); if they are not
/// the disk's current pair, nothing is issued and the answer's returncode is `10315`. This is what command 7E over USB asks
/// for (C.4). Without it the two are still obeyed where they are given.
pub fn answer(disk: &mut SimDisk, document: &[u8], expected_pair_required: bool) -> Vec<u8> {
    answer_with(disk, document, &NisecOptions { expected_pair_required, ..NisecOptions::default() })
}

/// As [`answer`], for a component of another make.
pub fn answer_with(disk: &mut SimDisk, document: &[u8], options: &NisecOptions) -> Vec<u8> {
    let request = Request::read(document);
    let id = request.as_ref().map_or("", |request| &request.id).to_owned();
    let outcome = request.and_then(|request| request.execute(disk, options));
    write_answer(&id, outcome, options)
}

/// The answer to a document that the disk refuses for a reason from outside (a fault on demand).
pub(super) fn refuse(disk: &SimDisk, document: &[u8], refusal: &Refusal) -> Vec<u8> {
    let id = business_id(document).unwrap_or_default();
    write_answer(&id, Err(Failure::of(refusal, disk)), &NisecOptions::default())
}

/// Whether a document may change the disk: everything but the known queries. A document that cannot be read changes nothing.
pub fn is_changing(document: &[u8]) -> bool {
    const READING: [&str; 6] = ["SKPXXCX", "JKSJCX", "SZSMCX", "GPXXCX", "FPCX", "BSPXXCX"];
    Request::read(document).is_ok_and(|request| !READING.contains(&request.id.as_str()))
}

/// The business id of a document; `None` if it cannot be read.
pub fn business_id(document: &[u8]) -> Option<String> {
    Request::read(document).ok().map(|request| request.id)
}

/// What an FPKJ would issue; `None` for every other document. For another program that issues the same first.
pub(super) fn order_of(document: &[u8], disk: &SimDisk) -> Option<IssueOrder> {
    let request = Request::read(document).ok().filter(|request| request.id == "FPKJ")?;
    read_order(&request.form, disk).ok()
}

struct Request {
    id: String,
    form: Element,
}

impl Request {
    fn read(document: &[u8]) -> Result<Request, Failure> {
        let root = Element::parse(document).map_err(|malformed| Failure::parameter(malformed.to_string()))?;
        let form = root.child("body").filter(|_| root.name == "business").and_then(|body| body.child("input"));
        let form = form.ok_or_else(|| Failure::parameter("接口报文格式错误"))?.clone();
        Ok(Request { id: root.attribute("id").to_owned(), form })
    }

    fn execute(&self, disk: &mut SimDisk, options: &NisecOptions) -> Result<Markup, Failure> {
        match self.id.as_str() {
            "SKPXXCX" => self.disk_information(disk),
            "JKSJCX" => self.of_a_kind(disk, |markup, kind, disk| {
                write_limits(markup, kind, disk);
                Ok(())
            }),
            "SZSMCX" => self.of_a_kind(disk, |markup, kind, disk| {
                queries::write_rates(markup, kind, disk);
                Ok(())
            }),
            "GPXXCX" => self.of_a_kind(disk, |markup, kind, disk| {
                write_stock(markup.field("fplxdm", kind), kind, disk)?;
                write_segments(markup, "fpdxx", kind, disk);
                Ok(())
            }),
            "FPKJ" => self.issue(disk, options),
            "FPZF" => self.void(disk),
            "FPCX" => self.query(disk, options),
            _ => Err(Failure::illegal_command()),
        }
    }

    /// Checks skpbh, skpkl and, where the command has them, nsrsbh and keypwd.
    fn admit(&self, disk: &mut SimDisk, with_certificate: bool) -> Result<(), Failure> {
        let given = |name: &str| Some(self.form.text(name)).filter(|text| !text.is_empty());
        let access =
            Access { taxpayer: given("nsrsbh"), disk: given("skpbh"), password: Some(self.form.text("skpkl")), machine: None };
        let admitted = disk.admit(access).and_then(|()| {
            if with_certificate { disk.check_secret(Secret::Certificate, self.form.text("keypwd")) } else { Ok(()) }
        });
        admitted.map_err(|refusal| Failure::of(&refusal, disk))
    }

    fn of_a_kind(
        &self,
        disk: &mut SimDisk,
        write: impl FnOnce(&mut Markup, InvoiceKind, &SimDisk) -> Result<(), Failure>,
    ) -> Result<Markup, Failure> {
        self.admit(disk, true)?;
        let kind = read_kind(&self.form, disk)?;
        let mut markup = Markup::default();
        write(&mut markup, kind, disk)?;
        Ok(markup)
    }

    fn disk_information(&self, disk: &mut SimDisk) -> Result<Markup, Failure> {
        self.admit(disk, false)?;
        let mut markup = Markup::default();
        queries::write_information(&mut markup, disk);
        Ok(markup)
    }

    fn issue(&self, disk: &mut SimDisk, options: &NisecOptions) -> Result<Markup, Failure> {
        self.admit(disk, false)?;
        let seller = self.form.text("xhdwsbh");
        if seller != disk.config().taxpayer_number {
            return Err(Failure::of(&WRONG_TAXPAYER, disk));
        }
        let order = read_order(&self.form, disk)?;
        if let Some(expected) = self.expected_pair(options)? {
            // Checked before the wish itself, so that a moved pair never looks like a refused invoice.
            let current = disk.stock(order.kind).map_err(|refusal| Failure::of(&refusal, disk))?.current;
            if current != expected {
                return Err(Failure::other_pair());
            }
        }
        let entry = disk.issue(&order, Some(self.form.text("keypwd")), Saving::Done);
        let entry = entry.map_err(|refusal| Failure::of(&refusal, disk))?;
        let mut markup = Markup::default();
        markup
            .field("fplxdm", entry.kind)
            .field("fpdm", entry.code)
            .field("fphm", entry.number)
            .field("kprq", entry.time)
            .field("hjje", entry.net)
            .field("skm", &entry.fiscal_code)
            .field("jym", check_code(&entry));
        Ok(markup)
    }

    fn expected_pair(&self, options: &NisecOptions) -> Result<Option<NumberPair>, Failure> {
        match (self.form.text("dqfpdm"), self.form.text("dqfphm")) {
            ("", "") if options.expected_pair_required => Err(Failure::parameter("缺少当前发票代码号码")),
            ("", "") => Ok(None),
            (code, number) => read_pair(code, number).map(Some),
        }
    }

    fn void(&self, disk: &mut SimDisk) -> Result<Markup, Failure> {
        self.admit(disk, false)?;
        let certificate = Some(self.form.text("keypwd"));
        let (pair, time) = void(&self.form, disk, certificate)?;
        let mut markup = Markup::default();
        markup.field("fplxdm", self.form.text("fplxdm")).field("fpdm", pair.code).field("fphm", pair.number);
        markup.field("zfrq", time);
        Ok(markup)
    }

    fn query(&self, disk: &mut SimDisk, options: &NisecOptions) -> Result<Markup, Failure> {
        self.admit(disk, true)?;
        let kind = read_kind(&self.form, disk)?;
        let condition = self.form.text("cxtj");
        let wanted = match self.form.text("cxfs") {
            "0" => Wanted::numbers(condition)?,
            "1" => Wanted::days(condition)?,
            _ => return Err(Failure::parameter("查询方式错误")),
        };
        let mut found = wanted.find(kind, disk)?;
        match self.form.text("cxlx") {
            "" | "0" => {}
            "1" => found.retain(|entry| !disk.is_uploaded(entry)),
            _ => return Err(Failure::parameter("查询类型错误")),
        }
        if found.is_empty() && !options.empty_is_count_zero {
            return Err(Failure::no_data());
        }
        let mut markup = Markup::default();
        markup.field("fplxdm", kind);
        write_entries(&mut markup, "fpxx", &found, disk);
        Ok(markup)
    }
}

/// FPZF and 10009: zflx, fpdm, fphm, hjje, zfr. A blank void takes the current number, whatever the request names.
pub(super) fn void(
    form: &Element,
    disk: &mut SimDisk,
    certificate: Option<&str>,
) -> Result<(NumberPair, super::clock::Stamp), Failure> {
    let kind = read_kind(form, disk)?;
    let operator = form.text("zfr");
    let voided = match form.text("zflx") {
        "0" => disk.void_blank(kind, operator, certificate, Saving::Done).map(|entry| (entry.pair(), entry.time)),
        "1" => {
            let pair = read_pair(form.text("fpdm"), form.text("fphm"))?;
            let given = form.text("hjje");
            let differs = |disk: &SimDisk| -> Result<(), Refusal> {
                let entry = disk.query(kind, pair)?;
                let same = given.is_empty() || given.parse().is_ok_and(|sum: taxdisk_protocol::money::Amount| sum == entry.net);
                if same { Ok(()) } else { Err(VOID_SUM_DIFFERS) }
            };
            differs(disk)
                .and_then(|()| disk.void_issued(kind, pair, operator, certificate, Origin::Host))
                .map(|mark| (pair, mark.time))
        }
        _ => Err(WRONG_VOID),
    };
    voided.map_err(|refusal| Failure::of(&refusal, disk))
}

/// Names of the business ids, for the comment.
const COMMENTS: [(&str, &str); 7] = [
    ("SKPXXCX", "税控盘信息查询"),
    ("JKSJCX", "监控数据查询"),
    ("SZSMCX", "税种税目查询"),
    ("GPXXCX", "购票信息查询"),
    ("FPKJ", "发票开具"),
    ("FPZF", "发票作废"),
    ("FPCX", "发票查询"),
];

fn write_answer(id: &str, outcome: Result<Markup, Failure>, options: &NisecOptions) -> Vec<u8> {
    let comment = COMMENTS.iter().find(|(known, _)| *known == id).map_or("", |(_, comment)| comment);
    let information = matches!(id, "SKPXXCX" | "JKSJCX" | "SZSMCX" | "GPXXCX");
    let zeros = options.zeros.unwrap_or(if information { 8 } else { 1 });
    let (fields, (code, message)) = match outcome {
        Ok(fields) => (fields, ("0".repeat(usize::from(zeros.max(1))), "成功".to_owned())),
        Err(failure) => (Markup::default(), failure.words(options.code_in)),
    };
    let mut markup = Markup::default();
    markup
        .open_all("business", &[("comment", comment), ("id", id)])
        .open_with("body", "yylxdm", 1)
        .open("output")
        .raw(fields)
        .field("returncode", code)
        .field("returnmsg", message)
        .close("output")
        .close("body")
        .close("business");
    markup.document(options.encoding, options.encoding)
}
