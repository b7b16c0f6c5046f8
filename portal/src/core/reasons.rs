//! Why an invoice is not there yet, or will not be, for people of both languages. One table for what waits, one for what failed.
//!
//! What broker and disk say beside it (a number of a disk, a code of a device) stays in their words: it is for whoever looks
//! into it, and comes after the reason.

use taxdisk_protocol::api::Waiting;
use taxdisk_protocol::class::DeviceClass;

/// A reason in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// 中文.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
}

const fn reason(zh: &'static str, en: &'static str) -> Reason {
    Reason { zh, en }
}

/// The broker does not answer: nothing was handed in, and it will be by itself.
pub const AWAY: Reason =
    reason("暂时连不上开票服务，恢复后自动提交", "The issuing service does not answer; it is handed in by itself once it does");
/// The disk's answer was lost, and is being read back.
pub const SETTLING: Reason = reason(
    "税控设备应答丢失，正在读取设备确认，请勿另行开票",
    "The answer of the disk was lost; it is being read back. Issue nothing else for this sale",
);
/// Others are before it; nothing is wrong.
pub const BACKLOG: Reason = reason("排队中", "In line");

/// Why a job waits.
pub fn waiting(why: Waiting) -> Reason {
    match why {
        Waiting::NoDisk => reason("没有可开具此类发票的税控设备", "No disk can issue this kind"),
        Waiting::DiskOffline => reason("税控设备或开票助手离线", "The disk or its agent is not connected"),
        Waiting::NoStock => reason("税控设备没有空白发票", "The disk has no blank invoice left"),
        Waiting::Locked => reason("税控设备已锁死，请抄报清卡", "The disk is locked: report and clear the period"),
        Waiting::OverLimit => reason("超出税控设备限额", "Over a limit of the disk"),
        Waiting::Password => reason("税控设备口令须由人工处理", "The password of the disk needs a person"),
        Waiting::DiskFault => reason("税控设备错误", "The disk has a fault"),
        Waiting::Contested => reason("两台开票助手争用同一税控设备", "Two agents claim the same disk"),
        Waiting::Settling => reason("税控设备正在核对上一张发票", "The disk is being read for the invoice before"),
        Waiting::Backlog => BACKLOG,
        Waiting::Breaker => reason("税控设备连续出错，暂停重试", "The disk failed several times in a row and rests"),
        Waiting::Paused => reason("已由人工暂停", "Paused by a person"),
        Waiting::Reconcile => reason("税控发票号码正在核对", "Numbers of the disk are being reconciled"),
        Waiting::Operation => reason("税控盘正在执行上传、抄报等操作", "The disk is uploading or reporting"),
    }
}

/// Every class of a disk's answer.
const CLASSES: [DeviceClass; 16] = [
    DeviceClass::NoStock,
    DeviceClass::Locked,
    DeviceClass::OverInvoiceLimit,
    DeviceClass::OverOfflineTime,
    DeviceClass::OverOfflineCount,
    DeviceClass::OverOfflineAmount,
    DeviceClass::BadPassword,
    DeviceClass::Clock,
    DeviceClass::NumberMismatch,
    DeviceClass::Duplicate,
    DeviceClass::InProgress,
    DeviceClass::NotPresent,
    DeviceClass::Unsupported,
    DeviceClass::InvalidRequest,
    DeviceClass::Link,
    DeviceClass::DeviceFault,
];

/// Codes of the broker that say that nothing was issued.
const CODES: [&str; 7] =
    ["cancelled", "not_expressible", "invalid_invoice", "conflict", "reissue_limit", "disk_refused", "disk_trouble"];

/// Every reason that there is.
fn all() -> impl Iterator<Item = Reason> {
    let failures = CODES.into_iter().filter_map(|code| failed(code, None));
    Waiting::ALL.into_iter().map(waiting).chain([AWAY, SETTLING]).chain(failures).chain(CLASSES.into_iter().map(trouble))
}

/// The text that is kept of a reason, with what the broker says beside it.
pub fn kept(reason: Reason, detail: &str) -> String {
    if detail.is_empty() { reason.zh.to_owned() } else { format!("{}（{detail}）", reason.zh) }
}

