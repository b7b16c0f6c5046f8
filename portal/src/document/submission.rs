//! From a derived document to the broker's job, and from the broker's rules back to the fields that the caller knows.

use rust_decimal::Decimal;
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, JobSubmission, LineBody, Operation, PairBody, Priority, TotalsBody};
use taxdisk_protocol::error::Breach;
use taxdisk_protocol::kind::InvoiceKind;

use super::{Document, Fault, Line, LineKind};

/// What the document does not say.
#[derive(Debug, Clone)]
pub struct Context {
    /// Serial number of the job at the broker.
    pub job_serial: String,
    /// Taxpayer number of the seller.
    pub seller: String,
    /// Issue point at the broker.
    pub issue_point: Option<String>,
    /// 开票人, 收款人, 复核人 of the issue point.
    pub persons: [String; 3],
    /// Blue or red.
    pub operation: Operation,
    /// Of a red: the blue invoice.
    pub original: Option<PairBody>,
    /// Somebody waits.
    pub priority: Priority,
}

/// The invoice kind of an FPLX. The oil kinds are the plain kinds with goods codes of oil (invoice-rules.md, section 1).
///
/// # Errors
/// Kinds that no tax disk issues.
pub fn kind(fplx: u8) -> Result<InvoiceKind, Fault> {
    let plain = match fplx {
        8 => 1,
        9 => 12,
        10 => 3,
        11 => 4,
        other => other,
    };
    let known = InvoiceKind::from_yonyou(plain);
    known.ok_or_else(|| Fault::new("FPLX", "kind", format!("发票类型 {fplx} 没有可用的税控设备（数电发票不经税控设备开具）")))
}

/// The job. The document is derived and paired.
pub fn submission(document: &Document, kind: InvoiceKind, context: &Context) -> JobSubmission {
    let [clerk, payee, reviewer] = &context.persons;
    let or = |name: &str, fallback: &String| match document.text(name) {
        "" => fallback.clone(),
        given => given.to_owned(),
    };
    let buyer_number = document.text("GMF_NSRSBH");
    let invoice = InvoiceBody {
        buyer: BuyerBody {
            name: document.text("GMF_MC").to_owned(),
            taxpayer_number: (!buyer_number.is_empty()).then(|| buyer_number.to_owned()),
            address_phone: document.text("GMF_DZDH").to_owned(),
            bank_account: document.text("GMF_YHZH").to_owned(),
        },
        lines: document.lines.iter().map(line).collect(),
        totals: TotalsBody {
            net: money(document.net.unwrap_or_default()),
            tax: money(document.tax.unwrap_or_default()),
            gross: money(document.gross),
        },
        remark: document.text("BZ").to_owned(),
        clerk: or("KPR", clerk),
        payee: or("SKR", payee),
        reviewer: or("FHR", reviewer),
        notice: String::new(),
    };
    JobSubmission {
        seller: context.seller.clone(),
        serial: context.job_serial.clone(),
        operation: context.operation,
        kind: kind.fplxdm().to_owned(),
        issue_point: context.issue_point.clone(),
        priority: context.priority,
        original: context.original.clone(),
        invoice: Some(invoice),
    }
}

fn line(line: &Line) -> LineBody {
    let kind = match line.kind {
        LineKind::Normal => None,
        LineKind::Discount => Some("discount"),
        LineKind::Discounted => Some("discounted"),
    };
    let zero_rate = match line.zero_rate.as_str() {
        "0" => Some("export"),
        "1" => Some("exempt"),
        "2" => Some("not_taxed"),
        "3" => Some("ordinary"),
        _ => None,
    };
    LineBody {
        kind: kind.map(str::to_owned),
        name: line.name.clone(),
        goods_code: (!line.goods_code.is_empty()).then(|| line.goods_code.clone()),
        specification: line.specification.clone(),
        unit: line.unit.clone(),
        quantity: line.quantity.map(|quantity| quantity.normalize().to_string()),
        price: line.price.map(|price| price.normalize().to_string()),
        net: money(line.net.unwrap_or_default()),
        rate: line.rate.normalize().to_string(),
        tax: money(line.tax.unwrap_or_default()),
        zero_rate: zero_rate.map(str::to_owned),
        deduction: line.deduction.map(money),
    }
}

