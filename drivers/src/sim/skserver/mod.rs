//! The device side of the tax-control server SKServer: one XML document in, one out, without I/O. Read [`answer`].
//!
//! device-xml-and-usb.md, part B. Unlike the disk's component it takes a request serial (fpqqlsh), but no official text says
//! what it does with a repeated one, nor what cxfs 1 of a query means: both are options here, and the default of a repeat is
//! the dangerous one. It neither waits nor fails on purpose; the door in front of it does ([`crate::sim::component`]).

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use self::tests::{document as sample_document, order as sample_order};

use serde::{Deserialize, Serialize};

use super::disk::{Secret, SimDisk};
use super::issue::{IssueOrder, Saving};
use super::markup::{Element, Encoding, Markup};
use super::nisec::{
    CodePlace, Failure, Wanted, check_code, qr_text, read_kind, read_order, void, write_entries, write_limits, write_segments,
    write_stock,
};
use super::refusal::WRONG_TAXPAYER;

/// What cxfs 1 of 10010 means (B.4): a property of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CxfsOne {
    /// A period, from and to.
    #[default]
    Dates,
    /// A request serial.
    Request,
}

/// What a 10008 with an fpqqlsh that was issued before does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeated {
    /// A second invoice.
    #[default]
    IssuesAgain,
    /// −10324.
    RefusesDuplicate,
    /// −10326, for as long as it is asked.
    InProgress,
}

/// How a particular server behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkServerOptions {
    /// kpzdbs that names this disk; absent = any.
    pub terminal: Option<String>,
    /// Meaning of cxfs 1.
    pub cxfs_one: CxfsOne,
    /// A repeated fpqqlsh.
    pub repeated: Repeated,
    /// What answers declare and are written in.
    pub encoding: Encoding,
    /// Where the disk's code stands when it refuses.
    pub code_in: CodePlace,
    /// A query that finds nothing says count 0 with returncode 0; else 09D106.
    pub empty_is_count_zero: bool,
}

impl Default for SkServerOptions {
    fn default() -> Self {
        SkServerOptions {
            terminal: None,
            cxfs_one: CxfsOne::Dates,
            repeated: Repeated::IssuesAgain,
            encoding: Encoding::Gbk,
            code_in: CodePlace::Message,
            empty_is_count_zero: false,
        }
    }
}

/// Names of the business ids, for the comment.
const COMMENTS: [(&str, &str); 8] = [
    ("10002", "监控管理数据查询"),
    ("10004", "查询当前未开票号"),
    ("10005", "领购信息查询"),
    ("10008", "发票开具"),
    ("10009", "发票作废"),
    ("10010", "发票查询"),
    ("20001", "参数设置"),
    ("20002", "税控钥匙信息查询"),
];

/// Answers one document, the server's whole work. Never panics, whatever the bytes; what it changed is durable on return.
pub fn answer(disk: &mut SimDisk, document: &[u8], options: &SkServerOptions) -> Vec<u8> {
    let request = Request::read(document);
    let id = request.as_ref().map_or("", |request| &request.id).to_owned();
    let outcome = request.and_then(|request| request.execute(disk, options));
    let comment = COMMENTS.iter().find(|(known, _)| *known == id).map_or("", |(_, comment)| comment);
    let mut markup = Markup::default();
    markup.open_all("business", &[("id", &id), ("comment", comment)]).open_with("body", "yylxdm", 1);
    match outcome {
        Ok(data) => {
            markup.field("returncode", 0).field("returnmsg", "成功").open("returndata").raw(data).close("returndata");
        }
        Err(failure) => {
            let (code, message) = failure.words(options.code_in);
            markup.field("returncode", code).field("returnmsg", message);
        }
    }
    markup.close("body").close("business").document(options.encoding, options.encoding)
}

/// Whether a document may change the disk: 10006 to 10009 and everything unknown. One that cannot be read changes nothing.
pub fn is_changing(document: &[u8]) -> bool {
    const READING: [&str; 7] = ["10002", "10004", "10005", "10010", "20002", "11001", "11012"];
    Request::read(document).is_ok_and(|request| !READING.contains(&request.id.as_str()))
}

/// The business id of a document; `None` if it cannot be read.
pub fn business_id(document: &[u8]) -> Option<String> {
    Request::read(document).ok().map(|request| request.id)
}

/// What a 10008 would issue; `None` for every other document.
pub(super) fn order_of(document: &[u8], disk: &SimDisk) -> Option<IssueOrder> {
    let request = Request::read(document).ok().filter(|request| request.id == "10008")?;
    read_order(&request.form, disk).ok()
}

