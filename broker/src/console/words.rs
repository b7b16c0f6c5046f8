//! The console's texts, Chinese and English: one table for what all pages share, one for each group of pages.

mod jobs;
mod machines;
mod operations;
mod outside;
mod sentences;

use taxdisk_protocol::time::Timestamp;
pub use taxdisk_web::pages::Lang;
use taxdisk_web::signin::words::FACTOR;

pub use self::sentences::said;
use crate::core::people::ConsoleRole;

/// A text. One that is missing shows its key: a test finds it before anybody does.
pub fn text(lang: Lang, key: &str) -> &str {
    rows().find(|(known, _, _)| *known == key).map_or(key, |(_, zh, en)| match lang {
        Lang::Zh => zh,
        Lang::En => en,
    })
}

/// Is there a text of this key?
pub fn is_known(key: &str) -> bool {
    rows().any(|(known, _, _)| *known == key)
}

/// Key of a role's name.
pub fn role(role: ConsoleRole) -> &'static str {
    match role {
        ConsoleRole::Viewer => "role_viewer",
        ConsoleRole::Operator => "role_operator",
        ConsoleRole::Administrator => "role_administrator",
        ConsoleRole::Auditor => "role_auditor",
    }
}

/// A moment as pages show it: in China's time, where the disks are, to the second.
pub fn time(at: Timestamp) -> String {
    local(at).unwrap_or_else(|| at.to_string())
}

fn local(at: Timestamp) -> Option<String> {
    let offset = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let moment = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(offset);
    Some(moment.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The same of a text of RFC 3339, as the API writes them.
pub fn time_of(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), time)
}

/// A word of the API, as a part of a key.
pub fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A time span for people: `3 h 05 min`.
pub fn span(lang: Lang, seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (lang, hours, minutes) {
        (Lang::Zh, 0, 0) => format!("{rest} 秒"),
        (Lang::En, 0, 0) => format!("{rest} s"),
        (Lang::Zh, 0, _) => format!("{minutes} 分 {rest:02} 秒"),
        (Lang::En, 0, _) => format!("{minutes} min {rest:02} s"),
        (Lang::Zh, ..) => format!("{hours} 小时 {minutes:02} 分"),
        (Lang::En, ..) => format!("{hours} h {minutes:02} min"),
    }
}

