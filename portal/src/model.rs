//! Who uses this platform: tenants with their sellers and issue points, and the callers that act for them.
//!
//! A seller belongs to one tenant, a public key to one caller's tenant, an appid is never given twice: [`Directory::with_tenant`]
//! and [`Directory::with_caller`] refuse everything else, so that nobody bills in another's name. Production and test are not
//! told apart here: each is a portal of its own with a store, keys and a broker of its own, a store knows which it is, and what
//! proves somebody is claimed for one of them in the [`crate::registry`].
//!
//! Read first: [`Directory`].

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::ids::TaxpayerNumber;

use crate::application::{Application, System, User};
use crate::document::exact;
use crate::sign::PublicKey;

/// A platform's customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// 1 to 40 lower-case letters, digits and `-`; never changes.
    #[serde(default)]
    pub id: String,
    /// What people call it.
    pub name: String,
    /// In whose name invoices are issued.
    pub sellers: Vec<Seller>,
}

/// 销方: who issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seller {
    /// XSF_NSRSBH.
    pub taxpayer_number: String,
    /// XSF_MC, where a request leaves it out.
    pub name: String,
    /// XSF_DZDH.
    #[serde(default)]
    pub address_phone: String,
    /// XSF_YHZH.
    #[serde(default)]
    pub bank_account: String,
    /// 开票点; one at least.
    pub points: Vec<IssuePoint>,
}

/// 开票点: an organisation of a seller that issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuePoint {
    /// ORGCODE, at most 50 characters.
    pub orgcode: String,
    /// The issue point at the broker, which names the disks; left out: every disk of the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_point: Option<String>,
    /// KPR, where a request leaves it out.
    #[serde(default)]
    pub clerk: String,
    /// SKR.
    #[serde(default)]
    pub payee: String,
    /// FHR.
    #[serde(default)]
    pub reviewer: String,
    /// 单张开票限额, net, where the disk names none or a lower one is wanted.
    #[serde(default, with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub invoice_limit: Option<Decimal>,
    /// Lines of one invoice, where fewer are wanted than the disk takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_limit: Option<u16>,
}

/// A system that calls: its appid, its keys, and how it wants to be treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// Globally unique; never changes.
    #[serde(default)]
    pub appid: String,
    /// For whom it acts.
    pub tenant: String,
    /// Public keys in PEM; several while one replaces the other.
    pub public_keys: Vec<String>,
    /// Refuse everything.
    #[serde(default)]
    pub disabled: bool,
    /// How it wants to be treated.
    #[serde(default)]
    pub switches: Switches,
}

/// Switches of a caller; all that is not said is as the interface is published.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Takes PS256, for the official C# sample.
    pub ps256: bool,
    /// Our claims `path`, `appid`, `body_sha256` must be in the token.
    pub bound_claims: bool,
    /// Replies hold published members only.
    pub plain_reply: bool,
    /// Names of the gateway family answer `200` on success instead of `0000`.
    pub gateway_success: bool,
    /// A repeat of a request that a device failed is a re-issue.
    pub reissue_on_repeat: bool,
    /// What happens to a request that looks like another one of the last 24 hours.
    pub suspected: Suspected,
    /// Hosts that may be called back; empty: any that is not private.
    pub callback_hosts: Vec<String>,
    /// Callbacks are forms instead of JSON.
    pub callback_form: bool,
    /// No callback tells of a failure, for clients that take every callback for a success.
    pub no_failure_callback: bool,
    /// How the PDF comes with a callback.
    pub pdf: PdfForm,
}

/// What happens to a suspected duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspected {
    /// Held where the source id (LYID) is the same, named otherwise.
    #[default]
    Auto,
    /// Held in state 1 until a person releases it.
    Hold,
    /// Issued, and named in the answer.
    Warn,
    /// Not looked for.
    Off,
}

/// How the PDF comes with a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PdfForm {
    /// In `pdf`, as published.
    #[default]
    Base64,
    /// In `shareurl` alone.
    Link,
}

/// A caller with its keys read.
#[derive(Debug, Clone)]
pub struct KnownCaller {
    /// As it was set up.
    pub caller: Caller,
    /// Its keys.
    pub keys: Vec<PublicKey>,
    /// Its tenant.
    pub tenant: Arc<Tenant>,
}

/// Everybody who is known. A new one is made for every change; readers keep theirs.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    tenants: BTreeMap<String, Arc<Tenant>>,
    callers: BTreeMap<String, Arc<KnownCaller>>,
    users: BTreeMap<String, Arc<User>>,
    applications: BTreeMap<String, Arc<Application>>,
    systems: BTreeMap<String, Arc<System>>,
}

