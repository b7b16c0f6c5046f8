//! One simulated tax disk, whatever dialect is spoken to it: identity, stock, limits, passwords, reports. Issuing and
//! voiding are in [`super::issue`].
//!
//! It refuses what a real disk refuses and in the same words ([`Refusal`]). It knows nothing of frames, lines, faults or
//! waiting: an operation happens at once, and what it changed is durable when it returns.

use std::io;
use std::path::{Path, PathBuf};

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceNumber, NumberPair};

use super::clock::{Stamp, TimeSource};
use super::config::{Segment, SimConfig};
use super::ledger::{EntryStatus, Ledger, LedgerEntry};
use super::refusal::{NO_NETWORK, Refusal, WRONG_DISK, WRONG_KIND, WRONG_TAXPAYER};

/// Shortest and longest password that the disk takes (235 otherwise).
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 1..=8;

/// A simulated disk.
pub struct SimDisk {
    pub(super) config: SimConfig,
    pub(super) ledger: Ledger,
    source: TimeSource,
    folder: Option<PathBuf>,
}

/// Who asks, as most commands say it. Empty fields are not checked where the command does not carry them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// 纳税人识别号.
    pub taxpayer: Option<&'a str>,
    /// 税控盘编号.
    pub disk: Option<&'a str>,
    /// 税控盘口令.
    pub password: Option<&'a str>,
    /// 机器编号.
    pub machine: Option<&'a str>,
}

/// Which password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// 税控盘口令 (237, 238).
    Disk,
    /// 证书口令 (6011, 6012).
    Certificate,
}

/// The next pair and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockLevel {
    /// The pair that the next number gets.
    pub current: NumberPair,
    /// Blanks left over all segments of the kind.
    pub remaining: u64,
}

/// Invoices that wait for upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineData {
    /// How many.
    pub count: usize,
    /// When the first of them was issued.
    pub first: Option<Stamp>,
    /// Sum of the positive ones with tax.
    pub sum: Amount,
}

impl SimDisk {
    /// Opens the disk in `folder`; a first start writes `fresh` as its configuration.
    ///
    /// # Errors
    /// The folder cannot be used, is in use, or holds damaged files.
    pub fn open(folder: &Path, fresh: &SimConfig, source: TimeSource) -> io::Result<SimDisk> {
        std::fs::create_dir_all(folder)?;
        // The ledger first: it holds the lock, so that two starts never both write the configuration.
        let ledger = Ledger::open(folder)?;
        let config = match SimConfig::load(folder)? {
            Some(config) => config,
            None => {
                fresh.save(folder)?;
                fresh.clone()
            }
        };
        Ok(SimDisk { config, ledger, source, folder: Some(folder.to_owned()) })
    }

    /// A disk that is forgotten with the process: for models and property tests.
    pub fn in_memory(config: SimConfig, source: TimeSource) -> SimDisk {
        SimDisk { config, ledger: Ledger::in_memory(), source, folder: None }
    }

    /// What the disk is.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Where its files are; `None` = in memory only. A dialect keeps its own durable state beside them.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Every number that it gave away.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The disk's clock.
    pub fn now(&self) -> Stamp {
        self.config.clock.read(&self.source)
    }

    /// Changes the configuration or state from outside; durable on return.
    ///
    /// # Errors
    /// The file cannot be written; the change holds in memory all the same.
    pub fn configure(&mut self, change: impl FnOnce(&mut SimConfig)) -> io::Result<()> {
        self.upload();
        change(&mut self.config);
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        self.folder.as_deref().map_or(Ok(()), |folder| self.config.save(folder))
    }

    /// Saves after an operation of the disk; a medium that refuses is the disk's fault (121).
    pub(super) fn keep(&self) -> Result<(), Refusal> {
        self.save().map_err(|_| Refusal::jsk(121))
    }

    /// With network, everything that waited is uploaded by now.
    pub(super) fn upload(&mut self) {
        if self.config.online {
            self.config.state.uploaded_count = self.ledger.entries().len();
            self.config.state.uploading = false;
        }
    }

