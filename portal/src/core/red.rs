//! Reds, whole or in part (yonyou-open-api.md, sections 1.7 and 1.8; invoice-rules.md, section 8). What is left to reverse is
//! counted inside the writer's transaction, so two reds never share it.

use rust_decimal::Decimal;
use taxdisk_protocol::api::{JobSubmission, Operation, Priority};

use super::insert::{self, Part, Refusal};
use super::request::{Phase, Request, Voiding};
use crate::document::submission::{self, Context, money};
use crate::document::{Document, Fault, red};
use crate::ledger::Session;
use crate::model::Tenant;
use crate::store::StoreError;

/// What a red asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// As it was read; of a partial red derived.
    pub document: Document,
    /// Faults of its derivation; it is refused for them unless it is known already.
    pub faults: Vec<Fault>,
    /// Reverses the whole invoice.
    pub whole: bool,
    /// For sellers and issue points.
    pub tenant: std::sync::Arc<Tenant>,
}

/// Makes the job of a red.
///
/// # Errors
/// Those of the store. The inner error: why it is not taken.
pub async fn prepare(session: &mut Session, tenant: &str, serial: &str, ask: &Ask) -> Result<Result<Part, Refusal>, StoreError> {
    if !ask.faults.is_empty() {
        return Ok(Err(Refusal::faults(serial, &ask.faults)));
    }
    let (code, number) = (ask.document.text("fpDm"), ask.document.text("fpHm"));
    let Some(blue) = session.db.request_by_number(tenant, code, number).await? else {
        return Ok(Err(Refusal::new(
            serial,
            "ORIGINAL_UNKNOWN",
            format!("fpDm/fpHm：没有发票代码 {code}、号码 {number} 的蓝字发票"),
        )));
    };
    let others = session.db.about(tenant, code, number).await?;
    Ok(judge(serial, ask, &blue, &others))
}

fn judge(serial: &str, ask: &Ask, blue: &Request, others: &[Request]) -> Result<Part, Refusal> {
    let refused = |subcode, text: String| Err(Refusal::new(serial, subcode, text));
    let Some((kind, original)) = insert::about(blue) else {
        return refused("ORIGINAL_RED", "fpDm/fpHm：该发票不是蓝字发票，不能红冲".to_owned());
    };
    if kind.is_special() && ask.document.text("hzxxbbh").is_empty() {
        return refused("RED_NOTICE", format!("hzxxbbh：{}红冲须填写红字信息表编号", kind.name()));
    }
    match blue.voiding {
        Voiding::Void => return refused("ORIGINAL_VOID", "fpDm/fpHm：该发票已作废，不能红冲".to_owned()),
        Voiding::Running => return refused("ORIGINAL_VOIDING", "fpDm/fpHm：该发票正在作废，不能红冲".to_owned()),
        Voiding::No | Voiding::Failed => {}
    }
    let reds = || others.iter().filter(|other| other.operation == Operation::Red);
    // A red that is asked for again under its serial number was sent back before: it does not count against itself.
    let open = |red: &&Request| !matches!(red.phase, Phase::Failed | Phase::Deleted);
    let taken: Decimal = reds().filter(open).map(|red| red.gross).sum();
    let left = blue.gross + taken;
    if left.is_zero() {
        let by = reds().filter(open).map(|red| red.serial.as_str()).collect::<Vec<_>>().join("、");
        return refused("ORIGINAL_REVERSED", format!("fpDm/fpHm：该发票已全部红冲，红票流水号 {by}"));
    }
    if ask.whole && !taken.is_zero() {
        let by = reds().filter(open).map(|red| red.serial.as_str()).collect::<Vec<_>>().join("、");
        let text = format!("fpDm/fpHm：该发票已有红冲（流水号 {by}），剩余可红冲 {left:.2}，请用部分红冲");
        return refused("ORIGINAL_REVERSED", text);
    }
    if !ask.whole && -ask.document.gross > left {
        let text = format!("JSHJ：红冲金额 {:.2} 超出剩余可红冲金额 {left:.2}", -ask.document.gross);
        return refused("RED_SUM", text);
    }
    let Some(seller) = ask.tenant.seller(&blue.seller) else {
        return refused("SELLER_UNKNOWN", "fpDm/fpHm：该发票的销方不属于本租户".to_owned());
    };
    let orgcode = match ask.document.text("ORGCODE") {
        "" => blue.orgcode.as_str(),
        given => given,
    };
    let point = match seller.point(orgcode, true) {
        Ok(point) => point,
        Err(text) => return refused("ISSUE_POINT", format!("ORGCODE：{text}")),
    };
    let persons = [point.clerk.clone(), point.payee.clone(), point.reviewer.clone()];
    let context = Context {
        job_serial: insert::job_serial(&blue.tenant, serial),
        seller: blue.seller.clone(),
        issue_point: point.broker_point.clone(),
        persons: persons.clone(),
        operation: Operation::Red,
        original: Some(original.clone()),
        priority: Priority::Bulk,
    };
    let (document, mut job) = if ask.whole { whole(ask, blue, &context) } else { part(ask, blue, kind, &context) }
        .ok_or_else(|| Refusal::new(serial, "ORIGINAL_BODY", "fpDm/fpHm：原发票内容不可用，请联系平台"))?;
    // Published for every red, and read for special ones alone.
    if let Some(invoice) = job.invoice.as_mut().filter(|_| kind.is_special()) {
        ask.document.text("hzxxbbh").clone_into(&mut invoice.notice);
    }
    insert::judge(&job).map_err(|faults| Refusal::faults(serial, &faults))?;
    Ok(Part { serial: serial.to_owned(), orgcode: point.orgcode.clone(), document, job, complete: true })
}

