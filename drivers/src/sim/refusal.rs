//! What a disk says when it refuses: the converter's own texts and the `JSK` codes of the disk behind it.
//!
//! The texts are the device's, in Chinese; this module classifies nothing.

use std::borrow::Cow;
use std::fmt;

/// A refusal, as every dialect of the disk words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The disk's decimal code (`JSK176`); `None` for the converter's own texts.
    pub code: Option<u32>,
    /// The text.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// A refusal of the disk, with the text that belongs to the code.
    pub fn jsk(code: u32) -> Refusal {
        let text = TEXTS.iter().find(|(known, _)| *known == code).map_or("其他错误", |(_, text)| text);
        Refusal { code: Some(code), text: Cow::Borrowed(text) }
    }

    /// A refusal of the converter itself: text only.
    pub const fn plain(text: &'static str) -> Refusal {
        Refusal { code: None, text: Cow::Borrowed(text) }
    }

    /// A refusal in any words.
    pub fn custom(code: Option<u32>, text: Option<String>) -> Refusal {
        match (code, text) {
            (Some(code), None) => Refusal::jsk(code),
            (code, text) => Refusal { code, text: Cow::Owned(text.unwrap_or_default()) },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "JSK{code}:{}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Refusal {}

/// device-serial-zc.md, section 8, and two certificate errors (the range 6000–6999 is theirs, the numbers are ours).
const TEXTS: [(u32, &str); 43] = [
    (21, "金税盘由于未报税锁死,不能开票"),
    (75, "抄税起始时间大于截止时间"),
    (80, "开票查询时发票代码与发票卷类型标志不一致"),
    (86, "检索时间错"),
    (89, "未找到指定发票明细"),
    (99, "开票数据有问题"),
    (100, "时钟不能往前改"),
    (120, "写入发票明细错误"),
    (121, "写入Flash错误"),
    (132, "发票明细有误"),
    (176, "无可用发票"),
    (210, "没有票种授权"),
    (220, "检索函数出错；或者检索不到数据"),
    (223, "检索不到指定月份领用存信息(若已到会计日,需要抄税后才能查询本月领用存)"),
    (235, "修改口令长度过长或数据包长度错"),
    (236, "管理员登录口令错误"),
    (237, "操作员口令错误"),
    (238, "操作员锁死"),
    (240, "开票异常掉电造成发票明细混乱"),
    (246, "到了离线锁死日,上月有已开未上传发票"),
    (249, "开票时签名密文比对不通过"),
    (250, "有离线未上传发票,不允许远程抄报"),
    (449, "金额减税额除以税率的绝对值应小于0.625"),
    (506, "金税卡时钟异常"),
    (554, "金额超出开票限额"),
    (559, "税率超限"),
    (562, "发票明细超过64K错"),
    (701, "金税卡处于报税期,不能开票"),
    (702, "金税卡处于锁死期,不能开票"),
    (706, "金税卡运行已跨日,必须重新进入"),
    (781, "已到离线锁死期,不能开票"),
    (784, "开票明细中发票代码或号码与票面不一致"),
    (1000, "未连接报税盘"),
    (1085, "报税盘读清卡信息时无报税成功标志(无清卡信息)"),
    (3001, "与金税盘通讯异常"),
    (3003, "接口输入参数错"),
    (3065, "金税盘通讯校验和错"),
    (4004, "无此命令"),
    (4006, "数据错误"),
    (4007, "款机编号认证失败"),
    (6011, "证书口令错误"),
    (6012, "证书口令锁死"),
    (10000, "未实现接口"),
];

/// 纳税人识别号 in the command is not the disk's.
pub const WRONG_TAXPAYER: Refusal = Refusal::plain("纳税人识别号错误!");
/// The disk number in the command is not this disk's.
pub const WRONG_DISK: Refusal = Refusal::plain("税控设备编号错误!");
/// A kind that does not exist.
pub const WRONG_KIND: Refusal = Refusal::plain("发票类型错误!");
/// Neither positive nor red.
pub const WRONG_OPERATION: Refusal = Refusal::plain("开票类型错误!");
/// Neither blank nor issued.
pub const WRONG_VOID: Refusal = Refusal::plain("作废类型错误!");
/// A positive invoice of nothing.
pub const ZERO_TOTAL: Refusal = Refusal::plain("正数发票金额不能为零");
/// Above the single-invoice limit.
pub const OVER_LIMIT: Refusal = Refusal::plain("开票单张金额超限!");
/// The original is unknown as a positive invoice.
pub const ORIGINAL_NOT_POSITIVE: Refusal = Refusal::plain("原发票非正数发票,不能开具负票!");
/// The original has a red already.
pub const ALREADY_REVERSED: Refusal = Refusal::plain("已开过负票,不能再次开具!");
/// The red's total differs from the original's.
pub const RED_TOTAL_DIFFERS: Refusal = Refusal::plain("负票金额与原发票不一致!");
/// Void of a void.
pub const ALREADY_VOID: Refusal = Refusal::plain("废票不能再次作废!");
/// Void after the period report.
pub const ALREADY_REPORTED: Refusal = Refusal::plain("原发票已抄报,不能作废");
/// The disk does not do this.
pub const NOT_SUPPORTED: Refusal = Refusal::plain("金税盘不支持该操作");
/// Too many hours since the first invoice that waits for upload.
pub const OFFLINE_TIME: Refusal = Refusal::plain("离线开具限定时长超限!");
/// The sum of the invoices that wait for upload is above its limit.
pub const OFFLINE_AMOUNT: Refusal = Refusal::plain("离线累计金额超限!");
/// A discount line that does not belong to the line above it. This and the next ones: our wording, the facts give none.
pub const DISCOUNT_ORDER: Refusal = Refusal::plain("折扣行错误!");
/// A discount above the amount of its line.
pub const DISCOUNT_TOO_LARGE: Refusal = Refusal::plain("折扣金额大于被折扣行金额!");
/// A positive line on a red invoice or the reverse, or a line of nothing.
pub const LINE_SIGN: Refusal = Refusal::plain("发票明细金额正负错误!");
/// A special invoice without the buyer's number, address or account.
pub const BUYER_INCOMPLETE: Refusal = Refusal::plain("专用发票购方信息不完整!");
/// A red special invoice without the number of its information table.
pub const NO_NOTICE: Refusal = Refusal::plain("红字专用发票信息表编号为空!");
/// A red that is not negative, or takes back more than is left of its original.
pub const RED_TOO_LARGE: Refusal = Refusal::plain("负数发票金额错误或超过可红冲金额!");
/// A text is longer than the disk's record holds.
pub const FIELD_TOO_LONG: Refusal = Refusal::plain("数据长度溢出!");
/// The original is older than the disk allows.
pub const ORIGINAL_TOO_OLD: Refusal = Refusal::plain("原发票超过可红冲天数!");
/// The sum in a void is not the invoice's.
pub const VOID_SUM_DIFFERS: Refusal = Refusal::plain("作废发票合计金额不一致!");
/// Too many invoices wait for upload.
pub const OFFLINE_COUNT: Refusal = Refusal::plain("离线开具张数超限!");
/// A command that needs the network, without network. Our wording: the facts give none.
pub const NO_NETWORK: Refusal = Refusal::plain("网络连接失败!");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_carry_their_text_and_unknown_ones_say_so() {
        assert_eq!(Refusal::jsk(176).to_string(), "JSK176:无可用发票");
        assert_eq!(Refusal::jsk(4242).to_string(), "JSK4242:其他错误");
        assert_eq!(Refusal::custom(Some(6000), Some("口令".to_owned())).to_string(), "JSK6000:口令");
        assert_eq!(Refusal::custom(None, Some("随便".to_owned())).to_string(), "随便");
    }
}