    /// Checks who asks. A wrong password costs a try, durably, before the answer.
    ///
    /// # Errors
    /// Another taxpayer or disk, a machine that may not, 237 or 238.
    pub fn admit(&mut self, access: Access<'_>) -> Result<(), Refusal> {
        self.upload();
        if access.taxpayer.is_some_and(|number| number != self.config.taxpayer_number) {
            return Err(WRONG_TAXPAYER);
        }
        if access.disk.is_some_and(|number| number != self.config.disk_number) {
            return Err(WRONG_DISK);
        }
        let machine = self.config.machine_number.as_deref();
        if machine.is_some() && access.machine.is_some() && access.machine != machine {
            return Err(Refusal::jsk(4007));
        }
        access.password.map_or(Ok(()), |password| self.check_secret(Secret::Disk, password))
    }

    /// Checks a password. A right one gives the tries back, unless it is locked.
    ///
    /// # Errors
    /// Wrong, or locked after too many wrong ones.
    pub fn check_secret(&mut self, secret: Secret, given: &str) -> Result<(), Refusal> {
        let tries = self.config.password_tries;
        let state = &mut self.config.state;
        let (right, misses, wrong, locked) = match secret {
            Secret::Disk => (&self.config.disk_password, &mut state.disk_password_misses, 237, 238),
            Secret::Certificate => (&self.config.certificate_password, &mut state.certificate_password_misses, 6011, 6012),
        };
        if *misses >= tries {
            return Err(Refusal::jsk(locked));
        }
        if given == right {
            if std::mem::take(misses) > 0 {
                self.keep()?;
            }
            return Ok(());
        }
        *misses += 1;
        let code = if *misses >= tries { locked } else { wrong };
        self.keep()?;
        Err(Refusal::jsk(code))
    }

    /// Tries left of a password.
    pub fn tries_left(&self, secret: Secret) -> u8 {
        let misses = match secret {
            Secret::Disk => self.config.state.disk_password_misses,
            Secret::Certificate => self.config.state.certificate_password_misses,
        };
        self.config.password_tries.saturating_sub(misses)
    }

    /// Changes a password.
    ///
    /// # Errors
    /// The old one is wrong, or the new one does not fit.
    pub fn change_secret(&mut self, secret: Secret, old: &str, new: &str) -> Result<(), Refusal> {
        self.check_secret(secret, old)?;
        if !PASSWORD_BYTES.contains(&new.len()) {
            return Err(Refusal::jsk(235));
        }
        match secret {
            Secret::Disk => self.config.disk_password = new.to_owned(),
            Secret::Certificate => self.config.certificate_password = new.to_owned(),
        }
        self.keep()
    }

    /// The kind, if the disk is licensed for it.
    ///
    /// # Errors
    /// Not a kind, or not licensed.
    pub fn licensed(&self, fplxdm: &str) -> Result<InvoiceKind, Refusal> {
        let kind: InvoiceKind = fplxdm.parse().map_err(|_| WRONG_KIND)?;
        if self.config.kinds.contains(&kind) { Ok(kind) } else { Err(Refusal::jsk(210)) }
    }

    fn next_in(&self, segment: &Segment) -> Option<InvoiceNumber> {
        if segment.closed || segment.first > segment.last {
            return None;
        }
        let used = self.ledger.highest(segment.kind, segment.code, segment.first, segment.last);
        let next = used.map_or(Some(segment.first), |number| InvoiceNumber::new(number.value() + 1))?;
        (next <= segment.last).then_some(next)
    }

    /// The next pair and what is left.
    ///
    /// # Errors
    /// 176: nothing is left.
    pub fn stock(&self, kind: InvoiceKind) -> Result<StockLevel, Refusal> {
        let mut level: Option<StockLevel> = None;
        for segment in self.config.segments.iter().filter(|segment| segment.kind == kind) {
            let Some(number) = self.next_in(segment) else { continue };
            let left = u64::from(segment.last.value() - number.value()) + 1;
            let current = NumberPair { code: segment.code, number };
            level = Some(level.map_or(StockLevel { current, remaining: left }, |level| StockLevel {
                remaining: level.remaining + left,
                ..level
            }));
        }
        level.ok_or_else(|| Refusal::jsk(176))
    }

    /// The current segment ends here and now; the pair jumps to the next one.
    ///
    /// # Errors
    /// There was no stock.
    pub fn jump_to_next_segment(&mut self, kind: InvoiceKind) -> Result<(), Refusal> {
        let current = self.stock(kind)?.current;
        for segment in &mut self.config.segments {
            let within = (segment.first..=segment.last).contains(&current.number);
            if segment.kind == kind && segment.code == current.code && within {
                segment.closed = true;
            }
        }
        self.keep()
    }

