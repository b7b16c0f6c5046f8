//! An invoice as components write it: FPKJ's and 10008's fields into an order, a ledger entry into FPCX's and 10010's group.
//! device-xml-and-usb.md, A.4, A.5, B.3.

use rust_decimal::Decimal;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};

use super::failure::{Failure, OVERFLOW};
use crate::sim::details::{Details, Door, EntryLine, LineNature};
use crate::sim::disk::SimDisk;
use crate::sim::issue::IssueOrder;
use crate::sim::ledger::{EntryStatus, LedgerEntry, Origin};
use crate::sim::markup::{Element, Markup};

/// Decimals of a price that the component works out itself.
const PRICE_DECIMALS: u32 = 8;
/// Most invoices in one answer.
const MAX_FOUND: usize = 1000;

/// Reads an order; neither disk nor password is checked here.
pub(crate) fn read_order(form: &Element, disk: &SimDisk) -> Result<IssueOrder, Failure> {
    if !form.fits_gbk() {
        return Err(Failure::parameter("含有税控设备不能保存的字符"));
    }
    let text = |name: &str| form.text(name).to_owned();
    let red = match form.text("kplx") {
        "0" => false,
        "1" => true,
        _ => return Err(Failure::parameter("开票类型错误")),
    };
    let original = match (form.text("yfpdm"), form.text("yfphm")) {
        ("", "") => None,
        (code, number) => Some(read_pair(code, number)?),
    };
    // With a list the lines stand in qdxm, and fyxm may hold the one line that says so, or be empty.
    let list = form.text("qdbz") == "1";
    let source = form.child("qdxm").filter(|found| list && !found.children.is_empty()).or_else(|| form.child("fyxm"));
    let groups = source.map_or(&[][..], |source| &source.children);
    let mut lines = groups.iter().filter(|child| child.name == "group").map(read_line).collect::<Result<Vec<_>, _>>()?;
    // The server has the deduction in the head; an invoice with one has one line.
    let head_deduction = form.text("kce");
    if let Some(line) = lines.first_mut().filter(|_| !matches!(head_deduction, "" | "0" | "0.00")) {
        line.deduction = line.deduction.or(Some(amount(head_deduction)?));
    }
    Ok(IssueOrder {
        kind: read_kind(form, disk)?,
        red,
        buyer_number: text("ghdwsbh"),
        buyer_name: text("ghdwmc"),
        lines,
        net: amount(form.text("hjje"))?,
        tax: amount(form.text("hjse"))?,
        gross: amount(form.text("jshj"))?,
        remark: text("bz"),
        clerk: text("kpr"),
        original,
        origin: Origin::Host,
        door: Door::Component,
        details: Box::new(Details {
            request_id: text("fpqqlsh"),
            special: text("tspz"),
            taxation: text("zsfs"),
            seller_address: text("xhdwdzdh"),
            seller_bank: text("xhdwyhzh"),
            buyer_address: text("ghdwdzdh"),
            buyer_bank: text("ghdwyhzh"),
            payee: text("skr"),
            reviewer: text("fhr"),
            notice: text("tzdbh"),
            list: text("qdbz"),
            code_table: text("bmbbbh"),
            overall_rate: text("zhsl"),
            main_goods: text("zyspmc"),
            month: text("ssyf"),
            machine_index: text("kpjh"),
            signature_parameter: text("qmcs"),
        }),
    })
}

fn read_line(group: &Element) -> Result<EntryLine, Failure> {
    let text = |name: &str| group.text(name).to_owned();
    let (mut net, tax) = (amount(group.text("je"))?, amount(group.text("se"))?);
    let (mut price, mut gross_price) = (text("dj"), String::new());
    let quantity = text("spsl");
    if [&price, &quantity].iter().any(|text| !text.is_empty() && decimal(text).is_none()) {
        return Err(Failure::parameter("单价或数量错误"));
    }
    // Amount and price with tax: the component keeps what it works out, so that a query gives other texts back than were sent.
    if group.text("hsbz") == "1" {
        net = net.checked_sub(tax).ok_or_else(|| Failure::parameter("金额错误"))?;
        gross_price = std::mem::take(&mut price);
        if let Some(count) = decimal(&quantity).filter(|count| !count.is_zero()) {
            let exact = net.decimal().checked_div(count).unwrap_or_default();
            price =
                exact.round_dp_with_strategy(PRICE_DECIMALS, rust_decimal::RoundingStrategy::MidpointAwayFromZero).to_string();
        }
    }
    let deduction = match (group.text("kcje"), group.text("kce")) {
        ("", "") => None,
        ("", text) | (text, _) => Some(amount(text)?),
    };
    Ok(EntryLine {
        name: text("spmc"),
        price,
        quantity,
        net,
        rate: text("sl"),
        tax,
        gross_price,
        gross: net.checked_add(tax).ok_or_else(|| Failure::parameter("金额错误"))?,
        nature: LineNature::of(group.text("fphxz")).ok_or_else(|| Failure::parameter("发票行性质错误"))?,
        specification: text("ggxh"),
        unit: text("dw"),
        goods_code: text("spbm"),
        own_code: text("zxbm"),
        preferential: text("yhzcbs"),
        zero_rate: [group.text("slbs"), group.text("lslbs")].concat(),
        policy: text("zzstsgl"),
        deduction: deduction.filter(|deduction| *deduction != Amount::ZERO),
    })
}