/// The reason of a text that was kept, and what stands beside it. `None`: it was kept by a version with other words, or nothing
/// more is known than what the broker said.
pub fn of_kept(text: &str) -> Option<(Reason, &str)> {
    all().find_map(|reason| {
        let rest = text.strip_prefix(reason.zh)?;
        let detail = rest.strip_prefix('（').and_then(|rest| rest.strip_suffix('）'));
        match (rest, detail) {
            ("", _) => Some((reason, "")),
            (_, Some(detail)) => Some((reason, detail)),
            _ => None,
        }
    })
}

/// A text that was kept, for a merchant's system, in Chinese. Where the broker is and why it does not answer is the operator's.
pub fn told(text: &str) -> &str {
    match of_kept(text) {
        Some((AWAY, _)) => AWAY.zh,
        _ => text,
    }
}

/// Why a request failed, where no invoice exists: by the broker's code and the class of the disk's answer. `None`: what the
/// broker says is all that is known.
pub fn failed(code: &str, class: Option<DeviceClass>) -> Option<Reason> {
    Some(match (code, class) {
        ("cancelled", _) => reason("开票请求已在税控端撤回", "The request was withdrawn at the broker"),
        ("not_expressible", _) => reason("该税控设备无法表达此单据的内容", "The disk cannot express what the document says"),
        ("invalid_invoice", _) => reason("单据不符合开票规则", "The document breaks a rule of invoices"),
        ("conflict", _) => reason("该流水号在税控端已有其他内容", "The serial number stands at the broker with another content"),
        ("reissue_limit", _) => reason("重新开具次数过多", "Re-issued too often"),
        ("disk_refused", _) => reason("税控设备拒绝了单据内容", "The disk refuses the content"),
        ("disk_trouble", Some(class)) => trouble(class),
        ("disk_trouble", None) => reason("税控设备暂时不能开票", "The disk cannot issue now"),
        _ => return None,
    })
}

fn trouble(class: DeviceClass) -> Reason {
    match class {
        DeviceClass::NoStock => waiting(Waiting::NoStock),
        DeviceClass::Locked => waiting(Waiting::Locked),
        DeviceClass::OverInvoiceLimit => reason("超过单张开票限额", "Over the limit of a single invoice"),
        DeviceClass::OverOfflineTime => reason("超过离线开票时长", "Too many hours without an upload"),
        DeviceClass::OverOfflineCount => reason("超过离线开票张数", "Too many invoices without an upload"),
        DeviceClass::OverOfflineAmount => reason("超过离线开票累计金额", "Too large a sum without an upload"),
        DeviceClass::BadPassword => waiting(Waiting::Password),
        DeviceClass::Clock => reason("税控设备时钟异常", "The clock of the disk is wrong"),
        DeviceClass::NumberMismatch => reason("发票代码号码与税控设备不一致", "Code and number differ from those of the disk"),
        DeviceClass::Duplicate | DeviceClass::InProgress => reason("税控设备称已受理过", "The disk says that it did this before"),
        DeviceClass::NotPresent => waiting(Waiting::DiskOffline),
        DeviceClass::Unsupported => reason("税控设备不支持此操作或没有授权", "The disk cannot do this, or has no licence for it"),
        DeviceClass::InvalidRequest => reason("税控设备拒绝了单据内容", "The disk refuses the content"),
        DeviceClass::Link => reason("与税控设备的通信中断", "The line to the disk broke"),
        DeviceClass::DeviceFault => waiting(Waiting::DiskFault),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_reason_is_found_again_in_both_languages() {
        for reason in all() {
            assert!(reason.en.is_ascii() && !reason.zh.is_ascii(), "{reason:?}");
            assert_eq!(of_kept(&kept(reason, "")), Some((reason, "")));
            assert_eq!(of_kept(&kept(reason, "disk 4990（x）")), Some((reason, "disk 4990（x）")));
        }
        assert_eq!(of_kept("broker: connection refused"), None);
        assert_eq!(told(&kept(AWAY, "broker: http://10.0.0.1 refused")), AWAY.zh, "no address of ours goes to a merchant");
        assert_eq!(of_kept("税控设备错误了"), None, "a longer word is another one");
    }

    #[test]
    fn a_failure_is_said_by_its_code_and_what_the_disk_answered() {
        assert_eq!(failed("disk_trouble", Some(DeviceClass::NoStock)), Some(waiting(Waiting::NoStock)));
        assert_ne!(failed("disk_trouble", Some(DeviceClass::Clock)), failed("disk_trouble", None));
        assert_eq!(failed("something_new", None), None);
    }
}