struct Request {
    id: String,
    form: Element,
}

impl Request {
    fn read(document: &[u8]) -> Result<Request, Failure> {
        let root = Element::parse(document).map_err(|malformed| Failure::parameter(malformed.to_string()))?;
        let form = root.child("body").filter(|_| root.name == "business");
        let form = form.ok_or_else(|| Failure::parameter("接口报文格式错误"))?.clone();
        Ok(Request { id: root.attribute("id").to_owned(), form })
    }

    fn execute(&self, disk: &mut SimDisk, options: &SkServerOptions) -> Result<Markup, Failure> {
        let mut markup = Markup::default();
        if let "20001" | "20002" = self.id.as_str() {
            let checked = disk.check_secret(Secret::Certificate, self.form.text("keypwd"));
            checked.map_err(|refusal| Failure::of(&refusal, disk))?;
            if self.id == "20002" {
                markup.field("nsrsbh", &disk.config().taxpayer_number).field("keyno", &disk.config().disk_number);
            }
            return Ok(markup);
        }
        if options.terminal.as_deref().is_some_and(|terminal| terminal != self.form.text("kpzdbs")) {
            return Err(Failure::new("09c000", "税控设备未打开"));
        }
        match self.id.as_str() {
            "10002" => write_limits(&mut markup, read_kind(&self.form, disk)?, disk),
            "10004" => {
                let kind = read_kind(&self.form, disk)?;
                let level = disk.stock(kind).map_err(|refusal| Failure::of(&refusal, disk))?;
                markup.field("dqfpdm", level.current.code).field("dqfphm", level.current.number);
            }
            "10005" => {
                let kind = read_kind(&self.form, disk)?;
                write_stock(&mut markup, kind, disk)?;
                write_segments(&mut markup, "lgxx", kind, disk);
            }
            "10008" => self.issue(&mut markup, disk, options)?,
            "10009" => {
                let (pair, time) = void(&self.form, disk, None)?;
                markup.field("fpdm", pair.code).field("fphm", pair.number).field("zfrq", time);
            }
            "10010" => self.query(&mut markup, disk, options)?,
            _ => return Err(Failure::illegal_command()),
        }
        Ok(markup)
    }

    fn issue(&self, markup: &mut Markup, disk: &mut SimDisk, options: &SkServerOptions) -> Result<(), Failure> {
        let seller = self.form.text("xhdwsbh");
        if !seller.is_empty() && seller != disk.config().taxpayer_number {
            return Err(Failure::of(&WRONG_TAXPAYER, disk));
        }
        let order = read_order(&self.form, disk)?;
        let request_id = &order.details.request_id;
        if request_id.is_empty() {
            return Err(Failure::parameter("发票请求流水号为空"));
        }
        if disk.issued_for(order.kind, request_id).next().is_some() {
            match options.repeated {
                Repeated::IssuesAgain => {}
                Repeated::RefusesDuplicate => return Err(Failure::new("-10324", "该流水号已开具发票")),
                Repeated::InProgress => return Err(Failure::new("-10326", "该流水号正在开具")),
            }
        }
        // The server holds the certificate's password since 20001.
        let entry = disk.issue(&order, None, Saving::Done).map_err(|refusal| Failure::of(&refusal, disk))?;
        markup
            .field("fpdm", entry.code)
            .field("fphm", entry.number)
            .field("kprq", entry.time)
            .field("skm", &entry.fiscal_code)
            .field("jym", check_code(&entry))
            .field("ewm", qr_text(&entry));
        Ok(())
    }

    fn query(&self, markup: &mut Markup, disk: &SimDisk, options: &SkServerOptions) -> Result<(), Failure> {
        let kind = read_kind(&self.form, disk)?;
        let condition = self.form.text("cxtj");
        let wanted = match (self.form.text("cxfs"), options.cxfs_one) {
            ("0", _) => Wanted::numbers(condition)?,
            // The trap of B.4: a serial that reads as no period is answered like a period in which nothing was issued.
            ("1", CxfsOne::Dates) => Wanted::days(condition).unwrap_or_else(|_| Wanted::Days(String::new(), String::new())),
            ("1", CxfsOne::Request) => Wanted::Request(condition.to_owned()),
            _ => return Err(Failure::parameter("查询方式错误")),
        };
        let found = wanted.find(kind, disk)?;
        if found.is_empty() && !options.empty_is_count_zero {
            return Err(Failure::no_data());
        }
        write_entries(markup, "kpxx", &found, disk);
        Ok(())
    }
}
