//! What all parts of a running portal share.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use taxdisk_protocol::api::DiskView;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_web::keyring::Keyring;
use taxdisk_web::outbound::Outbound;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::core::links::{self, Kind, Link, LinkKey};
use crate::core::outcome;
use crate::core::request::Request;
use crate::courier::Looks;
use crate::document::split::Limits;
use crate::hooks::Hook;
use crate::layout::{Document, Layout, LayoutError};
use crate::ledger::{Clock, Ledger, Unavailable};
use crate::merchant::Questions;
use crate::model::{Directory, IssuePoint};
use crate::platform_key::PlatformKey;
use crate::post::weixin::Weixin;
use crate::rate::{PerMinute, Rates, Strangers};
use crate::registry::Registry;
use crate::store::Readers;

/// Open streams of states at most, of all pages of codes: each asks the store once a second.
pub const STREAMS: usize = 256;
/// The same of reservations, which wait for hours: they take no room from those whose invoice is being made.
pub const RESERVATION_STREAMS: usize = 64;

/// A running portal.
pub struct Portal {
    /// Configuration.
    pub config: Config,
    /// The writer.
    pub ledger: Ledger,
    /// Connections that read.
    pub readers: Readers,
    /// The time.
    pub clock: Clock,
    /// Makes files of invoices.
    pub layout: Arc<dyn Layout>,
    /// Calls merchants.
    pub outbound: Outbound,
    /// Signs callbacks.
    pub platform_key: Option<PlatformKey>,
    /// Makes public links.
    pub links: LinkKey,
    /// Seals second factors, if there are keys.
    pub keys: Keyring,
    /// How the world reaches this portal.
    pub public_url: String,
    /// How the broker's webhooks are taken, once it has the portal's address.
    pub hook: RwLock<Option<Hook>>,
    /// Requests that somebody looks at.
    pub looks: Looks,
    /// What belongs to which environment; none: this store alone decides.
    pub registry: Option<Registry>,
    /// How many requests each appid may send.
    pub rates: Rates,
    /// How many offline codes may be scanned from one address.
    pub scans: Strangers,
    /// How many searches by strangers there may be.
    pub finds: Strangers,
    /// How many reservations guests may send.
    pub reserves: Strangers,
    /// Room for streams of states.
    pub streams: Arc<Semaphore>,
    /// Room for those of reservations.
    pub reservation_streams: Arc<Semaphore>,
    /// The account at WeChat, if there is one.
    pub weixin: OnceLock<Arc<Weixin>>,
    /// Questions to merchants about orders of offline codes.
    pub questions: Questions,
    directory: RwLock<Arc<Directory>>,
    disks: RwLock<Arc<Vec<DiskView>>>,
}

/// Everything that a portal is made of.
pub struct Parts {
    /// Configuration.
    pub config: Config,
    /// The writer.
    pub ledger: Ledger,
    /// Connections that read.
    pub readers: Readers,
    /// The time.
    pub clock: Clock,
    /// Makes files of invoices.
    pub layout: Arc<dyn Layout>,
    /// Calls merchants.
    pub outbound: Outbound,
    /// Signs callbacks.
    pub platform_key: Option<PlatformKey>,
    /// Makes public links.
    pub links: LinkKey,
    /// How the world reaches this portal.
    pub public_url: String,
    /// Everybody who is known.
    pub directory: Directory,
    /// Disks as they were known last.
    pub disks: Vec<DiskView>,
}

impl Portal {
    /// A portal of these parts.
    pub fn new(parts: Parts) -> Portal {
        let Parts { config, ledger, readers, clock, layout, outbound, platform_key, links, public_url, directory, disks } = parts;
        let rates = Rates::new(config.limits.appid_requests_per_s, config.limits.appid_burst_requests);
        let limits = &config.limits;
        let per_minute = |requests: u32, burst: u32| PerMinute { requests, burst };
        // The bucket of all scans is that of each syscode.
        let scans = Strangers::new(per_minute(limits.scans_per_min, limits.scans_per_min), per_minute(u32::MAX, u32::MAX));
        let finds = Strangers::new(
            per_minute(limits.finds_per_min, limits.finds_per_min.saturating_mul(10)),
            per_minute(limits.all_finds_per_min, limits.all_finds_per_min),
        );
        let reserves = Strangers::new(
            per_minute(limits.reserves_per_min, limits.reserves_per_min),
            per_minute(limits.all_reserves_per_min, limits.all_reserves_per_min),
        );
        Portal {
            registry: None,
            keys: Keyring::default(),
            rates,
            scans,
            finds,
            reserves,
            streams: Arc::new(Semaphore::new(STREAMS)),
            reservation_streams: Arc::new(Semaphore::new(RESERVATION_STREAMS)),
            config,
            ledger,
            readers,
            clock,
            layout,
            outbound,
            platform_key,
            links,
            public_url,
            hook: RwLock::new(None),
            looks: Looks::default(),
            weixin: OnceLock::new(),
            questions: Questions::default(),
            directory: RwLock::new(Arc::new(directory)),
            disks: RwLock::new(Arc::new(disks)),
        }
    }

    /// With a registry of what belongs to which environment.
    #[must_use]
    pub fn with_registry(mut self, registry: Option<Registry>) -> Portal {
        self.registry = registry;
        self
    }

