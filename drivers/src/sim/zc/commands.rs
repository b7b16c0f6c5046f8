//! The commands of type 0x10 that do not issue, void or query. device-serial-zc.md, sections 5 and 6.
//!
//! Every function reads its request, asks the disk, and writes the answer's data; none of them knows frames.

use taxdisk_protocol::kind::InvoiceKind;

use super::ZcOptions;
use super::fields::{Fields, Writer};
use super::upkeep;
use crate::sim::disk::{Access, Secret, SimDisk};
use crate::sim::issue::Saving;
use crate::sim::refusal::Refusal;

/// COMMON55: taxpayer 20, disk 12, password 8, kind 3, machine 12.
const COMMON: usize = 55;
/// Most failed uploads that one answer to 31 holds.
const MAX_UPLOAD_ERRORS: usize = 10;
/// Speeds that command 18 takes.
const SPEEDS_BAUD: [u32; 9] = [300, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

/// What a command came to.
pub(super) enum Reply {
    /// OK with these data.
    Data(Vec<u8>),
    /// ER with a text.
    Refused(Refusal),
    /// ER 20.
    Unknown,
}

impl From<Result<Vec<u8>, Refusal>> for Reply {
    fn from(result: Result<Vec<u8>, Refusal>) -> Reply {
        result.map_or_else(Reply::Refused, Reply::Data)
    }
}

/// Executes a complete command of type 0x10.
pub(super) fn execute(cmd: u8, data: &[u8], options: &mut ZcOptions, disk: &mut SimDisk, saving: Saving) -> Reply {
    match cmd {
        0x01 => Ok(Vec::new()),
        0x02 => disk_number(data, disk),
        0x03 => report_disk_number(data, disk),
        0x04 => disk_information(data, disk),
        0x05 => upkeep::report_disk_information(data, disk),
        0x06 => limits(data, options, disk),
        0x07 => rates(data, disk),
        0x08 => stock(data, disk),
        0x09 => change_password(data, disk),
        0x0A => super::issuing::issue(data, disk, saving),
        0x0B => super::issuing::void(data, disk, saving),
        0x0C => super::issuing::query(data, disk),
        0x0D..=0x10 => upkeep::unspecified(true, disk),
        0x11 => report(data, disk),
        0x12 => common_and(data, 5, disk).and_then(|_| disk.clear()).map(|()| Vec::new()),
        0x13 => statistics(data, options, disk),
        0x14 => upkeep::enterprise_update(data),
        0x15 => common_and(data, 5, disk).and_then(|_| disk.network()).map(|()| Vec::new()),
        0x16 => toggle_upload(data, disk),
        0x17 => upkeep::network_settings(data),
        0x18 => speed(data, options),
        0x19 | 0x1A => upkeep::unspecified(true, disk),
        0x1B => upkeep::unspecified(false, disk),
        0x1C => change_certificate_password(data, disk),
        0x1D => upkeep::rebuild_records(data, disk),
        0x30 => offline(data, disk),
        0x31 => upload_errors(data, disk),
        0x32 => network_test(data, disk),
        _ => return Reply::Unknown,
    }
    .into()
}

/// Reads and checks COMMON55 and what follows it.
fn common_and<'a>(data: &'a [u8], more: usize, disk: &mut SimDisk) -> Result<(InvoiceKind, Fields<'a>), Refusal> {
    let mut fields = Fields::of(data, &[COMMON + more])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (kind, machine) = (fields.text(3), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    Ok((disk.licensed(&kind)?, fields))
}

fn disk_number(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let machine = Fields::of(data, &[0, 12])?.text(12);
    disk.admit(Access { machine: Some(&machine).filter(|_| !data.is_empty()).map(String::as_str), ..Access::default() })?;
    // Not padded: the length of the answer is the length of the number.
    Ok(disk.config().disk_number.clone().into_bytes())
}

fn report_disk_number(data: &[u8], disk: &SimDisk) -> Result<Vec<u8>, Refusal> {
    Fields::of(data, &[0, 12])?;
    disk.config().report_disk.clone().map(String::into_bytes).ok_or_else(|| Refusal::jsk(1000))
}

fn disk_information(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[20])?;
    let (password, machine) = (fields.text(8), fields.text(12));
    disk.admit(Access { password: Some(&password), machine: Some(&machine), ..Access::default() })?;
    let config = disk.config();
    let kinds: String = config.kinds.iter().map(|kind| kind.fplxdm()).collect();
    Ok(Writer::default()
        .text(&config.disk_number, 12)
        .text(&config.taxpayer_number, 20)
        .text(&config.taxpayer_name, 80)
        .text(&config.office_code, 11)
        .text(&config.office_name, 80)
        .text(&kinds, 30)
        .show(disk.now(), 14)
        .text(&config.enabled_since, 14)
        .text(&config.version, 10)
        .text(&config.machine_index, 5)
        .text("000", 3)
        .text("", 16)
        .text("", 80)
        .done())
}

