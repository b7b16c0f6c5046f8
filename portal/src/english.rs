//! English of what is said in Chinese: faults of drafts, files and documents, refusals, and kinds of invoices.
//!
//! What goes to merchants' systems is Chinese (yonyou-open-api.md), so the core says everything in Chinese. A page in English
//! looks the sentence up here: a row is the Chinese sentence and the English one, `{}` standing for what differs each time, in
//! the same order in both. What stands for `{}` is looked up too: `备注：长度为 201，最多 200 个字符` is two rows. What no row
//! knows stays as it is: a person's words are his.

use std::sync::LazyLock;

/// Sentences within sentences: a line of a draft, its column, what is wrong with it.
const DEPTH: u32 = 4;

/// The sentence in English, as far as it is known. Faults that the core has joined are sentences each.
pub(crate) fn english(said: &str) -> String {
    let faults = said.split_inclusive("）；").map(|fault| fault.strip_suffix('；').unwrap_or(fault));
    let faults: Vec<String> = faults.map(|fault| looked_up(fault, DEPTH)).collect();
    faults.join("; ")
}

fn looked_up(said: &str, depth: u32) -> String {
    if depth == 0 || said.is_ascii() {
        return said.to_owned();
    }
    let found = SORTED.iter().chain(AROUND).find_map(|(zh, en)| Some((parts(zh, said)?, en)));
    let Some((parts, en)) = found else { return said.to_owned() };
    let mut parts = parts.into_iter();
    let mut pieces = en.split("{}");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += &looked_up(parts.next().unwrap_or_default(), depth - 1);
        text += piece;
    }
    text
}

/// What stands for each `{}` of a sentence; `None`: it is another sentence.
fn parts<'a>(pattern: &str, said: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split("{}");
    let mut before = pieces.next()?;
    let mut rest = said.strip_prefix(before)?;
    let mut parts = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let at = match (piece, pieces.peek()) {
            ("", None) => rest.len(),
            // The last piece ends the sentence.
            (piece, None) => rest.strip_suffix(piece)?.len(),
            (piece, Some(_)) => rest.find(piece)?,
        };
        let part = &rest[..at];
        // An ordinal is a number, and no sentence that ends as this one does.
        if before.ends_with("第 ") && !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        parts.push(part);
        rest = &rest[at + piece.len()..];
        before = piece;
    }
    rest.is_empty().then_some(parts)
}

/// A row that says more goes before one that says less.
static SORTED: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let mut rows = ROWS.to_vec();
    rows.sort_by_key(|(zh, _)| std::cmp::Reverse(zh.replace("{}", "").len()));
    rows
});