/// The kind of a request, if the disk is licensed for it.
pub(crate) fn read_kind(form: &Element, disk: &SimDisk) -> Result<InvoiceKind, Failure> {
    disk.licensed(form.text("fplxdm")).map_err(|refusal| Failure::of(&refusal, disk))
}

/// Code and number.
pub(crate) fn read_pair(code: &str, number: &str) -> Result<NumberPair, Failure> {
    let illegal = || Failure::new("09d108", "发票代码号码非法");
    Ok(NumberPair { code: code.parse().map_err(|_| illegal())?, number: number.parse().map_err(|_| illegal())? })
}

fn amount(text: &str) -> Result<Amount, Failure> {
    text.parse().map_err(|_| Failure::parameter("金额错误"))
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

/// What a query asks for: cxfs and cxtj, already told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Numbers of a code, both included.
    Numbers(InvoiceCode, InvoiceNumber, InvoiceNumber),
    /// Days `yyyyMMdd`, both included.
    Days(String, String),
    /// What was issued for a request.
    Request(String),
}

impl Wanted {
    /// Code (10 or 12 digits), first and last number.
    pub(crate) fn numbers(cxtj: &str) -> Result<Wanted, Failure> {
        let bad = || Failure::parameter("查询条件错误");
        if !matches!(cxtj.len(), 26 | 28) || !cxtj.is_ascii() {
            return Err(bad());
        }
        let (code, numbers) = cxtj.split_at(cxtj.len() - 16);
        let (first, last) = numbers.split_at(8);
        Ok(Wanted::Numbers(code.parse().map_err(|_| bad())?, first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?))
    }

    /// From and to, yyyyMMdd each.
    pub(crate) fn days(cxtj: &str) -> Result<Wanted, Failure> {
        if cxtj.len() != 16 || !cxtj.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Failure::new("092403", "日期错误"));
        }
        let (from, to) = cxtj.split_at(8);
        Ok(Wanted::Days(from.to_owned(), to.to_owned()))
    }

    fn is(&self, entry: &LedgerEntry) -> bool {
        match self {
            Wanted::Numbers(code, first, last) => entry.code == *code && (*first..=*last).contains(&entry.number),
            Wanted::Days(from, to) => (from..=to).contains(&&entry.time.date()),
            Wanted::Request(id) => !id.is_empty() && entry.details.request_id == *id,
        }
    }

    /// The entries, oldest first.
    pub(crate) fn find<'a>(&self, kind: InvoiceKind, disk: &'a SimDisk) -> Result<Vec<&'a LedgerEntry>, Failure> {
        let entries = disk.ledger().entries().iter().filter(|entry| entry.kind == kind && self.is(entry));
        let found: Vec<_> = entries.take(MAX_FOUND + 1).collect();
        if found.len() > MAX_FOUND { Err(Failure::new(OVERFLOW, "数据溢出")) } else { Ok(found) }
    }
}

/// `name count="n"` with a group for each entry.
pub(crate) fn write_entries(markup: &mut Markup, name: &str, entries: &[&LedgerEntry], disk: &SimDisk) {
    markup.open_with(name, "count", entries.len());
    for (index, entry) in entries.iter().enumerate() {
        markup.open_with("group", "xh", index + 1);
        write_entry(markup, entry, disk);
        markup.close("group");
    }
    markup.close(name);
}