impl Directory {
    /// All tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// A tenant.
    pub fn tenant(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// All callers.
    pub fn callers(&self) -> impl Iterator<Item = &Arc<KnownCaller>> {
        self.callers.values()
    }

    /// A caller.
    pub fn caller(&self, appid: &str) -> Option<&Arc<KnownCaller>> {
        self.callers.get(appid)
    }

    /// All users.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// The user with the key of this digest. Digests of random keys: finding one by chance is as hard as finding the key.
    pub fn user_by_key(&self, key_hash: &str) -> Option<&Arc<User>> {
        self.users.values().find(|user| user.key_hash == key_hash)
    }

    /// The user who signs in by this name.
    pub fn user_by_login(&self, tenant: &str, login: &str) -> Option<&Arc<User>> {
        self.users.values().find(|user| user.tenant == tenant && user.login == login && !login.is_empty())
    }

    /// All applications.
    pub fn applications(&self) -> impl Iterator<Item = &Arc<Application>> {
        self.applications.values()
    }

    /// An application.
    pub fn application(&self, id: &str) -> Option<&Arc<Application>> {
        self.applications.get(id)
    }

    /// All systems with offline codes.
    pub fn systems(&self) -> impl Iterator<Item = &Arc<System>> {
        self.systems.values()
    }

    /// A system by its syscode.
    pub fn system(&self, syscode: &str) -> Option<&Arc<System>> {
        self.systems.get(syscode)
    }

    /// With a user added.
    ///
    /// # Errors
    /// His tenant is not known, or another one of it signs in by the same name.
    pub fn with_user(&self, user: User) -> Result<Directory, String> {
        self.known(&user.tenant)?;
        if !user.login.is_empty() {
            check_name("login", &user.login)?;
            if self.user_by_login(&user.tenant, &user.login).is_some_and(|other| other.id != user.id) {
                return Err(format!("login {:?} is taken in this tenant", user.login));
            }
        }
        let mut directory = self.clone();
        directory.users.insert(user.id.clone(), Arc::new(user));
        Ok(directory)
    }

    /// With an application added or replaced.
    ///
    /// # Errors
    /// Its tenant is not known.
    pub fn with_application(&self, application: Application) -> Result<Directory, String> {
        self.known(&application.tenant)?;
        let mut directory = self.clone();
        directory.applications.insert(application.id.clone(), Arc::new(application));
        Ok(directory)
    }

    /// With a system added or replaced.
    ///
    /// # Errors
    /// Its tenant is not known, or its syscode belongs to another one; or a key cannot be used.
    pub fn with_system(&self, system: System) -> Result<Directory, String> {
        self.known(&system.tenant)?;
        system.keyring()?;
        if self.systems.get(&system.syscode).is_some_and(|known| known.tenant != system.tenant) {
            return Err(format!("syscode {} belongs to another tenant for ever", system.syscode));
        }
        let mut directory = self.clone();
        directory.systems.insert(system.syscode.clone(), Arc::new(system));
        Ok(directory)
    }

    fn known(&self, tenant: &str) -> Result<&Arc<Tenant>, String> {
        self.tenants.get(tenant).ok_or_else(|| format!("there is no tenant {tenant:?}"))
    }

    /// With a tenant added or replaced.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sets it up.
    pub fn with_tenant(&self, tenant: Tenant) -> Result<Directory, String> {
        check_name("tenant", &tenant.id)?;
        for seller in &tenant.sellers {
            let number = &seller.taxpayer_number;
            number.parse::<TaxpayerNumber>().map_err(|error| error.to_string())?;
            let same = tenant.sellers.iter().filter(|other| other.taxpayer_number == *number).count();
            let elsewhere = self.tenants.values().find(|other| other.id != tenant.id && other.seller(number).is_some());
            if same > 1 || elsewhere.is_some() {
                return Err(format!("seller {number} belongs to one tenant, once"));
            }
            if seller.points.is_empty() {
                return Err(format!("seller {number} needs one issue point at least"));
            }
            for point in &seller.points {
                let twice = seller.points.iter().filter(|other| other.orgcode == point.orgcode).count() > 1;
                if point.orgcode.is_empty() || point.orgcode.chars().count() > 50 || twice {
                    return Err(format!("orgcode {:?} must have 1 to 50 characters and occur once", point.orgcode));
                }
            }
        }
        let tenant = Arc::new(tenant);
        let mut directory = self.clone();
        for known in directory.callers.values_mut().filter(|known| known.caller.tenant == tenant.id) {
            *known = Arc::new(KnownCaller { tenant: tenant.clone(), ..KnownCaller::clone(known) });
        }
        directory.tenants.insert(tenant.id.clone(), tenant);
        Ok(directory)
    }

    /// With a caller added or replaced.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sets it up.
    pub fn with_caller(&self, caller: Caller) -> Result<Directory, String> {
        let appid = &caller.appid;
        if appid.is_empty()
            || appid.len() > 40
            || !appid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err("an appid has 1 to 40 letters, digits, - and _".to_owned());
        }
        let tenant = self.known(&caller.tenant)?;
        if let Some(known) = self.callers.get(appid)
            && known.caller.tenant != caller.tenant
        {
            return Err(format!("appid {appid} belongs to tenant {} for ever", known.caller.tenant));
        }
        let keys = caller.public_keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>()?;
        for key in &keys {
            let other = self.callers.values().find(|known| known.caller.tenant != caller.tenant && known.keys.contains(key));
            if other.is_some() {
                return Err("this public key is registered with another tenant".to_owned());
            }
        }
        let known = KnownCaller { keys, tenant: tenant.clone(), caller };
        let mut directory = self.clone();
        directory.callers.insert(known.caller.appid.clone(), Arc::new(known));
        Ok(directory)
    }
}

