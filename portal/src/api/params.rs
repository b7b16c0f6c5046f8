//! A call whose token was verified, and what it was called with.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Interface;
use crate::core::replay;
use crate::document::fields;
use crate::ledger::{Session, Step};
use crate::model::{KnownCaller, Tenant};
use crate::portal::Portal;
use crate::sign::digest::twice_encoded;
use crate::store::{Reader, StoreError};
use crate::wire::form::Form;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// A call.
pub struct Call {
    /// The portal.
    pub portal: Arc<Portal>,
    /// Who calls.
    pub known: Arc<KnownCaller>,
    /// What is called.
    pub interface: &'static Interface,
    pub(super) query: Form,
    pub(super) form: Form,
    pub(super) json: Option<Json>,
    pub(super) used: replay::Use,
}

impl Call {
    /// The tenant of the caller.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.known.tenant
    }

    /// A parameter from the query string, the form or the JSON body: clients put them anywhere. Blank is absent.
    ///
    /// # Errors
    /// It stands in two places with different values.
    pub fn parameter(&self, name: &str) -> Result<Option<String>, Reply> {
        let json = self.json.as_ref().and_then(|json| json.get(name)).map(|value| match value {
            Json::Text(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        });
        let given = [self.query.get(name).map(str::to_owned), self.form.get(name).map(str::to_owned), json];
        let mut given = given.into_iter().flatten().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let first = given.next();
        if given.any(|other| Some(&other) != first.as_ref()) {
            return Err(Reply::invalid("PARAMETER", format!("{name}：地址栏与请求体中的值不同（规则 one_value）")));
        }
        Ok(first)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// It is not, or stands in two places with different values.
    pub fn required(&self, name: &str) -> Result<String, Reply> {
        self.parameter(name)?.ok_or_else(|| Reply::invalid("PARAMETER", format!("{name}：必填，不能为空（规则 required）")))
    }

    /// JSON of a form field. A client that encodes twice is understood.
    ///
    /// # Errors
    /// Not JSON; the place is named.
    pub fn json_field(&self, name: &str) -> Result<Option<Json>, Reply> {
        let given = self.form.get(name).filter(|value| !value.trim().is_empty());
        let text = match given {
            Some(value) => twice_encoded(value).unwrap_or_else(|| value.to_owned()),
            None => match self.json.as_ref().and_then(|json| json.get(name)) {
                Some(Json::Text(text)) if !text.trim().is_empty() => text.clone(),
                Some(value @ (Json::List(_) | Json::Object(_))) => return Ok(Some(value.clone())),
                _ => return Ok(None),
            },
        };
        let json = Json::parse(&text).map_err(|error| Reply::invalid("JSON", format!("{name}：{error}（规则 json）")))?;
        Ok(Some(json))
    }

    /// The documents of `requestdatas`: an array of 1 to 10 objects.
    ///
    /// # Errors
    /// Absent, not such an array.
    pub fn documents(&self) -> Result<Vec<Json>, Reply> {
        let wrong = |rule: &str, text: String| Reply::invalid("REQUESTDATAS", format!("requestdatas：{text}（规则 {rule}）"));
        match self.json_field("requestdatas")? {
            None => Err(wrong("required", "必填，不能为空".to_owned())),
            Some(Json::List(documents)) if documents.is_empty() => Err(wrong("required", "不能为空数组".to_owned())),
            Some(Json::List(documents)) if documents.len() > fields::MAX_DOCUMENTS => {
                let text = format!("{} 张单据，每次最多 {} 张", documents.len(), fields::MAX_DOCUMENTS);
                Err(wrong("too_many_documents", text))
            }
            Some(Json::List(documents)) => Ok(documents),
            Some(_) => Err(wrong("array", "应为 JSON 数组".to_owned())),
        }
    }

    /// `autoAudit`: issue without a person.
    ///
    /// # Errors
    /// Neither `true` nor `false`.
    pub fn auto_audit(&self, absent: bool) -> Result<bool, Reply> {
        match self.parameter("autoAudit")?.map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(absent),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Reply::invalid("PARAMETER", "autoAudit：应为 true 或 false（规则 boolean）")),
        }
    }

    /// Runs a work that changes something: its token is used for this alone, in the same transaction.
    ///
    /// # Errors
    /// The token was used for something else; or nobody knows whether it is stored.
    pub async fn change<T, W>(&self, work: W) -> Result<T, Reply>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Session) -> Step<'a, T> + Send + 'static,
    {
        let used = self.used.clone();
        let done = self.portal.ledger.run(move |session| {
            Box::pin(async move {
                match replay::once(session, &used).await? {
                    Ok(()) => Ok(Ok(work(session).await?)),
                    Err(replayed) => Ok(Err(replayed)),
                }
            })
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(replayed)) => {
                let (appid, interface) = (&self.known.caller.appid, self.interface.name);
                tracing::error!(appid, interface, "a token was used for another call: {replayed}");
                Err(Reply::invalid("SIGN_REPLAYED", format!("签名校验失败：{replayed}")))
            }
            Err(_) => Err(Reply::busy()),
        }
    }

    /// A connection that reads.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn db(&self) -> Result<Reader, Reply> {
        Ok(self.portal.readers.get().await?)
    }
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Reply {
        tracing::error!(%error, "the store cannot be read");
        Reply::busy()
    }
}

/// SHA-256 of the decoded parameters, in their order.
pub(super) fn digest(query: &Form, form: &Form, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for (name, value) in query.fields().iter().chain(form.fields()) {
        for part in [name, value] {
            digest.update(part.len().to_be_bytes());
            digest.update(part.as_bytes());
        }
    }
    if form.fields().is_empty() {
        digest.update(body);
    }
    hex::encode(digest.finalize())
}
