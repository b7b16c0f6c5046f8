//! SKPXXCX 税控盘信息查询: who the disk is. The only command that carries the disk's password alone.

use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::{Fields, bad};
use super::super::writer::{Document, FieldError, Writer};
use crate::disk::Identity;
use crate::secret::Secret;

/// Business id.
pub const ID: &str = "SKPXXCX";

/// The request: skpkl.
///
/// # Errors
/// The password cannot be written.
pub fn request(disk_password: &Secret) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "税控盘信息查询");
    writer.secret("skpkl", disk_password);
    writer.finish()
}

/// Who the disk is. Kinds that this program does not know are left out.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8]) -> Result<Identity, AnswerError> {
    let data = super::fields(bytes, ID)?;
    let fields = Fields(&data);
    let taxpayer = fields.text("nsrsbh")?;
    let identity = Identity {
        disk: fields.required("skpbh")?,
        taxpayer: TaxpayerNumber::from_device(&taxpayer).map_err(|_| bad("nsrsbh", &taxpayer))?,
        taxpayer_name: fields.text("nsrmc")?,
        kinds: kinds(&fields.text("fplxdm")?)?,
        clock: fields.told("dqsz")?,
        version: fields.text("bbh")?,
    };
    match identity.unreadable() {
        Some(why) => Err(BadAnswer(why).into()),
        None => Ok(identity),
    }
}

/// Three digits each, nothing between them.
fn kinds(text: &str) -> Result<Vec<InvoiceKind>, BadAnswer> {
    if !text.len().is_multiple_of(3) || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(bad("fplxdm", text));
    }
    Ok((0..text.len()).step_by(3).filter_map(|at| text[at..at + 3].parse().ok()).collect())
}
