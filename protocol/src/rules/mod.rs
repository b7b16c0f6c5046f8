//! The rules of an invoice: text comes in, and either a valid job comes out or the full list of what is wrong with it.
//!
//! Read first: [`parse`] (a submission), [`fits`] (what one disk can express) and [`RuleSet`] (which rules can be switched
//! off). All breaches are found in one go, each with a stable code ([`Rule`]), a JSON pointer and a text for people. Sources:
//! invoice-rules.md; the device decides in the end, so a rule whose source is only common knowledge of the trade can be
//! switched off. Nothing is corrected, rounded or cut here.

mod discount;
mod fits;
mod limits;
mod lines;
mod oil;
mod parse;
mod red;
mod totals;

pub use fits::fits;
pub use limits::{LINES_MAX, TEXT_CHARS_MAX};

use crate::api::{InvoiceBody, JobSubmission, Operation, Priority};
use crate::error::Breach;
use crate::ids::{IssuePoint, JobKey};
use crate::invoice::Invoice;
use crate::kind::InvoiceKind;
use crate::number::NumberPair;

/// A submission whose every value is valid and whose sums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Seller and serial number.
    pub key: JobKey,
    /// What to do.
    pub operation: Operation,
    /// Kind.
    pub kind: InvoiceKind,
    /// Organisation or terminal.
    pub issue_point: Option<IssuePoint>,
    /// Waiting before bulk.
    pub priority: Priority,
    /// The invoice that a void or red job is about.
    pub original: Option<NumberPair>,
    /// Content of an issue or red job.
    pub invoice: Option<Invoice>,
}

/// Rules that can be switched off, because their source is common knowledge of the trade and not a verified text. All are
/// on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleSet {
    /// Taxpayer numbers of any length hold none of the letters I, O, Z, S, V (middleware refuses them: −10322).
    pub taxpayer_letters: bool,
    /// A special invoice names the buyer's taxpayer number, address and bank.
    pub special_buyer: bool,
    /// A kind has a largest number of lines, whatever the disk.
    pub kind_lines: bool,
    /// A deduction stands on the only line of an invoice, without discount.
    pub single_deduction: bool,
    /// Refined oil stands alone, in litres or tonnes, on at most eight lines.
    pub oil: bool,
    /// A line with the rate zero has the tax 0.00.
    pub zero_rate_without_tax: bool,
    /// Electronic invoices are never voided.
    pub electronic_not_voided: bool,
    /// An invoice is voided in the month of its issue.
    pub void_in_month: bool,
}

impl Default for RuleSet {
    fn default() -> RuleSet {
        RuleSet {
            taxpayer_letters: true,
            special_buyer: true,
            kind_lines: true,
            single_deduction: true,
            oil: true,
            zero_rate_without_tax: true,
            electronic_not_voided: true,
            void_in_month: true,
        }
    }
}

/// Parses and checks a submission by the default [`RuleSet`].
///
/// # Errors
/// All breaches, in the order of the fields.
pub fn parse(submission: &JobSubmission) -> Result<Job, Vec<Breach>> {
    parse_with(submission, &RuleSet::default())
}

/// Parses and checks a submission.
///
/// # Errors
/// All breaches, in the order of the fields.
pub fn parse_with(submission: &JobSubmission, rules: &RuleSet) -> Result<Job, Vec<Breach>> {
    let mut found = Breaches::default();
    let job = parse::job(submission, rules, &mut found);
    found.or(job)
}

/// Parses seller and serial number alone: the key is looked up before anything else is validated (I6).
///
/// # Errors
/// What is wrong with either.
pub fn parse_key(submission: &JobSubmission) -> Result<JobKey, Vec<Breach>> {
    let mut found = Breaches::default();
    let key = parse::key(submission, &mut found);
    found.or(key)
}

/// Parses the content of an assignment: the form of every value, and the exact sums. The broker has applied its own
/// [`RuleSet`] before; what it chose to let through is not judged again here.
///
/// # Errors
/// All breaches, with pointers into the submission (`/invoice/…`).
pub fn parse_invoice(body: &InvoiceBody, kind: InvoiceKind) -> Result<Invoice, Vec<Breach>> {
    let mut found = Breaches::default();
    let draft = parse::draft(body, &mut found);
    lines::check_kind(&draft, kind, &mut found);
    totals::check_sums(&draft, &mut found);
    let invoice = draft.finish();
    found.or(invoice)
}

macro_rules! rules {
    ($($rule:ident $code:literal $meaning:literal;)*) => {
        /// A rule that a submission can break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $meaning] $rule,)*
        }

        impl Rule {
            /// Every rule, in the order of the documentation.
            pub const ALL: &[Rule] = &[$(Rule::$rule,)*];

            /// The stable code in [`Breach::code`].
            pub fn code(self) -> &'static str {
                match self { $(Rule::$rule => $code,)* }
            }

            /// What the rule asks for.
            pub fn meaning(self) -> &'static str {
                match self { $(Rule::$rule => $meaning,)* }
            }
        }
    };
}

