//! What a person writes of an invoice: kind, organisation, buyer, lines. One form for codes, the issue screen and reservations.
//!
//! Nothing of a draft is stored: the form holds all of it, and every button but the last one answers with the form again. Its
//! serial number is made from its address, which was fixed before the form was shown: whatever is sent twice, from two tabs or
//! after the back button is the same request twice (decision 29).
//!
//! Read first: [`Draft`], [`Step`].

mod line;
pub(super) mod screen;

use std::sync::Arc;

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use taxdisk_protocol::api::Priority;
use taxdisk_protocol::kind::InvoiceKind;

use line::{LineText, PRICE};

use super::Console;
use super::invoices::Choice;
use super::words::{self, Lang};
use crate::core::insert::{Batch, Content, Incoming};
use crate::core::request::{Delivery, QrCode, Request};
use crate::core::reservations::{Reservation, Wanted};
use crate::document::{Document, Line, split};
use crate::files::customers::BuyerType;
use crate::files::goods::text_faults;
use crate::files::{Customer, Entry, Goods, import};
use crate::making::{self, Manner};
use crate::model::{IssuePoint, Seller, Suspected, Tenant};
use crate::store::StoreError;
use crate::wire::form::Form;

/// Lines of a draft at most. The fields of all of them fit into one form; a longer invoice comes from a system.
pub(super) const MAX_LINES: usize = 100;
/// Entries of a file that a search shows at most.
const FOUND_SHOWN: usize = 20;
/// 备注 at most, characters (BZ).
const MAX_REMARK: usize = 200;
/// Characters of a draft's key: 128 bits, base64url.
const KEY_CHARS: usize = 22;

/// Names of a line's fields, in the order of the goods' columns.
const GOODS_FIELDS: [&str; 9] = ["XMMC", "GGXH", "DW", "price", "SL", "SPBM", "YHZCBS", "ZZSTSGL", "LSLBS"];
/// Names of the buyer's fields, in the order of the customers' columns.
pub(super) const BUYER_FIELDS: [&str; 7] = ["type", "GMF_MC", "GMF_NSRSBH", "GMF_DZDH", "GMF_YHZH", "EMAIL", "PHONE"];

/// What a button asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The form again.
    Edit,
    /// What would be issued, to look at.
    Check,
    /// Make it.
    Make,
}

/// A draft as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft {
    /// Seller and organisation, as [`org_value`] writes them.
    pub(super) org: String,
    /// FPLX.
    pub(super) kind: String,
    /// 备注.
    pub(super) remark: String,
    /// Cells of a customer.
    pub(super) buyer: [String; 7],
    pub(super) lines: Vec<LineText>,
    /// What is looked for in the goods file; none: nothing is.
    pub(super) goods_word: String,
    /// What is looked for in the customer file.
    pub(super) customer_word: String,
    /// Serial number of the reservation that is attached; empty: none is.
    pub(super) reservation: String,
    /// What is looked for among the reservations.
    pub(super) reservation_word: String,
}

/// An entry of a file that a search found.
pub(super) struct Hit {
    /// What its button sends.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) more: String,
}

/// What a search found.
#[derive(Default)]
pub(super) struct Hits {
    pub(super) goods: Option<Vec<Hit>>,
    pub(super) customers: Option<Vec<Hit>>,
}

/// How an entry of a file is named in a form: keys hold characters that HTML does not.
pub(super) fn entry_id(key: &str) -> String {
    hex::encode(&Sha256::digest(key.as_bytes())[..12])
}

