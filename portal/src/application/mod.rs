//! How a merchant's system comes to be known: a user of a tenant applies for an appid and, for offline codes, a syscode; the
//! operator approves or refuses; keys are replaced without an interruption. Routes: [`admin`] for the operator, [`tenant`] for
//! users.
//!
//! An appid and a syscode are given once, to one tenant of one environment, and never change ([`crate::registry`]). Secrets are
//! shown once, in the answer that makes them.
//!
//! Read first: [`Application`], [`System`].

pub mod admin;
pub mod tenant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::config::Environment;
use crate::console::roles::{Action, Role};
use crate::order;

/// Characters of an appid or a syscode at most.
const NAME_MAX: usize = 40;
/// Characters of what people call an application, and of a reason, at most.
pub(crate) const TEXT_MAX: usize = 200;
/// Characters of a query address at most.
const URL_MAX: usize = 500;
/// Public keys of an application at most: one, and one that takes its place.
pub(crate) const PUBLIC_KEYS_MAX: usize = 4;
/// Applications of a tenant that wait for the operator at most.
pub(crate) const WAITING_MAX: usize = 20;
/// Organisations whose wishes a syscode names at most.
const WISHES_MAX: usize = 1000;
/// An order key that was replaced is read for so long at most, seconds: receipts of a year are still claimed.
pub const OVERLAP_MAX_S: i64 = 400 * 24 * 3600;

/// Who reads the order number out of an offline code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decrypts {
    /// The platform; the merchant is asked for the order number.
    #[default]
    Platform,
    /// The merchant; he is asked with the token as it was scanned.
    Merchant,
}

/// What became of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Decision {
    /// Nobody has decided.
    #[default]
    Waiting,
    /// The appid and the syscode are given.
    Approved {
        /// When, milliseconds.
        at: i64,
    },
    /// It was refused.
    Refused {
        /// When, milliseconds.
        at: i64,
        /// Why, for the user.
        reason: String,
    },
}

/// What a user applies for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What people call the system.
    pub name: String,
    /// The appid that it wants: 1 to 40 letters, digits, `-` and `_`.
    pub appid: String,
    /// The syscode that it wants for offline codes; left out: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub syscode: String,
    /// Its public keys, PEM.
    pub public_keys: Vec<String>,
    /// Where an order is asked for (merchant query interface, version 1); needed with a syscode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query_url: String,
    /// Who reads the order number.
    #[serde(default)]
    pub decrypts: Decrypts,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Given by us.
    pub id: String,
    /// For whom.
    pub tenant: String,
    /// The user who applied.
    pub user: String,
    /// When, milliseconds.
    pub at: i64,
    /// For what.
    pub wish: Wish,
    /// What became of it.
    pub decision: Decision,
}

/// A person or a system that acts for a tenant towards the platform, not towards disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Given by us.
    pub id: String,
    /// Of whom.
    pub tenant: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its key, hexadecimal.
    pub key_hash: String,
    /// By which a person signs in to the console; empty: a system, which does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub login: String,
    /// What the person may do there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// May not sign in any more, and its key is good for nothing.
    #[serde(default)]
    pub disabled: bool,
}

impl User {
    /// As the console's sign-in knows him; none: he does not sign in.
    pub fn account(&self) -> Option<String> {
        (!self.login.is_empty()).then(|| format!("{}/{}", self.tenant, self.login))
    }

    /// May its key do what it does, which is to set up applications and keys? A system's may. A person's may where he may at the
    /// console: a viewer who replaced public keys could sign for the whole tenant.
    pub fn may_set_up(&self) -> bool {
        self.login.is_empty() || self.roles.iter().any(|role| role.may(Action::Settings))
    }
}

/// A connected system with offline codes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Globally unique; never changes.
    pub syscode: String,
    /// Whose.
    pub tenant: String,
    /// Where an order is asked for.
    pub query_url: String,
    /// Who reads the order number.
    pub decrypts: Decrypts,
    /// Keys of its order tokens, the latest last.
    pub keys: Vec<OrderKey>,
    /// Where results go, for each organisation; one that is not named offers what the platform can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<OrgWish>,
}

/// What becomes of an invoice of an organisation's offline codes once it is issued: any combination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgWish {
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// The consumer names a mail address, and gets it there.
    #[serde(default)]
    pub mail: bool,
    /// The consumer names a telephone, and gets a message.
    #[serde(default)]
    pub sms: bool,
    /// The address that came with the order is called back.
    #[serde(default)]
    pub callback: bool,
}

/// A key of order tokens, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// Its id.
    pub kid: u16,
    /// `aes-256-gcm` or `sm4-gcm`.
    pub algorithm: Algorithm,
    /// base64url.
    pub secret: String,
    /// Unix seconds: another key has taken its place, and tokens of it are opened until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_until_s: Option<i64>,
}