rules! {
    Taxpayer "taxpayer_number" "A taxpayer number has 15 to 20 digits and capital letters; one of 18 has the right check character.";
    TaxpayerLetters "taxpayer_letters" "A taxpayer number holds none of the letters I, O, Z, S, V.";
    Serial "serial_number" "A serial number has 1 to 20 ASCII letters and digits.";
    Kind "kind" "The invoice kind is one of the known codes.";
    IssuePoint "issue_point" "An issue point has 1 to 40 ASCII letters, digits, - and _.";
    IssuePointUnknown "issue_point_unknown" "The issue point is set up for the seller.";
    Original "original" "An original is a code of 10 or 12 digits and a number of 8; void and red jobs need one, issue jobs have none.";
    Notice "notice" "A red special invoice names its information table (信息表编号): at most 30 letters and digits; no other has one.";
    VoidKind "void_kind" "Electronic invoices are never voided, only reversed.";
    VoidPeriod "void_period" "An invoice is voided in the month of its issue, by the disk's own clock.";
    RedSum "red_sum" "Red invoices reverse at most what their original comes to, all of them together.";
    Content "content" "Issue and red jobs need content, void jobs have none.";
    Missing "missing" "The field must not be empty.";
    Control "control_character" "Texts hold no control characters.";
    Invisible "invisible_character" "Texts hold no characters that show nothing or change the direction of what is read, and no text ends a letter that another begins (NFC).";
    TooLong "too_long" "No text is longer than any interface could carry.";
    Amount "amount" "An amount is a plain decimal with at most two decimals.";
    Price "price" "A price is a plain positive decimal with at most eight decimals.";
    Quantity "quantity" "A quantity is a plain decimal with at most eight decimals: positive, on a red invoice negative, never zero.";
    Rate "rate" "A tax rate is a fraction from 0 to 1 with at most four decimals.";
    LineKind "line_kind" "A line is normal, discounted or discount.";
    ZeroRate "zero_rate" "A zero-rate mark is export, exempt, not_taxed or ordinary, and stands only where the rate is 0.";
    GoodsCode "goods_code" "A goods code has 1 to 19 digits.";
    NoLines "no_lines" "An invoice has at least one line.";
    TooManyLines "too_many_lines" "An invoice has no more lines than its kind or the disk can take.";
    PriceQuantity "price_quantity" "Price and quantity are given together or not at all.";
    Product "product" "Price times quantity is the net amount, within 0.01 or at eight decimals of the price.";
    LineTax "line_tax" "Net amount times rate is the tax, within 0.06.";
    LineSign "line_sign" "Lines are positive and discounts negative; on a red invoice the other way round.";
    SpecialZeroRate "special_zero_rate" "A special invoice has no line with the rate 0.";
    SpecialBuyer "special_buyer" "A special invoice names the buyer's taxpayer number, address and bank.";
    DiscountPlace "discount_place" "A discount line directly follows its discounted line.";
    DiscountMatch "discount_match" "A discount line has the name, goods code and rate of its line.";
    DiscountFields "discount_fields" "A discount line has no specification, unit, quantity, price or deduction.";
    DiscountSize "discount_size" "A discount is not larger than its line.";
    Deduction "deduction" "A deduction is not larger than the line with tax, and stands on the only line.";
    Oil "oil" "Refined oil stands alone, in 升 or 吨, with a quantity, on at most eight lines.";
    TotalNet "total_net" "The net total is exactly the sum of the lines.";
    TotalTax "total_tax" "The tax total is exactly the sum of the lines, and within 1.27 of the unrounded tax.";
    TotalGross "total_gross" "The gross total is exactly net and tax.";
    TotalSign "total_sign" "The total of an invoice is above zero, of a red one below.";
    Characters "characters" "Every character exists in the disk's character set.";
    TooWide "too_wide" "Every text fits the disk's field, counted in bytes.";
    Decimals "decimals" "Prices, quantities and rates have no more decimals than the disk can carry.";
    NotExpressible "not_expressible" "The disk has a field for everything that is said.";
    Operation "operation" "The disk can do what is asked.";
    WrongType "wrong_type" "A field holds the JSON type that it is described with.";
    PublicKey "public_key" "A public key is 32 bytes of Ed25519 in base64.";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// Breaches as they are found.
#[derive(Debug, Default)]
struct Breaches(Vec<Breach>);

impl Breaches {
    fn add(&mut self, rule: Rule, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Breach { code: rule.code().to_owned(), pointer: pointer.into(), detail: detail.into() });
    }

    /// The value, unless something was found.
    fn or<T>(self, value: Option<T>) -> Result<T, Vec<Breach>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                debug_assert!(!self.0.is_empty(), "a value that is missing without a breach");
                Err(self.0)
            }
        }
    }
}
