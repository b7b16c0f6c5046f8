//! People of the console: who they are, how they come in, and who guesses at their passwords.
//!
//! What decides on a password, a session or a wait is [`taxdisk_web::signin`]; here its state is kept, each step whole, so that a
//! hundred attempts at once are counted as a hundred. What people are made and allowed leaves an entry in the chain, and so does
//! a sign-in. Nothing of it holds a password or a token: the state has their hashes, the chain not even those.
//!
//! Read first: [`Act`], `People`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;
use taxdisk_protocol::time::Timestamp;
use taxdisk_web::signin::factor::Factor;
use taxdisk_web::signin::lockout::{FORGOTTEN_MS, Failures, Whose};
use taxdisk_web::signin::session::Session;

use super::change::{Change, SignInRow, UserRow};
use super::types::Refusal;
use super::{Core, Reply};

/// People at most.
const USERS: usize = 1000;
/// Open sessions at most, of everybody; the one that rests longest ends for a new one.
const SESSIONS: usize = 4096;
/// Open sessions of one person at most.
const SESSIONS_EACH: usize = 16;
/// Names and addresses whose attempts are counted at most, those of known people aside.
const COUNTED: usize = 10_000;
/// Characters of a name at most.
const NAME: usize = 40;

/// What somebody may do in the console. One person has one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleRole {
    /// Looks, and changes nothing.
    Viewer,
    /// Keeps the work going: re-issues, withdraws, pauses, sends again.
    Operator,
    /// Everything: settles, sets up keys, agents and people.
    Administrator,
    /// Looks, and reads and verifies the chains. Changes nothing.
    Auditor,
}

impl ConsoleRole {
    /// All roles.
    pub const ALL: [ConsoleRole; 4] =
        [ConsoleRole::Viewer, ConsoleRole::Operator, ConsoleRole::Administrator, ConsoleRole::Auditor];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            ConsoleRole::Viewer => "viewer",
            ConsoleRole::Operator => "operator",
            ConsoleRole::Administrator => "administrator",
            ConsoleRole::Auditor => "auditor",
        }
    }
}

impl std::str::FromStr for ConsoleRole {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<ConsoleRole, Refusal> {
        let known = ConsoleRole::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| {
            Refusal::new("invalid_parameter", format!("{text:?} is no role: viewer, operator, administrator or auditor"))
        })
    }
}

/// A step of somebody at the door, or of an administrator about people.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A new person.
    Add {
        /// Name; lower-case letters, digits, `.`, `-`, `_`.
        name: String,
        /// Role.
        role: ConsoleRole,
    },
    /// Another role. It holds from the next request on.
    SetRole {
        /// Whose.
        name: String,
        /// Role.
        role: ConsoleRole,
    },
    /// Shut out: sessions and links end at once. Or let in again.
    ShutOut {
        /// Whom.
        name: String,
        /// Out.
        out: bool,
    },
    /// A link for a new password. An older one ends.
    Invite {
        /// Whose.
        name: String,
        /// Hash of its token.
        hash: String,
        /// Good until.
        expires_at: Timestamp,
    },
    /// Counts an attempt of all of them, or of none.
    Attempt(Vec<(Whose, String)>),
    /// An attempt was right.
    Forgive {
        /// As it was counted.
        account: String,
        /// As it was counted.
        address: Option<String>,
    },
    /// A new session.
    BeginSession(Session),
    /// A session that goes on. One that was ended meanwhile stays ended.
    TouchSession(Session),
    /// Ends a session, by its hash.
    EndSession(String),
    /// Sets a password; all sessions of the person end, and his links. With a link, only if that is good still.
    SetPassword {
        /// Whose.
        name: String,
        /// Hash of the password (PHC string).
        stored: String,
        /// Hash of the link's token.
        link: Option<String>,
    },
    /// Takes a code of a second factor. Held: there is no confirmed one, or the code is good and used up now.
    TakeCode {
        /// Whose.
        name: String,
        /// As it was typed.
        code: String,
    },
    /// A factor that waits for its first code. Held: no confirmed one is there.
    BeginFactor {
        /// Whose.
        name: String,
        /// It.
        factor: Factor,
    },
    /// The first code. Held: it was right; all sessions of the person end.
    ConfirmFactor {
        /// Whose.
        name: String,
        /// As it was typed.
        code: String,
        /// Digests of the recovery codes.
        recovery: Vec<String>,
    },
    /// No factor any more: by the person himself, or by an administrator whose telephone it was not. All sessions end.
    EndFactor {
        /// Whose.
        name: String,
    },
}

/// A link for a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    name: String,
    expires_at: Timestamp,
}

/// People and their way in.
#[derive(Debug, Default)]
pub(super) struct People {
    users: BTreeMap<String, UserRow>,
    sessions: HashMap<String, Session>,
    failures: HashMap<String, Failures>,
    links: HashMap<String, Link>,
}

