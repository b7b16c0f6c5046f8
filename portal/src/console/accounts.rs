//! The portal's store as [`taxdisk_web::signin`] sees it. An account is `tenant/login`.

use std::sync::Arc;

use async_trait::async_trait;
use taxdisk_web::keyring::Keyring;
use taxdisk_web::signin::factor::Factor;
use taxdisk_web::signin::lockout::{Failures, Whose};
use taxdisk_web::signin::session::{self, Session};
use taxdisk_web::signin::{Accounts, Unavailable};

use super::settings::HISTORY;
use crate::application::User;
use crate::portal::Portal;
use crate::store::StoreError;
use crate::{factors, ledger};

/// A link for a first password is good for so long, milliseconds: over a weekend.
pub const LINK_MS: i64 = 72 * 3600 * 1000;

/// See the module.
#[derive(Clone)]
pub struct PortalAccounts(pub Arc<Portal>);

impl From<ledger::Unavailable> for Failed {
    fn from(_: ledger::Unavailable) -> Failed {
        Failed
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        tracing::error!(%error, "the store cannot be read");
        Failed
    }
}

/// Of either way into the store.
struct Failed;

impl From<Failed> for Unavailable {
    fn from(_: Failed) -> Unavailable {
        Unavailable
    }
}

impl PortalAccounts {
    /// The user of an account, if he may sign in.
    pub fn user(&self, account: &str) -> Option<Arc<User>> {
        let (tenant, login) = account.split_once('/')?;
        let user = self.0.directory().user_by_login(tenant, login)?.clone();
        (!user.disabled).then_some(user)
    }

    async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&mut crate::store::Reader) -> Result<T, StoreError>,
    ) -> Result<T, Unavailable> {
        let mut db = self.0.readers.get().await.map_err(Failed::from)?;
        Ok(read(&mut db).await.map_err(Failed::from)?)
    }

    async fn write<T, W>(&self, work: W) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut ledger::Session) -> ledger::Step<'a, T> + Send + 'static,
    {
        Ok(self.0.ledger.run(work).await.map_err(Failed::from)?)
    }

    /// Takes a person's second factor away, when telephone and recovery codes are gone; his sessions end. It stands in the
    /// history.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn take_factor_away(&self, account: &str, by: &str) -> Result<(), Unavailable> {
        let (account, by) = (account.to_owned(), by.to_owned());
        self.write(move |inside| {
            Box::pin(async move {
                factors::put(inside.db.as_mut(), &Keyring::default(), &account, None).await?;
                inside.db.end_sessions_of(&account).await?;
                noted(inside, &account, &by, "factor_ended").await
            })
        })
        .await
    }

    /// Makes a link by which somebody sets his first password, or a new one; the token is in the answer and nowhere else.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn invite(&self, account: &str) -> Result<String, Unavailable> {
        let token = session::random().ok_or(Unavailable)?;
        let (hash, account) = (session::hash(&token), account.to_owned());
        self.write(move |inside| {
            Box::pin(async move { inside.db.put_password_link(&hash, &account, inside.now.saturating_add(LINK_MS)).await })
        })
        .await?;
        Ok(token)
    }
}

/// A line of the tenant's history about a person's second factor.
async fn noted(inside: &mut ledger::Session, account: &str, by: &str, what: &str) -> Result<(), StoreError> {
    let (tenant, login) = account.split_once('/').unwrap_or_default();
    inside.note(tenant, HISTORY, by, what, login).await
}

/// As histories name a person who does something about his own account.
fn himself(account: &str) -> String {
    format!("console:{}", account.split_once('/').unwrap_or_default().1)
}

#[async_trait]
impl Accounts for PortalAccounts {
    async fn password(&self, account: &str) -> Result<Option<String>, Unavailable> {
        let stored = self.read(async |db| db.password(account).await).await?;
        Ok(stored.filter(|_| self.user(account).is_some()))
    }

    async fn attempt(&self, whose: &[(Whose, String)]) -> Result<Result<(), i64>, Unavailable> {
        let whose = whose.to_vec();
        self.write(move |inside| {
            Box::pin(async move {
                let mut counted: Vec<(String, Failures)> = Vec::with_capacity(whose.len());
                for (kind, name) in whose {
                    match inside.db.failures(&name).await?.attempt(kind, inside.now) {
                        Ok(failures) => counted.push((name, failures)),
                        Err(wait) => return Ok(Err(wait)),
                    }
                }
                for (name, failures) in counted {
                    inside.db.put_failures(&name, failures).await?;
                }
                Ok(Ok(()))
            })
        })
        .await
    }

