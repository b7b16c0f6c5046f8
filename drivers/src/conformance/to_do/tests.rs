//! The list is whole and true: every case stands under the method that turns it green. Tried with a driver of which only the
//! first methods are written, and with the skeleton that `cargo xtask new-dialect` writes.
#![allow(clippy::unwrap_used)]

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::{STEPS, to_do};
use crate::conformance::line::{LineDialect, LineStand};
use crate::conformance::{Finding, Report, Stand, Trouble, run};
use crate::dialects::zc::Framing;
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Search, Segment, Stock,
    TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::sim::SimDisk;

/// The file itself, so that it cannot be written without compiling.
#[path = "../../../../xtask/src/dialect/disk.rs.txt"]
#[allow(clippy::duplicate_mod, unreachable_pub, dead_code)]
mod skeleton;

/// A good driver of which so many steps are written; the rest is as in the skeleton.
struct Partly {
    good: Box<dyn TaxDisk>,
    skeleton: skeleton::TitleDisk,
    written: usize,
}

impl Partly {
    fn disk(&mut self, step: usize) -> &mut dyn TaxDisk {
        if self.written > step { &mut *self.good } else { &mut self.skeleton }
    }
}

impl TaxDisk for Partly {
    fn capabilities(&self) -> &Capabilities {
        self.good.capabilities()
    }

    fn fence(&self) -> Fence {
        self.good.fence()
    }

    fn dialect(&self) -> &'static str {
        "partly"
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        self.disk(0).identity()
    }

    fn identity_proves(&self) -> &'static [PasswordKind] {
        self.good.identity_proves()
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        self.disk(1).stock(kind)
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.disk(2).limits(kind)
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        self.disk(3).issue(request)
    }

    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        self.disk(4).query(kind, pair)
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        if self.written > 4 { self.good.compare(request, found) } else { self.skeleton.compare(request, found) }
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        self.disk(5).handshake()
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        self.disk(5).resync()
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        self.disk(6).operate(operation)
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        self.disk(2).offline_totals()
    }

    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        self.disk(8).find(kind, search)
    }

    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        self.disk(1).segments(kind)
    }
}

struct PartlyStand {
    good: LineStand,
    written: usize,
}

impl PartlyStand {
    fn wrap(&self, good: Box<dyn TaxDisk>) -> Box<dyn TaxDisk> {
        Box::new(Partly { good, skeleton: skeleton::TitleDisk::new(), written: self.written })
    }
}

impl Stand for PartlyStand {
    fn name(&self) -> String {
        "partly".to_owned()
    }

    fn kind(&self) -> InvoiceKind {
        self.good.kind()
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        let good = self.good.open()?;
        Ok(self.wrap(good))
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        let good = self.good.open_with_wrong_password()?;
        Some(good.map(|good| self.wrap(good)))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        self.good.with_disk(work);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        self.good.trouble(trouble)
    }

    fn calm(&mut self) {
        self.good.calm();
    }
}

/// The suite with so many steps written.
fn partly(written: usize) -> Report {
    let good = LineStand::in_memory(LineDialect::Zc(Framing::Xml));
    run(&mut PartlyStand { good, written })
}

#[test]
fn every_case_stands_under_exactly_one_method() {
    let mut listed: Vec<&str> = STEPS.iter().flat_map(|step| step.cases).copied().collect();
    let report = partly(STEPS.len());
    let mut all: Vec<&str> = report.cases.iter().map(|case| case.name.as_str()).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
    assert_eq!(to_do(&report), "", "{report}");
}

#[test]
fn each_method_turns_its_own_cases_green() {
    let mut before = partly(0);
    for (place, step) in STEPS.iter().enumerate() {
        let now = partly(place + 1);
        let fails = |report: &Report, name: &str| report.failures().any(|case| case.name == name);
        for name in STEPS[..=place].iter().flat_map(|step| step.cases) {
            assert!(!fails(&now, name), "{} is written, and {name} fails: {now}", step.method);
        }
        let turned = step.cases.iter().filter(|name| fails(&before, name) && !fails(&now, name)).count();
        // The issuing of reds comes with that of others here, and this device finds nothing by its request.
        assert!(turned > 0 || place >= 7, "{}: no case turns green", step.method);
        before = now;
    }
}

#[test]
fn the_skeleton_says_what_to_write_next_and_which_facts_it_needs() {
    struct Bare(std::sync::Mutex<SimDisk>);
    impl Stand for Bare {
        fn name(&self) -> String {
            "ukey".to_owned()
        }
        fn kind(&self) -> InvoiceKind {
            InvoiceKind::Roll
        }
        fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
            Ok(Box::new(skeleton::TitleDisk::new()))
        }
        fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
            Some(self.open())
        }
        fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
            work(&mut self.0.lock().unwrap());
        }
        fn trouble(&mut self, _: Trouble) -> bool {
            false
        }
        fn calm(&mut self) {}
    }
    let disk = SimDisk::in_memory(crate::sim::SimConfig::default(), crate::sim::clock::real_time());
    let report = run(&mut Bare(std::sync::Mutex::new(disk)));
    let text = to_do(&report);
    let methods: Vec<&str> = text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
    assert_eq!(
        methods,
        [
            "1. identity, identity_proves  <- write this next",
            "2. stock",
            "3. limits",
            "4. capabilities, issue",
            "5. query, compare",
            "6. fence, handshake, resync",
            "7. operate, with capabilities.operations",
            "8. issue of a red invoice, with capabilities.red",
            "9. find, with capabilities.finds_request",
        ],
        "{text}"
    );
    let failed = report.cases.iter().filter(|case| matches!(case.finding, Finding::Fail(_)));
    for case in failed {
        assert!(text.contains(&format!("     {}\n", case.name)), "{} is not in it: {text}", case.name);
    }
    assert!(text.contains("Facts: how the disk tells the number inside it") && text.ends_with("its kinds"), "{text}");
}