/// A draft's key is one of ours: 128 bits, base64url.
pub(super) fn is_key(key: &str) -> bool {
    key.len() == KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The serial number of the draft of a key.
pub(super) fn serial(purpose: &str, tenant: &str, key: &str) -> String {
    split::base32(&Sha256::digest(format!("console-{purpose}-v1\n{tenant}\n{key}").as_bytes()), 20)
}

/// A seller and his organisation as one value of a form.
pub(super) fn org_value(seller: &Seller, point: &IssuePoint) -> String {
    format!("{}/{}", seller.taxpayer_number, point.orgcode)
}

/// The organisations of a tenant.
pub(super) fn orgs(tenant: &Tenant) -> impl Iterator<Item = (&Seller, &IssuePoint)> {
    tenant.sellers.iter().flat_map(|seller| seller.points.iter().map(move |point| (seller, point)))
}

/// Organisations to choose from. `only`: those with this ORGCODE.
pub(super) fn org_choices(tenant: &Tenant, chosen: &str, only: Option<&str>) -> Vec<Choice> {
    let fits = |point: &IssuePoint| only.is_none_or(|only| only == point.orgcode);
    orgs(tenant)
        .filter(|(_, point)| fits(point))
        .map(|(seller, point)| {
            let value = org_value(seller, point);
            Choice { label: format!("{} · {}", point.orgcode, seller.name), chosen: value == chosen, value }
        })
        .collect()
}

/// Kinds to choose from.
pub(super) fn kind_choices(lang: Lang, chosen: &str) -> Vec<Choice> {
    let chosen = if chosen.is_empty() { "1" } else { chosen };
    (0..=u8::MAX)
        .filter_map(|code| Some((code.to_string(), InvoiceKind::from_yonyou(code)?)))
        .map(|(value, kind)| Choice { label: words::said(lang, kind.name()), chosen: value == chosen, value })
        .collect()
}

impl Draft {
    /// An empty one, with room for a first line.
    pub(super) fn new() -> Draft {
        Draft { kind: "1".to_owned(), lines: vec![LineText::default()], ..Draft::default() }
    }

    pub(super) fn of(form: &Form) -> Draft {
        let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
        let line = |index: usize| LineText {
            cells: GOODS_FIELDS.map(|name| field(&format!("{name}.{index}"))),
            quantity: field(&format!("XMSL.{index}")),
            gross: field(&format!("XMJSHJ.{index}")),
        };
        let count = (0..MAX_LINES).take_while(|index| form.get(&format!("XMMC.{index}")).is_some()).count();
        let mut buyer = BUYER_FIELDS.map(field);
        buyer[2] = buyer[2].to_ascii_uppercase();
        Draft {
            org: field("org"),
            kind: field("FPLX"),
            remark: field("BZ"),
            buyer,
            lines: (0..count).map(line).collect(),
            goods_word: field("goods_word"),
            customer_word: field("customer_word"),
            reservation: field("reservation"),
            reservation_word: field("reservation_word"),
        }
    }

    /// What a clerk begins with who makes the invoice of a reservation.
    pub(super) fn of_reservation(reservation: &Reservation, org: String) -> Draft {
        let buyer = &reservation.buyer;
        let line = |wanted: &Wanted| {
            let mut line = LineText::of(&wanted.goods);
            line.quantity = wanted.quantity.map(|quantity| quantity.normalize().to_string()).unwrap_or_default();
            line.gross = wanted.gross.map(|gross| format!("{gross:.2}")).unwrap_or_default();
            if wanted.gross.is_some() {
                // The guest's amount counts, not the price of the file.
                line.cells[PRICE].clear();
            }
            line
        };
        let mut lines: Vec<LineText> = reservation.lines.iter().map(line).collect();
        if lines.is_empty() {
            lines.push(LineText::default());
        }
        Draft {
            org,
            kind: "1".to_owned(),
            remark: reservation.remark.clone(),
            buyer: [
                reservation.kind.text().to_owned(),
                buyer.name.clone(),
                buyer.taxpayer_number.clone(),
                buyer.address_phone.clone(),
                buyer.bank_account.clone(),
                reservation.mail.clone(),
                reservation.phone.clone(),
            ],
            lines,
            ..Draft::default()
        }
    }

    /// Adds what a guest wants to what the clerk has written: the guest is the buyer, his lines come behind those that are there.
    /// A remark of the clerk's stays. False: there are too many lines, and nothing is changed.
    pub(super) fn attach(&mut self, reservation: &Reservation) -> bool {
        let wanted = Draft::of_reservation(reservation, self.org.clone());
        let written = self.lines.iter().chain(&wanted.lines).filter(|line| !line.is_empty());
        let lines: Vec<LineText> = written.cloned().collect();
        if lines.len() > MAX_LINES {
            return false;
        }
        self.lines = if lines.is_empty() { vec![LineText::default()] } else { lines };
        self.buyer = wanted.buyer;
        if self.remark.is_empty() {
            self.remark = wanted.remark;
        }
        self.reservation = reservation.serial.clone();
        self.reservation_word.clear();
        true
    }

    /// ORGCODE of the organisation that is chosen.
    pub(super) fn orgcode(&self) -> &str {
        self.org.split_once('/').map_or("", |(_, orgcode)| orgcode)
    }

    /// What a clerk begins with who corrects a request that was sent back.
    pub(super) fn of_request(request: &Request) -> Draft {
        let document = &request.document;
        let text = |name: &str| document.text(name).to_owned();
        let line = |line: &Line| LineText {
            cells: [
                line.name.clone(),
                line.specification.clone(),
                line.unit.clone(),
                String::new(),
                line.rate.normalize().to_string(),
                line.goods_code.clone(),
                if line.preferential { "1" } else { "0" }.to_owned(),
                line.policy.clone(),
                line.zero_rate.clone(),
            ],
            quantity: line.quantity.map(|quantity| quantity.normalize().to_string()).unwrap_or_default(),
            gross: format!("{:.2}", line.gross),
        };
        let kind = if text("GMF_NSRSBH").is_empty() { BuyerType::Person } else { BuyerType::Enterprise };
        let first = |list: &[String]| list.first().cloned().unwrap_or_default();
        Draft {
            org: format!("{}/{}", request.seller, request.orgcode),
            kind: document.kind.to_string(),
            remark: text("BZ"),
            buyer: [
                kind.text().to_owned(),
                text("GMF_MC"),
                text("GMF_NSRSBH"),
                text("GMF_DZDH"),
                text("GMF_YHZH"),
                first(&request.delivery.emails),
                first(&request.delivery.phones),
            ],
            lines: document.lines.iter().take(MAX_LINES).map(line).collect(),
            ..Draft::default()
        }
    }

    /// All of it as hidden fields, for the page on which it is looked at.
    pub(super) fn hidden(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("org".to_owned(), self.org.clone()),
            ("FPLX".to_owned(), self.kind.clone()),
            ("BZ".to_owned(), self.remark.clone()),
            ("reservation".to_owned(), self.reservation.clone()),
        ];
        fields.extend(BUYER_FIELDS.iter().zip(&self.buyer).map(|(name, value)| ((*name).to_owned(), value.clone())));
        for (index, line) in self.lines.iter().enumerate() {
            let cells = GOODS_FIELDS.iter().zip(&line.cells);
            fields.extend(cells.map(|(name, value)| (format!("{name}.{index}"), value.clone())));
            fields.push((format!("XMSL.{index}"), line.quantity.clone()));
            fields.push((format!("XMJSHJ.{index}"), line.gross.clone()));
        }
        fields
    }

    /// Does what the button of a form says, beside checking and making; and what that is then.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn pressed(&mut self, console: &Console, tenant: &str, form: &Form) -> Result<(Step, Hits), StoreError> {
        if let Some(id) = form.get("add") {
            let goods: Vec<Goods> = import::all(&mut *console.portal.readers.get().await?, tenant).await?;
            if let Some(goods) = goods.iter().find(|goods| entry_id(&goods.key()) == id)
                && self.lines.len() < MAX_LINES
            {
                // The first line is empty until somebody writes into it.
                self.lines.retain(|line| !line.is_empty());
                self.lines.push(LineText::of(goods));
            }
            return Ok((Step::Edit, Hits::default()));
        }
        if let Some(id) = form.get("customer") {
            let customers: Vec<Customer> = import::all(&mut *console.portal.readers.get().await?, tenant).await?;
            if let Some(customer) = customers.iter().find(|customer| entry_id(&customer.key()) == id) {
                self.name_buyer(customer);
            }
            return Ok((Step::Edit, Hits::default()));
        }
        if let Some(place) = form.get("drop").and_then(|place| place.parse::<usize>().ok()) {
            if place < self.lines.len() {
                self.lines.remove(place);
            }
            return Ok((Step::Edit, Hits::default()));
        }
        let mut hits = Hits::default();
        let step = match form.get("step").unwrap_or_default() {
            "check" => Step::Check,
            "make" => Step::Make,
            "blank" => {
                if self.lines.len() < MAX_LINES {
                    self.lines.push(LineText::default());
                }
                Step::Edit
            }
            "find" => {
                hits.goods = Some(found_goods(console, tenant, &self.goods_word).await?);
                Step::Edit
            }
            "find_customer" => {
                let mut db = console.portal.readers.get().await?;
                let all: Vec<Customer> = import::all(&mut *db, tenant).await?;
                let hit = |one: &Customer| Hit {
                    id: entry_id(&one.key()),
                    name: one.title.clone(),
                    more: format!("{} {}", one.kind.text(), one.taxpayer_number),
                };
                let fits = |one: &&Customer| contains(&[&one.title, &one.taxpayer_number, &one.phone], &self.customer_word);
                hits.customers = Some(all.iter().filter(fits).take(FOUND_SHOWN).map(hit).collect());
                Step::Edit
            }
            _ => Step::Edit,
        };
        Ok((step, hits))
    }

    pub(super) fn name_buyer(&mut self, customer: &Customer) {
        for (place, cell) in customer.cells().into_iter().enumerate().take(self.buyer.len()) {
            self.buyer[place] = cell;
        }
    }

    /// The document that it stands for. `buyer`: it names one; else whoever scans does.
    ///
    /// # Errors
    /// Everything that is wrong with it, for whoever wrote it.
    fn document(&self, tenant: &Tenant, serial: &str, buyer: bool) -> Result<Document, Vec<String>> {
        let mut faults = Vec::new();
        let mut document = Document { serial: serial.to_owned(), ..Document::default() };
        match orgs(tenant).find(|(seller, point)| org_value(seller, point) == self.org) {
            Some((seller, point)) => {
                document.head.insert("XSF_NSRSBH".to_owned(), seller.taxpayer_number.clone());
                document.head.insert("ORGCODE".to_owned(), point.orgcode.clone());
            }
            None => faults.push("请选择开票组织".to_owned()),
        }
        match self.kind.parse().ok().filter(|code| InvoiceKind::from_yonyou(*code).is_some()) {
            Some(code) => document.kind = code,
            None => faults.push("请选择发票类型".to_owned()),
        }
        faults.extend(text_faults(&self.remark, MAX_REMARK).into_iter().map(|text| format!("备注：{text}")));
        if !self.remark.is_empty() {
            document.head.insert("BZ".to_owned(), self.remark.clone());
        }
        if buyer {
            match Customer::read(&self.buyer) {
                Ok(_) => {
                    let printed = BUYER_FIELDS
                        .iter()
                        .zip(&self.buyer)
                        .filter(|(name, value)| name.starts_with("GMF_") && !value.is_empty());
                    document.head.extend(printed.map(|(name, value)| ((*name).to_owned(), value.clone())));
                }
                Err(found) => faults.extend(found.into_iter().map(|(place, text)| match place {
                    Some(place) => format!("{}：{text}", Customer::COLUMNS[place].heading),
                    None => text,
                })),
            }
        }
        for (index, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            match line.read() {
                Ok(line) => {
                    document.gross += line.gross;
                    document.lines.push(line);
                }
                Err(found) => faults.extend(found.into_iter().map(|text| format!("第 {} 行 {text}", index + 1))),
            }
        }
        if document.lines.is_empty() && faults.is_empty() {
            faults.push("请至少填写一行开票项目".to_owned());
        }
        if faults.is_empty() { Ok(document) } else { Err(faults) }
    }

    /// What the writer decides on. `qr`: it becomes a code, and its buyer is named by whoever scans.
    ///
    /// # Errors
    /// Everything that is wrong with it, for whoever wrote it.
    pub(super) fn incoming(
        &self,
        console: &Console,
        tenant: &Tenant,
        serial: &str,
        qr: Option<QrCode>,
    ) -> Result<Incoming, Vec<String>> {
        let document = self.document(tenant, serial, qr.is_none())?;
        let mut delivery = Delivery::default();
        if qr.is_none() {
            let given = |place: usize| Some(self.buyer[place].clone()).filter(|address| !address.is_empty());
            delivery.emails.extend(given(5));
            delivery.phones.extend(given(6));
        }
        let portal = &console.portal;
        // Somebody stands at the counter.
        let incoming = making::incoming(portal, tenant, document, Manner::Single, Priority::Waiting, delivery, qr)
            .map_err(|unknown| vec![unknown.to_string()])?;
        match &incoming.content {
            Content::Blue(Err(faults)) => Err(faults.iter().map(ToString::to_string).collect()),
            _ => Ok(incoming),
        }
    }
}

