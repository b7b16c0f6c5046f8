//! What people read about an invoice, in Chinese and English. Pure; every value is escaped where it enters HTML, and control
//! characters enter nothing.

use crate::config::Language;
use crate::core::request::Request;

/// What a text tells about an invoice.
pub struct Facts<'a> {
    /// Seller's name.
    pub seller: &'a str,
    /// The invoice.
    pub request: &'a Request,
    /// Public link.
    pub link: Option<&'a str>,
    /// The PDF comes with the text.
    pub attached: bool,
    /// A simulated disk signed.
    pub simulated: bool,
}

/// A mail's subject, text and HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub plain: String,
    /// HTML.
    pub html: String,
}

/// `2026-03-02 10:15` of the disk's `20260302101530`.
pub fn moment(issued_at: &str) -> String {
    let part = |from, to| issued_at.get(from..to).unwrap_or_default();
    match issued_at.len() {
        14 => format!("{}-{}-{} {}:{}", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12)),
        _ => issued_at.to_owned(),
    }
}

/// For HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// On one line: nothing in it can begin a header.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Stands for what is hidden of a name. As many for every name: how long it is tells a stranger something, and a long row wraps.
const NAME_MASK: &str = "＊＊";
/// Stands for what is hidden of a number.
const NUMBER_MASK: &str = "****";

/// A person's or firm's name as a stranger may see it: the first character, the last one of three and more, the last two of six
/// and more.
pub fn masked_name(name: &str) -> String {
    let characters: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
    match characters.as_slice() {
        [] => String::new(),
        [first] | [first, _] => format!("{first}{NAME_MASK}"),
        [first, .., last] if characters.len() < 6 => format!("{first}{NAME_MASK}{last}"),
        [first, .., before, last] => format!("{first}{NAME_MASK}{before}{last}"),
    }
}

/// A number as a stranger may see it: its last four characters, of one that has eight and more.
pub fn masked_number(number: &str) -> String {
    match number.chars().count() {
        0 => String::new(),
        count @ 8.. => format!("{NUMBER_MASK}{}", number.chars().skip(count - 4).collect::<String>()),
        _ => NUMBER_MASK.to_owned(),
    }
}

/// One row of the table: what it is called in both languages, and its value.
struct Row {
    zh: &'static str,
    en: &'static str,
    value: String,
}

fn rows(facts: &Facts<'_>) -> Vec<Row> {
    let request = facts.request;
    let issued = request.issued.as_ref();
    let row = |zh, en, value: String| Row { zh, en, value: one_line(&value) };
    let mut rows = vec![
        row("销方", "Seller", facts.seller.to_owned()),
        row("购方", "Buyer", request.document.text("GMF_MC").to_owned()),
        row("价税合计", "Total with tax", money(request)),
        row("发票代码", "Invoice code", issued.map(|issued| issued.code.clone()).unwrap_or_default()),
        row("发票号码", "Invoice number", issued.map(|issued| issued.number.clone()).unwrap_or_default()),
        row("开票时间", "Issued", issued.map(|issued| moment(&issued.issued_at)).unwrap_or_default()),
    ];
    // A person who buys may have no name on it.
    rows.retain(|row| !row.value.is_empty());
    rows
}

/// `¥106.00`.
pub fn money(request: &Request) -> String {
    if request.gross.is_sign_negative() { format!("-¥{:.2}", -request.gross) } else { format!("¥{:.2}", request.gross) }
}

/// Of a red invoice: what it is.
fn kind(request: &Request, english: bool) -> &'static str {
    match (request.gross.is_sign_negative(), english) {
        (false, false) => "电子发票",
        (false, true) => "electronic invoice",
        (true, false) => "红字电子发票",
        (true, true) => "electronic credit note",
    }
}

