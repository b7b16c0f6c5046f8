//! Reports: what was issued, by day, rate and kind. The store adds whole fen, so sums are exact; plots are drawn here and say
//! nothing that the table beside them does not.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use jiff::civil::Date;
use rust_decimal::Decimal;
use taxdisk_protocol::kind::InvoiceKind;

use super::export::{self, Form as TableForm};
use super::invoices::{Choice, encoded, orgs};
use super::shell::Shell;
use super::words::{self, Lang};
use super::{Console, Shared, Visitor, Who, page, shell};
use crate::store::{By, Period, StoreError, Sum, day_number};
use crate::wire::form::Form;

/// Days of a period at most: a year.
const DAYS_MAX: i32 = 366;
/// Height of a plot of days, units.
const HEIGHT: i64 = 200;
/// Width of a day in it, units.
const STEP: usize = 10;
/// Longest bar of a plot of rates or kinds, units. On a telephone a unit is about a pixel, so that its texts can be read there.
const LENGTH: i64 = 360;
/// Height of such a bar with its label above it, units.
const ROW: usize = 46;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/reports", get(show))
        .route("/console/reports.csv", get(csv))
        .route("/console/reports.xlsx", get(xlsx))
}

/// Days that are reported.
#[derive(Debug, Clone, Copy)]
struct Days {
    from: Date,
    to: Date,
}