    /// One number, voids and reds included.
    ///
    /// # Errors
    /// 89: never given away; 80: the code belongs to another kind.
    pub fn query(&self, kind: InvoiceKind, pair: NumberPair) -> Result<&LedgerEntry, Refusal> {
        if let Some(entry) = self.ledger.find(kind, pair) {
            return Ok(entry);
        }
        let other = self.config.segments.iter().any(|segment| segment.code == pair.code && segment.kind != kind);
        let own = self.config.segments.iter().any(|segment| segment.code == pair.code && segment.kind == kind);
        Err(Refusal::jsk(if other && !own { 80 } else { 89 }))
    }

    /// What was issued for a request (fpqqlsh), oldest first; more than one shows that a repeat was obeyed.
    pub fn issued_for<'a>(&'a self, kind: InvoiceKind, request_id: &'a str) -> impl Iterator<Item = &'a LedgerEntry> {
        let entries = self.ledger.entries().iter();
        entries.filter(move |entry| entry.kind == kind && !request_id.is_empty() && entry.details.request_id == request_id)
    }

    /// The stock of a kind segment by segment, the current one first: the segment, its next number, and what is left.
    /// Segments with nothing left are not shown.
    pub fn segments(&self, kind: InvoiceKind) -> impl Iterator<Item = (&Segment, InvoiceNumber, u64)> {
        let segments = self.config.segments.iter().filter(move |segment| segment.kind == kind);
        segments.filter_map(|segment| {
            let next = self.next_in(segment)?;
            Some((segment, next, u64::from(segment.last.value() - next.value()) + 1))
        })
    }

    /// Whether an entry was uploaded.
    pub fn is_uploaded(&self, entry: &LedgerEntry) -> bool {
        let waiting = self.ledger.entries().get(self.config.state.uploaded_count..).unwrap_or_default();
        !waiting.iter().any(|other| other.kind == entry.kind && other.pair() == entry.pair())
    }

    /// Invoices that wait for upload.
    pub fn offline(&self) -> OfflineData {
        let waiting = self.ledger.entries().get(self.config.state.uploaded_count..).unwrap_or_default();
        let waiting: Vec<_> = waiting.iter().filter(|entry| entry.status != EntryStatus::BlankVoid).collect();
        let is_positive = |entry: &LedgerEntry| matches!(entry.status, EntryStatus::Positive | EntryStatus::PositiveVoid);
        let positive = waiting.iter().filter(|entry| is_positive(entry)).map(|entry| entry.gross);
        let sum = positive.fold(Amount::ZERO, |sum, gross| sum.checked_add(gross).unwrap_or(sum));
        OfflineData { count: waiting.len(), first: waiting.first().map(|entry| entry.time), sum }
    }

    /// Command 16: a toggle. Starts the upload, or stops it and says so.
    ///
    /// # Errors
    /// Nothing to upload, or the upload was running and is stopped now.
    pub fn toggle_upload(&mut self) -> Result<(), Refusal> {
        if self.offline().count == 0 {
            return Err(Refusal::plain("所有发票都已上传!"));
        }
        self.config.state.uploading = !self.config.state.uploading;
        if self.config.state.uploading { Ok(()) } else { Err(Refusal::plain("停止发票上传")) }
    }

    /// Command 11, over the net: the period report (抄报).
    ///
    /// # Errors
    /// No network, or 250: invoices wait for upload.
    pub fn report(&mut self) -> Result<(), Refusal> {
        if self.offline().count > 0 {
            return Err(Refusal::jsk(250));
        }
        self.network()?;
        let now = self.now();
        self.config.state.reported_at = Some(now);
        self.config.state.report_pending = true;
        self.keep()
    }

    /// Command 12: the clear after a report (清卡). Ends every lock and moves the deadline.
    ///
    /// # Errors
    /// No network, or 1085: no report was made.
    pub fn clear(&mut self) -> Result<(), Refusal> {
        self.network()?;
        if !self.config.state.report_pending {
            return Err(Refusal::jsk(1085));
        }
        self.config.state.report_pending = false;
        self.config.state.locked = None;
        if self.config.limits.deadline.is_some() {
            self.config.limits.deadline = Some(self.now().last_day_of_next_month());
        }
        self.keep()
    }

    /// Command 15 and 32: needs the network and nothing else; with it everything is uploaded already.
    ///
    /// # Errors
    /// No network.
    pub fn network(&self) -> Result<(), Refusal> {
        if self.config.online { Ok(()) } else { Err(NO_NETWORK) }
    }
}
