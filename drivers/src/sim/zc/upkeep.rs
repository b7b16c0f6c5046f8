//! Commands of type 0x10 around the device itself: the reporting disk, enterprise data, network settings, rebuilding records.
//! device-serial-zc.md, sections 5 and 6.
//!
//! Where the facts name a command but not its fields (0D, 0E, 0F, 10, 19, 1A, 1B) the device says JSK10000 and does nothing:
//! 1000 comes first where the command needs a reporting disk and there is none.

use std::net::Ipv4Addr;

use super::fields::{Fields, Writer};
use crate::sim::clock::Stamp;
use crate::sim::disk::{Access, Secret, SimDisk};
use crate::sim::refusal::Refusal;

/// Known, but its fields are not.
pub(super) fn unspecified(needs_report_disk: bool, disk: &SimDisk) -> Result<Vec<u8>, Refusal> {
    if needs_report_disk && disk.config().report_disk.is_none() {
        return Err(Refusal::jsk(1000));
    }
    Err(Refusal::jsk(10_000))
}

/// 05: as 04, of the reporting disk. Its password is taken for the tax disk's: they are set together.
pub(super) fn report_disk_information(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[20])?;
    let (password, machine) = (fields.text(8), fields.text(12));
    let number = disk.config().report_disk.clone().ok_or_else(|| Refusal::jsk(1000))?;
    disk.admit(Access { machine: Some(&machine), ..Access::default() })?;
    disk.check_secret(Secret::Disk, &password)?;
    let config = disk.config();
    Ok(Writer::default()
        .text(&number, 12)
        .text(&config.taxpayer_number, 20)
        .text(&config.taxpayer_name, 80)
        .text(&config.office_code, 11)
        .text(&config.office_name, 80)
        .show(disk.now(), 14)
        .text(&config.enabled_since, 14)
        .text("00", 2)
        .text(&config.version, 10)
        .text(&config.machine_index, 5)
        .text("000", 3)
        .text("", 16)
        .done())
}

/// 14: nothing happens in the examined converter, which reads COMMON55 and no more; always good.
pub(super) fn enterprise_update(data: &[u8]) -> Result<Vec<u8>, Refusal> {
    Fields::of(data, &[55, 60]).map(|_| Vec::new())
}

/// 17: checks addresses as the device does and keeps nothing, for no network is behind it.
pub(super) fn network_settings(data: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[215])?;
    let dynamic = match fields.text(1).as_str() {
        "0" => false,
        "1" => true,
        _ => return Err(Refusal::plain("isdhcp is unvalid")),
    };
    let mut check = |needed: bool, wrong: &'static str| {
        let text = fields.text(20);
        let good = text.parse::<Ipv4Addr>().is_ok() || (!needed && text.is_empty());
        if good { Ok(()) } else { Err(Refusal::plain(wrong)) }
    };
    check(!dynamic, "local_ip is unvalid")?;
    check(!dynamic, "gate_way is unvalid")?;
    check(!dynamic, "net_mask is unvalid")?;
    check(!dynamic, "dns is unvalid")?;
    check(true, "server_ip is unvalid")?;
    let port = fields.text(6);
    if port.parse::<u16>().is_err() {
        return Err(Refusal::plain("server_port is unvalid"));
    }
    Ok(Vec::new())
}

/// 1D: rebuilds the converter's own records from the disk. This device reads the disk anyway, so nothing changes.
pub(super) fn rebuild_records(data: &[u8], disk: &mut SimDisk) -> Result<Vec<u8>, Refusal> {
    let mut fields = Fields::of(data, &[71])?;
    let (taxpayer, number, password) = (fields.text(20), fields.text(12), fields.text(8));
    let (kind, from, to, machine) = (fields.text(3), fields.text(8), fields.text(8), fields.text(12));
    disk.admit(Access { taxpayer: Some(&taxpayer), disk: Some(&number), password: Some(&password), machine: Some(&machine) })?;
    disk.licensed(&kind)?;
    let moment = |date: &str| format!("{date}000000").parse::<Stamp>().map_err(|_| Refusal::jsk(86));
    if moment(&from)? > moment(&to)? {
        return Err(Refusal::jsk(75));
    }
    Ok(Vec::new())
}