    /// With keys that second factors are sealed with.
    #[must_use]
    pub fn with_keys(self, keys: Keyring) -> Portal {
        Portal { keys, ..self }
    }

    /// With an account at WeChat.
    #[must_use]
    pub fn with_weixin(self, weixin: Option<Arc<Weixin>>) -> Portal {
        let weixin = weixin.map(OnceLock::from).unwrap_or_default();
        Portal { weixin, ..self }
    }

    /// Everybody who is known, as of now.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the directory; it is durable already.
    pub fn set_directory(&self, directory: Directory) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    /// Somebody looks at this request: the courier asks at once how it stands, unless it just did.
    pub fn looked_at(&self, request: &Request) {
        if outcome::is_stale(request, (self.clock)()) {
            self.looks.add(request);
            self.ledger.courier.notify_one();
        }
    }

    /// The disks that the broker named last.
    pub fn disks(&self) -> Arc<Vec<DiskView>> {
        self.disks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the disks.
    pub fn set_disks(&self, disks: Vec<DiskView>) {
        *self.disks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(disks);
    }

    /// The PDF of an invoice, drawn beside the tasks that answer callers.
    ///
    /// # Errors
    /// It cannot be made; the invoice is good all the same.
    pub async fn pdf(&self, request: &Request) -> Result<Document, LayoutError> {
        let (layout, request) = (self.layout.clone(), request.clone());
        let tenant = self.directory().tenant(&request.tenant).cloned();
        let drawn = tokio::task::spawn_blocking(move || layout.pdf(&request, tenant.as_deref()));
        drawn.await.unwrap_or_else(|_| Err(LayoutError("版式文件组件出错".to_owned())))
    }

    /// A simulated disk signs here: every document, page and message says 样票 / SAMPLE.
    pub fn is_sample(&self) -> bool {
        self.layout.is_sample()
    }

    /// The OFD of an invoice, drawn beside the tasks that answer callers.
    ///
    /// # Errors
    /// It cannot be made; the invoice is good all the same.
    pub async fn ofd(&self, request: &Request) -> Result<Document, LayoutError> {
        let (layout, request) = (self.layout.clone(), request.clone());
        let tenant = self.directory().tenant(&request.tenant).cloned();
        let drawn = tokio::task::spawn_blocking(move || layout.ofd(&request, tenant.as_deref()));
        drawn.await.unwrap_or_else(|_| Err(LayoutError("版式文件组件出错".to_owned())))
    }

    /// Public link to an invoice, durable before it is named. `None`: it was revoked.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn link(&self, request: &Request) -> Result<Option<String>, Unavailable> {
        self.link_of(Kind::Invoice, request).await
    }

    /// Public link of a code, durable before it is named; one that ended by time is replaced. `None`: it was revoked.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn code_link(&self, request: &Request) -> Result<Option<String>, Unavailable> {
        self.link_of(Kind::Code, request).await
    }

    async fn link_of(&self, kind: Kind, request: &Request) -> Result<Option<String>, Unavailable> {
        let links = &self.config.links;
        let valid_ms = if kind == Kind::Code { links.code_valid_ms() } else { links.valid_ms() };
        let key = self.links.clone();
        let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
        let known = async { self.readers.get().await?.links_of(kind, &tenant, &serial).await };
        let known = known.await.map_err(|_| Unavailable)?;
        let known =
            known.last().filter(|link| link.revoked_at.is_some() || link.is_open((self.clock)()) && self.links.made(link));
        let link = match known {
            Some(link) => Some(link.clone()).filter(|link| link.revoked_at.is_none()),
            None => {
                let work = self.ledger.run(move |session| {
                    Box::pin(async move { links::current(session, &key, kind, &tenant, &serial, valid_ms).await })
                });
                work.await?
            }
        };
        Ok(link.map(|link| self.url(&link)))
    }

    /// The address of a link of this portal's key.
    pub fn url(&self, link: &Link) -> String {
        let token = self.links.token(link.kind, &link.tenant, &link.serial, link.generation);
        format!("{}/{}/{token}", self.public_url, link.kind.path())
    }

    /// What one invoice of this kind can hold, on any disk of the seller that may issue it. `None`: nobody knows yet.
    pub fn limits(&self, seller: &str, point: &IssuePoint, kind: InvoiceKind) -> Option<Limits> {
        let disks = self.disks();
        let able = disks
            .iter()
            .filter(|disk| disk.report.taxpayer == seller && disk.report.kinds.iter().any(|licensed| licensed == kind.fplxdm()));
        let (mut net, mut lines) = (point.invoice_limit, point.line_limit.map(usize::from));
        let mut known = net.is_some() && lines.is_some();
        for disk in able {
            known = true;
            lines = Some(lines.unwrap_or(usize::MAX).min(usize::from(disk.report.capabilities.max_lines)));
            let limit = disk
                .report
                .stock
                .iter()
                .find(|stock| stock.kind == kind.fplxdm())
                .and_then(|stock| stock.invoice_limit.as_deref());
            if let Some(limit) = limit.and_then(|limit| rust_decimal::Decimal::from_str_exact(limit).ok()) {
                net = Some(net.map_or(limit, |net| net.min(limit)));
            }
        }
        known.then(|| Limits { net, lines: lines.unwrap_or(taxdisk_protocol::rules::LINES_MAX).max(1) })
    }
}
