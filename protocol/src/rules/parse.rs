//! From wire text to domain values: the form of each field by itself, whatever the others say.
//!
//! A field that cannot be read leaves a hole in the [`Draft`], so that the rules over the other fields still run and the
//! caller hears everything at once.

use std::str::FromStr;

use super::limits::{self, LINES_MAX};
use super::{Breaches, Job, Rule, RuleSet, discount, lines, oil, red, totals};
use crate::api::{BuyerBody, InvoiceBody, JobSubmission, LineBody, Operation, PairBody, TotalsBody};
use crate::ids::{JobKey, TaxpayerNumber};
use crate::invoice::{Buyer, Invoice, Line, LineKind, Totals, ZeroRate};
use crate::kind::InvoiceKind;
use crate::number::NumberPair;
use crate::quote::Quoted;

/// An invoice with holes where something could not be read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) buyer: Buyer,
    /// `None`: an amount, rate or line kind of this line could not be read.
    pub(super) lines: Vec<Option<Line>>,
    pub(super) totals: Option<Totals>,
    remark: String,
    clerk: String,
    payee: String,
    reviewer: String,
    notice: String,
}

impl Draft {
    /// The invoice, if nothing is missing.
    pub(super) fn finish(self) -> Option<Invoice> {
        Some(Invoice {
            buyer: self.buyer,
            lines: self.lines.into_iter().collect::<Option<_>>()?,
            totals: self.totals?,
            remark: self.remark,
            clerk: self.clerk,
            payee: self.payee,
            reviewer: self.reviewer,
            notice: self.notice,
        })
    }

    /// Lines that could be read, with their places.
    pub(super) fn known_lines(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter_map(|(index, line)| Some((index, line.as_ref()?)))
    }
}

/// Pointer to a field of a line.
pub(super) fn at(index: usize, field: &str) -> String {
    format!("/invoice/lines/{index}/{field}")
}

pub(super) fn key(submission: &JobSubmission, found: &mut Breaches) -> Option<JobKey> {
    let seller = value(&submission.seller, "/seller", Rule::Taxpayer, found);
    let serial = value(&submission.serial, "/serial", Rule::Serial, found);
    Some(JobKey { seller: seller?, serial: serial? })
}

pub(super) fn job(submission: &JobSubmission, rules: &RuleSet, found: &mut Breaches) -> Option<Job> {
    let key = key(submission, found);
    letters(&submission.seller, "/seller", rules, found);
    let kind: Option<InvoiceKind> = value(&submission.kind, "/kind", Rule::Kind, found);
    let issue_point = submission.issue_point.as_deref().and_then(|text| value(text, "/issue_point", Rule::IssuePoint, found));
    let original = submission.original.as_ref().and_then(|original| pair(original, found));
    red::check_operation(submission, kind, rules, found);
    let invoice = submission.invoice.as_ref().and_then(|body| {
        let draft = draft(body, found);
        if let Some(number) = &body.buyer.taxpayer_number {
            letters(number, "/invoice/buyer/taxpayer_number", rules, found);
        }
        let is_red = submission.operation == Operation::Red;
        let has_number = given(body.buyer.taxpayer_number.as_deref()).is_some();
        if let Some(kind) = kind {
            red::check_notice(&body.notice, kind, is_red, found);
            lines::check_kind(&draft, kind, found);
            lines::check_special(&draft, has_number, kind, rules, found);
            lines::check_count(body.lines.len(), kind, rules, found);
        }
        lines::check(&draft, is_red, rules, found);
        discount::check(&draft, is_red, found);
        oil::check(&draft, rules, found);
        totals::check_sums(&draft, found);
        totals::check(&draft, is_red, found);
        draft.finish()
    });
    Some(Job {
        key: key?,
        operation: submission.operation,
        kind: kind?,
        issue_point,
        priority: submission.priority,
        original,
        invoice,
    })
}

/// Reads the form of an invoice.
pub(super) fn draft(body: &InvoiceBody, found: &mut Breaches) -> Draft {
    let InvoiceBody { buyer, lines, totals, remark, clerk, payee, reviewer, notice } = body;
    let buyer = read_buyer(buyer, found);
    if lines.is_empty() {
        found.add(Rule::NoLines, "/invoice/lines", "an invoice needs at least one line");
    }
    if lines.len() > LINES_MAX {
        let detail = format!("{} lines; at most {LINES_MAX} are allowed", lines.len());
        found.add(Rule::TooManyLines, "/invoice/lines", detail);
    }
    let mut read: Vec<Option<Line>> =
        lines.iter().take(LINES_MAX).enumerate().map(|(index, line)| read_line(index, line, found)).collect();
    if lines.len() > LINES_MAX {
        // The sums cannot be judged without the rest.
        read.push(None);
    }
    let totals = read_totals(totals, found);
    limits::text(remark, "/invoice/remark", found);
    limits::text(clerk, "/invoice/clerk", found);
    limits::text(payee, "/invoice/payee", found);
    limits::text(reviewer, "/invoice/reviewer", found);
    red::check_notice_form(notice, found);
    Draft {
        buyer,
        lines: read,
        totals,
        remark: remark.clone(),
        clerk: clerk.clone(),
        payee: payee.clone(),
        reviewer: reviewer.clone(),
        notice: notice.clone(),
    }
}

