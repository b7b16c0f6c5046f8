//! Sentences about disks that the core makes in English, with numbers and days in them, said in Chinese.
//!
//! The API gives one text; a page of the console is in one language. A sentence that is not in the table stays as it is, and a
//! test finds every one that the core can make and the table lacks.

use super::Lang;

/// English and Chinese; `{}` is what stands there, in the same order.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    // Deadlines of the calendar.
    ("done by operation {}", "已由操作 {} 完成"),
    ("the period runs until {}", "所属期至{}"),
    ("the period that ended on {} is to be reported", "截至{}的所属期待抄报"),
    ("this month's clear is done: the lock date is later", "本月已清卡：锁死日已后移"),
    ("report and clear before the end of {}", "请在{}结束前抄报并清卡"),
    ("issues until the end of {}", "可开票至{}结束"),
    ("no invoice waits for its upload", "没有待上传的发票"),
    ("{} invoices wait for their upload, {} in all", "{} 张发票待上传，合计 {}"),
    ("{} of {} are issued and not uploaded", "已开未上传 {}，限额 {}"),
    ("{} of {} invoices wait for their upload", "待上传发票 {} 张，上限 {} 张"),
    // Early warnings.
    ("issues kind {} until the end of {} only", "票种 {} 只能开票至{}结束"),
    ("a password was refused; {} tries are left", "口令被拒绝；还可尝试 {} 次"),
    ("{} % of the disk's memory is used", "税控盘存储已用 {}%"),
    ("its clock is {} s behind the PC's", "盘时钟比电脑慢 {} 秒"),
    ("its clock is {} s ahead of the PC's", "盘时钟比电脑快 {} 秒"),
    ("no blank invoice of kind {} is left", "票种 {} 已无空白发票"),
    ("{} blank invoices of kind {} are left; at the present rate it runs out {}", "还有 {} 张空白发票（票种 {}）；按目前的速度将在{}用完"),
    ("{} blank invoices of kind {} are left", "还有 {} 张空白发票（票种 {}）"),
    ("{} invoices wait for their upload since {}; {} h are allowed", "{} 张发票自{}起待上传；允许 {} 小时"),
    ("{} invoices must be uploaded by the end of {}", "{} 张发票须在{}结束前上传"),
];

const WEEKDAYS: [(&str, &str); 7] = [
    ("Monday", "星期一"),
    ("Tuesday", "星期二"),
    ("Wednesday", "星期三"),
    ("Thursday", "星期四"),
    ("Friday", "星期五"),
    ("Saturday", "星期六"),
    ("Sunday", "星期日"),
];

/// A sentence of the core in this language.
pub fn said(lang: Lang, text: &str) -> String {
    if lang == Lang::En {
        return text.to_owned();
    }
    let found = TABLE.iter().find_map(|(en, zh)| Some(filled(zh, &holes(en, text)?)));
    found.unwrap_or_else(|| text.to_owned())
}

/// What stands in the holes of a pattern; `None`: the text is not of this pattern.
fn holes<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    for part in parts {
        // The last part ends the text; any other one ends a hole where it is met first.
        let at = if part.is_empty() { rest.len() } else { rest.find(part)? };
        found.push(rest.get(..at)?);
        rest = rest.get(at + part.len()..)?;
    }
    rest.is_empty().then_some(found)
}

fn filled(pattern: &str, holes: &[&str]) -> String {
    let mut parts = pattern.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (hole, part) in holes.iter().zip(parts) {
        text.push_str(&day(hole));
        text.push_str(part);
    }
    text
}

/// `Thursday 2026-11-26` and `Thursday 15:00` as they are read in Chinese; anything else as it is.
fn day(text: &str) -> String {
    let Some((word, rest)) = text.split_once(' ') else { return text.to_owned() };
    match WEEKDAYS.iter().find(|(en, _)| *en == word) {
        // A time without a date is of that weekday; a date names its weekday beside it.
        Some((_, zh)) if rest.contains(':') => format!("{zh} {rest} "),
        Some((_, zh)) => format!(" {rest}（{zh}）"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_said_with_its_numbers_and_days() {
        for (en, zh) in [
            ("issues until the end of Thursday 2026-11-26", "可开票至 2026-11-26（星期四）结束"),
            (
                "12 blank invoices of kind 026 are left; at the present rate it runs out Friday 15:00",
                "还有 12 张空白发票（票种 026）；按目前的速度将在星期五 15:00 用完",
            ),
            ("12 blank invoices of kind 026 are left", "还有 12 张空白发票（票种 026）"),
            ("3 invoices wait for their upload, 113.00 in all", "3 张发票待上传，合计 113.00"),
            ("3 of 100 invoices wait for their upload", "待上传发票 3 张，上限 100 张"),
            ("113.00 of 5000.00 are issued and not uploaded", "已开未上传 113.00，限额 5000.00"),
            ("something that nobody has translated", "something that nobody has translated"),
        ] {
            assert_eq!(said(Lang::Zh, en), zh);
            assert_eq!(said(Lang::En, en), en);
        }
    }

    /// The text between the quotes, with `{}` for each hole.
    fn literals(source: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let texts = code.split('"').skip(1).step_by(2);
        // Words of the API and of metrics have no space in them; a JSON key that stands alone neither.
        texts.filter(|text| text.contains(' ')).map(open_holes).collect()
    }

    fn open_holes(text: &str) -> String {
        let mut parts = text.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + "{}" + part.split_once('}').unwrap().1)
    }

    #[test]
    fn every_sentence_of_calendar_and_warnings_is_in_the_table() {
        let sources = [include_str!("../../core/due.rs"), include_str!("../../core/warn.rs")];
        let made: Vec<String> = sources.iter().flat_map(|source| literals(source)).collect();
        assert!(made.len() >= 18, "{made:?}");
        for text in &made {
            // Its two halves are put together where it is made.
            let known = TABLE.iter().any(|(en, _)| en == text) || text == "its clock is {} s {} the PC's" || text == "ahead of";
            assert!(known, "{text:?} has no Chinese");
        }
        for (en, zh) in TABLE {
            assert_eq!(en.matches("{}").count(), zh.matches("{}").count(), "{en}");
        }
    }
}
