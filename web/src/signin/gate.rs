//! The door itself.

use async_trait::async_trait;

use super::factor::{self, Enrolment, Factor};
use super::lockout::Whose;
use super::password::{self, Hasher, Weak};
use super::session::{self, Session};
use super::{Unavailable, csrf};

/// What the gate needs of a store. Every call is durable when it returns.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// What is stored of an account's password; none: there is no such account, it may not sign in, or it has no password yet.
    async fn password(&self, account: &str) -> Result<Option<String>, Unavailable>;
    /// Counts an attempt of all of them, or of none, in one step ([`super::lockout::Failures::attempt`]). The inner error:
    /// milliseconds until one may be made.
    async fn attempt(&self, whose: &[(Whose, String)]) -> Result<Result<(), i64>, Unavailable>;
    /// An attempt was right: forgets all attempts of the account, and this one of the address ([`Failures::right`]), in one step.
    ///
    /// [`Failures::right`]: super::lockout::Failures::right
    async fn forgive(&self, account: &str, address: Option<&str>) -> Result<(), Unavailable>;
    /// A session by its hash.
    async fn session(&self, hash: &str) -> Result<Option<Session>, Unavailable>;
    /// Writes a session, new or touched. A session that was ended meanwhile stays ended.
    async fn put_session(&self, session: &Session, new: bool) -> Result<(), Unavailable>;
    /// Ends a session.
    async fn end_session(&self, hash: &str) -> Result<(), Unavailable>;
    /// Whose first password a link sets, if it is good now; by its hash.
    async fn invited(&self, hash: &str) -> Result<Option<String>, Unavailable>;
    /// Sets a password and ends all sessions of the account, in one step. With a link, only if that is good still; it is used up.
    /// False: it was not.
    async fn set_password(&self, account: &str, stored: &str, link: Option<&str>) -> Result<bool, Unavailable>;
    /// The second factor of an account, confirmed or not.
    async fn factor(&self, account: &str) -> Result<Option<Factor>, Unavailable>;
    /// In one step: is there no confirmed factor, or is the code good ([`Factor::take`])? It is used up then.
    async fn take_code(&self, account: &str, code: &str) -> Result<bool, Unavailable>;
    /// Puts a factor that waits for its first code. False: a confirmed one is there, which stays.
    async fn begin_factor(&self, account: &str, factor: &Factor) -> Result<bool, Unavailable>;
    /// In one step: confirms the factor that waits ([`Factor::confirm`]) with these digests of recovery codes, and ends all
    /// sessions of the account. False: the code is wrong, or no factor waits.
    async fn confirm_factor(&self, account: &str, code: &str, recovery: &[String]) -> Result<bool, Unavailable>;
    /// Takes the factor away, and ends all sessions of the account.
    async fn end_factor(&self, account: &str) -> Result<(), Unavailable>;
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name, the password or the code is wrong; which, is not said.
    #[error("the name, the password or the code is wrong")]
    Wrong,
    /// Too many attempts; so many milliseconds to wait.
    #[error("too many attempts; wait {0} ms")]
    Wait(i64),
    /// The link was used, has expired or never was one.
    #[error("this link was used already or has expired")]
    Link,
    /// The new password will not do.
    #[error(transparent)]
    Weak(#[from] Weak),
    /// The store does not answer, or too many sign in at once.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A session that is open: who it is, and what forms must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Whose session.
    pub account: String,
    /// For the cookie.
    pub token: String,
}

impl SignedIn {
    /// What forms of this session hold.
    pub fn csrf(&self) -> String {
        csrf::token(&self.token)
    }
}

/// A link for a first password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// Whose.
    pub account: String,
}

/// Lets people in, and out.
pub struct Gate<A> {
    accounts: A,
    hasher: Hasher,
}

impl<A: Accounts> Gate<A> {
    /// Over these accounts.
    pub fn new(accounts: A) -> Gate<A> {
        Gate { accounts, hasher: Hasher::default() }
    }

    /// Begins a session. `code`: of the second factor, empty for who has none. `before`: the token that the browser came with,
    /// which ends: a session is never taken over (fixation).
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn sign_in(
        &self,
        account: &str,
        password: &str,
        code: &str,
        address: &str,
        before: Option<&str>,
        now: i64,
    ) -> Result<SignedIn, Refused> {
        let own = format!("account {account}");
        let place = format!("address {address}");
        let counted = [(Whose::Account, own.clone()), (Whose::Address, place.clone())];
        self.accounts.attempt(&counted).await?.map_err(Refused::Wait)?;
        let stored = self.accounts.password(account).await?;
        let right = self.hasher.verify(stored, password).await?;
        // The same steps either way, so that the time of an answer does not say that a password was right; and one that is wrong
        // uses up no code of the owner's: no code is empty.
        let passes = self.accounts.take_code(account, if right { code } else { "" }).await?;
        if !right || !passes {
            return Err(Refused::Wrong);
        }
        self.accounts.forgive(&own, Some(&place)).await?;
        if let Some(before) = before {
            self.accounts.end_session(&session::hash(before)).await?;
        }
        self.begin(account, now).await
    }

    async fn begin(&self, account: &str, now: i64) -> Result<SignedIn, Refused> {
        let token = session::random().ok_or(Unavailable)?;
        let session = Session { hash: session::hash(&token), account: account.to_owned(), created_at: now, seen_at: now };
        self.accounts.put_session(&session, true).await?;
        Ok(SignedIn { account: account.to_owned(), token })
    }