#[rustfmt::skip]
const ROWS: &[(&str, &str)] = &[
    // Kinds.
    ("增值税专用发票", "Special invoice"),
    ("机动车销售统一发票", "Motor vehicle sales invoice"),
    ("二手车销售统一发票", "Used vehicle sales invoice"),
    ("增值税普通发票", "Ordinary invoice"),
    ("货物运输业增值税专用发票", "Special invoice for freight"),
    ("增值税普通发票（卷票）", "Ordinary invoice (roll)"),
    ("增值税电子普通发票", "Electronic ordinary invoice"),
    ("增值税电子专用发票", "Electronic special invoice"),
    // Columns and fields.
    ("商品名称", "Item"),
    ("规格型号", "Specification"),
    ("单位", "Unit"),
    ("含税单价", "Unit price with tax"),
    ("税率", "Rate"),
    ("税收分类编码", "Tax code"),
    ("享受优惠政策", "Preferential"),
    ("优惠政策名称", "Name of the policy"),
    ("零税率标识", "Mark of rate 0"),
    ("类型", "Type of buyer"),
    ("购方名称", "Buyer"),
    ("纳税人识别号", "Taxpayer number"),
    ("地址、电话", "Address, telephone"),
    ("开户行及账号", "Bank and account"),
    ("邮箱", "Mail address"),
    ("手机", "Telephone"),
    ("备注", "Remark"),
    ("数量", "Quantity"),
    ("单价", "Unit price"),
    ("金额", "Amount"),
    ("含税金额", "Amount with tax"),
    ("客户填写金额的上限", "Limit of what guests enter"),
    ("第 {} 项固定金额", "Fixed amount of item {}"),
    // Texts and numbers.
    ("必填", "is needed"),
    ("必填，不能为空", "is needed"),
    ("不能为空", "is needed"),
    ("长度为 {}，最多 {} 个字符", "has {} characters; {} at most"),
    ("长度为 {}，应为 1 至 20 位", "has {} characters; 1 to 20 are needed"),
    ("第 {} 个字符是控制字符", "character {} is a control character"),
    ("第 {} 个字符是控制字符（例如换行）", "character {} is a control character (as a line break)"),
    ("第 {} 个字符“{}”（{}）不在 GBK 字符集中，税控设备无法打印", "character {}, \"{}\" ({}), is not in GBK: tax devices cannot print it"),
    ("不是数字", "is not a number"),
    ("“{}”不是数字", "\"{}\" is not a number"),
    ("“{}”的小数超过 {} 位", "\"{}\" has more than {} decimals"),
    ("“{}”超出范围（最多 {} 位，其中小数 {} 位）", "\"{}\" is out of range ({} digits at most, {} of them decimals)"),
    ("应大于 0", "must be above 0"),
    ("{}应大于 0，至多 {} 位小数", "{} must be above 0, with {} decimals at most"),
    ("金额超出范围", "The amount is out of range"),
    ("超出范围", "is out of range"),
    ("应为文本", "must be a text"),
    ("应为数字", "must be a number"),
    ("应为数组", "must be a list"),
    ("应为 JSON 对象", "must be a JSON object"),
    ("只能由字母、数字、“-”和“_”组成", "may hold letters, digits, \"-\" and \"_\" only"),
    // Goods.
    ("单价应大于 0；没有固定单价时请留空", "must be above 0; leave it empty where there is no fixed price"),
    ("税收分类编码应为 {} 位数字", "must have {} digits"),
    ("税收分类编码应为至多 19 位数字", "must have 19 digits at most"),
    ("应为 0（否）或 1（是）", "must be 0 (no) or 1 (yes)"),
    ("应为 0 或 1", "must be 0 or 1"),
    ("应为 0、1 或 2", "must be 0, 1 or 2"),
    ("应为空、0、1、2 或 3", "must be empty, 0, 1, 2 or 3"),
    ("应为空、0（出口退税）、1（免税）、2（不征收）或 3（普通零税率）", "must be empty, 0 (export), 1 (exempt), 2 (not taxed) or 3 (ordinary rate 0)"),
    ("只有税率为 0 的商品才有零税率标识", "only goods with rate 0 have it"),
    ("填写优惠政策名称时，享受优惠政策应为 1", "where it is given, the goods must be marked as preferential (1)"),
    ("填写增值税特殊管理时 YHZCBS 应为 1", "where it is given, YHZCBS must be 1"),
    ("税率应为小数或百分数，例如 0.06 或 6%，而不是 6", "must be a fraction or a percentage, as 0.06 or 6%, not 6"),
    ("税率应为小数，例如 0.06，而不是 6", "must be a fraction, as 0.06, not 6"),
    ("税率的小数超过 {} 位", "has more than {} decimals"),
    // Customers.
    ("应为 企业、非企业性单位 或 个人", "must be 企业 (company), 非企业性单位 (institution) or 个人 (person)"),
    ("企业必须填写纳税人识别号", "a company needs one"),
    ("不是纳税人识别号：应为 15 至 20 位数字和大写字母；18 位的还须校验码正确，请核对有无抄错", "is no taxpayer number: 15 to 20 digits and capital letters; of 18 the check character must fit. Look for a slip"),
    ("不是邮箱地址", "is no mail address"),
    ("不是电话号码：应为 5 至 15 位数字，可含 + - 和空格", "is no telephone number: 5 to 15 digits, with + - and blanks"),
    // Files.
    ("填写有误", "The author"),
    ("表格软件改变了内容", "The spreadsheet program"),
    ("文件是空的", "The file is empty"),
    ("第 {} 列没有列名，但有内容", "Column {} has contents and no heading"),
    ("与第 {} 行是同一条（{}），请只保留一行", "is the same entry as row {} ({}): keep one of them"),
    ("除列名外没有内容", "There is nothing below the headings"),
    ("没有这样的列；请使用导出文件的列名，或删除该列", "There is no such column: use the headings of an exported file, or delete it"),
    ("该列出现了两次", "The column is there twice"),
    ("缺少该列", "The column is missing"),
    ("单元格是数值 {}，15 位以后的数字已丢失；请将该列设为“文本”格式后重新填写", "The cell is the number {}, and its digits from the 16th on are lost: format the column as text and write it again"),
    ("单元格是{}，不是文本；请将该列设为“文本”格式后重新填写", "The cell is {}, no text: format the column as text and write it again"),
    ("逻辑值", "a logical value"),
    ("错误值", "an error"),
    ("日期", "a date"),
    ("档案最多 {} 条：现有 {} 条，文件新增 {} 条", "The file holds {} entries at most: there are {}, and {} would be new"),
    ("文件过大：最多 {} MB", "The file is too large: {} MB at most"),
    ("工作簿解压后过大：最多 {} MB", "The workbook is too large: {} MB at most"),
    ("行数过多：最多 {} 行", "Too many rows: {} at most"),
    ("列数过多：最多 {} 列", "Too many columns: {} at most"),
    ("第 {} 行有单元格过长：最多 {} 字节", "A cell of row {} is too long: {} bytes at most"),
    ("不是可读取的 CSV（UTF-8 或 GBK）或 XLSX 文件：{}", "is no CSV (UTF-8 or GBK) and no XLSX that can be read: {}"),
    ("既不是 UTF-8 也不是 GBK 编码", "it is neither UTF-8 nor GBK"),
    ("含有空字节", "it holds bytes that are zero"),
    ("没有工作表", "it has no sheet"),
    ("行的次序不对", "its rows are out of order"),
    // Drafts.
    ("请选择开票组织", "Choose an organisation"),
    ("请选择发票类型", "Choose a kind of invoice"),
    ("请至少填写一行开票项目", "Write one line at least"),
    ("为 {}，而数量 × 含税单价为 {}", "is {}, while quantity × unit price is {}"),
    ("请填写，或填写数量和含税单价", "write it, or quantity and unit price"),
    ("一次只能开具一张发票", "One invoice at a time"),
    ("一次只能生成一个二维码", "One code at a time"),
    ("没有单据", "There is no document"),
    ("没有这条预约，本次未开票", "There is no such reservation; nothing was issued"),
    ("该预约已用于另一张发票，本次未开票", "The reservation has become another invoice; nothing was issued"),
    ("该预约属于另一开票组织，本次未开票", "The reservation is of another organisation; nothing was issued"),
    ("表单已失效，请重新扫码", "The form is not good any more; scan the code again"),
    ("请填写手机或邮箱，以便商户找到预约并发送发票", "A telephone number or a mail address is needed: by it the merchant finds the reservation and sends the invoice"),
    ("填写的金额合计 {} 元，超过商户设置的上限 {} 元", "The amounts sum up to {} yuan, above the merchant's limit of {} yuan"),
    // Codes on the wall, receipts.
    ("名称应为 1 至 {} 个字符", "The name must have 1 to {} characters"),
    ("最多 {} 个项目", "{} items at most"),
    ("最多 {} 个自定义字段", "{} fields of your own at most"),
    ("字段名应为 1 至 {} 个字符且不重复", "The label of a field must have 1 to {} characters, and each its own"),
    ("客户填写金额的上限应大于 0，至多两位小数", "The limit of what guests enter must be above 0, with two decimals at most"),
    ("固定金额应大于 0，至多两位小数", "A fixed amount must be above 0, with two decimals at most"),
    ("第 {} 项：商品档案中已没有该商品", "Item {}: its goods are not in the file any more"),
    ("没有这个预约二维码", "There is no such reservation code"),
    ("该预约二维码已停用，不能再修改或启用", "This code was disabled; it cannot be changed or enabled again"),
    ("每个组织最多 {} 个预约二维码", "{} reservation codes for each organisation at most"),
    ("图标过大：最多 {} KB", "The logo is too large: {} KB at most"),
    ("图标应为 PNG 图片", "The logo must be a PNG"),
    ("图标为 {} × {} 像素，每边应为 1 至 {} 像素", "The logo has {} by {} dots; each side must have 1 to {}"),
    // Who issues.
    ("该税号不属于本 appid 的租户", "The taxpayer number is of no seller of this tenant"),
    ("销方的税控设备没有{}的授权", "No disk of the seller is licensed for: {}"),
    ("发票类型 {} 没有可用的税控设备（数电发票不经税控设备开具）", "No tax device issues the kind {} (fully digital invoices need none)"),
    ("该税号有多个开票点，ORGCODE 必填", "The seller has several issue points: name one"),
    ("“{}”不是该销方的开票点", "\"{}\" is no issue point of the seller"),
    // Rules of an invoice.
    ("纳税人识别号不正确", "The taxpayer number is wrong"),
    ("发票类型不正确", "The kind is wrong"),
    ("不是发票类型", "is no kind of invoice"),
    ("开票点不正确", "The issue point is wrong"),
    ("含有控制字符", "It holds control characters"),
    ("内容过长", "It is too long"),
    ("数值不正确", "The number is wrong"),
    ("发票行性质不正确", "The nature of the line is wrong"),
    ("零税率标识不正确", "The mark of rate 0 is wrong"),
    ("税收分类编码不正确", "The tax code is wrong"),
    ("明细行数不正确", "The number of lines is wrong"),
    ("单价与数量不符", "Price and quantity do not fit the amount"),
    ("税额与金额、税率不符", "The tax does not fit amount and rate"),
    ("金额正负不正确", "The sign of the amount is wrong"),
    ("专用发票不能有零税率", "A special invoice has no rate 0"),
    ("专用发票须填写购方税号、地址电话和开户行账号", "A special invoice needs the buyer's number, address and bank"),
    ("折扣行不正确", "The discount is wrong"),
    ("扣除额不正确", "The deduction is wrong"),
    ("成品油明细不正确", "The line of refined oil is wrong"),
    ("合计不正确", "The totals are wrong"),
    ("含有税控设备无法打印的字符", "It holds characters that tax devices cannot print"),
    ("税控设备不支持", "The disk does not support it"),
    ("红冲金额超出可红冲金额", "More would be reversed than can be"),
    ("电子发票不能作废，只能红冲", "An electronic invoice is reversed, never voided"),
    ("只能作废当月开具的发票", "Only invoices of this month can be voided"),
    ("不符合开票规则", "It breaks a rule of invoices"),
    ("至少需要一行明细", "One line at least is needed"),
    ("{} 行，最多 {} 行", "{} lines; {} at most"),
    ("为 {}，而各行 {} 之和为 {}", "is {}, while the {} of the lines sum up to {}"),
    ("金额 {} 加税额 {} 不等于价税合计 {}", "net {} and tax {} do not sum up to {}"),
    ("税额为 {}，而按金额和税率应为 {}（允许误差 0.06）", "the tax is {}, while amount and rate make {} (0.06 are allowed)"),
    ("单价 × 数量为 {}，而金额为 {}（允许误差 0.01）", "price × quantity is {}, while the amount is {} (0.01 is allowed)"),
    ("数量不能为 0；没有数量时请留空", "the quantity cannot be 0; leave it empty where there is none"),
    ("按单张限额拆分后有 {} 张，最多 {} 张", "Split by the disk's limit it is {} invoices; {} at most"),
    ("“{}”连同折扣行超过单张发票的行数", "\"{}\" with its discount has more lines than one invoice"),
    ("“{}”超过单张限额太多，无法拆分", "\"{}\" is too far above the limit of one invoice to be split"),
    ("被折扣行没有对应的折扣行", "The line has no discount line"),
    ("折扣行没有对应的被折扣行（ZKHHH 应等于本行 HH）", "The discount line has no line (its HH must be the line's ZKHHH)"),
    ("折扣行的价税合计应为负数", "The amount of a discount must be negative"),
    // Serial numbers.
    ("同一批次内流水号重复", "The serial number stands twice in the batch"),
    ("拆分后的流水号已被占用，请联系平台", "A serial number of a part is taken; ask the operator"),
    ("该流水号退回前已提交税控端，修改后的单据须保持销方、发票类型和单张开票不变", "It stood at the broker before it was sent back: seller and kind must stay, and it must stay one invoice"),
    ("该流水号已用于另一种操作（蓝票或红票），本次未受理", "The serial number stands for another operation (blue or red); nothing was accepted"),
    ("该流水号对应的原请求内容不同，本次未受理；请查询原请求或先退回原请求后再提交", "The serial number stands for a request with another content; nothing was accepted. Look at that one, or send it back first"),
    ("流水号 {} 的 XSF_NSRSBH 与原请求不符", "{}: the seller is another one"),
    ("流水号 {} 的 JSHJ 为 {}，与 {} 不符", "{}: the total is {}, not {}"),
    ("流水号 {} 与 {} 疑似重复，须由人工在控制台放行", "{} may be the same sale as {}: a person releases it"),
    ("流水号 {} 疑似重复，须由人工在控制台放行", "{} may be a duplicate: a person releases it"),
    ("流水号 {} 的状态为{}，不是待开票", "{} is: {}; it does not wait"),
    ("流水号 {} 的状态为{}，不是{}，不允许删除", "{} is: {}; only what is {} is sent back"),
    ("流水号 {} 拆分出的 {} 的状态为{}，不允许删除", "{}: its part {} is: {}; it cannot be sent back"),
    ("待开票或开票失败", "waiting or failed"),
    ("开票失败", "failed"),
    ("待开票", "waiting"),
    ("开票中", "being issued"),
    ("开票成功", "issued"),
    ("已退回", "sent back"),
    ("同一流水号每日最多重新开具 {} 次", "A serial number is re-issued {} times a day at most"),
    ("因数据原因失败，请退回（del）后以原流水号提交修改后的单据", "It failed for its content: send it back, and submit a corrected one under the same serial number"),
    ("该流水号在税控端对应其他内容，请联系平台核对", "The serial number stands at the broker for another content; ask the operator"),
    ("已退回；请以原流水号重新提交单据", "It was sent back: submit it again under the same serial number"),
    ("已拆分；请对拆分后的流水号重新开具", "It was split: re-issue its parts"),
    // Reds and voids.
    ("没有发票代码 {}、号码 {} 的蓝字发票", "There is no blue invoice with code {} and number {}"),
    ("没有发票代码 {}、号码 {} 的发票", "There is no invoice with code {} and number {}"),
    ("没有发票代码 {}、号码 {} 的发票；发票代码和号码似乎颠倒了：fpDm 是代码，fpHm 是号码", "There is no invoice with code {} and number {}; it seems that they are swapped"),
    ("该发票不是蓝字发票，不能红冲", "It is no blue invoice and cannot be reversed"),
    ("{}红冲须填写红字信息表编号", "{}: a reversal needs the number of its information table"),
    ("该发票已作废，不能红冲", "The invoice is void and cannot be reversed"),
    ("该发票正在作废，不能红冲", "The invoice is being voided and cannot be reversed"),
    ("该发票已全部红冲，红票流水号 {}", "The invoice is reversed already, by {}"),
    ("该发票已有红冲（流水号 {}），剩余可红冲 {}，请用部分红冲", "The invoice is reversed in part (by {}); {} are left: reverse a part"),
    ("红冲金额 {} 超出剩余可红冲金额 {}", "{} would be reversed, and only {} are left"),
    ("该发票的销方不属于本租户", "The seller of the invoice is not of this tenant"),
    ("原发票内容不可用，请联系平台", "The contents of the invoice are not at hand; ask the operator"),
    ("红字发票不能由本接口作废", "A red invoice cannot be voided here"),
    ("电子发票不能作废，只能红冲（red only）", "An electronic invoice is reversed, never voided"),
    ("该发票已红冲，不能作废", "The invoice is reversed and cannot be voided"),
    ("该发票正在红冲（流水号 {}），不能作废", "The invoice is being reversed (by {}) and cannot be voided"),
    ("重开发票的流水号由原发票决定，本次未开票", "The serial number of a replacement follows from the wrong invoice; nothing was issued"),
    ("原发票尚未红冲成功或作废，不能重开；请等待红票开具成功后再试", "The wrong invoice is neither reversed nor void yet; nothing was issued. Try again once its red is issued"),
];

