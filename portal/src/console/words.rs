//! The console's texts, Chinese and English: one table for what all pages share, one for each group of pages.

mod codes;
mod history;
mod reports;
mod settings;
mod tasks;

pub use taxdisk_web::pages::{Lang, language};
use taxdisk_web::signin::words::FACTOR;

use crate::english::english;

/// A text. One that is missing shows its key: a test finds it before anybody does.
pub fn text(lang: Lang, key: &str) -> &str {
    rows().find(|(known, _, _)| *known == key).map_or(key, |(_, zh, en)| match lang {
        Lang::Zh => zh,
        Lang::En => en,
    })
}

/// What the core or a file says in Chinese, in the language of a page.
pub fn said(lang: Lang, text: &str) -> String {
    match lang {
        Lang::Zh => text.to_owned(),
        Lang::En => english(text),
    }
}

/// Several of those as one sentence.
pub fn said_all(lang: Lang, texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| said(lang, &text)).collect();
    texts.join(if lang == Lang::En { "; " } else { "；" })
}

/// Key, Chinese, English.
type Row = (&'static str, &'static str, &'static str);

/// All texts, of every area.
fn rows() -> impl Iterator<Item = &'static Row> {
    [TABLE, FACTOR, codes::TABLE, history::TABLE, tasks::TABLE, settings::TABLE, reports::TABLE].into_iter().flatten()
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("console", "商户控制台", "Merchant console"),
    ("sample", "测试环境：所有发票均为样票，不具法律效力", "Test environment: every invoice is a SAMPLE without legal effect"),
    ("menu", "菜单", "Menu"),
    ("menu_issue", "企业开票", "Issuing"),
    ("menu_approval", "审批", "Approval"),
    ("menu_invoices", "发票", "Invoices"),
    ("menu_list", "发票列表", "All invoices"),
    ("account", "我的账号", "My account"),
    ("sign_out", "退出登录", "Sign out"),
    ("skip", "跳到正文", "Skip to content"),
    ("sign_in", "登录", "Sign in"),
    ("tenant", "企业标识", "Company id"),
    ("login", "用户名", "User name"),
    ("password", "密码", "Password"),
    ("password_old", "当前密码", "Present password"),
    ("password_new", "新密码", "New password"),
    ("password_again", "再次输入新密码", "New password again"),
    ("password_rule", "至少 10 个字符，不含用户名", "At least 10 characters, without your user name"),
    ("password_set", "设置密码", "Set password"),
    ("password_change", "修改密码", "Change password"),
    ("password_changed", "密码已修改，其他设备均已退出登录", "The password is changed; every other device is signed out"),
    ("password_lost", "忘记密码？请联系平台运营方获取新的一次性链接。", "Lost your password? The operator gives you a new one-time link."),
    ("password_ready", "密码已设置，请登录", "Your password is set; sign in"),
    ("wrong", "用户名、密码或验证码不正确", "The user name, the password or the code is wrong"),
    ("wait", "尝试次数过多，请稍后再试", "Too many attempts; try again a little later"),
    ("link_bad", "该链接已使用或已过期，请联系平台运营方", "This link was used already or has expired; ask the operator"),
    ("weak", "新密码不符合要求", "The new password will not do"),
    ("unequal", "两次输入的新密码不一致", "The two new passwords differ"),
    ("not_found", "没有这个页面或单据", "There is no such page or request"),
    ("forbidden", "您的角色无权执行此操作", "Your role may not do this"),
    ("signed_out", "登录已过期，操作未执行；请重新登录", "Your session has ended and nothing was done; sign in again"),
    ("forged", "请求未经本页面发出或页面已过期，操作未执行；请返回并重新提交", "This did not come from a page of ours, or the page is too old. Nothing was done; go back and try again"),
    ("too_large", "提交内容过大，操作未执行", "Too much was sent; nothing was done"),
    ("busy", "系统繁忙，请稍后重试；重复操作不会重复开票", "Busy; try again in a moment. Doing the same again never issues twice"),
    ("back", "返回", "Back"),
    ("home", "发票列表", "All invoices"),
    ("filter", "查询", "Search"),
    ("from", "受理日期起", "Accepted from"),
    ("to", "受理日期止", "Accepted to"),
    ("state", "状态", "State"),
    ("org", "开票组织", "Organisation"),
    ("kind", "发票类型", "Kind"),
    ("all", "全部", "All"),
    ("by", "查找方式", "Find by"),
    ("word", "内容（完整填写）", "Text (in full)"),
    ("by_serial", "流水号", "Serial number"),
    ("by_order", "单据号", "Order"),
    ("by_extraction", "发票提取码", "Extraction code"),
    ("by_number", "发票号码", "Invoice number"),
    ("by_buyer", "购方名称", "Buyer"),
    ("by_taxpayer", "购方税号", "Buyer's taxpayer number"),
    ("by_telephone", "手机号", "Telephone"),
    ("by_mail", "邮箱", "Mail address"),
    ("created", "受理时间", "Accepted"),
    ("serial", "流水号", "Serial number"),
    ("buyer", "购方名称", "Buyer"),
    ("gross", "价税合计", "Total with tax"),
    ("net", "金额", "Net"),
    ("tax", "税额", "Tax"),
    ("number", "发票代码 / 号码", "Code / number"),
    ("next", "下一页", "Next page"),
    ("first", "第一页", "First page"),
    ("nothing", "没有符合条件的单据", "Nothing matches"),
    ("export", "导出 CSV", "Export CSV"),
    ("export_xlsx", "导出 Excel", "Export Excel"),
    ("too_many_rows", "超过一次导出的行数上限，未导出：请缩小日期范围", "More rows than one export holds; nothing was exported: choose narrower dates"),
    ("bad_date", "日期格式应为 YYYY-MM-DD", "Dates are written YYYY-MM-DD"),
    ("approval_note", "以下单据等待审批，批准前不会开票。", "These wait for approval. None is issued before."),
    ("held", "疑似与以下流水号重复：", "Looks like a duplicate of:"),
    ("seller", "销方", "Seller"),
    ("buyer_number", "购方税号", "Buyer's taxpayer number"),
    ("interface", "来源", "Came by"),
    ("appid", "调用方", "Caller"),
    ("order", "单据号", "Order"),
    ("extraction", "发票提取码", "Extraction code"),
    ("attempt", "重新开具次数", "Re-issues"),
    ("issued_at", "开票时间", "Issued at"),
    ("reason", "原因", "Reason"),
    ("waiting", "等待原因", "Why it waits"),
    ("in_its_words", "税控端原文", "In the words of broker and disk"),
    ("original", "对应蓝票", "Blue invoice"),
    ("remaining", "剩余可红冲", "Left to reverse"),
    ("voiding", "作废状态", "Voiding"),
    ("parts", "拆分为", "Split into"),
    ("parent", "拆分自", "Split from"),
    ("lines", "明细", "Lines"),
    ("item", "项目名称", "Item"),
    ("quantity", "数量", "Quantity"),
    ("rate", "税率", "Rate"),
    ("open_page", "打开发票页面（PDF、打印）", "Open the invoice (PDF, print)"),
    ("link_revoked", "公开链接已撤销", "The public link was revoked"),
    ("actions", "操作", "Actions"),
    ("release", "批准开票", "Approve"),
    ("release_note", "批准后进入开票队列，流水号不变；重复点击只开一张。", "Goes into the queue under the same serial number; clicking twice issues once."),
    ("return", "退回", "Return"),
    ("return_note", "退回后不会开票，流水号保留。", "It will not be issued; the serial number stays taken."),
    ("reissue", "重新开具", "Re-issue"),
    ("reissue_note", "已证明未开票。以同一流水号重新进入队列，不会重复开票。", "It is proven that no invoice exists. Queued again under the same serial number; it is never issued twice."),
    ("red", "全额红冲", "Reverse whole invoice"),
    ("red_note", "红冲由原蓝票决定流水号，重复点击只生成一张红票。", "The serial number follows from the blue invoice: clicking twice makes one red invoice."),
    ("red_only", "电子发票（026、028）不能作废，只能红冲。", "Electronic invoices (026, 028) cannot be voided, only reversed."),
    ("void", "作废", "Void"),
    ("void_note", "仅限纸质发票、当月、未红冲；税控设备可能拒绝，届时发票仍然有效。", "Paper invoices of this month that are not reversed. The disk may refuse; the invoice is then still valid."),
    ("confirm", "我已核对，确认执行", "I have checked this and want it"),
    ("unconfirmed", "请先勾选确认；操作未执行", "Tick the confirmation first; nothing was done"),
    ("send", "发送发票", "Send the invoice"),
    ("address", "邮箱或手机号", "Mail address or telephone"),
    ("channel", "方式", "By"),
    ("mail", "邮件", "Mail"),
    ("sms", "短信", "Short message"),
    ("replay", "重发回调", "Send callbacks again"),
    ("messages", "邮件与短信", "Mails and messages"),
    ("callbacks", "回调", "Callbacks"),
    ("history", "历史", "History"),
    ("none", "无", "None"),
    ("time", "时间", "Time"),
    ("who", "执行者", "Who"),
    ("what", "事件", "What"),
    ("target", "地址", "Address"),
    ("tries", "失败次数", "Failed attempts"),
    ("last_answer", "最近一次结果", "Latest answer"),
    ("standing_waiting", "等待发送", "Waiting"),
    ("standing_sent", "已交付下一站", "Handed over"),
    ("standing_failed", "发送失败", "Failed"),
    ("standing_unavailable", "未开通", "Not available"),
    ("standing_delivered", "对方已确认", "Acknowledged"),
    ("standing_parked", "已停止重试", "Given up; may be sent again"),
    ("done_released", "已批准，进入开票队列", "Approved and queued"),
    ("done_returned", "已退回，不会开票", "Returned; it will not be issued"),
    ("done_requeued", "已重新进入开票队列，流水号不变", "Queued again under the same serial number"),
    ("done_already", "发票已开具，未重复开票", "The invoice exists already; nothing was issued again"),
    ("done_progress", "正在处理中，未重复开票", "It is under way; nothing was issued again"),
    ("done_settling", "税控设备的结果尚在核实，核实前不会重新开具", "What the disk did is being read; until then nothing is issued again"),
    ("done_red", "红冲请求已受理；开具成功后才算红冲完成", "The reversal is accepted; it is done once the red invoice is issued"),
    ("done_red_known", "该红冲已受理过，未重复提交", "This reversal was accepted before; nothing was done twice"),
    ("done_voiding", "作废请求已受理，等待税控设备", "The void is accepted and waits for the disk"),
    ("done_void", "该发票已作废", "This invoice is void"),
    ("done_sent", "已进入发送队列", "Queued for sending"),
    ("done_replayed", "已安排重发回调", "The callbacks will be sent again"),
    ("too_many", "发送次数过多；发票不受影响", "Sent too often; the invoice is not affected"),
    ("bad_address", "地址格式不正确", "No such address can exist"),
    ("not_issued", "尚未开票，未发送", "No invoice exists yet; nothing was sent"),
    ("state_HELD", "疑似重复，待审批", "Held as a suspected duplicate"),
    ("state_WAITING_APPROVAL", "待审批", "Waits for approval"),
    ("state_WAITING_BUYER", "待购方填写", "Waits for the buyer"),
    ("state_QUEUED", "排队中", "Queued"),
    ("state_ISSUING", "开票中", "Being issued"),
    ("state_SETTLING", "结果核实中", "Being settled"),
    ("state_FAILED", "未开票（失败）", "Not issued (failed)"),
    ("state_ISSUED", "已开票", "Issued"),
    ("state_VOIDED", "作废成功", "Void done"),
    ("state_RETURNED", "已退回", "Returned"),
    ("state_SPLIT", "已拆分", "Split"),
    ("fault_request", "单据内容有误：退回后以原流水号修改再提交", "The content is wrong: return it and send a corrected one under the same serial number"),
    ("fault_disk", "税控设备原因：可以重新开具", "The disk's fault: it may be re-issued"),
    ("fault_policy", "销方规则不允许：规则调整后可以重新开具", "A rule of the seller: it may be re-issued once that is changed"),
    ("op_red", "红票", "Red"),
    ("op_void", "作废", "Void"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_lacks_a_language_or_stands_twice() {
        for (place, (key, zh, en)) in rows().enumerate() {
            assert!(!zh.trim().is_empty() && !en.trim().is_empty(), "{key}");
            assert!(en.is_ascii(), "{key} in English");
            assert!(rows().take(place).all(|(other, _, _)| other != key), "{key} twice");
        }
    }

    #[test]
    fn templates_name_no_text_that_is_missing() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/console");
        let mut seen = 0;
        let folders = [folder.clone(), folder.join("settings"), folder.join("../../../web/templates/signin")];
        for file in folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("templates").flatten()) {
            if file.path().is_dir() {
                continue;
            }
            let html = std::fs::read_to_string(file.path()).expect("a template");
            for after in html.split("t(\"").skip(1) {
                let key = after.split('"').next().unwrap_or_default();
                assert!(rows().any(|(known, _, _)| *known == key), "{key} of {}", file.path().display());
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