    /// The session of a token, if it is open.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session(&self, token: &str, now: i64) -> Result<Option<SignedIn>, Unavailable> {
        let Some(known) = self.accounts.session(&session::hash(token)).await? else { return Ok(None) };
        if !known.is_open(now) {
            self.accounts.end_session(&known.hash).await?;
            return Ok(None);
        }
        if let Some(touched) = known.touched(now) {
            self.accounts.put_session(&touched, false).await?;
        }
        Ok(Some(SignedIn { account: known.account, token: token.to_owned() }))
    }

    /// As [`Gate::session`], for what a page asks by itself while nobody touches it: the session goes on resting.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look(&self, token: &str, now: i64) -> Result<Option<SignedIn>, Unavailable> {
        let known = self.accounts.session(&session::hash(token)).await?.filter(|known| known.is_open(now));
        Ok(known.map(|known| SignedIn { account: known.account, token: token.to_owned() }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sign_out(&self, token: &str) -> Result<(), Unavailable> {
        self.accounts.end_session(&session::hash(token)).await
    }

    /// Whose first password a link sets.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn invited(&self, token: &str) -> Result<Option<Invited>, Unavailable> {
        Ok(self.accounts.invited(&session::hash(token)).await?.map(|account| Invited { account }))
    }

    /// Sets the first password by a link, which is good once.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn accept(&self, token: &str, password: &str, address: &str) -> Result<Invited, Refused> {
        let place = format!("address {address}");
        self.accounts.attempt(&[(Whose::Address, place.clone())]).await?.map_err(Refused::Wait)?;
        let link = session::hash(token);
        let account = self.accounts.invited(&link).await?.ok_or(Refused::Link)?;
        password::check(password, name_of(&account))?;
        let stored = self.hasher.hash(password).await?;
        if !self.accounts.set_password(&account, &stored, Some(&link)).await? {
            return Err(Refused::Link);
        }
        // A good link is no guess: an office that lets thirty people in must not be shut out for it.
        self.accounts.forgive(&format!("account {account}"), Some(&place)).await?;
        Ok(Invited { account })
    }

    /// Changes a password; every session of the account ends, and this one goes on under a new token.
    ///
    /// # Errors
    /// See [`Refused`]; guessing the old one counts as guessing at the door.
    pub async fn change(&self, signed: &SignedIn, old: &str, new: &str, now: i64) -> Result<SignedIn, Refused> {
        let own = format!("account {}", signed.account);
        self.accounts.attempt(&[(Whose::Account, own.clone())]).await?.map_err(Refused::Wait)?;
        let stored = self.accounts.password(&signed.account).await?;
        if !self.hasher.verify(stored, old).await? {
            return Err(Refused::Wrong);
        }
        self.accounts.forgive(&own, None).await?;
        password::check(new, name_of(&signed.account))?;
        let stored = self.hasher.hash(new).await?;
        self.accounts.set_password(&signed.account, &stored, None).await?;
        self.begin(&signed.account, now).await
    }
}

impl<A: Accounts> Gate<A> {
    /// Somebody who is signed in shows once more that it is he.
    async fn shown(&self, signed: &SignedIn, password: &str, code: Option<&str>) -> Result<(), Refused> {
        let own = format!("account {}", signed.account);
        self.accounts.attempt(&[(Whose::Account, own.clone())]).await?.map_err(Refused::Wait)?;
        let stored = self.accounts.password(&signed.account).await?;
        if !self.hasher.verify(stored, password).await? {
            return Err(Refused::Wrong);
        }
        if let Some(code) = code
            && !self.accounts.take_code(&signed.account, code).await?
        {
            return Err(Refused::Wrong);
        }
        Ok(self.accounts.forgive(&own, None).await?)
    }

    /// Makes a second factor, which asks for nothing before it is confirmed. `issuer`: what the app calls this program. None: one
    /// is there already, and ends first.
    ///
    /// # Errors
    /// See [`Refused`]; guessing the password counts as guessing at the door.
    pub async fn begin_factor(&self, signed: &SignedIn, password: &str, issuer: &str) -> Result<Option<Enrolment>, Refused> {
        self.shown(signed, password, None).await?;
        let factor = Factor::new().ok_or(Unavailable)?;
        let enrolment = factor.enrolment(issuer, &signed.account).ok_or(Unavailable)?;
        Ok(self.accounts.begin_factor(&signed.account, &factor).await?.then_some(enrolment))
    }

    /// Confirms it by the first code: from now on a sign-in asks for one. Every session of the account ends, and this one goes on
    /// under a new token. Gives the recovery codes, which are shown once.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn confirm_factor(&self, signed: &SignedIn, code: &str, now: i64) -> Result<(SignedIn, Vec<String>), Refused> {
        let own = format!("account {}", signed.account);
        self.accounts.attempt(&[(Whose::Account, own.clone())]).await?.map_err(Refused::Wait)?;
        let codes = factor::recovery_codes().ok_or(Unavailable)?;
        let digests: Vec<String> = codes.iter().map(|code| factor::digest(code)).collect();
        if !self.accounts.confirm_factor(&signed.account, code, &digests).await? {
            return Err(Refused::Wrong);
        }
        self.accounts.forgive(&own, None).await?;
        Ok((self.begin(&signed.account, now).await?, codes))
    }

    /// Takes the own factor away, with the password and a code.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn end_factor(&self, signed: &SignedIn, password: &str, code: &str, now: i64) -> Result<SignedIn, Refused> {
        self.shown(signed, password, Some(code)).await?;
        self.accounts.end_factor(&signed.account).await?;
        self.begin(&signed.account, now).await
    }

    /// The second factor of who is signed in.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn factor(&self, signed: &SignedIn) -> Result<Option<Factor>, Unavailable> {
        self.accounts.factor(&signed.account).await
    }
}

/// The part of an account's text that its owner types as his name.
fn name_of(account: &str) -> &str {
    account.rsplit('/').next().unwrap_or(account)
}