/// Key, Chinese, English.
type Row = (&'static str, &'static str, &'static str);

/// All texts, of every area.
fn rows() -> impl Iterator<Item = &'static Row> {
    [TABLE, FACTOR, jobs::TABLE, machines::TABLE, operations::TABLE, outside::TABLE].into_iter().flatten()
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("console", "税控盘管理控制台", "Administrators' console"),
    ("menu", "菜单", "Menu"),
    ("menu_settings", "设置", "Settings"),
    ("menu_users", "用户", "People"),
    ("account", "我的账号", "My account"),
    ("sign_out", "退出登录", "Sign out"),
    ("skip", "跳到正文", "Skip to content"),
    ("sign_in", "登录", "Sign in"),
    ("name", "用户名", "Name"),
    ("password", "密码", "Password"),
    ("password_old", "当前密码", "Present password"),
    ("password_new", "新密码", "New password"),
    ("password_again", "再次输入新密码", "New password again"),
    ("password_rule", "至少 10 个字符，不含用户名", "At least 10 characters, without your name"),
    ("password_set", "设置密码", "Set password"),
    ("password_change", "修改密码", "Change password"),
    ("password_lost", "忘记密码？请联系管理员获取新的一次性链接。", "Lost your password? An administrator gives you a new one-time link."),
    ("done_password_changed", "密码已修改，其他设备均已退出登录", "The password is changed; every other device is signed out"),
    ("done_password_ready", "密码已设置，请登录", "Your password is set; sign in"),
    ("done_saved", "已保存", "Saved"),
    ("done_factor_ended", "第二验证因素已停用", "The second factor is taken away"),
    ("wrong", "用户名、密码或验证码不正确", "The name, the password or the code is wrong"),
    ("wait", "尝试次数过多，请稍后再试", "Too many attempts; try again a little later"),
    ("link_bad", "该链接已使用或已过期，请联系管理员", "This link was used already or has expired; ask an administrator"),
    ("weak", "新密码不符合要求", "The new password will not do"),
    ("unequal", "两次输入的新密码不一致", "The two new passwords differ"),
    ("not_found", "没有这个页面或对象", "There is no such page or thing"),
    ("forbidden", "您的角色无权执行此操作", "Your role may not do this"),
    ("signed_out", "登录已过期，操作未执行；请重新登录", "Your session has ended and nothing was done; sign in again"),
    ("forged", "请求未经本页面发出或页面已过期，操作未执行；请返回并重新提交", "This did not come from a page of ours, or the page is too old. Nothing was done; go back and try again"),
    ("too_large", "提交内容过大，操作未执行", "Too much was sent; nothing was done"),
    ("busy", "账本暂时没有应答；再次提交是安全的", "The ledger does not answer now; the same again is safe"),
    ("unconfirmed", "请先勾选确认；操作未执行", "Tick the confirmation first; nothing was done"),
    ("confirm", "我已核对，确认执行", "I have checked this and want it"),
    ("refused", "操作未执行", "It was not done"),
    ("home", "返回", "Back"),
    ("problem_code", "代码", "Code"),
    ("problem_issued", "发票是否存在", "Does an invoice exist?"),
    ("problem_retry", "能否再次提交", "May it be sent again?"),
    ("problem_who", "谁来处理", "Who can help?"),
    ("issued_yes", "存在", "Yes"),
    ("issued_no", "不存在", "No"),
    ("issued_unknown", "未知：请保持原流水号不变", "Not known: keep the serial number as it is"),
    ("retry_safe", "可以，流水号不变", "Any time, under the same serial number"),
    ("retry_any_time", "可以", "Any time"),
    ("retry_after", "先按上面的说明处理", "After what is named above was done"),
    ("retry_never", "不会被接受", "It will never be taken"),
    ("who_caller", "提交方", "Who sent it"),
    ("who_merchant", "商户", "The merchant"),
    ("who_administrator", "管理员", "An administrator"),
    ("who_tax_office", "税务机关", "The tax office"),
    ("role", "角色", "Role"),
    ("role_viewer", "只读", "Viewer"),
    ("role_operator", "操作员", "Operator"),
    ("role_administrator", "管理员", "Administrator"),
    ("role_auditor", "审计员", "Auditor"),
    ("roles_note", "只读：查看。操作员：重开、撤回、暂停、重发。审计员：查看并核验账本。管理员：全部，包括人工裁定、密钥与用户。", "Viewer: looks. Operator: re-issues, withdraws, pauses, sends again. Auditor: looks, and verifies the ledger. Administrator: everything, settling, keys and people included."),
    ("save", "保存", "Save"),
    ("user_add", "新增用户", "Add somebody"),
    ("user_since", "创建时间", "Since"),
    ("user_no_password", "尚未设置密码", "no password yet"),
    ("user_is_out", "已停用", "shut out"),
    ("user_shut_out", "停用", "Shut out"),
    ("user_let_in", "重新启用", "Let in again"),
    ("user_link", "新的密码链接", "New link for a password"),
    ("user_link_made", "把该链接交给本人。只显示这一次，只能使用一次，有效期至", "Hand this link to the person. It is shown once, works once, and ends at"),
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
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = [root.join("templates/console"), root.join("../web/templates/signin")];
        let mut seen = 0;
        for file in folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("templates").flatten()) {
            let html = std::fs::read_to_string(file.path()).expect("a template");
            for after in html.split("t(\"").skip(1) {
                let key = after.split('"').next().unwrap_or_default();
                assert!(is_known(key), "{key} of {}", file.path().display());
                seen += 1;
            }
        }
        assert!(seen > 40, "{seen}");
    }

    #[test]
    fn words_that_are_put_together_are_there() {
        use taxdisk_protocol::api::{DueWhat, OperationKind, OperationState, WarningCode};
        use taxdisk_protocol::event::DeliveryState;
        let mut keys: Vec<String> = Vec::new();
        keys.extend(taxdisk_protocol::api::Waiting::ALL.iter().map(|one| format!("waiting_{}", word(one))));
        keys.extend(super::super::jobs::STATES.iter().map(|one| format!("state_{}", word(one))));
        keys.extend(WarningCode::ALL.iter().map(|one| format!("warning_{}", one.as_str())));
        keys.extend(OperationKind::ALL.iter().map(|one| format!("op_{one}")));
        let states = ["queued", "running", "done", "refused", "failed", "unsettled", "cancelled"];
        let known = |one: &str| serde_json::from_value::<OperationState>(one.into()).is_ok();
        assert!(states.into_iter().all(known));
        keys.extend(states.map(|one| format!("opstate_{one}")));
        let due = ["report", "clear", "lock_date", "upload", "offline_time", "offline_amount", "offline_count"];
        assert!(due.into_iter().all(|one| serde_json::from_value::<DueWhat>(one.into()).is_ok()));
        keys.extend(due.map(|one| format!("due_{one}")));
        let deliveries = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed];
        keys.extend(deliveries.iter().map(|one| format!("delivery_{}", word(one))));
        keys.extend(taxdisk_protocol::api::ClimbRung::ALL.iter().map(|one| format!("rung_{}", word(one))));
        for key in keys {
            assert!(is_known(&key), "{key}");
        }
    }

    #[test]
    fn moments_are_in_the_time_of_the_disks() {
        assert_eq!(time(Timestamp(0)), "1970-01-01 08:00:00");
        assert_eq!(time_of("2026-02-03T01:53:00Z"), "2026-02-03 09:53:00");
        assert_eq!(time_of("?"), "?");
    }
}