fn write_entry(markup: &mut Markup, entry: &LedgerEntry, disk: &SimDisk) {
    let (config, details) = (disk.config(), &entry.details);
    let issued = Some(entry.time).filter(|_| entry.status != EntryStatus::BlankVoid);
    markup
        .field("fpdm", entry.code)
        .field("fphm", entry.number)
        .field("fpzt", entry.status.code())
        .field("scbz", u8::from(disk.is_uploaded(entry)))
        .maybe("kprq", issued.map(|time| time.date()))
        .maybe("kpsj", issued.map(|time| time.time()))
        .field("tspz", if details.special.is_empty() { "00" } else { &details.special })
        .field("skpbh", &config.disk_number)
        .field("skm", &entry.fiscal_code)
        .field("jym", check_code(entry));
    if !details.request_id.is_empty() {
        markup.field("fpqqlsh", &details.request_id);
    }
    markup
        .field("xhdwsbh", &config.taxpayer_number)
        .field("xhdwmc", &config.taxpayer_name)
        .field("xhdwdzdh", &details.seller_address)
        .field("xhdwyhzh", &details.seller_bank)
        .field("ghdwsbh", &entry.buyer_number)
        .field("ghdwmc", &entry.buyer_name)
        .field("ghdwdzdh", &details.buyer_address)
        .field("ghdwyhzh", &details.buyer_bank)
        .field("bmbbbh", &details.code_table);
    let listed = details.list == "1";
    write_lines(markup, "fyxm", if listed { &[] } else { &entry.lines });
    write_lines(markup, "qdxm", if listed { &entry.lines } else { &[] });
    let taken = disk.ledger().reds_of(entry.pair()).try_fold(Amount::ZERO, |sum, red| sum.checked_add(red.gross.abs()));
    let voided = entry.voided.as_ref();
    markup
        .open_with("qtxm", "count", 0)
        .close("qtxm")
        .field("zhsl", &details.overall_rate)
        .field("hjje", entry.net)
        .field("hjse", entry.tax)
        .field("jshj", entry.gross)
        .field("bz", &entry.remark)
        .field("skr", &details.payee)
        .field("fhr", &details.reviewer)
        .field("kpr", &entry.clerk)
        .field("jmbbh", "")
        .field("zyspmc", &details.main_goods)
        .field("spsm", "")
        .field("qdbz", if details.list.is_empty() { "0" } else { &details.list })
        .field("ssyf", &details.month)
        .field("kpjh", if details.machine_index.is_empty() { &config.machine_index } else { &details.machine_index })
        .field("tzdbh", &details.notice)
        .maybe("yfpdm", entry.original.map(|pair| pair.code))
        .maybe("yfphm", entry.original.map(|pair| pair.number))
        .maybe("zfrq", voided.map(|mark| mark.time))
        .maybe("zfr", voided.map(|mark| &mark.operator))
        .field("qmcs", &details.signature_parameter)
        .field("qmz", &entry.signature)
        .field("ykfsje", taken.unwrap_or(Amount::ZERO));
}

fn write_lines(markup: &mut Markup, name: &str, lines: &[EntryLine]) {
    markup.open_with(name, "count", lines.len());
    for (index, line) in lines.iter().enumerate() {
        markup
            .open_with("group", "xh", index + 1)
            .field("fphxz", line.nature.fphxz())
            .field("spmc", &line.name)
            .field("spsm", "")
            .field("ggxh", &line.specification)
            .field("dw", &line.unit)
            .field("spsl", &line.quantity)
            .field("dj", &line.price)
            .field("je", line.net)
            .maybe("kcje", line.deduction)
            .field("sl", &line.rate)
            .field("se", line.tax)
            .field("hsbz", "0")
            .field("spbm", &line.goods_code)
            .field("zxbm", &line.own_code)
            .field("yhzcbs", &line.preferential)
            .field("slbs", &line.zero_rate)
            .field("zzstsgl", &line.policy)
            .close("group");
    }
    markup.close(name);
}

/// 校验码: 20 digits on ordinary invoices, none on special ones. Made up from the signature, so that a query repeats it.
pub(crate) fn check_code(entry: &LedgerEntry) -> String {
    if entry.kind.is_special() || entry.status == EntryStatus::BlankVoid {
        return String::new();
    }
    let text = format!("{}{}{}", entry.code, entry.number, entry.signature);
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:020}")
}

/// The QR text of an issued invoice, in the order that invoice-rules.md, section 2 gives as background; its last part, a
/// check value, is left out.
pub(crate) fn qr_text(entry: &LedgerEntry) -> String {
    let (kind, code, number, net) = (entry.kind, entry.code, entry.number, entry.net);
    format!("01,{kind},{code},{number},{net},{},{}", entry.time.date(), check_code(entry))
}
