//! Texts of the reports.

use super::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    ("menu_statistics", "统计", "Statistics"),
    ("menu_reports", "统计报表", "Reports"),
    ("report_note", "按开票日期（北京时间）统计已开具的发票；红票从合计中扣减，作废的发票不计入。", "Issued invoices by their day of issue (China time); reds subtract, void invoices do not count."),
    ("report_from", "开票日期起", "Issued from"),
    ("report_to", "开票日期止", "Issued to"),
    ("report_show", "统计", "Show"),
    ("report_by_day", "按日", "By day"),
    ("report_by_rate", "按税率", "By rate"),
    ("report_by_kind", "按发票类型", "By kind"),
    ("report_rates", "一张发票有多个税率时，分别计入各税率的张数。", "An invoice with several rates counts with each of them."),
    ("report_day", "日期", "Day"),
    ("report_blues", "蓝票张数", "Invoices"),
    ("report_reds", "红票张数", "Reds"),
    ("report_total", "合计", "Total"),
    ("report_voids", "期间内已作废、未计入合计的发票张数：", "Void invoices of these days, not counted:"),
    ("report_plot", "价税合计图", "Plot of the totals with tax"),
    ("report_period", "期间为 1 至 366 天，止日不早于起日", "A period has 1 to 366 days, and ends no earlier than it begins"),
    ("rate_zero_0", "0%（出口零税率）", "0% (export)"),
    ("rate_zero_1", "0%（免税）", "0% (exempt)"),
    ("rate_zero_2", "0%（不征税）", "0% (not taxed)"),
    ("rate_zero_3", "0%（普通零税率）", "0% (ordinary)"),
];
