//! Content of the facts' samples, for the tests. Made-up data.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals};
use taxdisk_protocol::kind::InvoiceKind;

use crate::actor::IssueOrder;
use crate::disk::Identity;

/// 打印纸, 2 × 100, 13 %.
pub(crate) fn paper() -> Line {
    Line {
        kind: LineKind::Normal,
        name: "*纸制品*打印纸".to_owned(),
        goods_code: Some("1060105000000000000".to_owned()),
        specification: "A4".to_owned(),
        unit: "包".to_owned(),
        quantity: Some("2".parse().unwrap()),
        price: Some("100".parse().unwrap()),
        net: "200.00".parse().unwrap(),
        rate: "0.13".parse().unwrap(),
        tax: "26.00".parse().unwrap(),
        zero_rate: None,
        deduction: None,
    }
}

/// The disk of the samples.
pub(crate) fn identity() -> Identity {
    Identity {
        disk: "661500000001".parse().unwrap(),
        taxpayer: TaxpayerNumber::from_device("91110000MA00000019").unwrap(),
        taxpayer_name: "示例商贸有限公司".to_owned(),
        kinds: vec![InvoiceKind::PaperSpecial, InvoiceKind::PaperOrdinary],
        clock: Some("20260302101500".to_owned()),
        version: "V2.0".to_owned(),
    }
}

/// The invoice of the sample in A.4.
pub(crate) fn order() -> IssueOrder {
    let invoice = Invoice {
        buyer: Buyer {
            name: "个人".to_owned(),
            taxpayer_number: None,
            address_phone: String::new(),
            bank_account: String::new(),
        },
        lines: vec![paper()],
        totals: Totals { net: "200.00".parse().unwrap(), tax: "26.00".parse().unwrap(), gross: "226.00".parse().unwrap() },
        remark: String::new(),
        clerk: "王五".to_owned(),
        payee: "张三".to_owned(),
        reviewer: "李四".to_owned(),
        notice: String::new(),
    };
    IssueOrder {
        kind: InvoiceKind::PaperOrdinary,
        expected: "1100000320 00000088".parse().unwrap(),
        invoice,
        remark: String::new(),
        seller: identity(),
        red: None,
        request_id: "T0000000000000000001".to_owned(),
    }
}

/// An answer of the component in GBK.
pub(crate) fn answer(id: &str, fields: &str) -> Vec<u8> {
    let text = format!(
        r#"<?xml version="1.0" encoding="gbk"?><business comment="x" id="{id}"><body yylxdm="1"><output>{fields}</output></body></business>"#
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

/// A refusal.
pub(crate) fn refusal(id: &str, code: &str, message: &str) -> Vec<u8> {
    answer(id, &format!("<returncode>{code}</returncode><returnmsg>{message}</returnmsg>"))
}

/// What the component answers with SKPXXCX.
pub(crate) const IDENTITY: &str = "<skpbh>661500000001</skpbh><nsrsbh>91110000MA00000019</nsrsbh>\
    <nsrmc>示例商贸有限公司</nsrmc><swjgdm>111000000</swjgdm><swjgmc>示例税务局</swjgmc><fplxdm>004007</fplxdm>\
    <dqsz>20260302101500</dqsz><qysj>20250101000000</qysj><bbh>V2.0</bbh><kpjh>0</kpjh><qylx>00</qylx><blxx/>\
    <qtkzxx/><returncode>00000000</returncode><returnmsg>成功</returnmsg>";

/// GPXXCX: 00000088 is next, 13 are left.
pub(crate) fn stock(number: &str) -> String {
    format!(
        "<fplxdm>007</fplxdm><dqfpdm>1100000320</dqfpdm><dqfphm>{number}</dqfphm><zsyfs>113</zsyfs><fpdxx count=\"2\">\
         <group xh=\"1\"><fpdm>1100000321</fpdm><qshm>00000001</qshm><zzhm>00000100</zzhm><fpfs>100</fpfs><syfs>100</syfs>\
         <lgrq>20260201</lgrq><lgry>张三</lgry></group><group xh=\"2\"><fpdm>1100000320</fpdm><qshm>00000001</qshm>\
         <zzhm>00000100</zzhm><fpfs>100</fpfs><syfs>13</syfs><lgrq>20260101</lgrq><lgry>张三</lgry></group></fpdxx>\
         <returncode>00000000</returncode><returnmsg>成功</returnmsg>"
    )
}

/// The answer to FPKJ in A.4.
pub(crate) const SIGNED: &str = "<fplxdm>007</fplxdm><fpdm>1100000320</fpdm><fphm>00000088</fphm>\
    <kprq>20260302101530</kprq><hjje>200.00</hjje><skm>0123456789</skm><jym>12345678901234567890</jym>\
    <returncode>0</returncode><returnmsg>成功</returnmsg>";

/// The issued invoice as a group of a query's answer.
pub(crate) fn found(number: &str) -> String {
    format!(
        "<group xh=\"1\"><fpdm>1100000320</fpdm><fphm>{number}</fphm><fpzt>0</fpzt><scbz>0</scbz><kprq>20260302</kprq>\
         <kpsj>101530</kpsj><tspz>00</tspz><skpbh>661500000001</skpbh><skm>0123456789</skm><jym/><xhdwsbh/><ghdwsbh/>\
         <ghdwmc>个人</ghdwmc><ghdwdzdh/><ghdwyhzh/><fyxm count=\"1\"><group xh=\"1\"><fphxz>0</fphxz>\
         <spmc>*纸制品*打印纸</spmc><spsm/><ggxh>A4</ggxh><dw>包</dw><spsl>2.00000000</spsl><dj>100.00000000</dj>\
         <je>200.00</je><kcje/><sl>0.130</sl><se>26.00</se><hsbz>0</hsbz><spbm>1060105000000000000</spbm></group></fyxm>\
         <qdxm/><zhsl/><hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz/><skr>张三</skr><fhr>李四</fhr>\
         <kpr>王五</kpr><qdbz>0</qdbz><tzdbh/><yfpdm/><yfphm/><zfrq/><zfr/><qmz>SIGNATURE</qmz></group>"
    )
}

/// The answer to FPCX with these groups.
pub(crate) fn query(count: usize, groups: &str) -> String {
    format!("<fplxdm>007</fplxdm><fpxx count=\"{count}\">{groups}</fpxx><returncode>0</returncode><returnmsg>成功</returnmsg>")
}
