//! Sums of what was issued, for both databases. Written with the request in one transaction; amounts are whole fen, so that the
//! database adds exactly.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sqlx::{QueryBuilder, Row as _};
use taxdisk_protocol::api::Operation;

use super::{PostgresDb, SqliteDb, StoreError};
use crate::core::request::{Phase, Request, Voiding};
use crate::document::derive::cents;

/// Rows of one answer at most: a period has at most 366 days.
const ROWS_MAX: i64 = 400;

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Day of issue.
    Day,
    /// Tax rate, and which kind of zero.
    Rate,
    /// FPLX.
    Kind,
}

/// Which invoices count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Whose.
    pub tenant: String,
    /// First day of issue, `YYYYMMDD`.
    pub from: i64,
    /// Last day of issue, `YYYYMMDD`.
    pub to: i64,
    /// Of this organisation; empty: all.
    pub orgcode: String,
}

/// One sum. Reds have taken away from the amounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    /// `20270115`, `0.13`, or `10`.
    pub key: String,
    /// LSLBS, of a rate 0.
    pub zero_rate: String,
    /// Blue invoices.
    pub blues: i64,
    /// Red ones.
    pub reds: i64,
    /// 金额.
    pub net: Decimal,
    /// 税额.
    pub tax: Decimal,
    /// 价税合计.
    pub gross: Decimal,
}

/// What reports need of a connection.
#[async_trait]
pub trait ReportsDb: Send {
    /// Writes the sums of a request that is issued; of others nothing.
    async fn put_sums(&mut self, request: &Request) -> Result<(), StoreError>;
    /// Sums of a period, in the order of their keys.
    async fn sums(&mut self, period: &Period, by: By) -> Result<Vec<Sum>, StoreError>;
    /// How many invoices of a period are void; they count in no sum.
    async fn voids(&mut self, period: &Period) -> Result<i64, StoreError>;
}

/// Net, tax and gross of one rate of a request, fen.
type Fen = [i64; 3];

/// The amounts of a request by rate and kind of zero.
fn by_rate(request: &Request) -> BTreeMap<(String, String), Fen> {
    let fen = |value: Decimal| {
        // The fields of a document have 15 digits at most (yonyou-open-api.md, section 1.3).
        cents(value).checked_mul(Decimal::ONE_HUNDRED).and_then(|fen| fen.to_i64()).unwrap_or_default()
    };
    let mut sums: BTreeMap<(String, String), Fen> = BTreeMap::new();
    for line in &request.document.lines {
        let rate = line.rate.normalize();
        let zero = if rate.is_zero() { line.zero_rate.clone() } else { String::new() };
        let sum = sums.entry((rate.to_string(), zero)).or_default();
        let amounts = [line.net.unwrap_or_default(), line.tax.unwrap_or_default(), line.gross];
        for (sum, amount) in sum.iter_mut().zip(amounts) {
            *sum = sum.saturating_add(fen(amount));
        }
    }
    sums
}

/// Day of issue as the disk wrote it; without one, of the last change.
fn day(request: &Request) -> i64 {
    let written = request.issued.as_ref().and_then(|issued| issued.issued_at.get(..8));
    let written = written.filter(|day| day.bytes().all(|byte| byte.is_ascii_digit())).and_then(|day| day.parse().ok());
    written.unwrap_or_else(|| {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
        jiff::Timestamp::from_millisecond(request.changed_at).map_or(0, |at| number(at.to_zoned(zone).date()))
    })
}

/// `YYYYMMDD`.
pub fn number(date: jiff::civil::Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

macro_rules! reports {
    ($name:ident) => {
        #[async_trait]
        impl ReportsDb for $name {
            async fn put_sums(&mut self, request: &Request) -> Result<(), StoreError> {
                let counts = matches!(request.operation, Operation::Issue | Operation::Red);
                let sums = by_rate(request);
                if request.phase != Phase::Issued || !counts || sums.is_empty() {
                    return Ok(());
                }
                let (red, void) = (request.operation == Operation::Red, request.voiding == Voiding::Void);
                let mut sql = QueryBuilder::new(
                    "INSERT INTO issued_sums (tenant, serial, rate, zero_rate, day, fplx, orgcode, red, void, net_fen, tax_fen, \
                     gross_fen) ",
                );
                sql.push_values(sums, |mut row, ((rate, zero), [net, tax, gross])| {
                    row.push_bind(&request.tenant)
                        .push_bind(&request.serial)
                        .push_bind(rate)
                        .push_bind(zero)
                        .push_bind(day(request))
                        .push_bind(i64::from(request.fplx))
                        .push_bind(&request.orgcode)
                        .push_bind(i64::from(red))
                        .push_bind(i64::from(void))
                        .push_bind(net)
                        .push_bind(tax)
                        .push_bind(gross);
                });
                // What was issued is frozen; whether it is void is not.
                sql.push(" ON CONFLICT (tenant, serial, rate, zero_rate) DO UPDATE SET void = excluded.void")
                    .build()
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn sums(&mut self, period: &Period, by: By) -> Result<Vec<Sum>, StoreError> {
                let (key, zero, group) = match by {
                    By::Day => ("CAST(day AS TEXT)", "''", "day"),
                    By::Rate => ("rate", "zero_rate", "rate, zero_rate"),
                    By::Kind => ("CAST(fplx AS TEXT)", "''", "fplx"),
                };
                // PostgreSQL adds BIGINT up to NUMERIC.
                let mut sql = QueryBuilder::new(format!(
                    "SELECT {key}, {zero}, COUNT(DISTINCT CASE WHEN red = 0 THEN serial END), \
                     COUNT(DISTINCT CASE WHEN red = 1 THEN serial END), CAST(SUM(net_fen) AS BIGINT), \
                     CAST(SUM(tax_fen) AS BIGINT), CAST(SUM(gross_fen) AS BIGINT) FROM issued_sums WHERE void = 0"
                ));
                sql.push(" AND tenant = ").push_bind(&period.tenant);
                sql.push(" AND day >= ").push_bind(period.from).push(" AND day <= ").push_bind(period.to);
                if !period.orgcode.is_empty() {
                    sql.push(" AND orgcode = ").push_bind(&period.orgcode);
                }
                sql.push(format_args!(" GROUP BY {group} ORDER BY {group} LIMIT ")).push_bind(ROWS_MAX);
                let rows = sql.build().fetch_all(&mut self.0).await?;
                let mut sums = Vec::with_capacity(rows.len());
                for row in rows {
                    sums.push(Sum {
                        key: row.try_get(0)?,
                        zero_rate: row.try_get(1)?,
                        blues: row.try_get(2)?,
                        reds: row.try_get(3)?,
                        net: Decimal::new(row.try_get(4)?, 2),
                        tax: Decimal::new(row.try_get(5)?, 2),
                        gross: Decimal::new(row.try_get(6)?, 2),
                    });
                }
                Ok(sums)
            }

            async fn voids(&mut self, period: &Period) -> Result<i64, StoreError> {
                let mut sql = QueryBuilder::new("SELECT COUNT(DISTINCT serial) FROM issued_sums WHERE void = 1 AND tenant = ");
                sql.push_bind(&period.tenant);
                sql.push(" AND day >= ").push_bind(period.from).push(" AND day <= ").push_bind(period.to);
                if !period.orgcode.is_empty() {
                    sql.push(" AND orgcode = ").push_bind(&period.orgcode);
                }
                Ok(sql.build_query_scalar().fetch_one(&mut self.0).await?)
            }
        }
    };
}

reports!(SqliteDb);
reports!(PostgresDb);