/// The blue invoice, turned.
fn whole(ask: &Ask, blue: &Request, context: &Context) -> Option<(Document, JobSubmission)> {
    let or = |name: &str, fallback: &String| match ask.document.text(name) {
        "" => fallback.clone(),
        given => given.to_owned(),
    };
    let [clerk, payee, reviewer] = &context.persons;
    let persons = [or("KPR", clerk), or("SKR", payee), or("FHR", reviewer)];
    let invoice = red::turned(blue.job.invoice.as_ref()?, context.original.as_ref()?, persons)?;
    let mut document = blue.document.clone();
    document.serial.clone_from(&ask.document.serial);
    document.head.extend(ask.document.head.clone());
    document.head.insert("BZ".to_owned(), invoice.remark.clone());
    document.gross = -document.gross;
    document.net = document.net.map(|net| -net);
    document.tax = document.tax.map(|tax| -tax);
    for line in &mut document.lines {
        line.gross = -line.gross;
        line.net = line.net.map(|net| -net);
        line.tax = line.tax.map(|tax| -tax);
        line.quantity = line.quantity.map(|quantity| -quantity);
    }
    let job = JobSubmission {
        seller: context.seller.clone(),
        serial: context.job_serial.clone(),
        operation: Operation::Red,
        kind: blue.job.kind.clone(),
        issue_point: context.issue_point.clone(),
        priority: context.priority,
        original: context.original.clone(),
        invoice: Some(invoice),
    };
    Some((document, job))
}

/// The lines of the request, for the buyer of the blue invoice.
fn part(
    ask: &Ask,
    blue: &Request,
    kind: taxdisk_protocol::kind::InvoiceKind,
    context: &Context,
) -> Option<(Document, JobSubmission)> {
    let mut document = ask.document.clone();
    document.kind = blue.fplx;
    for name in ["GMF_MC", "GMF_NSRSBH", "GMF_DZDH", "GMF_YHZH", "XSF_NSRSBH", "XSF_MC", "XSF_DZDH", "XSF_YHZH"] {
        let value = blue.document.text(name);
        if !value.is_empty() {
            document.head.insert(name.to_owned(), value.to_owned());
        }
    }
    document.head.insert("BZ".to_owned(), red::remark(context.original.as_ref()?));
    let mut job = submission::submission(&document, kind, context);
    debug_assert_eq!(job.invoice.as_ref().map(|invoice| invoice.totals.gross.clone()), Some(money(document.gross)));
    job.operation = Operation::Red;
    Some((document, job))
}
