//! What the consoles say of second factors, Chinese and English; each console has it among its own words.

/// A key, and its text in Chinese and in English.
pub type Row = (&'static str, &'static str, &'static str);

/// The words.
#[rustfmt::skip]
pub const FACTOR: &[Row] = &[
    ("factor", "第二验证因素", "Second factor"),
    ("factor_code", "动态验证码或恢复码", "Code of the second factor, or a recovery code"),
    ("factor_code_note", "未启用第二验证因素的用户请留空。", "Leave this empty if you have set up none."),
    ("factor_off", "在手机验证器应用中生成的六位动态码。启用后每次登录都需要它。", "Six digits that an app on your telephone shows. Once it is set up, every sign-in asks for them."),
    ("factor_on", "已启用。剩余恢复码：", "It is set up. Recovery codes that are left:"),
    ("factor_begin", "启用", "Set it up"),
    ("factor_end", "停用", "Take it away"),
    ("factor_end_of", "停用其第二验证因素", "Take away the second factor"),
    ("factor_scan", "用验证器应用扫描", "Scan this with the app"),
    ("factor_type", "或手工输入：", "Or type:"),
    ("factor_open", "在本机的验证器应用中打开", "Open it in an app on this device"),
    ("factor_first", "应用现在显示的六位动态码", "Six digits that the app shows now"),
    ("factor_confirm", "确认", "Confirm"),
    ("factor_recovery", "恢复码", "Recovery codes"),
    ("factor_recovery_note", "手机丢失时，每个恢复码可代替动态码登录一次。只显示这一次，请妥善保存。", "When your telephone is gone, each of these lets you in once. They are shown now and never again: keep them safe."),
    ("factor_needed", "您的角色必须启用第二验证因素，之后才能使用其他页面", "Your role needs a second factor; set it up here before anything else"),
    ("factor_there", "已启用第二验证因素；请先停用", "There is a second factor already; take it away first"),
    ("factor_set", "第二验证因素已启用，其他设备均已退出登录", "The second factor is set up; every other device is signed out"),
    ("factor_ended", "第二验证因素已停用", "The second factor is taken away"),
];