/// A batch of one document that a person of a tenant made.
pub(super) fn batch(tenant: &Tenant, interface: &'static str, incoming: Incoming) -> Batch {
    Batch {
        tenant: tenant.id.clone(),
        appid: "console".to_owned(),
        interface,
        documents: vec![incoming],
        audited: true,
        // Two guests who bought the same are two sales; a sale that is sent twice has one serial number.
        suspected: Suspected::Off,
        reissue_on_repeat: false,
    }
}

fn contains(texts: &[&str], word: &str) -> bool {
    let word = word.to_lowercase();
    texts.iter().any(|text| text.to_lowercase().contains(&word))
}

/// Goods whose name, specification or code holds a word.
///
/// # Errors
/// Those of the store.
pub(super) async fn found_goods(console: &Console, tenant: &str, word: &str) -> Result<Vec<Hit>, StoreError> {
    let all: Vec<Goods> = import::all(&mut *console.portal.readers.get().await?, tenant).await?;
    let hit = |one: &Goods| Hit {
        id: entry_id(&one.key()),
        name: format!("{} {}", one.name, one.specification),
        more: match one.price {
            Some(price) => format!("{} {}", price.normalize(), one.rate.normalize()),
            None => one.rate.normalize().to_string(),
        },
    };
    let fits = |one: &&Goods| contains(&[&one.name, &one.specification, &one.goods_code], word);
    Ok(all.iter().filter(fits).take(FOUND_SHOWN).map(hit).collect())
}

