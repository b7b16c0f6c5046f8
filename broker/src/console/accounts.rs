//! The ledger as [`taxdisk_web::signin`] sees it. An account is the name of a person.

use async_trait::async_trait;
use taxdisk_web::signin::factor::Factor;
use taxdisk_web::signin::lockout::Whose;
use taxdisk_web::signin::session::Session;
use taxdisk_web::signin::{Accounts, Unavailable};

use crate::ledger::{Ledger, Refusal};

/// See the module.
#[derive(Clone)]
pub struct LedgerAccounts(pub Ledger);

fn unavailable(refusal: Refusal) -> Unavailable {
    tracing::warn!(%refusal, "the console cannot reach the ledger");
    Unavailable
}

#[async_trait]
impl Accounts for LedgerAccounts {
    async fn password(&self, account: &str) -> Result<Option<String>, Unavailable> {
        let user = self.0.user(account).await.map_err(unavailable)?;
        Ok(user.filter(|user| !user.shut_out).and_then(|user| user.password))
    }

    async fn attempt(&self, whose: &[(Whose, String)]) -> Result<Result<(), i64>, Unavailable> {
        self.0.count_attempt(whose.to_vec()).await.map_err(unavailable)
    }

    async fn forgive(&self, account: &str, address: Option<&str>) -> Result<(), Unavailable> {
        self.0.forgive_attempt(account, address).await.map_err(unavailable)
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Unavailable> {
        self.0.console_session(hash).await.map_err(unavailable)
    }

    async fn put_session(&self, session: &Session, new: bool) -> Result<(), Unavailable> {
        self.0.put_console_session(session, new).await.map_err(unavailable)
    }

    async fn end_session(&self, hash: &str) -> Result<(), Unavailable> {
        self.0.end_console_session(hash).await.map_err(unavailable)
    }

    async fn invited(&self, hash: &str) -> Result<Option<String>, Unavailable> {
        self.0.invited_user(hash).await.map_err(unavailable)
    }

    async fn set_password(&self, account: &str, stored: &str, link: Option<&str>) -> Result<bool, Unavailable> {
        self.0.set_user_password(account, stored, link).await.map_err(unavailable)
    }

    async fn factor(&self, account: &str) -> Result<Option<Factor>, Unavailable> {
        let user = self.0.user(account).await.map_err(unavailable)?;
        Ok(user.and_then(|user| user.factor))
    }

    async fn take_code(&self, account: &str, code: &str) -> Result<bool, Unavailable> {
        self.0.take_user_code(account, code).await.map_err(unavailable)
    }

    async fn begin_factor(&self, account: &str, factor: &Factor) -> Result<bool, Unavailable> {
        self.0.begin_user_factor(account, factor).await.map_err(unavailable)
    }

    async fn confirm_factor(&self, account: &str, code: &str, recovery: &[String]) -> Result<bool, Unavailable> {
        self.0.confirm_user_factor(account, code, recovery).await.map_err(unavailable)
    }

    async fn end_factor(&self, account: &str) -> Result<(), Unavailable> {
        self.0.end_user_factor(account, &format!("console:{account}")).await.map_err(unavailable)
    }
}
