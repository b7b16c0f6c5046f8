//! Type 0x20: XML over the line. Only the stock query (GPXXCX), to prove the wide frames end to end; whether a real device
//! takes XML here at all is unknown (device-serial-zc.md, section 7).
//!
//! It is no XML parser: it finds the elements that the profile lists, none of which nests or has attributes.

use encoding_rs::GBK;

use super::commands::Reply;
use super::fields::gbk;
use crate::sim::disk::{Access, SimDisk};
use crate::sim::refusal::Refusal;

const DECLARATION: &str = r#"<?xml version="1.0" encoding="gbk"?>"#;

/// GPXXCX. A business error is an OK with a returncode.
pub(super) fn stock(data: &[u8], disk: &mut SimDisk) -> Reply {
    let (text, _) = GBK.decode_without_bom_handling(data);
    let body = if text.contains(r#"<business id="GPXXCX""#) { stock_body(&text, disk) } else { Err(Refusal::jsk(3003)) };
    let (id, fields, code, message) = match body {
        Ok(fields) => ("GPXXCX", fields, 0, "成功".to_owned()),
        Err(refusal) => ("GPXXCX", String::new(), refusal.code.unwrap_or(4000), refusal.text.into_owned()),
    };
    let answer = format!(
        r#"{DECLARATION}<business id="{id}"><body><output>{fields}<returncode>{code}</returncode><returnmsg>{message}</returnmsg></output></body></business>"#
    );
    Reply::Data(gbk(&answer))
}

fn stock_body(text: &str, disk: &mut SimDisk) -> Result<String, Refusal> {
    disk.admit(Access {
        taxpayer: element(text, "nsrsbh"),
        disk: element(text, "sksbbh"),
        password: Some(element(text, "sksbkl").unwrap_or_default()),
        machine: element(text, "jqbh"),
    })?;
    let kind = disk.licensed(element(text, "fplxdm").unwrap_or_default())?;
    let level = disk.stock(kind)?;
    let (code, number, left) = (level.current.code, level.current.number, level.remaining);
    Ok(format!("<fplxdm>{kind}</fplxdm><dqfpdm>{code}</dqfpdm><dqfphm>{number}</dqfphm><zsyfs>{left}</zsyfs>"))
}

/// The text of the first element of that name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