/// A mail.
pub fn mail(facts: &Facts<'_>, language: Language) -> Texts {
    let mut subject = one_line(&match language {
        Language::En => format!("Your {} from {}, {}", kind(facts.request, true), facts.seller, money(facts.request)),
        Language::Zh | Language::Both => {
            format!("您收到一张{}：{}，{}", kind(facts.request, false), facts.seller, money(facts.request))
        }
    });
    if facts.simulated {
        subject = format!("【样票 SAMPLE】{subject}");
    }
    let (mut plain, mut html) = (Vec::new(), Vec::new());
    for (english, wanted) in [(false, language != Language::En), (true, language != Language::Zh)] {
        if wanted {
            plain.push(plain_part(facts, english));
            html.push(html_part(facts, english));
        }
    }
    Texts { subject, plain: plain.join("\n\n----\n\n"), html: frame(&html.join(RULE)) }
}

/// A short message. Links are long; the rest is kept short.
pub fn short(facts: &Facts<'_>, language: Language, signature_name: &str) -> String {
    let link = facts.link.unwrap_or_default();
    let sample = if facts.simulated { "[样票 SAMPLE] " } else { "" };
    let name = if signature_name.is_empty() { String::new() } else { format!("【{}】", one_line(signature_name)) };
    let (seller, money) = (one_line(facts.seller), money(facts.request));
    let zh = format!("{seller}为您开具的{}{money}已生成", kind(facts.request, false));
    let zh = if link.is_empty() { format!("{zh}。") } else { format!("{zh}，查看下载：{link}") };
    let en = format!("Your {} from {seller}, {money}: {link}", kind(facts.request, true));
    let en = en.trim_end_matches(": ").to_owned();
    let text = match language {
        Language::Zh => zh,
        Language::En => en,
        Language::Both => format!("{zh} {en}"),
    };
    format!("{name}{sample}{text}")
}

fn opening(facts: &Facts<'_>, english: bool) -> String {
    let kind = kind(facts.request, english);
    match (english, facts.attached) {
        (false, true) => format!("您好，您的{kind}已开具，PDF 文件见附件。"),
        (false, false) => format!("您好，您的{kind}已开具，请通过下方链接查看。"),
        (true, true) => format!("Your {kind} has been issued. The PDF is attached."),
        (true, false) => format!("Your {kind} has been issued. Please open it by the link below."),
    }
}

const SAMPLE_ZH: &str = "样票：由模拟设备生成，不是合法的发票。";
const SAMPLE_EN: &str = "SAMPLE: made by a simulated device; this is not a legal invoice.";
const CLOSING_ZH: &str = "此邮件由系统自动发送，请勿回复。如有疑问，请联系销方。";
const CLOSING_EN: &str = "This mail was sent automatically. If you have a question, please ask the seller.";

fn plain_part(facts: &Facts<'_>, english: bool) -> String {
    let mut lines = vec![opening(facts, english)];
    if facts.simulated {
        lines.push(if english { SAMPLE_EN } else { SAMPLE_ZH }.to_owned());
    }
    lines.push(String::new());
    for row in rows(facts) {
        lines.push(if english { format!("{}: {}", row.en, row.value) } else { format!("{}：{}", row.zh, row.value) });
    }
    if let Some(link) = facts.link {
        lines.push(String::new());
        lines.push(if english { "View, download (PDF, OFD) and print:" } else { "查看、下载（PDF、OFD）与打印：" }.to_owned());
        lines.push(link.to_owned());
    }
    lines.push(String::new());
    lines.push(if english { CLOSING_EN } else { CLOSING_ZH }.to_owned());
    lines.join("\n")
}

const RULE: &str = "<div style=\"border-top:1px solid #d9dee5;margin:28px 0\"></div>";

