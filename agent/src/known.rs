//! An invoice that this agent issued for a request, out of its journal: the positive control by which a component has to prove
//! that its query by serial means serials.
//!
//! It reads only, and takes no number whose owner the journal does not name.

use taxdisk_drivers::dialects::skserver::KnownRequest;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;

use crate::core::records::{Owner, View};

/// So many numbers are looked at, downward from the last accounted one. A disk that others use may have few of ours.
const NUMBERS_MAX: usize = 200;

/// The last invoice of a disk that was issued for a serial which is no pair of dates.
pub fn known_request(view: &dyn View, disk: &DiskNumber, kinds: &[InvoiceKind]) -> Option<KnownRequest> {
    kinds.iter().find_map(|kind| {
        let last = view.accounting(disk, *kind)?.base.last()?;
        std::iter::successors(Some(last), |pair| pair.predecessor()).take(NUMBERS_MAX).find_map(|pair| {
            let Some(Owner::Ours(attempt)) = view.owner(disk, *kind, pair) else { return None };
            let line = view.issued(&attempt.key)?;
            let serial = attempt.key.serial.to_string();
            let same = line.disk == *disk && line.kind == *kind && line.pair == pair;
            (same && !KnownRequest::could_be_dates(&serial)).then_some(KnownRequest { kind: *kind, serial, pair })
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::records::{Base, Outcome, Record};
    use crate::journal::Journal;
    use taxdisk_protocol::ids::JobKey;
    use taxdisk_protocol::link::{AttemptRef, AttemptResult};
    use taxdisk_protocol::number::NumberPair;

    const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;

    fn disk() -> DiskNumber {
        "661500000001".parse().unwrap()
    }

    fn pair(number: u32) -> NumberPair {
        format!("1100000320 {number:08}").parse().unwrap()
    }

    fn issued(serial: &str, number: u32, disk: DiskNumber) -> Vec<Record> {
        let key = JobKey { seller: "91350100M000100Y43".parse().unwrap(), serial: serial.parse().unwrap() };
        let attempt = AttemptRef { key, attempt: 1 };
        let owner = Owner::Ours(attempt.clone());
        let pair = pair(number);
        let (issued_at, fiscal_code, signature, printed) = Default::default();
        let result = AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled: false };
        let outcome = Outcome {
            attempt,
            disk: disk.clone(),
            kind: KIND,
            epoch: 1,
            sequence: u64::from(number),
            content_hash: None,
            mark: None,
            expected: Some(pair),
            undoing: None,
            result,
            at: String::new(),
        };
        vec![Record::Owned { disk, kind: KIND, pair, owner, reverses: None }, Record::Outcome(outcome)]
    }

    #[test]
    fn the_last_invoice_of_this_disk_with_a_serial_that_is_no_pair_of_dates() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let kinds = [InvoiceKind::PaperSpecial, KIND];
        assert_eq!(known_request(&journal, &disk(), &kinds), None, "an empty journal knows nothing");
        let accounted = |number| Record::Accounted { disk: disk(), kind: KIND, base: Base::Last(pair(number)), remaining: None };
        journal.append(vec![accounted(90)]).wait().unwrap();
        assert_eq!(known_request(&journal, &disk(), &kinds), None, "numbers without an owner prove nothing");
        let foreign = Record::Owned { disk: disk(), kind: KIND, pair: pair(90), owner: Owner::Foreign, reverses: None };
        journal.append(vec![foreign]).wait().unwrap();
        journal.append(issued("A86", 86, disk())).wait().unwrap();
        journal.append(issued("A87", 87, disk())).wait().unwrap();
        journal.append(issued("2026030120260331", 88, disk())).wait().unwrap();
        let known = KnownRequest { kind: KIND, serial: "A87".to_owned(), pair: pair(87) };
        assert_eq!(known_request(&journal, &disk(), &kinds), Some(known));
        assert_eq!(
            known_request(&journal, &"661500000002".parse().unwrap(), &kinds),
            None,
            "another disk's invoices prove nothing"
        );
        assert_eq!(known_request(&journal, &disk(), &kinds[..1]), None);
    }
}