impl Tenant {
    /// A seller of this tenant.
    pub fn seller(&self, taxpayer_number: &str) -> Option<&Seller> {
        self.sellers.iter().find(|seller| seller.taxpayer_number == taxpayer_number)
    }
}

impl Seller {
    /// The issue point of an ORGCODE; without one, the only one, or the first where `first` allows it.
    ///
    /// # Errors
    /// For the caller.
    pub fn point(&self, orgcode: &str, first: bool) -> Result<&IssuePoint, String> {
        match (orgcode, self.points.as_slice()) {
            ("", [only]) => Ok(only),
            ("", [default, ..]) if first => Ok(default),
            ("", _) => Err("该税号有多个开票点，ORGCODE 必填".to_owned()),
            (given, points) => points.iter().find(|point| point.orgcode == given).ok_or_else(|| "不是该销方的开票点".to_owned()),
        }
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(allowed) {
        return Err(format!("a {what} has 1 to 40 lower-case letters, digits and -"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tenant(id: &str, seller: &str) -> Tenant {
        let point = |orgcode: &str| IssuePoint {
            orgcode: orgcode.to_owned(),
            broker_point: None,
            clerk: String::new(),
            payee: String::new(),
            reviewer: String::new(),
            invoice_limit: None,
            line_limit: None,
        };
        let seller = Seller {
            taxpayer_number: seller.to_owned(),
            name: "示例".to_owned(),
            address_phone: String::new(),
            bank_account: String::new(),
            points: vec![point("A"), point("B")],
        };
        Tenant { id: id.to_owned(), name: id.to_owned(), sellers: vec![seller] }
    }

    fn caller(appid: &str, tenant: &str, keys: &[&str]) -> Caller {
        Caller {
            appid: appid.to_owned(),
            tenant: tenant.to_owned(),
            public_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            disabled: false,
            switches: Switches::default(),
        }
    }

    #[test]
    fn sellers_keys_and_appids_belong_to_one_tenant() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../tests/vectors/sign.json")).unwrap();
        let key = vectors["public_key_pem"].as_str().unwrap();
        let one = Directory::default().with_tenant(tenant("one", "91110000MA0000001L")).unwrap();
        assert!(one.with_tenant(tenant("two", "91110000MA0000001L")).unwrap_err().contains("one tenant"));
        let both = one.with_tenant(tenant("two", "91310000MA00000025")).unwrap();
        assert!(both.with_tenant(tenant("one", "91110000MA00000019")).is_err(), "the check character is wrong");
        let known = both.with_caller(caller("APP1", "one", &[key])).unwrap();
        assert!(known.with_caller(caller("APP1", "two", &[])).unwrap_err().contains("for ever"));
        assert!(known.with_caller(caller("APP2", "two", &[key])).unwrap_err().contains("another tenant"));
        assert!(known.with_caller(caller("APP2", "three", &[])).is_err());
        assert!(known.with_caller(caller("APP2", "one", &["no key"])).is_err());
        let renamed = known.with_tenant(Tenant { name: "new".to_owned(), ..tenant("one", "91110000MA0000001L") }).unwrap();
        assert_eq!(renamed.caller("APP1").unwrap().tenant.name, "new", "callers see the tenant as it is now");
    }

    #[test]
    fn a_point_is_found_by_its_code_or_by_being_the_only_one() {
        let tenant = tenant("one", "91110000MA0000001L");
        let seller = &tenant.sellers[0];
        assert_eq!(seller.point("B", false).unwrap().orgcode, "B");
        assert_eq!(seller.point("", true).unwrap().orgcode, "A");
        assert!(seller.point("", false).unwrap_err().contains("ORGCODE"));
        assert!(seller.point("C", true).is_err());
    }
}
