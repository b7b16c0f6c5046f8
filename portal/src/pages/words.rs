//! What consumers read, in Chinese and English: one table, so that no page has a language of its own.

use axum::http::{HeaderMap, header};

use crate::wire::form::Form;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lang {
    /// 中文.
    #[default]
    Zh,
    /// English.
    En,
}

impl Lang {
    /// Both, in the order in which they are offered.
    pub(super) const ALL: [Lang; 2] = [Lang::Zh, Lang::En];

    /// As HTML names it.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }

    /// As an address and a cookie name it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Lang::Zh => "zh",
            Lang::En => "en",
        }
    }

    /// As its speakers call it.
    pub(super) fn own_name(self) -> &'static str {
        match self {
            Lang::Zh => "中文",
            Lang::En => "English",
        }
    }

    /// Asked for by the address, else by the cookie of an earlier choice, else what the browser prefers.
    pub(super) fn of(query: Option<&str>, headers: &HeaderMap) -> Lang {
        let named = |code: &str| Lang::ALL.into_iter().find(|lang| code.trim().to_ascii_lowercase().starts_with(lang.code()));
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let asked =
            query.and_then(|query| Form::parse(query.as_bytes()).ok()).and_then(|query| query.get("lang").and_then(named));
        let kept = || text(header::COOKIE).split(';').find_map(|pair| pair.trim().strip_prefix("lang=")).and_then(named);
        let preferred = || text(header::ACCEPT_LANGUAGE).split(',').find_map(named);
        asked.or_else(kept).or_else(preferred).unwrap_or_default()
    }

    /// A text of the table; a key that is not in it is shown as it is, which the tests of the table find.
    pub(super) fn text(self, key: &'static str) -> &'static str {
        let row = WORDS.iter().find(|(known, _, _)| *known == key);
        row.map_or(key, |(_, zh, en)| match self {
            Lang::Zh => zh,
            Lang::En => en,
        })
    }
}