/// The tenant of a visitor; his session exists, so does his tenant.
pub(super) fn tenant_of(console: &Console, id: &str) -> Option<Arc<Tenant>> {
    console.portal.directory().tenant(id).cloned()
}

/// A line with its amounts, as it would be issued.
pub(super) struct Computed {
    pub(super) name: String,
    pub(super) quantity: String,
    pub(super) rate: String,
    pub(super) net: String,
    pub(super) tax: String,
    pub(super) gross: String,
}

/// Lines and sums of a document, for a person who checks them or a receipt that shows them.
pub(super) fn computed(document: &Document) -> (Vec<Computed>, [String; 3]) {
    let money = |value: Option<Decimal>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
    let lines = document.lines.iter().map(|line| Computed {
        name: format!("{} {}", line.name, line.specification).trim_end().to_owned(),
        quantity: line.quantity.map(|quantity| format!("{} {}", quantity.normalize(), line.unit)).unwrap_or_default(),
        rate: format!("{}%", (line.rate * Decimal::ONE_HUNDRED).normalize()),
        net: money(line.net),
        tax: money(line.tax),
        gross: format!("{:.2}", line.gross),
    });
    (lines.collect(), [money(document.net), money(document.tax), format!("{:.2}", document.gross)])
}

/// A buyer's kind, in the language of the page.
pub(super) fn type_text(lang: Lang, kind: &str) -> String {
    type_choices(lang, kind).into_iter().find(|one| one.chosen).map_or_else(|| kind.to_owned(), |one| one.label)
}