fn limits(data: &[u8], options: &ZcOptions, disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let (kind, _) = common_and(data, 0, disk)?;
    let (limits, state) = (&disk.config().limits, &disk.config().state);
    Ok(Writer::default()
        .show(kind, 3)
        .maybe(limits.deadline.as_ref(), 8)
        .maybe(limits.period_start, 14)
        .maybe(limits.period_end, 14)
        .maybe(limits.invoice, 12)
        .maybe(state.reported_at, 14)
        .maybe(limits.free_bytes, 12)
        .maybe(limits.upload_day, 2)
        .maybe(limits.offline_hours, 5)
        .maybe(limits.offline_amount, if options.wide_limits { 14 } else { 12 })
        .text("", 160)
        .text("", 100)
        .done())
}

fn rates(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let (kind, _) = common_and(data, 0, disk)?;
    let rates = &disk.config().rates;
    let mut writer = Writer::default();
    writer.show(kind, 3).show(format_args!("{:03}", rates.len()), 3);
    for rate in rates {
        writer.show(format_args!("{:.2}", rate.decimal()), 6);
    }
    Ok(writer.done())
}

fn stock(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let (kind, _) = common_and(data, 0, disk)?;
    let level = disk.stock(kind)?;
    Ok(Writer::default()
        .show(kind, 3)
        .show(level.current.code, 12)
        .show(level.current.number, 8)
        .show(level.remaining, 12)
        .done())
}

fn change_password(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[60])?;
    let (taxpayer, number) = (fields.text(20), fields.text(12));
    let (old, new, machine) = (fields.text(8), fields.text(8), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: None, machine: Some(&machine) })?;
    disk.change_secret(Secret::Disk, &old, &new).map(|()| Vec::new())
}

fn change_certificate_password(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[28])?;
    let (old, new, machine) = (fields.text(8), fields.text(8), fields.text(12));
    disk.admit(Access { machine: Some(&machine), ..Access::default() })?;
    disk.change_secret(Secret::Certificate, &old, &new).map(|()| Vec::new())
}

fn report(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let (_, mut fields) = common_and(data, 6, disk)?;
    match fields.text(1).as_str() {
        "1" => disk.report().map(|()| Vec::new()),
        // The report over a second disk is another exchange; without that disk it ends here.
        "2" => Err(Refusal::jsk(1000)),
        _ => Err(Refusal::jsk(3003)),
    }
}

fn statistics(data: &[u8], options: &ZcOptions, disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[71])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (kind, from, to, machine) = (fields.text(3), fields.text(8), fields.text(8), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    let kind = disk.licensed(&kind)?;
    let months = disk.period_stats(kind, &from, &to)?;
    let mut writer = Writer::default();
    // The count stays three 00 bytes, as in the examined converter.
    writer.show(kind, 3).text("", 3);
    for month in months {
        writer.text(&month.first_day, 8).text(&month.last_day, 8);
        for count in month.counts {
            writer.show(count, 10);
        }
        for sums in month.sums {
            writer.show(sums.net, if options.wide_statistics { 14 } else { 12 }).show(sums.tax, 12);
        }
    }
    Ok(writer.done())
}

fn toggle_upload(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[71])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: None })?;
    disk.toggle_upload().map(|()| Vec::new())
}

fn speed(data: &[u8], options: &mut ZcOptions) -> Result<Vec<u8>, Refusal> {
    let text = Fields::of(data, &[6])?.text(6);
    match text.parse().ok().filter(|speed| SPEEDS_BAUD.contains(speed)) {
        // The OK still goes out at the old speed; a pseudo-terminal has none.
        Some(speed) => {
            options.speed_baud = speed;
            Ok(Vec::new())
        }
        None => Err(Refusal::plain("波特率错误!")),
    }
}

fn offline(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    Fields::of(data, &[0])?;
    disk.admit(Access::default())?;
    let offline = disk.offline();
    Ok(Writer::default().show(offline.count, 8).maybe(offline.first, 14).show(offline.sum, 14).text("", 5).text("", 10).done())
}

fn upload_errors(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[52])?;
    let (taxpayer, number, password, machine) = (fields.text(20), fields.text(12), fields.text(8), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    let errors = &disk.config().state.upload_errors;
    if errors.is_empty() {
        return Err(Refusal::plain("无上传错误发票信息"));
    }
    let mut writer = Writer::default();
    writer.show(errors.len().min(MAX_UPLOAD_ERRORS), 8);
    for (code, number, text) in errors.iter().take(MAX_UPLOAD_ERRORS) {
        writer.show(code, 12).show(number, 8).text(text, 128);
    }
    Ok(writer.done())
}

fn network_test(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[60])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (machine, certificate) = (fields.text(12), fields.text(8));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    disk.check_secret(Secret::Certificate, &certificate)?;
    disk.network().map(|()| Vec::new())
}