fn html_part(facts: &Facts<'_>, english: bool) -> String {
    let mut html = String::new();
    if facts.simulated {
        let text = if english { SAMPLE_EN } else { SAMPLE_ZH };
        html += &format!(
            "<p style=\"margin:0 0 16px;padding:8px 12px;background:#fff3cd;border-left:4px solid #e0a800;\
             color:#5c4400\">{text}</p>"
        );
    }
    html += &format!("<p style=\"margin:0 0 16px\">{}</p>", escaped(&opening(facts, english)));
    html += "<table role=\"presentation\" style=\"border-collapse:collapse;width:100%\">";
    for row in rows(facts) {
        let name = if english { row.en } else { row.zh };
        html += &format!(
            "<tr><td style=\"padding:7px 16px 7px 0;color:#5b6572;white-space:nowrap;vertical-align:top;\
             border-bottom:1px solid #eef1f4\">{name}</td><td style=\"padding:7px 0;border-bottom:1px solid #eef1f4;\
             width:100%;word-break:break-word\">{}</td></tr>",
            escaped(&row.value)
        );
    }
    html += "</table>";
    if let Some(link) = facts.link {
        let name = if english { "View and download" } else { "查看并下载发票" };
        let hint = if english {
            "PDF and OFD. If the button does not work, open this address:"
        } else {
            "可下载 PDF 与 OFD 文件。如按钮无法打开，请复制下方地址到浏览器："
        };
        let link = escaped(link);
        html += &format!(
            "<p style=\"margin:24px 0 12px\"><a href=\"{link}\" style=\"display:inline-block;background:#b3261e;color:#fff;\
             text-decoration:none;padding:11px 24px;border-radius:6px\">{name}</a></p>\
             <p style=\"margin:0;font-size:13px;color:#5b6572\">{hint}<br>\
             <span style=\"word-break:break-all\">{link}</span></p>"
        );
    }
    let closing = if english { CLOSING_EN } else { CLOSING_ZH };
    html + &format!("<p style=\"margin:24px 0 0;font-size:13px;color:#5b6572\">{closing}</p>")
}

fn frame(body: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"></head>\
         <body style=\"margin:0;background:#f3f5f7\"><div style=\"max-width:560px;margin:0 auto;padding:28px 16px\">\
         <div style=\"background:#fff;border:1px solid #e3e7ec;border-radius:10px;padding:28px;color:#1f2933;font-size:15px;\
         line-height:1.6;font-family:-apple-system,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif\">{body}</div>\
         </div></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::request;

    #[test]
    fn nothing_that_others_wrote_becomes_markup_or_a_header() {
        let mut request = request("one", "A1");
        request.document.head.insert("GMF_MC".to_owned(), "<b>买方</b>\r\nBcc: x@y".to_owned());
        let seller = "销方\r\nBcc: victim@elsewhere.example\r\n\r\n<script>1</script>";
        let facts = Facts { seller, request: &request, link: Some("https://a/i/x\"y"), attached: true, simulated: true };
        for language in [Language::Zh, Language::En, Language::Both] {
            let texts = mail(&facts, language);
            assert!(!texts.subject.contains(['\r', '\n']), "{}", texts.subject);
            assert!(!texts.html.contains("<script>") && !texts.html.contains("<b>"), "{}", texts.html);
            assert!(texts.html.contains("&lt;script&gt;") && texts.html.contains("x&quot;y"));
            assert!(texts.subject.starts_with("【样票 SAMPLE】"));
            assert_eq!(texts.html.contains(SAMPLE_EN), language != Language::Zh);
            assert_eq!(texts.plain.contains(SAMPLE_ZH), language != Language::En);
            assert!(!short(&facts, language, "示例").contains(['\r', '\n']));
        }
    }

    #[test]
    fn strangers_see_little() {
        for (name, shown) in
            [("", ""), ("张", "张＊＊"), ("张三", "张＊＊"), ("欧阳小明", "欧＊＊明"), ("虚构购方有限公司", "虚＊＊公司")]
        {
            assert_eq!(masked_name(name), shown);
        }
        assert_eq!(masked_name("欧阳明"), masked_name("欧阳小明"), "nobody counts the stars");
        for (number, shown) in [("91110000MA0000001L", "****001L"), ("1234567", "****"), ("1", "****"), ("", "")] {
            assert_eq!(masked_number(number), shown);
        }
        assert_eq!(moment("20260302101530"), "2026-03-02 10:15");
    }
}
