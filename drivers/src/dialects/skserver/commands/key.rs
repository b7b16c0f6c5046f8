//! 20002 税控钥匙信息: whose server it is. The only command that carries a password.

use taxdisk_protocol::ids::TaxpayerNumber;

use crate::dialects::nisec::document::{AnswerError, BadAnswer, Document, FieldError, Fields, Writer};
use crate::secret::Secret;

/// Business id.
pub const ID: &str = "20002";

/// The server's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its taxpayer.
    pub taxpayer: TaxpayerNumber,
    /// Its number; may be empty.
    pub number: String,
}

/// The request: keypwd.
///
/// # Errors
/// The password cannot be written.
pub fn request(password: &Secret) -> Result<Document, FieldError> {
    let mut writer = Writer::server(ID, "税控钥匙信息查询");
    writer.secret("keypwd", password);
    writer.finish()
}

/// The key.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8]) -> Result<Key, AnswerError> {
    let data = super::fields(bytes, ID)?;
    let fields = Fields(&data);
    let taxpayer = TaxpayerNumber::from_device(&fields.text("nsrsbh")?).map_err(|error| BadAnswer(error.0))?;
    Ok(Key { taxpayer, number: fields.text("keyno")? })
}