fn read_buyer(body: &BuyerBody, found: &mut Breaches) -> Buyer {
    let BuyerBody { name, taxpayer_number, address_phone, bank_account } = body;
    limits::required(name, "/invoice/buyer/name", found);
    limits::text(address_phone, "/invoice/buyer/address_phone", found);
    limits::text(bank_account, "/invoice/buyer/bank_account", found);
    let number = given(taxpayer_number.as_deref());
    let number: Option<TaxpayerNumber> =
        number.and_then(|text| value(text, "/invoice/buyer/taxpayer_number", Rule::Taxpayer, found));
    Buyer {
        name: name.clone(),
        taxpayer_number: number,
        address_phone: address_phone.clone(),
        bank_account: bank_account.clone(),
    }
}

fn read_line(index: usize, body: &LineBody, found: &mut Breaches) -> Option<Line> {
    let LineBody { kind, name, goods_code, specification, unit, quantity, price, net, rate, tax, zero_rate, deduction } = body;
    limits::required(name, &at(index, "name"), found);
    limits::text(specification, &at(index, "specification"), found);
    limits::text(unit, &at(index, "unit"), found);
    let kind = match given(kind.as_deref()) {
        None | Some("normal") => Some(LineKind::Normal),
        Some("discounted") => Some(LineKind::Discounted),
        Some("discount") => Some(LineKind::Discount),
        Some(other) => {
            let detail = format!("{} is not a line kind: normal, discounted or discount is expected", Quoted(other));
            found.add(Rule::LineKind, at(index, "kind"), detail);
            None
        }
    };
    let goods_code = given(goods_code.as_deref());
    if let Some(code) = goods_code
        && (code.len() > 19 || !code.bytes().all(|b| b.is_ascii_digit()))
    {
        let detail = format!("{} is not a goods code: 1 to 19 digits are expected", Quoted(code));
        found.add(Rule::GoodsCode, at(index, "goods_code"), detail);
    }
    let quantity = optional(quantity.as_deref(), &at(index, "quantity"), Rule::Quantity, found);
    let price = optional(price.as_deref(), &at(index, "price"), Rule::Price, found);
    let net = value(net, &at(index, "net"), Rule::Amount, found);
    let rate = value(rate, &at(index, "rate"), Rule::Rate, found);
    let tax = value(tax, &at(index, "tax"), Rule::Amount, found);
    let zero_rate = match given(zero_rate.as_deref()) {
        None => Some(None),
        Some("export") => Some(Some(ZeroRate::Export)),
        Some("exempt") => Some(Some(ZeroRate::Exempt)),
        Some("not_taxed") => Some(Some(ZeroRate::NotTaxed)),
        Some("ordinary") => Some(Some(ZeroRate::Ordinary)),
        Some(other) => {
            let detail = format!("{} is not a zero-rate mark: export, exempt, not_taxed or ordinary is expected", Quoted(other));
            found.add(Rule::ZeroRate, at(index, "zero_rate"), detail);
            None
        }
    };
    let deduction = optional(deduction.as_deref(), &at(index, "deduction"), Rule::Amount, found);
    Some(Line {
        kind: kind?,
        name: name.clone(),
        goods_code: goods_code.map(str::to_owned),
        specification: specification.clone(),
        unit: unit.clone(),
        quantity: quantity?,
        price: price?,
        net: net?,
        rate: rate?,
        tax: tax?,
        zero_rate: zero_rate?,
        deduction: deduction?,
    })
}

fn read_totals(body: &TotalsBody, found: &mut Breaches) -> Option<Totals> {
    let TotalsBody { net, tax, gross } = body;
    let net = value(net, "/invoice/totals/net", Rule::Amount, found);
    let tax = value(tax, "/invoice/totals/tax", Rule::Amount, found);
    let gross = value(gross, "/invoice/totals/gross", Rule::Amount, found);
    Some(Totals { net: net?, tax: tax?, gross: gross? })
}

fn pair(body: &PairBody, found: &mut Breaches) -> Option<NumberPair> {
    let code = value(&body.code, "/original/code", Rule::Original, found);
    let number = value(&body.number, "/original/number", Rule::Original, found);
    Some(NumberPair { code: code?, number: number? })
}

fn letters(number: &str, pointer: &str, rules: &RuleSet, found: &mut Breaches) {
    // 18 characters are judged by their check already: no alphabet of theirs has these letters.
    if rules.taxpayer_letters
        && number.len() != 18
        && let Some(letter) = number.chars().find(|c| matches!(c, 'I' | 'O' | 'Z' | 'S' | 'V'))
    {
        let detail = format!("the letter {letter} does not occur in taxpayer numbers: check for 1, 0, 2, 5 or U");
        found.add(Rule::TaxpayerLetters, pointer, detail);
    }
}

/// Absent and empty are the same.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn value<T: FromStr<Err: std::fmt::Display>>(text: &str, pointer: &str, rule: Rule, found: &mut Breaches) -> Option<T> {
    text.parse().map_err(|error: T::Err| found.add(rule, pointer, error.to_string())).ok()
}

/// `Some(None)`: absent. `None`: there, but not readable.
#[allow(clippy::option_option)]
fn optional<T: FromStr<Err: std::fmt::Display>>(
    text: Option<&str>,
    pointer: &str,
    rule: Rule,
    found: &mut Breaches,
) -> Option<Option<T>> {
    match given(text) {
        None => Some(None),
        Some(text) => value(text, pointer, rule, found).map(Some),
    }
}