impl Days {
    /// Those of a query; without any, this month up to today.
    ///
    /// # Errors
    /// Key of the text that says what is wrong.
    fn read(form: &Form, now: i64) -> Result<Days, &'static str> {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
        let today = jiff::Timestamp::from_millisecond(now).map_err(|_| "bad_date")?.to_zoned(zone).date();
        let date = |name: &str, otherwise: Date| match form.get(name).unwrap_or_default().trim() {
            "" => Ok(otherwise),
            text => text.parse::<Date>().map_err(|_| "bad_date"),
        };
        let to = date("to", today)?;
        let days = Days { from: date("from", to.first_of_month())?, to };
        if (1..=DAYS_MAX).contains(&days.count()) { Ok(days) } else { Err("report_period") }
    }

    /// How many there are; below 1: none.
    fn count(self) -> i32 {
        self.from.until(self.to).map_or(0, |span| span.get_days().saturating_add(1))
    }

    fn period(self, tenant: &str, form: &Form) -> Period {
        Period {
            tenant: tenant.to_owned(),
            from: day_number(self.from),
            to: day_number(self.to),
            orgcode: form.get("org").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// What reports are made by, as addresses and texts name it.
const ALL: [(By, &str); 3] = [(By::Day, "day"), (By::Rate, "rate"), (By::Kind, "kind")];

/// A row for people.
struct Row {
    label: String,
    blues: i64,
    reds: i64,
    net: String,
    tax: String,
    gross: String,
}

/// A bar of a plot, in units of its picture.
struct Bar {
    x: String,
    y: String,
    width: String,
    height: String,
    minus: bool,
    label: String,
    value: String,
    /// Where its label stands, of bars that have one.
    text_y: usize,
}

struct Plot {
    width: String,
    height: String,
    labelled: bool,
    bars: Vec<Bar>,
}

struct Section {
    by: &'static str,
    heading: String,
    first: String,
    rows: Vec<Row>,
    total: Option<Row>,
    plot: Plot,
}

#[derive(Template)]
#[template(path = "console/reports.html")]
struct Page {
    shell: Shell,
    from: String,
    to: String,
    orgs: Vec<Choice>,
    /// Query of the exports, without what they are made by.
    query: String,
    sections: Vec<Section>,
    voids: i64,
}

/// `2027-01-15` of `20270115`.
fn day_text(key: &str) -> String {
    match (key.get(..4), key.get(4..6), key.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => key.to_owned(),
    }
}

fn label(lang: Lang, by: By, sum: &Sum) -> String {
    match by {
        By::Day => day_text(&sum.key),
        By::Rate if matches!(sum.zero_rate.as_str(), "0" | "1" | "2" | "3") => {
            words::text(lang, &format!("rate_zero_{}", sum.zero_rate)).to_owned()
        }
        By::Rate => match Decimal::from_str_exact(&sum.key) {
            Ok(rate) => format!("{}%", (rate * Decimal::ONE_HUNDRED).normalize()),
            Err(_) => sum.key.clone(),
        },
        By::Kind => match sum.key.parse().ok().and_then(InvoiceKind::from_yonyou) {
            Some(kind) => words::said(lang, kind.name()),
            None => sum.key.clone(),
        },
    }
}

fn row(label: String, sum: &Sum) -> Row {
    let amount = |value: Decimal| format!("{value:.2}");
    Row { label, blues: sum.blues, reds: sum.reds, net: amount(sum.net), tax: amount(sum.tax), gross: amount(sum.gross) }
}

/// The sum of sums. `None`: there are none, or they count an invoice more than once (rates), so that its counts would be wrong.
fn total(lang: Lang, by: By, sums: &[Sum]) -> Option<Row> {
    let mut all = Sum::default();
    for sum in sums {
        all.blues += sum.blues;
        all.reds += sum.reds;
        all.net += sum.net;
        all.tax += sum.tax;
        all.gross += sum.gross;
    }
    (by != By::Rate && !sums.is_empty()).then(|| row(words::text(lang, "report_total").to_owned(), &all))
}

/// `value / of · units`, with two decimals.
fn share(value: Decimal, of: Decimal, units: i64) -> String {
    let exact = value.checked_mul(units.into()).and_then(|value| value.checked_div(of)).unwrap_or_default();
    exact.round_dp(2).normalize().to_string()
}

/// One bar for each day, days without an invoice included, so that gaps are seen as gaps.
fn days_plot(days: Days, sums: &[Sum]) -> Plot {
    let of = |date: Date| {
        let key = day_number(date).to_string();
        sums.iter().find(|sum| sum.key == key).map(|sum| sum.gross).unwrap_or_default()
    };
    let values: Vec<(Date, Decimal)> =
        days.from.series(jiff::Span::new().days(1)).take_while(|date| *date <= days.to).map(|date| (date, of(date))).collect();
    let zero = Decimal::ZERO;
    let top = values.iter().map(|(_, value)| *value).fold(zero, Decimal::max);
    let bottom = values.iter().map(|(_, value)| *value).fold(zero, Decimal::min);
    let span = top - bottom;
    let bar = |(place, (date, value)): (usize, &(Date, Decimal))| Bar {
        x: (place * STEP + 1).to_string(),
        y: share(top - (*value).max(zero), span, HEIGHT),
        width: (STEP - 2).to_string(),
        height: share(value.abs(), span, HEIGHT),
        minus: value.is_sign_negative(),
        label: date.to_string(),
        value: format!("{value:.2}"),
        text_y: 0,
    };
    let bars = values.iter().enumerate().filter(|(_, (_, value))| !value.is_zero()).map(bar).collect();
    Plot { width: (values.len() * STEP).to_string(), height: HEIGHT.to_string(), labelled: false, bars }
}

/// Lying bars, each below its label: beside it, a long name would leave no room for the bar on a telephone.
fn bars_plot(lang: Lang, by: By, sums: &[Sum]) -> Plot {
    let longest = sums.iter().map(|sum| sum.gross.abs()).fold(Decimal::ZERO, Decimal::max);
    let bar = |(place, sum): (usize, &Sum)| Bar {
        x: "0".to_owned(),
        y: (place * ROW + 22).to_string(),
        width: share(sum.gross.abs(), longest, LENGTH),
        height: "16".to_owned(),
        minus: sum.gross.is_sign_negative(),
        label: label(lang, by, sum),
        value: format!("{:.2}", sum.gross),
        text_y: place * ROW + 16,
    };
    let bars = sums.iter().enumerate().map(bar).collect();
    Plot { width: LENGTH.to_string(), height: (sums.len() * ROW).to_string(), labelled: true, bars }
}

async fn read(console: &Console, period: &Period) -> Result<(Vec<Vec<Sum>>, i64), StoreError> {
    let mut db = console.portal.readers.get().await?;
    let mut all = Vec::with_capacity(ALL.len());
    for (by, _) in ALL {
        all.push(db.sums(period, by).await?);
    }
    Ok((all, db.voids(period).await?))
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let (lang, form) = (visitor.language, &visitor.query);
    let days = match Days::read(form, (console.portal.clock)()) {
        Ok(days) => days,
        Err(key) => return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    let period = days.period(visitor.tenant(), form);
    let Ok((all, voids)) = read(&console, &period).await else {
        return shell::busy(&console, &visitor);
    };
    let t = |key: &str| words::text(lang, key).to_owned();
    let section = |((by, name), sums): ((By, &'static str), &Vec<Sum>)| Section {
        by: name,
        heading: t(&format!("report_by_{name}")),
        first: t(first(by)),
        rows: sums.iter().map(|sum| row(label(lang, by, sum), sum)).collect(),
        total: total(lang, by, sums),
        plot: match by {
            By::Day => days_plot(days, sums),
            By::Rate | By::Kind => bars_plot(lang, by, sums),
        },
    };
    page(&Page {
        shell: Shell::new(&console, &visitor, "menu_reports"),
        from: days.from.to_string(),
        to: days.to.to_string(),
        orgs: orgs(&console, &visitor),
        query: format!("from={}&to={}&org={}", days.from, days.to, encoded(&period.orgcode)),
        sections: ALL.into_iter().zip(&all).map(section).collect(),
        voids,
    })
}

/// Key of the heading of the first column.
fn first(by: By) -> &'static str {
    match by {
        By::Day => "report_day",
        By::Rate => "rate",
        By::Kind => "kind",
    }
}

async fn csv(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported(&console, &visitor, TableForm::Csv).await
}

async fn xlsx(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported(&console, &visitor, TableForm::Xlsx).await
}

async fn exported(console: &Console, visitor: &Visitor, form: TableForm) -> Response<Body> {
    let said = |status, key| shell::notice(console, visitor, status, key);
    let (lang, query) = (visitor.language, &visitor.query);
    let days = match Days::read(query, (console.portal.clock)()) {
        Ok(days) => days,
        Err(key) => return said(StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    let wanted = query.get("by").unwrap_or("day");
    let Some((by, name)) = ALL.into_iter().find(|(_, name)| *name == wanted) else {
        return said(StatusCode::NOT_FOUND, "not_found");
    };
    let period = days.period(visitor.tenant(), query);
    let read = async { console.portal.readers.get().await?.sums(&period, by).await };
    let Ok(sums) = read.await else { return said(StatusCode::SERVICE_UNAVAILABLE, "busy") };
    let cells = |sum: &Sum| {
        let row = row(label(lang, by, sum), sum);
        vec![row.label, row.blues.to_string(), row.reds.to_string(), row.net, row.tax, row.gross]
    };
    let rows: Vec<Vec<String>> = sums.iter().map(cells).collect();
    let heads = [first(by), "report_blues", "report_reds", "net", "tax", "gross"];
    let Ok(table) = export::table(form, lang, &heads, &heads[1..], &rows) else {
        return said(StatusCode::INTERNAL_SERVER_ERROR, "busy");
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form.content_type())),
        (header::CONTENT_DISPOSITION, form.disposition(&format!("report-by-{name}"))),
    ];
    (headers, table).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_one_to_366_days() {
        let now = 1_800_000_000_000;
        let read = |text: &str| Days::read(&Form::parse(text.as_bytes()).unwrap(), now);
        assert_eq!(
            read("").map(|days| (days.from.to_string(), days.to.to_string())).unwrap(),
            ("2027-01-01".into(), "2027-01-15".into())
        );
        assert_eq!(read("from=2028-01-01&to=2028-12-31").unwrap().count(), 366);
        assert_eq!(read("from=2027-01-15&to=2027-01-15").unwrap().count(), 1);
        for (wrong, why) in [
            ("from=2027-01-16&to=2027-01-15", "report_period"),
            ("from=2027-01-01&to=2028-01-02", "report_period"),
            ("from=0001-01-01&to=9999-12-31", "report_period"),
            ("from=yesterday", "bad_date"),
        ] {
            assert_eq!(read(wrong).unwrap_err(), why, "{wrong}");
        }
    }

    #[test]
    fn bars_reach_from_zero_to_their_value_and_below_it() {
        let days = Days { from: "2027-01-01".parse().unwrap(), to: "2027-01-03".parse().unwrap() };
        let sum = |key: &str, gross: i64| Sum { key: key.to_owned(), gross: gross.into(), ..Sum::default() };
        let plot = days_plot(days, &[sum("20270101", 300), sum("20270103", -100)]);
        let seen: Vec<_> = plot.bars.iter().map(|bar| (bar.x.as_str(), bar.y.as_str(), bar.height.as_str(), bar.minus)).collect();
        assert_eq!(seen, [("1", "0", "150", false), ("21", "150", "50", true)]);
        assert!(days_plot(days, &[]).bars.is_empty());
    }
}
