//! WeChat card packs: puts an issued invoice where the user who authorised it keeps his invoices. A client of WeChat's published
//! interface for invoicing platforms (developers.weixin.qq.com, 微信电子发票, 开票平台接口).
//!
//! The order: is the order id authorised (`getauthdata`) → upload the PDF (`platform/setpdf`) → insert (`insert`). The user
//! authorises on WeChat's own page ([`Weixin::authorisation`]), before or after the invoice is issued; until then the message
//! waits. One order id is one invoice. Whatever WeChat says, the invoice stands.
//!
//! | errcode | meaning | here |
//! |---|---|---|
//! | 40001, 40014, 42001 | access token wrong or ended | a new one, once an attempt |
//! | -1, 45009, 45011 | busy, asked too often | later |
//! | 72038 | the order id was never authorised | later: the user may still press the button |
//! | 72042 | this code and number are in a card pack | done: an answer of ours was lost |
//! | 72056 | the order id was used | done if an earlier attempt may have arrived, else final |
//! | everything else | 72031 wrong parameters and the like | final |

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taxdisk_web::outbound::CallError;

use super::weixin::{AUTHORISED, Refused, Weixin, fen, nonce};
use super::{Carrier, Letter, Outcome};
use crate::core::outbox::Verdict;
use crate::core::request::Request;

/// The client.
pub struct CardPack(Arc<Weixin>);

impl CardPack {
    /// Through an account. Nothing is asked yet.
    pub fn new(weixin: Arc<Weixin>) -> CardPack {
        CardPack(weixin)
    }

    async fn insert(&self, letter: &Letter) -> Result<(), Refused> {
        let order = &letter.message.address;
        let status = self.0.authorised_order(order).await?;
        if status != AUTHORISED {
            return Err(Refused::Code(72038, format!("not authorised: {status}")));
        }
        let media = match &letter.pdf {
            Some(pdf) => Some(self.upload(pdf).await?),
            None => None,
        };
        let mut data = card(&letter.request, &letter.seller);
        if let Some(media) = media {
            data["s_pdf_media_id"] = json!(media);
        }
        // Of WXAPPID: for which the order id was authorised.
        let appid = match letter.request.document.text("WXAPPID") {
            "" => self.0.config.app_id.as_str(),
            given => given,
        };
        let body = json!({
            "order_id": order, "card_id": self.0.config.card_id, "appid": appid,
            "card_ext": { "nonce_str": nonce(), "user_card": { "invoice_user_data": data } },
        });
        self.0.post("/card/invoice/insert", &body).await.map(|_| ())
    }

    async fn upload(&self, pdf: &[u8]) -> Result<String, Refused> {
        let boundary = nonce();
        let mut body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"pdf\"; filename=\"invoice.pdf\"\r\n\
             content-type: application/pdf\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(pdf);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={boundary}");
        let reply = self.0.authorised("/card/invoice/platform/setpdf", &kind, body.into()).await?;
        let media =
            reply["s_media_id"].as_str().map(str::to_owned).or_else(|| reply["s_media_id"].as_u64().map(|id| id.to_string()));
        media.ok_or_else(|| Refused::Odd("setpdf gave no s_media_id".to_owned()))
    }
}

#[async_trait]
impl Carrier for CardPack {
    async fn carry(&self, letter: &Letter) -> Outcome {
        let refused = match self.insert(letter).await {
            Ok(()) => return Outcome::new(Verdict::Sent, "in the card pack"),
            Err(refused) => refused,
        };
        let verdict = match &refused {
            Refused::Call(_) | Refused::Odd(_) => Verdict::Later,
            Refused::Code(-1 | 40001 | 40014 | 42001 | 45009 | 45011 | 72038, _) => Verdict::Later,
            Refused::Code(72042, _) => Verdict::Sent,
            Refused::Code(72056, _) if letter.message.unclear => Verdict::Sent,
            Refused::Code(..) => Verdict::Never,
        };
        let unclear = matches!(&refused, Refused::Call(CallError::Slow(_) | CallError::Broken(_)) | Refused::Odd(_));
        let outcome = Outcome::new(verdict, refused.text());
        if unclear { outcome.unclear() } else { outcome }
    }
}

/// `invoice_user_data`, amounts in fen.
fn card(request: &Request, seller: &str) -> Value {
    let document = &request.document;
    let pair = request.pair().unwrap_or_default();
    let issued_at = request.issued.as_ref().map_or("", |issued| issued.issued_at.as_str());
    let net = document.net.unwrap_or_default();
    let mut data = json!({
        "fee": fen(request.gross), "title": document.text("GMF_MC"), "billing_time": seconds(issued_at),
        "billing_no": pair.code, "billing_code": pair.number, "fee_without_tax": fen(net),
        "tax": fen(request.gross - net), "seller_number": request.seller, "seller_name": seller,
    });
    // WeChat wants it; without one that the disk gave, it is left out and WeChat says no. None is made up.
    let check_code = request.issued.as_ref().map_or("", |issued| issued.printed.check_code.as_str());
    let texts = [("check_code", check_code), ("buyer_number", document.text("GMF_NSRSBH")), ("remarks", document.text("BZ"))];
    for (name, text) in texts {
        if !text.is_empty() {
            data[name] = json!(text);
        }
    }
    data
}

/// Seconds since 1970 of a disk's `yyyyMMddHHmmss`, which is Beijing's time (UTC+8, no summer time); 0 of anything else.
fn seconds(issued_at: &str) -> i64 {
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", issued_at).ok();
    let beijing = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    time.and_then(|time| time.to_zoned(beijing).ok()).map_or(0, |time| time.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_beijings() {
        assert_eq!(seconds("20270115160000"), 1_800_000_000);
        assert_eq!(seconds("19700101080000"), 0);
        assert_eq!(seconds("20240229120000"), 1_709_179_200);
    }
}