    async fn forgive(&self, account: &str, address: Option<&str>) -> Result<(), Unavailable> {
        let (account, address) = (account.to_owned(), address.map(str::to_owned));
        self.write(move |inside| {
            Box::pin(async move {
                inside.db.put_failures(&account, Failures::default()).await?;
                if let Some(address) = address {
                    let known = inside.db.failures(&address).await?;
                    inside.db.put_failures(&address, known.right()).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Unavailable> {
        self.read(async |db| db.session(hash).await).await
    }

    async fn put_session(&self, session: &Session, new: bool) -> Result<(), Unavailable> {
        let session = session.clone();
        self.write(move |inside| {
            Box::pin(async move {
                match new {
                    true => inside.db.add_session(&session).await,
                    false => inside.db.touch_session(&session).await,
                }
            })
        })
        .await
    }

    async fn end_session(&self, hash: &str) -> Result<(), Unavailable> {
        let hash = hash.to_owned();
        self.write(move |inside| Box::pin(async move { inside.db.end_session(&hash).await })).await
    }

    async fn invited(&self, hash: &str) -> Result<Option<String>, Unavailable> {
        let link = self.read(async |db| db.password_link(hash).await).await?;
        let good = link.filter(|(account, expires_at)| (self.0.clock)() < *expires_at && self.user(account).is_some());
        Ok(good.map(|(account, _)| account))
    }

    async fn set_password(&self, account: &str, stored: &str, link: Option<&str>) -> Result<bool, Unavailable> {
        let (account, stored, link) = (account.to_owned(), stored.to_owned(), link.map(str::to_owned));
        self.write(move |inside| {
            Box::pin(async move {
                if let Some(link) = link
                    && !inside.db.take_password_link(&link).await?
                {
                    return Ok(false);
                }
                inside.db.put_password(&account, &stored, inside.now).await?;
                inside.db.end_sessions_of(&account).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn factor(&self, account: &str) -> Result<Option<Factor>, Unavailable> {
        self.read(async |db| factors::of(&mut **db, &self.0.keys, account).await).await
    }

    async fn take_code(&self, account: &str, code: &str) -> Result<bool, Unavailable> {
        let (account, code, keys) = (account.to_owned(), code.to_owned(), self.0.keys.clone());
        self.write(move |inside| {
            Box::pin(async move {
                let Some(factor) = factors::of(inside.db.as_mut(), &keys, &account).await?.filter(Factor::is_confirmed) else {
                    return Ok(true);
                };
                let Some(taken) = factor.take(&code, inside.now) else { return Ok(false) };
                if taken.recovery_left() < factor.recovery_left() {
                    noted(inside, &account, &himself(&account), "recovery_code_used").await?;
                }
                factors::put(inside.db.as_mut(), &keys, &account, Some(&taken)).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn begin_factor(&self, account: &str, factor: &Factor) -> Result<bool, Unavailable> {
        let (account, factor, keys) = (account.to_owned(), factor.clone(), self.0.keys.clone());
        self.write(move |inside| {
            Box::pin(async move {
                if factors::of(inside.db.as_mut(), &keys, &account).await?.is_some_and(|factor| factor.is_confirmed()) {
                    return Ok(false);
                }
                factors::put(inside.db.as_mut(), &keys, &account, Some(&factor)).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn confirm_factor(&self, account: &str, code: &str, recovery: &[String]) -> Result<bool, Unavailable> {
        let (account, code, recovery) = (account.to_owned(), code.to_owned(), recovery.to_vec());
        let keys = self.0.keys.clone();
        self.write(move |inside| {
            Box::pin(async move {
                let waiting = factors::of(inside.db.as_mut(), &keys, &account).await?;
                let confirmed = waiting.and_then(|factor| factor.confirm(&code, &recovery, inside.now));
                let Some(confirmed) = confirmed else { return Ok(false) };
                factors::put(inside.db.as_mut(), &keys, &account, Some(&confirmed)).await?;
                inside.db.end_sessions_of(&account).await?;
                noted(inside, &account, &himself(&account), "factor_set").await?;
                Ok(true)
            })
        })
        .await
    }

    async fn end_factor(&self, account: &str) -> Result<(), Unavailable> {
        self.take_factor_away(account, &himself(account)).await
    }
}
