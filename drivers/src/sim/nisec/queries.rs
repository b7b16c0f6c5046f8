//! Answers that tell of the disk itself: SKPXXCX, JKSJCX, SZSMCX, GPXXCX, and their twins 10002, 10004, 10005 of the server.

use taxdisk_protocol::kind::InvoiceKind;

use super::failure::Failure;
use crate::sim::disk::SimDisk;
use crate::sim::markup::Markup;

pub(super) fn write_information(markup: &mut Markup, disk: &SimDisk) {
    let config = disk.config();
    let kinds: String = config.kinds.iter().map(|kind| kind.fplxdm()).collect();
    markup
        .field("skpbh", &config.disk_number)
        .field("nsrsbh", &config.taxpayer_number)
        .field("nsrmc", &config.taxpayer_name)
        .field("swjgdm", &config.office_code)
        .field("swjgmc", &config.office_name)
        .field("fplxdm", kinds)
        .field("dqsz", disk.now())
        .field("qysj", &config.enabled_since)
        .field("bbh", &config.version)
        .field("kpjh", &config.machine_index)
        .field("qylx", "00")
        .field("blxx", "")
        .field("qtkzxx", "");
}

/// JKSJCX. What the disk does not know is empty, never zero.
pub(crate) fn write_limits(markup: &mut Markup, kind: InvoiceKind, disk: &SimDisk) {
    let (config, limits) = (disk.config(), &disk.config().limits);
    markup
        .field("fplxdm", kind)
        .maybe("kpjzsj", limits.deadline.as_ref())
        .maybe("bsqsrq", limits.period_start.map(|time| time.date()))
        .maybe("bszzrq", limits.period_end.map(|time| time.date()))
        .maybe("dzkpxe", limits.invoice)
        .field("zsljxe", "")
        .field("fsljxe", "")
        .field("fsfpbz", u8::from(config.component.original_here))
        .maybe("fsfpts", config.component.red_days)
        .maybe("zxbsrq", config.state.reported_at.map(|time| time.date()))
        .maybe("syrl", limits.free_bytes)
        .maybe("scjzrq", limits.upload_day)
        .field("xdgnbs", "")
        .maybe("lxkpsc", limits.offline_hours)
        .maybe("lxkpzs", limits.offline_count)
        .maybe("lxzsljje", limits.offline_amount)
        .field("lxfsljje", "")
        .field("lxkzxx", "");
}

pub(super) fn write_rates(markup: &mut Markup, kind: InvoiceKind, disk: &SimDisk) {
    let rates = &disk.config().rates;
    markup.field("fplxdm", kind).open_with("szsmxx", "count", rates.len());
    for (index, rate) in rates.iter().enumerate() {
        markup
            .open_with("group", "xh", index + 1)
            .field("szsmsyh", index + 1)
            .field("szsmdm", "0101")
            .field("sl", rate)
            .field("hsbz", 0)
            .field("szmc", "增值税")
            .field("smmc", "")
            .close("group");
    }
    markup.close("szsmxx");
}

/// The current pair and what is left.
pub(crate) fn write_stock(markup: &mut Markup, kind: InvoiceKind, disk: &SimDisk) -> Result<(), Failure> {
    let level = disk.stock(kind).map_err(|refusal| Failure::of(&refusal, disk))?;
    markup.field("dqfpdm", level.current.code).field("dqfphm", level.current.number).field("zsyfs", level.remaining);
    Ok(())
}

/// The stock, segment by segment, the current one first; used-up segments are gone.
pub(crate) fn write_segments(markup: &mut Markup, name: &str, kind: InvoiceKind, disk: &SimDisk) {
    let segments: Vec<_> = disk.segments(kind).collect();
    markup.open_with(name, "count", segments.len());
    for (index, (segment, _, left)) in segments.iter().enumerate() {
        let bought = segment.bought_at.map_or_else(|| disk.config().enabled_since.chars().take(8).collect(), |at| at.date());
        markup
            .open_with("group", "xh", index + 1)
            .field("fpdm", segment.code)
            .field("qshm", segment.first)
            .field("zzhm", segment.last)
            .field("fpfs", segment.last.value() - segment.first.value() + 1)
            .field("syfs", left)
            .field("lgrq", bought)
            .field("lgry", "")
            .close("group");
    }
    markup.close(name);
}