/// Sentences about something, from outside to inside. They fit nearly everything, so they come last.
const AROUND: &[(&str, &str)] =
    &[("{}：{}（规则 {}）", "{}: {} (rule {})"), ("第 {} 行 {}", "Line {}, {}"), ("{}：{}", "{}: {}"), ("{}（{}）", "{} ({})")];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use taxdisk_protocol::kind::InvoiceKind;

    use super::*;

    #[test]
    fn sentences_within_sentences_are_looked_up_and_a_persons_words_are_his() {
        for (zh, en) in [
            ("第 2 行 税率：必填，不能为空", "Line 2, Rate: is needed"),
            (
                "第 1 行 商品名称：第 2 个字符是控制字符（例如换行）",
                "Line 1, Item: character 2 is a control character (as a line break)",
            ),
            (
                "单价：单价应大于 0；没有固定单价时请留空",
                "Unit price: must be above 0; leave it empty where there is no fixed price",
            ),
            ("备注：长度为 201，最多 200 个字符", "Remark: has 201 characters; 200 at most"),
            ("items[0].SL：不能为空（规则 required）", "items[0].SL: is needed (rule required)"),
            ("含税金额：为 60.00，而数量 × 含税单价为 57.00", "Amount with tax: is 60.00, while quantity × unit price is 57.00"),
            (
                "hzxxbbh：增值税专用发票红冲须填写红字信息表编号",
                "hzxxbbh: Special invoice: a reversal needs the number of its information table",
            ),
            ("XMMC：必填，不能为空（规则 a）；SL：不是数字（规则 b）", "XMMC: is needed (rule a); SL: is not a number (rule b)"),
            ("咖啡", "咖啡"),
            ("“咖啡”连同折扣行超过单张发票的行数", "\"咖啡\" with its discount has more lines than one invoice"),
        ] {
            assert_eq!(english(zh), en);
        }
        let deep = "备注：".repeat(10_000);
        assert!(english(&deep).len() <= 3 * deep.len(), "whatever is said, it ends");
    }

    #[test]
    fn rows_say_the_same_as_often_and_no_row_stands_twice() {
        for (place, (zh, en)) in ROWS.iter().enumerate() {
            assert_eq!(zh.matches("{}").count(), en.matches("{}").count(), "{zh}");
            assert!(ROWS[..place].iter().all(|(other, _)| other != zh), "{zh} stands twice");
        }
        for kind in InvoiceKind::ALL {
            assert!(english(kind.name()).is_ascii(), "{}", kind.name());
        }
    }

    /// Words of files themselves, which are written as they are in both languages, and of other tables.
    const AS_THEY_ARE: [&str; 26] = [
        "项目名称",
        "计量单位",
        "单价（含税）",
        "单价(含税)",
        "商品编码",
        "否",
        "是",
        "个人",
        "企业",
        "非企业性单位",
        "非企业",
        "抬头",
        "名称",
        "税号",
        "地址电话",
        "开户行账号",
        "电子邮箱",
        "手机号",
        "未使用",
        "已填写",
        "已开票",
        "已取消",
        "商户退回",
        "对应正数发票代码:{}号码:{}",
        "没有发票代码 {}、号码 {} 的发票{}",
        "；发票代码和号码似乎颠倒了：fpDm 是代码，fpHm 是号码",
    ];

    #[test]
    fn nothing_that_is_said_of_drafts_files_and_reds_lacks_its_english() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = [
            "files/goods.rs",
            "files/customers.rs",
            "files/import.rs",
            "files/table.rs",
            "files/mod.rs",
            "console/draft/mod.rs",
            "console/draft/line.rs",
            "console/walls.rs",
            "core/reservations.rs",
            "core/reservations/setup.rs",
            "core/codes.rs",
            "core/red.rs",
            "core/void.rs",
            "core/task.rs",
            "document/submission.rs",
            "document/derive.rs",
            "document/discount.rs",
        ];
        let mut seen = 0;
        for file in files {
            let source = std::fs::read_to_string(root.join(file)).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for literal in code.join("\n").split('"').skip(1).step_by(2) {
                let plain = without_names(literal);
                if literal.is_ascii() || AS_THEY_ARE.contains(&plain.as_str()) {
                    continue;
                }
                seen += 1;
                let said = english(&plain.replace("{}", "7"));
                let named: String = said.chars().filter(|c| !c.is_ascii() && !"×·、企业非性单位个人".contains(*c)).collect();
                assert_eq!(named, "", "{file}: {literal}: {said}");
            }
        }
        assert!(seen > 80, "{seen}");
    }

    /// `{gross:.2}` and `{0}` as `{}`.
    fn without_names(literal: &str) -> String {
        let mut pieces = literal.split('{');
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| match piece.split_once('}') {
            Some((_, rest)) => text + "{}" + rest,
            None => text + piece,
        })
    }
}
