//! What a disk is asked to sign: the domain form of an invoice, made from [`crate::api::InvoiceBody`] by [`crate::rules`].

use crate::api::{BuyerBody, InvoiceBody, LineBody, TotalsBody};
use crate::ids::TaxpayerNumber;
use crate::money::{Amount, Price, Quantity, TaxRate};

/// An invoice whose every value is well formed. That its sums are right is what [`crate::rules`] checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Who receives it.
    pub buyer: Buyer,
    /// What was sold, discount lines directly after the line that they belong to.
    pub lines: Vec<Line>,
    /// The sums over the lines.
    pub totals: Totals,
    /// 备注, without our mark.
    pub remark: String,
    /// 开票人: who issues.
    pub clerk: String,
    /// 收款人; may be empty.
    pub payee: String,
    /// 复核人; may be empty.
    pub reviewer: String,
    /// 信息表编号 of a red special invoice; empty on all others.
    pub notice: String,
}

/// 购方.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buyer {
    /// 名称; `个人` for a person.
    pub name: String,
    /// 纳税人识别号; persons have none.
    pub taxpayer_number: Option<TaxpayerNumber>,
    /// 地址、电话; may be empty.
    pub address_phone: String,
    /// 开户行及账号; may be empty.
    pub bank_account: String,
}

/// 发票行性质 (fphxz).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineKind {
    /// 0: a plain line.
    Normal,
    /// 2: a line whose discount line follows.
    Discounted,
    /// 1: the discount of the line above.
    Discount,
}

/// 零税率标识 (lslbs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZeroRate {
    /// 0 出口退税.
    Export,
    /// 1 免税.
    Exempt,
    /// 2 不征收.
    NotTaxed,
    /// 3 普通零税率.
    Ordinary,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Plain, discounted, or the discount.
    pub kind: LineKind,
    /// 货物或应税劳务、服务名称.
    pub name: String,
    /// 商品编码 (spbm): up to 19 digits.
    pub goods_code: Option<String>,
    /// 规格型号; may be empty.
    pub specification: String,
    /// 单位; may be empty.
    pub unit: String,
    /// 数量; given together with the price or not at all.
    pub quantity: Option<Quantity>,
    /// 单价 without tax.
    pub price: Option<Price>,
    /// 金额 without tax.
    pub net: Amount,
    /// 税率.
    pub rate: TaxRate,
    /// 税额.
    pub tax: Amount,
    /// Why the rate is zero, if it is.
    pub zero_rate: Option<ZeroRate>,
    /// 扣除额 (差额征税).
    pub deduction: Option<Amount>,
}

/// 合计金额, 合计税额, 价税合计.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sum without tax.
    pub net: Amount,
    /// Sum of the tax.
    pub tax: Amount,
    /// Net and tax together.
    pub gross: Amount,
}

impl Invoice {
    /// The invoice as text again, in normal form: parsing it gives this invoice back.
    pub fn to_body(&self) -> InvoiceBody {
        InvoiceBody {
            buyer: BuyerBody {
                name: self.buyer.name.clone(),
                taxpayer_number: self.buyer.taxpayer_number.as_ref().map(ToString::to_string),
                address_phone: self.buyer.address_phone.clone(),
                bank_account: self.buyer.bank_account.clone(),
            },
            lines: self.lines.iter().map(Line::to_body).collect(),
            totals: TotalsBody {
                net: self.totals.net.to_string(),
                tax: self.totals.tax.to_string(),
                gross: self.totals.gross.to_string(),
            },
            remark: self.remark.clone(),
            clerk: self.clerk.clone(),
            payee: self.payee.clone(),
            reviewer: self.reviewer.clone(),
            notice: self.notice.clone(),
        }
    }
}

impl Line {
    fn to_body(&self) -> LineBody {
        let kind = match self.kind {
            LineKind::Normal => None,
            LineKind::Discounted => Some("discounted"),
            LineKind::Discount => Some("discount"),
        };
        let zero_rate = self.zero_rate.map(|mark| match mark {
            ZeroRate::Export => "export",
            ZeroRate::Exempt => "exempt",
            ZeroRate::NotTaxed => "not_taxed",
            ZeroRate::Ordinary => "ordinary",
        });
        LineBody {
            kind: kind.map(str::to_owned),
            name: self.name.clone(),
            goods_code: self.goods_code.clone(),
            specification: self.specification.clone(),
            unit: self.unit.clone(),
            quantity: self.quantity.map(|quantity| quantity.to_string()),
            price: self.price.map(|price| price.to_string()),
            net: self.net.to_string(),
            rate: self.rate.to_string(),
            tax: self.tax.to_string(),
            zero_rate: zero_rate.map(str::to_owned),
            deduction: self.deduction.map(|deduction| deduction.to_string()),
        }
    }
}