/// A session as it is kept.
#[derive(Serialize, Deserialize)]
struct SessionBody {
    account: String,
    created_at: i64,
    seen_at: i64,
}

/// Attempts as they are kept.
#[derive(Serialize, Deserialize)]
struct FailuresBody {
    count: u32,
    last_at: i64,
}

fn text(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn session_row(session: &Session) -> Change {
    let body = SessionBody { account: session.account.clone(), created_at: session.created_at, seen_at: session.seen_at };
    Change::SignIn(SignInRow { what: SignInRow::SESSION, key: session.hash.clone(), body: text(&body) })
}

fn failures_row(name: &str, failures: Failures) -> Change {
    let body = FailuresBody { count: failures.count, last_at: failures.last_at };
    Change::SignIn(SignInRow { what: SignInRow::FAILURES, key: name.to_owned(), body: text(&body) })
}

fn gone(what: &'static str, key: &str) -> Change {
    Change::SignIn(SignInRow { what, key: key.to_owned(), body: None })
}

impl People {
    /// As the store has it. What cannot be read is nobody's: a session that ends early harms nobody.
    pub(super) fn restored(users: Vec<UserRow>, rows: Vec<SignInRow>) -> People {
        let mut people = People { users: users.into_iter().map(|row| (row.name.clone(), row)).collect(), ..People::default() };
        for SignInRow { what, key, body } in rows {
            let body = body.unwrap_or_default();
            match what {
                SignInRow::SESSION => {
                    if let Ok(SessionBody { account, created_at, seen_at }) = serde_json::from_str(&body) {
                        people.sessions.insert(key.clone(), Session { hash: key, account, created_at, seen_at });
                    }
                }
                SignInRow::FAILURES => {
                    if let Ok(FailuresBody { count, last_at }) = serde_json::from_str(&body) {
                        people.failures.insert(key, Failures { count, last_at });
                    }
                }
                _ => {
                    if let Ok(link) = serde_json::from_str(&body) {
                        people.links.insert(key, link);
                    }
                }
            }
        }
        people
    }

    fn is_last_administrator(&self, name: &str) -> bool {
        let is_one = |user: &UserRow| user.role == ConsoleRole::Administrator && !user.shut_out;
        self.users.get(name).is_some_and(is_one) && self.users.values().filter(|user| is_one(user)).count() == 1
    }

    /// Ends the sessions that `which` says, and gives what to write.
    fn end_sessions(&mut self, which: impl Fn(&Session) -> bool) -> Vec<Change> {
        let ended = self.sessions.extract_if(|_, session| which(session));
        ended.map(|(hash, _)| gone(SignInRow::SESSION, &hash)).collect()
    }

    fn end_links(&mut self, which: impl Fn(&Link) -> bool) -> Vec<Change> {
        self.links.extract_if(|_, link| which(link)).map(|(hash, _)| gone(SignInRow::LINK, &hash)).collect()
    }

    /// Makes room for one more count. Those of known people stay whatever strangers try, and strangers' oldest go first.
    fn forget_failures(&mut self, now: i64) -> Vec<Change> {
        let mut rows = Vec::new();
        for (name, _) in
            self.failures.extract_if(|_, known| known.count == 0 || now.saturating_sub(known.last_at) >= FORGOTTEN_MS)
        {
            rows.push(gone(SignInRow::FAILURES, &name));
        }
        while self.failures.len() >= COUNTED + self.users.len() {
            let is_known = |name: &str| name.strip_prefix("account ").is_some_and(|name| self.users.contains_key(name));
            let strangers = self.failures.iter().filter(|(name, _)| !is_known(name));
            let Some(oldest) = strangers.min_by_key(|(_, known)| known.last_at).map(|(name, _)| name.clone()) else { break };
            self.failures.remove(&oldest);
            rows.push(gone(SignInRow::FAILURES, &oldest));
        }
        rows
    }
}

/// Can this be the name of a person?
pub fn is_name(name: &str) -> bool {
    let decent = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= NAME && name.chars().all(decent)
}

fn checked_name(name: &str) -> Result<(), Refusal> {
    if !is_name(name) {
        let why = format!("a name has 1 to {NAME} characters: lower-case letters, digits, `.`, `-`, `_`");
        return Err(Refusal::new("invalid_parameter", why));
    }
    Ok(())
}

fn unknown(name: &str) -> Refusal {
    Refusal::new("not_found", format!("there is no user {name:?}"))
}

impl Core {
    pub(super) fn people(&mut self, act: Act, by: &str) -> Result<Reply, Refusal> {
        match act {
            Act::Add { name, role } => self.add_user(name, role, by),
            Act::SetRole { name, role } => {
                if role != ConsoleRole::Administrator && self.people.is_last_administrator(&name) {
                    return Err(last_administrator());
                }
                self.change_user(&name, |user| user.role = role)?;
                self.audit(None, "user_role", json!({ "by": by, "name": name, "role": role }));
                Ok(Reply::Done)
            }
            Act::ShutOut { name, out } => {
                if out && self.people.is_last_administrator(&name) {
                    return Err(last_administrator());
                }
                self.change_user(&name, |user| user.shut_out = out)?;
                let mut ended = self.people.end_sessions(|session| session.account == name);
                ended.extend(self.people.end_links(|link| link.name == name));
                self.turn.changes.extend(ended);
                self.audit(None, if out { "user_shut_out" } else { "user_let_in" }, json!({ "by": by, "name": name }));
                Ok(Reply::Done)
            }
            Act::Invite { name, hash, expires_at } => {
                if !self.people.users.contains_key(&name) {
                    return Err(unknown(&name));
                }
                let now = self.turn.now;
                let ended = self.people.end_links(|link| link.name == name || link.expires_at <= now);
                self.turn.changes.extend(ended);
                let link = Link { name: name.clone(), expires_at };
                self.turn.changes.push(Change::SignIn(SignInRow { what: SignInRow::LINK, key: hash.clone(), body: text(&link) }));
                self.people.links.insert(hash, link);
                self.audit(None, "user_link", json!({ "by": by, "name": name }));
                Ok(Reply::Done)
            }
            Act::Attempt(whose) => Ok(Reply::Wait(self.attempt(whose))),
            Act::Forgive { account, address } => {
                if self.people.failures.remove(&account).is_some() {
                    self.turn.changes.push(gone(SignInRow::FAILURES, &account));
                }
                if let Some(address) = address
                    && let Some(known) = self.people.failures.get_mut(&address)
                {
                    *known = known.right();
                    self.turn.changes.push(failures_row(&address, *known));
                }
                Ok(Reply::Done)
            }
            Act::BeginSession(session) => self.begin_session(session),
            Act::TouchSession(session) => {
                if let Some(known) = self.people.sessions.get_mut(&session.hash) {
                    known.seen_at = session.seen_at.max(known.seen_at);
                    self.turn.changes.push(session_row(known));
                }
                Ok(Reply::Done)
            }
            Act::EndSession(hash) => {
                let ended = self.people.end_sessions(|session| session.hash == hash);
                self.turn.changes.extend(ended);
                Ok(Reply::Done)
            }
            Act::SetPassword { name, stored, link } => self.set_password(&name, stored, link.as_deref()),
            Act::TakeCode { name, code } => self.take_code(&name, &code),
            Act::BeginFactor { name, factor } => {
                if self.people.users.get(&name).is_none_or(UserRow::has_factor) {
                    return Ok(Reply::Held(false));
                }
                self.change_user(&name, |user| user.factor = Some(factor))?;
                Ok(Reply::Held(true))
            }
            Act::ConfirmFactor { name, code, recovery } => {
                let waiting = self.people.users.get(&name).and_then(|user| user.factor.as_ref());
                let confirmed = waiting.and_then(|factor| factor.confirm(&code, &recovery, self.turn.now.0));
                let Some(confirmed) = confirmed else { return Ok(Reply::Held(false)) };
                self.set_factor(&name, Some(confirmed))?;
                self.audit(None, "factor_set", json!({ "by": by, "name": name }));
                Ok(Reply::Held(true))
            }
            Act::EndFactor { name } => {
                self.set_factor(&name, None)?;
                self.audit(None, "factor_ended", json!({ "by": by, "name": name }));
                Ok(Reply::Done)
            }
        }
    }

    /// Another factor, or none; what the former one opened ends.
    fn set_factor(&mut self, name: &str, factor: Option<Factor>) -> Result<(), Refusal> {
        self.change_user(name, |user| user.factor = factor)?;
        let ended = self.people.end_sessions(|session| session.account == name);
        self.turn.changes.extend(ended);
        Ok(())
    }

    fn take_code(&mut self, name: &str, code: &str) -> Result<Reply, Refusal> {
        let user = self.people.users.get(name);
        let Some(factor) = user.and_then(|user| user.factor.as_ref()).filter(|factor| factor.is_confirmed()) else {
            return Ok(Reply::Held(true));
        };
        let left = factor.recovery_left();
        let Some(taken) = factor.take(code, self.turn.now.0) else { return Ok(Reply::Held(false)) };
        if taken.recovery_left() < left {
            let by = format!("console:{name}");
            self.audit(None, "recovery_code_used", json!({ "by": by, "name": name, "left": taken.recovery_left() }));
        }
        self.change_user(name, |user| user.factor = Some(taken))?;
        Ok(Reply::Held(true))
    }

    fn add_user(&mut self, name: String, role: ConsoleRole, by: &str) -> Result<Reply, Refusal> {
        checked_name(&name)?;
        if self.people.users.contains_key(&name) {
            return Err(Refusal::new("conflict", format!("there is a user {name:?} already")));
        }
        if self.people.users.len() >= USERS {
            return Err(Refusal::new("invalid_parameter", format!("there are {USERS} users, and no more are kept")));
        }
        let row = UserRow { name: name.clone(), role, password: None, shut_out: false, created_at: self.turn.now, factor: None };
        self.turn.changes.push(Change::User(row.clone()));
        self.people.users.insert(name.clone(), row);
        self.audit(None, "user_added", json!({ "by": by, "name": name, "role": role }));
        Ok(Reply::Done)
    }

    fn change_user(&mut self, name: &str, change: impl FnOnce(&mut UserRow)) -> Result<(), Refusal> {
        let user = self.people.users.get_mut(name).ok_or_else(|| unknown(name))?;
        change(user);
        self.turn.changes.push(Change::User(user.clone()));
        Ok(())
    }

    /// Counts an attempt of all of them, or of none; the error: milliseconds until one may be made.
    fn attempt(&mut self, whose: Vec<(Whose, String)>) -> Result<(), i64> {
        let now = self.turn.now.0;
        let mut counted = Vec::with_capacity(whose.len());
        for (kind, name) in whose {
            let known = self.people.failures.get(&name).copied().unwrap_or_default();
            counted.push((name, known.attempt(kind, now)?));
        }
        let forgotten = self.people.forget_failures(now);
        self.turn.changes.extend(forgotten);
        for (name, failures) in counted {
            self.turn.changes.push(failures_row(&name, failures));
            self.people.failures.insert(name, failures);
        }
        Ok(())
    }

    fn begin_session(&mut self, session: Session) -> Result<Reply, Refusal> {
        let now = self.turn.now.0;
        // Who was shut out while his password was checked does not come in.
        let known = self.people.users.get(&session.account).filter(|user| !user.shut_out);
        if known.is_none() {
            return Err(unknown(&session.account));
        }
        let mut ended = self.people.end_sessions(|session| !session.is_open(now));
        let own = |one: &&Session| one.account == session.account;
        let full = self.people.sessions.len() >= SESSIONS;
        let full_own = self.people.sessions.values().filter(own).count() >= SESSIONS_EACH;
        if full || full_own {
            let candidates = self.people.sessions.values().filter(|one| !full_own || own(one));
            let resting = candidates.min_by_key(|one| one.seen_at).map(|one| one.hash.clone());
            ended.extend(self.people.end_sessions(|one| Some(&one.hash) == resting.as_ref()));
        }
        self.turn.changes.extend(ended);
        self.turn.changes.push(session_row(&session));
        let name = session.account.clone();
        self.people.sessions.insert(session.hash.clone(), session);
        self.audit(None, "signed_in", json!({ "by": format!("console:{name}"), "name": name }));
        Ok(Reply::Done)
    }

    fn set_password(&mut self, name: &str, stored: String, link: Option<&str>) -> Result<Reply, Refusal> {
        let now = self.turn.now;
        if let Some(link) = link
            && !self.people.links.get(link).is_some_and(|link| link.name == name && now < link.expires_at)
        {
            return Ok(Reply::Held(false));
        }
        if self.people.users.get(name).is_none_or(|user| user.shut_out) {
            return Ok(Reply::Held(false));
        }
        self.change_user(name, |user| user.password = Some(stored))?;
        let mut ended = self.people.end_sessions(|session| session.account == name);
        ended.extend(self.people.end_links(|link| link.name == name));
        self.turn.changes.extend(ended);
        let by = format!("console:{name}");
        self.audit(None, "password_set", json!({ "by": by, "name": name, "link": link.is_some() }));
        Ok(Reply::Held(true))
    }

    /// All people, by name.
    pub fn users(&self) -> Vec<UserRow> {
        self.people.users.values().cloned().collect()
    }

    /// The person of this name.
    pub fn user(&self, name: &str) -> Option<UserRow> {
        self.people.users.get(name).cloned()
    }

    /// A session by its hash.
    pub fn console_session(&self, hash: &str) -> Option<Session> {
        self.people.sessions.get(hash).cloned()
    }

    /// Whose password a link sets, if it is good at this moment.
    pub fn invited(&self, hash: &str, now: Timestamp) -> Option<String> {
        let link = self.people.links.get(hash).filter(|link| now < link.expires_at)?;
        self.people.users.get(&link.name).filter(|user| !user.shut_out).map(|user| user.name.clone())
    }
}

fn last_administrator() -> Refusal {
    Refusal::new("conflict", "this is the last administrator who may sign in; make another one first")
}