/// How order tokens are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// SM4-GCM.
    #[serde(rename = "sm4-gcm")]
    Sm4Gcm,
}

impl From<Algorithm> for order::Algorithm {
    fn from(algorithm: Algorithm) -> order::Algorithm {
        match algorithm {
            Algorithm::Aes256Gcm => order::Algorithm::Aes256Gcm,
            Algorithm::Sm4Gcm => order::Algorithm::Sm4Gcm,
        }
    }
}

impl Wish {
    /// What is wrong with it, for the user.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        check_name("appid", &self.appid)?;
        if self.name.trim().is_empty() || self.name.chars().count() > TEXT_MAX {
            return Err(format!("a name has 1 to {TEXT_MAX} characters"));
        }
        if self.public_keys.is_empty() || self.public_keys.len() > PUBLIC_KEYS_MAX {
            return Err(format!("an application has 1 to {PUBLIC_KEYS_MAX} public keys"));
        }
        if self.syscode.is_empty() {
            return if self.query_url.is_empty() { Ok(()) } else { Err("query_url is for a syscode".to_owned()) };
        }
        check_name("syscode", &self.syscode)?;
        let host = self.query_url.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || self.query_url.len() > URL_MAX {
            return Err(format!("query_url begins with https:// and has at most {URL_MAX} characters"));
        }
        Ok(())
    }
}

impl System {
    /// A system with its first key.
    pub fn new(syscode: &str, tenant: &str, wish: &Wish) -> System {
        let (syscode, tenant) = (syscode.to_owned(), tenant.to_owned());
        System {
            syscode,
            tenant,
            query_url: wish.query_url.clone(),
            decrypts: wish.decrypts,
            keys: Vec::new(),
            wishes: Vec::new(),
        }
    }

    /// Wants results elsewhere from now on; what was claimed before stays as it was.
    ///
    /// # Errors
    /// An organisation that is none of the tenant's issue points, or is there twice; or there are too many.
    pub fn wishing(&self, wishes: Vec<OrgWish>, is_point: impl Fn(&str) -> bool) -> Result<System, String> {
        if wishes.len() > WISHES_MAX {
            return Err(format!("a syscode has wishes for {WISHES_MAX} organisations at most"));
        }
        for (index, wish) in wishes.iter().enumerate() {
            if !is_point(&wish.orgcode) {
                return Err(format!("{:?} is no orgcode of this tenant", wish.orgcode));
            }
            if wishes[..index].iter().any(|before| before.orgcode == wish.orgcode) {
                return Err(format!("{:?} is there twice", wish.orgcode));
            }
        }
        Ok(System { wishes, ..self.clone() })
    }

    /// What is wished for an organisation.
    pub fn wish_of(&self, orgcode: &str) -> Option<OrgWish> {
        self.wishes.iter().find(|wish| wish.orgcode == orgcode).cloned()
    }

    /// Adds a key; those before it are read for `overlap_s` more seconds, and forgotten once that is over.
    ///
    /// # Errors
    /// There are too many keys that are still read.
    pub fn rotate(&mut self, algorithm: Algorithm, overlap_s: i64, now_s: i64) -> Result<OrderKey, String> {
        let overlap_s = overlap_s.clamp(0, OVERLAP_MAX_S);
        // Ids are never given again, not even those of keys that are gone.
        let kid = self.keys.last().map_or(Some(1), |last| last.kid.checked_add(1)).ok_or("no key ids are left")?;
        self.keys.retain(|key| key.read_until_s.is_none_or(|until| until >= now_s));
        for key in &mut self.keys {
            // Never longer than an earlier rotation said.
            key.read_until_s = Some(key.read_until_s.unwrap_or(i64::MAX).min(now_s.saturating_add(overlap_s)));
        }
        let mut secret = vec![0; order::Algorithm::from(algorithm).key_bytes()];
        rand::rngs::OsRng.fill_bytes(&mut secret);
        let key = OrderKey { kid, algorithm, secret: URL_SAFE_NO_PAD.encode(secret), read_until_s: None };
        self.keys.push(key.clone());
        self.keyring()?;
        Ok(key)
    }

    /// Its keys, to open order tokens with.
    ///
    /// # Errors
    /// A stored key cannot be used, or there are too many.
    pub fn keyring(&self) -> Result<order::Keyring, String> {
        let read = |key: &OrderKey| {
            let secret = URL_SAFE_NO_PAD.decode(&key.secret).map_err(|_| "a stored key is damaged".to_owned())?;
            let made = order::OrderKey::new(key.kid, key.algorithm.into(), &secret).map_err(|error| error.to_string())?;
            Ok(match key.read_until_s {
                Some(until) => made.read_until(until),
                None => made,
            })
        };
        let keys = self.keys.iter().map(read).collect::<Result<Vec<_>, String>>()?;
        order::Keyring::new(keys).map_err(|error| error.to_string())
    }