/// Two decimals, as the broker wants them.
pub fn money(value: Decimal) -> String {
    format!("{value:.2}")
}

/// A rule of the broker that is broken, in the words of the caller.
pub fn fault(breach: &Breach) -> Fault {
    Fault::new(field(&breach.pointer), &breach.code, format!("{}（{}）", meaning(&breach.code), breach.detail))
}

/// The field that a pointer into the job stands for.
fn field(pointer: &str) -> String {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let name = match parts.as_slice() {
        ["seller"] => "XSF_NSRSBH",
        ["serial"] => "FPQQLSH",
        ["kind"] => "FPLX",
        ["issue_point"] => "ORGCODE",
        ["original", ..] => "fpDm/fpHm",
        ["invoice", "buyer", "name"] => "GMF_MC",
        ["invoice", "buyer", "taxpayer_number"] => "GMF_NSRSBH",
        ["invoice", "buyer", "address_phone"] => "GMF_DZDH",
        ["invoice", "buyer", "bank_account"] => "GMF_YHZH",
        ["invoice", "totals", "net"] => "HJJE",
        ["invoice", "totals", "tax"] => "HJSE",
        ["invoice", "totals", "gross"] => "JSHJ",
        ["invoice", "remark"] => "BZ",
        ["invoice", "clerk"] => "KPR",
        ["invoice", "payee"] => "SKR",
        ["invoice", "reviewer"] => "FHR",
        ["invoice", "notice"] => "hzxxbbh",
        ["invoice", "lines"] => "items",
        ["invoice", "lines", index, name] => {
            let name = match *name {
                "kind" => "FPHXZ",
                "name" => "XMMC",
                "goods_code" => "SPBM",
                "specification" => "GGXH",
                "unit" => "DW",
                "quantity" => "XMSL",
                "price" => "XMDJ",
                "net" => "XMJE",
                "rate" => "SL",
                "tax" => "SE",
                "zero_rate" => "LSLBS",
                "deduction" => "KCE",
                other => other,
            };
            return format!("items[{index}].{name}");
        }
        _ => return pointer.to_owned(),
    };
    name.to_owned()
}

/// The rule in Chinese; the detail of the broker follows it.
fn meaning(rule: &str) -> &'static str {
    match rule {
        "taxpayer_number" | "taxpayer_letters" => "纳税人识别号不正确",
        "kind" => "发票类型不正确",
        "issue_point" | "issue_point_unknown" => "开票点不正确",
        "missing" => "不能为空",
        "control_character" => "含有控制字符",
        "too_long" | "too_wide" => "内容过长",
        "amount" | "price" | "quantity" | "rate" | "decimals" => "数值不正确",
        "line_kind" => "发票行性质不正确",
        "zero_rate" => "零税率标识不正确",
        "goods_code" => "税收分类编码不正确",
        "no_lines" | "too_many_lines" => "明细行数不正确",
        "price_quantity" | "product" => "单价与数量不符",
        "line_tax" => "税额与金额、税率不符",
        "line_sign" | "total_sign" => "金额正负不正确",
        "special_zero_rate" => "专用发票不能有零税率",
        "special_buyer" => "专用发票须填写购方税号、地址电话和开户行账号",
        "discount_place" | "discount_match" | "discount_fields" | "discount_size" => "折扣行不正确",
        "deduction" => "扣除额不正确",
        "oil" => "成品油明细不正确",
        "total_net" | "total_tax" | "total_gross" => "合计不正确",
        "characters" => "含有税控设备无法打印的字符",
        "not_expressible" | "operation" => "税控设备不支持",
        "red_sum" => "红冲金额超出可红冲金额",
        "void_kind" => "电子发票不能作废，只能红冲",
        "void_period" => "只能作废当月开具的发票",
        _ => "不符合开票规则",
    }
}
