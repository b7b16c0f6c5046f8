//! People of the console.

use taxdisk_protocol::time::Timestamp;
use taxdisk_web::signin::factor::Factor;
use taxdisk_web::signin::lockout::Whose;
use taxdisk_web::signin::session::{self, Session};

use super::shared::unexpected;
use super::{Answer, Ledger, Refusal};
use crate::core::change::UserRow;
use crate::core::people::{Act, ConsoleRole};
use crate::core::{Core, Input, Reply};

/// A link for a first password is good for so long, seconds: over a weekend.
const LINK_S: i64 = 72 * 3600;

impl Ledger {
    async fn act(&self, act: Act, by: &str) -> Answer<Reply> {
        self.ask(Input::People(Box::new(act), by.to_owned())).await
    }

    /// All people of the console, by name.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn users(&self) -> Answer<Vec<UserRow>> {
        self.look(Core::users).await
    }

    /// One of them.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn user(&self, name: &str) -> Answer<Option<UserRow>> {
        let name = name.to_owned();
        self.look(move |core| core.user(&name)).await
    }

    /// Makes a person; a link sets the first password ([`Ledger::invite_user`]).
    ///
    /// # Errors
    /// `invalid_parameter` (not a name, or too many), `conflict` (there is one), `not_ready`.
    pub async fn add_user(&self, name: &str, role: ConsoleRole, by: &str) -> Answer<()> {
        self.act(Act::Add { name: name.to_owned(), role }, by).await.map(drop)
    }

    /// Gives a person another role, from the next request on.
    ///
    /// # Errors
    /// `not_found`, `conflict` (the last administrator), `not_ready`.
    pub async fn set_user_role(&self, name: &str, role: ConsoleRole, by: &str) -> Answer<()> {
        self.act(Act::SetRole { name: name.to_owned(), role }, by).await.map(drop)
    }

    /// Shuts a person out, whose sessions and links end at once; or lets him in again.
    ///
    /// # Errors
    /// `not_found`, `conflict` (the last administrator), `not_ready`.
    pub async fn shut_user_out(&self, name: &str, out: bool, by: &str) -> Answer<()> {
        self.act(Act::ShutOut { name: name.to_owned(), out }, by).await.map(drop)
    }

    /// Makes the token of a link for a new password, good once within 72 hours; it is in the answer only. An older link ends.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn invite_user(&self, name: &str, by: &str) -> Answer<(String, Timestamp)> {
        let token = session::random().ok_or_else(|| Refusal::new("internal", "the system has no randomness to give"))?;
        let expires_at = self.now().plus_s(LINK_S);
        self.act(Act::Invite { name: name.to_owned(), hash: session::hash(&token), expires_at }, by).await?;
        Ok((token, expires_at))
    }

    /// Counts an attempt; the inner error: milliseconds until one may be made.
    pub(crate) async fn count_attempt(&self, whose: Vec<(Whose, String)>) -> Answer<Result<(), i64>> {
        match self.act(Act::Attempt(whose), "console").await? {
            Reply::Wait(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    pub(crate) async fn forgive_attempt(&self, account: &str, address: Option<&str>) -> Answer<()> {
        let act = Act::Forgive { account: account.to_owned(), address: address.map(str::to_owned) };
        self.act(act, "console").await.map(drop)
    }

    pub(crate) async fn put_console_session(&self, session: &Session, new: bool) -> Answer<()> {
        let session = session.clone();
        self.act(if new { Act::BeginSession(session) } else { Act::TouchSession(session) }, "console").await.map(drop)
    }

    pub(crate) async fn end_console_session(&self, hash: &str) -> Answer<()> {
        self.act(Act::EndSession(hash.to_owned()), "console").await.map(drop)
    }

    pub(crate) async fn console_session(&self, hash: &str) -> Answer<Option<Session>> {
        let hash = hash.to_owned();
        self.look(move |core| core.console_session(&hash)).await
    }

    pub(crate) async fn invited_user(&self, hash: &str) -> Answer<Option<String>> {
        let (hash, now) = (hash.to_owned(), self.now());
        self.look(move |core| core.invited(&hash, now)).await
    }

    /// Sets a password; false: the link is not good any more, or the person is shut out.
    pub(crate) async fn set_user_password(&self, name: &str, stored: &str, link: Option<&str>) -> Answer<bool> {
        let act = Act::SetPassword { name: name.to_owned(), stored: stored.to_owned(), link: link.map(str::to_owned) };
        self.held(act, "console").await
    }

    /// Takes a person's second factor away, when his telephone is gone and his recovery codes too; his sessions end.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn end_user_factor(&self, name: &str, by: &str) -> Answer<()> {
        self.act(Act::EndFactor { name: name.to_owned() }, by).await.map(drop)
    }

    pub(crate) async fn take_user_code(&self, name: &str, code: &str) -> Answer<bool> {
        self.held(Act::TakeCode { name: name.to_owned(), code: code.to_owned() }, "console").await
    }

    pub(crate) async fn begin_user_factor(&self, name: &str, factor: &Factor) -> Answer<bool> {
        self.held(Act::BeginFactor { name: name.to_owned(), factor: factor.clone() }, "console").await
    }

    pub(crate) async fn confirm_user_factor(&self, name: &str, code: &str, recovery: &[String]) -> Answer<bool> {
        let act = Act::ConfirmFactor { name: name.to_owned(), code: code.to_owned(), recovery: recovery.to_vec() };
        self.held(act, &format!("console:{name}")).await
    }

    async fn held(&self, act: Act, by: &str) -> Answer<bool> {
        match self.act(act, by).await? {
            Reply::Held(held) => Ok(held),
            _ => Err(unexpected()),
        }
    }
}
