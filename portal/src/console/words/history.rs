//! What histories of requests say that was done: keys are `what_` and the words that [`crate::ledger::Session::note`] keeps.
//! Words that name a state are among those of states.

use super::Row;

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    ("what_accepted", "已受理", "Accepted"),
    ("what_buyer_erased", "已删除购方数据", "A buyer's data was removed"),
    ("what_buyer_exported", "已提供购方数据副本", "A copy of a buyer's data was handed out"),
    ("what_approved", "已批准", "Approved"),
    ("what_asked for", "提出申请", "Asked for"),
    ("what_claimed", "购方已填写", "The buyer was named"),
    ("what_codes_revoked", "二维码已失效，数量", "Codes revoked"),
    ("what_correction_asked", "购方申请更正", "A correction was asked for"),
    ("what_correction_done", "更正申请已处理：", "The correction is done:"),
    ("what_correction_refused", "更正申请不予受理：", "The correction was declined:"),
    ("what_links_revoked", "链接已失效，数量", "Links revoked"),
    ("what_lost", "开票服务没有该任务，重新提交", "The broker does not know it; it is handed over again"),
    ("what_part-red asked for", "申请部分红冲，流水号", "Part-red asked for"),
    ("what_red asked for", "申请红冲，流水号", "Red asked for"),
    ("what_refused", "开票服务未接受", "Refused"),
    ("what_released", "已放行", "Released"),
    ("what_replaced by", "重开的发票，流水号", "Replaced by"),
    ("what_replaces", "重开，代替流水号", "Replaces"),
    ("what_requeued", "重新排队", "Requeued"),
    ("what_resend", "再次发送", "Sent again"),
    ("what_returned", "已退回", "Returned"),
    ("what_split", "已拆分为", "Split into"),
    ("what_voiding", "申请作废", "Void asked for"),
    ("menu_deliveries", "推送异常", "Not delivered"),
    ("deliveries_note", "已尝试但未送达的回调、邮件和短信；发票不受影响。请在单据页面重发。", "Callbacks, mails and messages that were tried and did not arrive. The invoices stand. Send them again on the page of the request."),
    ("deliveries_none", "没有未送达的推送", "Everything has arrived"),
    ("deliveries_more", "仅显示最近的记录", "The latest are shown"),
    ("channel_callback", "回调", "Callback"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::TABLE;

    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => sources(&path, all),
                path => all.push_str(&std::fs::read_to_string(path).unwrap()),
            }
        }
    }

    #[test]
    fn whatever_is_noted_has_words_in_both_languages() {
        let mut all = String::new();
        for folder in ["src/core", "src/console"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
        }
        // Written in two pieces, or this file would hold one more of them.
        let calls = all.split(concat!("session", ".note(")).skip(1).map(|rest| rest.split(".await").next().unwrap());
        // A literal of a call is who did it, what it was, or nothing.
        let words = calls.flat_map(|call| call.split('"').skip(1).step_by(2)).filter(|word| !word.contains('{'));
        let mut words: Vec<&str> = words.filter(|word| !["", " ", "broker", "consumer"].contains(word)).collect();
        // Those that stand in a variable.
        words.extend(["approved", "released", "links_revoked", "codes_revoked", "correction_done", "correction_refused"]);
        assert!(words.len() > 20, "{words:?}");
        for word in words {
            assert!(TABLE.iter().any(|(key, _, _)| key.strip_prefix("what_") == Some(word)), "{word:?}");
        }
    }
}