/// A buyer's kind to choose from.
pub(super) fn type_choices(lang: Lang, chosen: &str) -> Vec<Choice> {
    let kinds = [("企业", "enterprise"), ("非企业性单位", "institution"), ("个人", "person")];
    let choice = |(value, key): (&str, &str)| Choice {
        value: value.to_owned(),
        label: words::text(lang, key).to_owned(),
        chosen: value == chosen,
    };
    kinds.into_iter().map(choice).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(cells: [&str; 9], quantity: &str, gross: &str) -> LineText {
        LineText { cells: cells.map(str::to_owned), quantity: quantity.to_owned(), gross: gross.to_owned() }
    }

    const COFFEE: [&str; 9] = ["咖啡", "", "杯", "28.5", "0.06", "1030307010000000000", "0", "", ""];

    #[test]
    fn a_draft_comes_back_from_its_hidden_fields_as_it_was() {
        let mut draft = Draft::new();
        draft.lines = vec![line(COFFEE, "2", ""), line(COFFEE, "", "3")];
        draft.buyer[1] = "张三 & \"Söhne\"".to_owned();
        draft.reservation = "RESERVED1".to_owned();
        assert_eq!(Draft::of(&Form::of(draft.hidden())), draft);
        let many = (0..MAX_LINES + 5).map(|index| (format!("XMMC.{index}"), "x".to_owned())).collect();
        assert_eq!(Draft::of(&Form::of(many)).lines.len(), MAX_LINES);
    }

    #[test]
    fn a_key_is_of_its_purpose_and_tenant() {
        let key = "AAAAAAAAAAAAAAAAAAAAAA";
        assert!(is_key(key) && !is_key("short") && !is_key(&key.replace('A', "/")));
        let one = serial("code", "one", key);
        assert_eq!(one.len(), 20);
        assert!(crate::document::read::check_serial(&one).is_ok());
        assert_ne!(one, serial("code", "two", key));
        assert_ne!(one, serial("issue", "one", key));
    }
}