/// Key, Chinese, English.
pub(super) const WORDS: &[(&str, &str, &str)] = &[
    ("service", "电子发票服务", "Electronic invoices"),
    ("skip", "跳到正文", "Skip to content"),
    ("language", "语言", "Language"),
    ("sample", "样票 SAMPLE：由模拟设备生成，不是合法的发票", "样票 SAMPLE: made by a simulated device, not a legal invoice"),
    ("invoice", "电子发票", "Electronic invoice"),
    ("credit_note", "红字电子发票", "Electronic credit note"),
    ("total", "价税合计", "Total with tax"),
    ("net", "金额", "Net"),
    ("tax", "税额", "Tax"),
    ("seller", "销方名称", "Seller"),
    ("seller_address", "销方地址", "Seller's address"),
    ("buyer", "购方名称", "Buyer"),
    ("buyer_number", "购方税号", "Buyer's tax no."),
    ("code", "发票代码", "Invoice code"),
    ("number", "发票号码", "Invoice number"),
    ("issued_at", "开票时间", "Issued"),
    ("serial", "开票流水号", "Serial number"),
    ("extraction", "发票提取码", "Extraction code"),
    ("lines", "消费明细", "What was bought"),
    ("form_title", "填写发票抬头", "Who is the invoice for?"),
    ("kind", "开票类型", "Type of buyer"),
    ("enterprise", "企业性单位", "Company"),
    ("institution", "非企业性单位", "Institution"),
    ("person", "个人", "Person"),
    ("title", "发票抬头（购方名称）", "Invoice title (buyer's name)"),
    ("taxpayer_number", "纳税人识别号", "Taxpayer number"),
    ("taxpayer_hint", "企业必填；个人可不填", "Needed for companies; persons may leave it empty"),
    ("more", "更多信息（选填）", "More (optional)"),
    ("wechat_titles", "选取微信发票抬头", "Choose a title kept in WeChat"),
    ("wechat_failed", "暂时无法选取微信抬头，请直接填写", "WeChat's titles cannot be chosen now; please fill in the form"),
    ("address_phone", "地址、电话", "Address, telephone"),
    ("bank_account", "开户行及账号", "Bank and account"),
    ("email", "接收发票的邮箱", "E-mail address for the invoice"),
    ("optional", "选填", "Optional"),
    ("phone", "接收发票的手机号", "Telephone for the invoice"),
    ("keep", "在本机记住此抬头", "Keep this title on this device"),
    ("next", "下一步", "Next"),
    ("characters_bad", "税控设备无法打印：", "The tax device cannot print:"),
    ("confirm_title", "请核对后开票", "Please check before it is issued"),
    ("confirm_text", "发票开具后不能修改抬头。", "The title cannot be changed once the invoice is issued."),
    ("change", "返回修改", "Change"),
    ("issue", "确认开票", "Issue the invoice"),
    ("please_correct", "请修改以下内容", "Please correct the following"),
    ("need_kind", "请选择开票类型", "Choose the type of buyer"),
    ("need_title", "请填写发票抬头", "Enter the invoice title"),
    ("need_number", "企业须填写纳税人识别号", "A company needs its taxpayer number"),
    ("bad_number", "纳税人识别号应为 15 至 20 位字母和数字", "A taxpayer number has 15 to 20 letters and digits"),
    ("need_email", "请填写正确的邮箱", "Enter a good e-mail address"),
    ("need_phone", "请填写正确的手机号", "Enter a good telephone number"),
    ("too_long", "内容过长", "Too long"),
    ("terms_changed", "订单内容已更新，请重新核对", "The order has changed; please check it again"),
    ("state_queued", "已提交，正在排队开票", "Submitted; waiting in line"),
    (
        "state_queued_more",
        "本页会自动更新，您也可以稍后重新扫码查看。",
        "This page renews itself; you can also scan again later.",
    ),
    ("state_offline", "已收到，商户的税控设备暂时不可用", "Received; the merchant's tax device is not available now"),
    (
        "state_offline_more",
        "设备恢复后会自动开票并发送给您，无需重新提交；也可以稍后重新扫码查看。",
        "We will issue it and send it to you once the device is back. You need not submit again; you can also scan later.",
    ),
    (
        "state_offline_wait",
        "设备恢复后会自动开票，无需重新提交；请稍后重新扫码查看。",
        "It will be issued as soon as the device is back. You need not submit again; please scan again later.",
    ),
    ("state_issuing", "正在开票", "Being issued"),
    ("state_issuing_more", "通常只需几秒钟。", "This usually takes seconds."),
    ("state_checking", "正在向税控设备核实结果", "The result is being checked with the tax device"),
    (
        "state_checking_more",
        "请勿另行开票，核实后本页会更新。",
        "Please do not ask for another invoice; this page will be renewed.",
    ),
    ("state_merchant", "等待商户处理", "The merchant has to act"),
    (
        "state_merchant_more",
        "发票尚未开具，您提交的信息已保存，请联系商户。",
        "No invoice has been issued. What you submitted is kept; please ask the merchant.",
    ),
    ("state_returned", "该开票请求已被商户退回", "The merchant has sent this request back"),
    ("state_returned_more", "发票未开具，请联系商户。", "No invoice has been issued; please ask the merchant."),
    ("state_issued", "开票成功", "Issued"),
    ("state_issued_more", "", ""),
    ("view", "查看与下载", "View and download"),
    ("link_revoked", "下载链接已撤销，请联系商户", "The link was revoked; please ask the merchant"),
    ("download_pdf", "下载 PDF", "Download PDF"),
    ("download_ofd", "下载 OFD", "Download OFD"),
    ("print", "打印", "Print"),
    ("scan_here", "用手机扫码打开本页", "Scan to open on a phone"),
    ("voided", "该发票已作废", "This invoice was voided"),
    ("reversed", "该发票已红冲", "A credit note was issued for this invoice"),
    ("send_title", "发送到其他邮箱或手机", "Send to another address"),
    ("send_to", "邮箱或手机号", "E-mail address or telephone"),
    ("send", "发送", "Send"),
    ("sent", "已进入发送队列", "It is on its way"),
    (
        "send_off",
        "平台尚未开通此发送方式，发票不受影响",
        "This way of sending is not available here; the invoice is not affected",
    ),
    ("send_many", "发送次数过多，请明天再试；发票不受影响", "Too many messages; try again tomorrow. The invoice is not affected"),
    ("card_save", "保存到微信卡包", "Save to WeChat's card pack"),
    ("card_sent", "已授权，发票将存入微信卡包", "Authorised; the invoice will be in WeChat's card pack"),
    ("card_in", "该发票已在微信卡包中", "This invoice is in WeChat's card pack already"),
    ("card_no", "您没有授权，发票未存入微信卡包；发票不受影响", "You did not authorise it; the invoice is not affected"),
    (
        "card_off",
        "暂时无法连接微信，请稍后再试；发票不受影响",
        "WeChat does not answer now; please try again later. The invoice is not affected",
    ),
    ("correct_title", "发票有误？申请更正", "Something wrong? Ask for a correction"),
    ("correct_what", "哪里需要更正", "What should be corrected"),
    ("correct_contact", "联系方式（选填）", "How to reach you (optional)"),
    ("correct", "提交更正申请", "Ask for a correction"),
    ("corrected", "更正申请已交给商户，将由工作人员处理", "The merchant's staff will look at your request"),
    ("correct_open", "已有更正申请在处理中", "A request for a correction is being dealt with already"),
    ("need_text", "请填写需要更正的内容", "Write what should be corrected"),
    ("invalid_code", "二维码无效，请联系商户", "This code is not valid; please ask the merchant"),
    ("ended_code", "二维码已过期或已撤销，请联系商户", "This code has ended or was revoked; please ask the merchant"),
    ("nothing_changed", "打开此页没有改变任何内容。", "Nothing was changed by opening it."),
    ("invalid_link", "链接无效", "This link is not valid"),
    ("ended_link", "链接已过期或已撤销，请联系商户", "This link has ended or was revoked; please ask the merchant"),
    ("invoice_unaffected", "发票本身不受影响。", "The invoice itself is not affected."),
    ("no_file", "文件暂时无法生成", "The file cannot be made now"),
    ("busy", "系统繁忙，请稍后再试", "Please try again in a moment"),
    ("nothing_issued", "没有开具发票，稍后重试是安全的。", "No invoice was issued; it is safe to try again."),
    ("same_safe", "重复提交不会重复开票。", "Submitting again never issues twice."),
    ("too_often", "操作过于频繁，请稍后再试", "Too many requests; please wait a moment"),
    ("not_allowed", "不支持的操作", "Not allowed"),
    ("form_large", "表单过大", "The form is too large"),
    ("form_encoding", "表单无法读取", "The form cannot be read"),
    ("unavailable", "暂时无法查询订单，请稍后再试", "The order cannot be looked up now; please try again later"),
    ("order_unknown", "暂无此订单，请稍后再试", "No such order yet; please try again later"),
    ("order_unknown_more", "收银系统可能尚未上传订单。", "The till may not have uploaded it yet."),
    ("merchant_wrong", "商户的订单数据有误，请联系商户", "The merchant's data of this order are wrong; please ask the merchant"),
    ("order_not", "该订单不能开票", "This order cannot be invoiced"),
    ("order_already", "该订单已开过发票，请联系商户", "This order has an invoice already; please ask the merchant"),
    ("order_expired", "该订单已超过开票期限", "The time for an invoice of this order is over"),
    ("reserve_title", "预约开票", "Reserve an invoice"),
    (
        "reserve_note",
        "现在填写开票信息，离店时由店员核对后开票。提交预约不会开票。",
        "Write now what invoice you want; a clerk checks it and issues it when you leave. Nothing is issued by reserving.",
    ),
    ("reserve", "提交申请", "Submit"),
    ("reserve_check", "请核对后提交申请", "Please check before you submit"),
    ("reserve_check_note", "店员按以下内容核对并开票。", "A clerk checks this and issues the invoice."),
    ("reserved", "预约已提交", "Reserved"),
    (
        "reserved_more",
        "尚未开票。离店时请向店员说明，由店员核对后开票。",
        "No invoice has been issued. Tell the clerk when you leave; it is issued once a clerk has checked it.",
    ),
    ("reserved_number", "预约序号", "Your number"),
    ("reserve_again", "重复提交不会重复预约。", "Submitting again never reserves twice."),
    ("nothing_reserved", "没有提交预约，稍后重试是安全的。", "Nothing was reserved; it is safe to try again."),
    ("wall_ended", "该预约二维码已停用，请联系商户", "This code was taken down; please ask the merchant"),
    ("wall_full", "商户待处理的预约过多，请联系店员", "Too many reservations wait here; please ask a clerk"),
    ("need_contact", "手机或邮箱至少填写一项", "A telephone number or an e-mail address is needed"),
    ("quantity", "数量", "Quantity"),
    ("unit_price", "含税单价（元）", "Unit price with tax (yuan)"),
    ("amount_with_tax", "含税金额（元）", "Amount with tax (yuan)"),
    ("limit", "金额合计上限：", "All amounts together at most:"),
    ("over_limit", "金额合计超过商户设置的上限", "All amounts together are above the merchant's limit of"),
    ("bad_amount", "请填写大于 0 的数字，金额至多两位小数", "Enter a number above 0, an amount with two decimals at most"),
    ("need_answer", "必填", "needed"),
    ("bad_answer", "过长，或有无法打印的字符", "too long, or it cannot be printed"),
    ("number_check", "纳税人识别号有误，请核对有无抄错", "The taxpayer number is wrong; please check it"),
    ("form_old", "表单已失效，请重新扫码", "This form has ended; please scan again"),
    ("by_clerk", "由店员填写", "The clerk enters it"),
    ("find_title", "查找开票申请", "Find your invoice"),
    ("find_text", "二维码无法扫描时，可凭小票上的信息查找。", "If the code cannot be scanned, the receipt's own words will do."),
    ("extraction_hint", "小票上的 12 位数字", "12 digits on the receipt"),
    ("find_or", "没有提取码？请填写以下三项", "No extraction code? Fill in these three"),
    ("find_serial", "流水号或订单号", "Serial number or order number"),
    ("find_total", "价税合计（元）", "Total with tax (yuan)"),
    ("find_date", "消费日期", "Date of the purchase"),
    ("find", "查找", "Find"),
    ("find_again", "重新查找", "Find another one"),
    ("find_miss", "没有找到，请核对后再试，或联系商户", "Nothing was found. Please check what you wrote, or ask the merchant"),
    (
        "find_files",
        "为保护购方信息，此处不提供文件：请查看开票时填写的邮箱，或使用发票提取码，或联系商户。",
        "To protect the buyer no file is given here: please look into the mailbox that was named, use the extraction \
         code, or ask the merchant.",
    ),
    ("find_later", "请稍后再次查找。", "Please look again later."),
    ("kiosk_title", "自助取票", "Collect your invoice"),
    ("kiosk_scan", "请扫描小票上的二维码", "Scan the code on your receipt"),
    ("kiosk_show", "显示", "Show"),
    ("kiosk_foreign", "这不是本平台的发票二维码", "This is not an invoice code of this service"),
    ("kiosk_foreign_more", "请扫描小票上的开票二维码。", "Please scan the invoice code on your receipt."),
    ("kiosk_form", "尚未填写发票抬头", "The buyer of this invoice is not known yet"),
    (
        "kiosk_form_more",
        "请用手机扫描同一二维码，填写抬头后再来取票。",
        "Scan the same code with your phone, fill in the title, then come back.",
    ),
    ("kiosk_later", "请稍后再次扫描。", "Please scan again later."),
    ("kiosk_ready", "电子发票已生成，请按需点击以下按钮获取！", "Your invoice is ready. Choose what you need."),
    ("kiosk_clears", "此页将在 60 秒后清除", "This page is cleared after 60 seconds"),
    ("kiosk_done", "完成", "Done"),
    ("pdf_download", "PDF 下载", "Download PDF"),
    ("pdf_print", "PDF 打印", "Print PDF"),
    ("ask_merchant", "如有疑问，请联系商户。", "If you have a question, please ask the merchant."),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::HeaderValue;

    use super::*;

    fn used(text: &str, open: &str) -> Vec<String> {
        text.split(open).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    #[test]
    fn every_text_that_a_page_names_is_there_once_in_both_languages() {
        let keys: BTreeSet<&str> = WORDS.iter().map(|(key, _, _)| *key).collect();
        assert_eq!(keys.len(), WORDS.len(), "a key is there twice");
        for (key, zh, en) in WORDS {
            assert_eq!(zh.is_empty(), en.is_empty(), "{key} lacks a language");
            assert!(zh.is_empty() || !zh.is_ascii(), "{key} is not Chinese");
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut named = 0;
        for (folder, open) in [("templates/pages", ".t(\""), ("src/pages", ".text(\""), ("src/pages", "key!(\"")] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = file.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                for key in used(text.split("#[cfg(test)]").next().unwrap(), open) {
                    let document_field = key.chars().next().is_some_and(char::is_uppercase);
                    assert!(document_field || keys.contains(key.as_str()), "{} names {key}", path.display());
                    named += 1;
                }
            }
        }
        assert!(named > 40, "the texts are looked for in the right places: {named}");
    }

    #[test]
    fn the_address_goes_before_the_cookie_and_the_cookie_before_the_browser() {
        let mut headers = HeaderMap::new();
        assert_eq!(Lang::of(None, &headers), Lang::Zh);
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("fr, en-GB;q=0.8, zh;q=0.5"));
        assert_eq!(Lang::of(None, &headers), Lang::En);
        headers.insert(header::COOKIE, HeaderValue::from_static("other=1; lang=zh"));
        assert_eq!(Lang::of(None, &headers), Lang::Zh);
        assert_eq!(Lang::of(Some("syscode=A&lang=en"), &headers), Lang::En);
        assert_eq!(Lang::of(Some("lang=xx"), &headers), Lang::Zh);
    }
}