    /// As it is shown: without secrets.
    pub fn shown(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| serde_json::json!({ "kid": key.kid, "algorithm": key.algorithm, "read_until_s": key.read_until_s }))
            .collect();
        serde_json::json!({
            "syscode": self.syscode, "tenant": self.tenant, "query_url": self.query_url, "decrypts": self.decrypts, "keys": keys,
            "wishes": self.wishes,
        })
    }
}

/// Never the secret.
impl std::fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("syscode", &self.syscode).field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(allowed) {
        return Err(format!("the {what} has 1 to {NAME_MAX} letters, digits, - and _"));
    }
    Ok(())
}

/// A key that we make says in its first letters of which environment it is: the other one refuses it for that alone.
pub fn minted(prefix: &str, environment: Environment) -> String {
    let random = crate::core::act::random_token;
    format!("{prefix}_{}_{}{}", environment.as_str(), random(), random())
}

/// Does this key say that it is of the other environment? One that says nothing (made by version 0.1) is judged by its digest
/// alone.
pub fn is_of_other(prefix: &str, key: &str, environment: Environment) -> bool {
    let other = match environment {
        Environment::Production => Environment::Test,
        Environment::Test => Environment::Production,
    };
    key.trim().starts_with(&format!("{prefix}_{}_", other.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        Wish {
            name: "收费站".to_owned(),
            appid: "TOLL1".to_owned(),
            syscode: "TOLL".to_owned(),
            public_keys: vec![String::new()],
            query_url: "https://merchant.example/order".to_owned(),
            decrypts: Decrypts::Platform,
        }
    }

    #[test]
    fn a_wish_that_cannot_be_given_is_named() {
        wish().check().unwrap();
        let wrong = |change: fn(&mut Wish)| {
            let mut wish = wish();
            change(&mut wish);
            wish.check().unwrap_err()
        };
        assert!(wrong(|wish| wish.appid = "a b".to_owned()).contains("appid"));
        assert!(wrong(|wish| wish.name = "长".repeat(TEXT_MAX + 1)).contains("a name"));
        assert!(wrong(|wish| wish.public_keys = vec![String::new(); PUBLIC_KEYS_MAX + 1]).contains("public keys"));
        assert!(wrong(|wish| wish.query_url = format!("https://{}", "x".repeat(URL_MAX))).contains("query_url"));
        assert!(wrong(|wish| wish.syscode = "x".repeat(41)).contains("syscode"));
        assert!(wrong(|wish| wish.query_url = "http://merchant.example".to_owned()).contains("query_url"));
        assert!(wrong(|wish| wish.syscode.clear()).contains("query_url"));
        assert!(wrong(|wish| wish.public_keys.clear()).contains("public keys"));
        assert!(wrong(|wish| wish.name = " ".to_owned()).contains("name"));
    }

    #[test]
    fn an_order_key_is_read_for_its_overlap_and_its_id_never_comes_again() {
        let mut system = System::new("TOLL", "one", &wish());
        let first = system.rotate(Algorithm::Aes256Gcm, 0, 1000).unwrap();
        assert_eq!((first.kid, system.keys.len()), (1, 1));
        let second = system.rotate(Algorithm::Sm4Gcm, 60, 1000).unwrap();
        assert_eq!((second.kid, system.keys[0].read_until_s), (2, Some(1060)));
        // A longer overlap later does not revive what was to end.
        system.rotate(Algorithm::Aes256Gcm, 600, 1010).unwrap();
        assert_eq!((system.keys[0].read_until_s, system.keys[1].read_until_s), (Some(1060), Some(1610)));
        let fourth = system.rotate(Algorithm::Aes256Gcm, OVERLAP_MAX_S * 2, 1061).unwrap();
        assert_eq!(system.keys.iter().map(|key| key.kid).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(system.keys[1].read_until_s, Some(1061 + OVERLAP_MAX_S));
        assert!(!system.shown().to_string().contains(&fourth.secret));
        assert!(!format!("{system:?}").contains(&fourth.secret));
        system.keyring().unwrap();
        while system.keys.len() < 16 {
            system.rotate(Algorithm::Aes256Gcm, 600, 1061).unwrap();
        }
        assert!(system.rotate(Algorithm::Aes256Gcm, 600, 1061).unwrap_err().contains("16"));
    }

    #[test]
    fn a_key_says_of_which_environment_it_is() {
        let (live, test) = (minted("tpo", Environment::Production), minted("tpo", Environment::Test));
        assert!(is_of_other("tpo", &live, Environment::Test) && is_of_other("tpo", &test, Environment::Production));
        assert!(!is_of_other("tpo", &live, Environment::Production) && !is_of_other("tpo", &test, Environment::Test));
        assert!(!is_of_other("tpo", "tpo_old", Environment::Test));
    }
}
