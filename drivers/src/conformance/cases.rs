//! What every driver must do on a quiet line. Each case opens the driver anew and leaves the disk able to issue.

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::session::{REQUEST_ID, Session, failed};
use super::{Outcome, Stand, Stop, ensure, sample};
use crate::disk::{Comparison, IssueAnswer, IssueRequest, NumberStatus, Red, Search};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::sim::clock::ClockSetting;
use crate::sim::ledger::EntryStatus;

/// A case.
pub(crate) type Case = fn(&mut dyn Stand) -> Outcome;

/// All cases that leave the disk usable, with their names.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("the identity is the disk's", identity),
    ("stock is read as the disk has it", stock),
    ("an invoice is issued once, as it was asked for", issue),
    ("an invoice reads back equal, and another one does not", read_back),
    ("the last number is told", last),
    ("a number that was never used is absent", absent),
    ("a number asked under another kind is not found", other_kind),
    ("an invoice limit holds and is told", limits),
    ("a locked disk issues nothing and can be read", locked),
    ("a wrong password costs one try and is not sent again", wrong_password),
    ("a void is proven by its number", void),
    ("a blank void takes the expected number", blank_void),
    ("a red invoice names the invoice that it reverses", red),
    ("a discount keeps its sums", discount),
    ("a number is found by its request", by_request),
    ("text that is too wide is refused before it is sent", too_wide),
    ("too many lines are refused before they are sent", too_many_lines),
    ("a period is reported", report),
    ("report and clear end a lock", report_and_clear),
    ("an operation that the dialect has not is refused before it is sent", unsupported),
];

fn identity(stand: &mut dyn Stand) -> Outcome {
    let session = Session::open(stand)?;
    let mut config = None;
    session.stand.with_disk(&mut |disk| config = Some(disk.config().clone()));
    let Some(config) = config else { return Err(Stop::Fail("the stand has no disk".to_owned())) };
    let seller = &session.seller;
    ensure!(seller.disk.as_str() == config.disk_number, "the disk is {}, it says {}", config.disk_number, seller.disk);
    ensure!(seller.taxpayer.as_str() == config.taxpayer_number, "the taxpayer reads {}", seller.taxpayer);
    ensure!(seller.taxpayer_name == config.taxpayer_name, "his name reads {}", seller.taxpayer_name);
    ensure!(seller.kinds.contains(&session.kind), "the licensed kinds read {:?}", seller.kinds);
    Ok(())
}

fn stock(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let (kind, mut level) = (session.kind, None);
    session.stand.with_disk(&mut |disk| level = disk.stock(kind).ok());
    let (read, Some(level)) = (session.stock()?, level) else { return Err(Stop::Fail("the disk is empty".to_owned())) };
    ensure!(read.current == level.current, "the pair is {}, it reads {}", level.current, read.current);
    ensure!(u64::from(read.remaining) == level.remaining, "{} are left, it reads {}", level.remaining, read.remaining);
    Ok(())
}

fn issue(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let invoice = sample::plain(&session.capabilities());
    let remark = sample::fitting(session.capabilities().widths.remark, "订单A1001 #ABC");
    let signed = session.issue_well(&invoice, &remark, None)?;
    let next = session.stock()?.current;
    ensure!(Some(next) == signed.pair.successor(), "after {} the pair reads {next}", signed.pair);
    let entries = session.ledger();
    let entry = entries.last().ok_or_else(|| Stop::Fail("the ledger is empty".to_owned()))?;
    ensure!(entry.remark == remark && entry.buyer_name == invoice.buyer.name, "the disk signed {entry:?}");
    ensure!((entry.net, entry.tax) == (invoice.totals.net, invoice.totals.tax), "the disk signed other sums: {entry:?}");
    Ok(())
}

fn read_back(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    session.reads_numbers()?;
    let (invoice, remark) = (sample::plain(&session.capabilities()), "订单A1001 #ABC");
    let signed = session.issue_well(&invoice, remark, None)?;
    let found = session.disk.query(session.kind, signed.pair).map_err(failed("querying it"))?;
    let Some(found) = found else { return Err(Stop::Fail(format!("{} is not found", signed.pair))) };
    ensure!(found.status == NumberStatus::Positive, "its status reads {:?}", found.status);
    let mut request = IssueRequest {
        kind: session.kind,
        expected: signed.pair,
        invoice: &invoice,
        remark,
        seller: &session.seller,
        red: None,
        request_id: REQUEST_ID,
    };
    let compared = session.disk.compare(&request, &found);
    ensure!(compared == Comparison::Equal, "what was signed compares {compared:?}: {found:?}");
    let mut other = invoice.clone();
    other.buyer.name = "另一个买方".to_owned();
    request.invoice = &other;
    ensure!(session.disk.compare(&request, &found) != Comparison::Equal, "another buyer compares equal");
    if session.capabilities().remark_readable {
        request.invoice = &invoice;
        request.remark = "订单A1001 #ABD";
        ensure!(session.disk.compare(&request, &found) != Comparison::Equal, "another remark compares equal");
    }
    Ok(())
}

/// Of a disk that tells no other number this is all that a doubt can be settled by.
fn last(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let invoice = sample::plain(&session.capabilities());
    let earlier = session.issue_well(&invoice, "", None)?.pair;
    let pair = session.issue_well(&invoice, "", None)?.pair;
    let found = session.disk.query(session.kind, pair).map_err(failed("querying the last number"))?;
    let Some(found) = found else { return Err(Stop::Fail(format!("{pair} is not found"))) };
    ensure!(found.pair == pair && found.status == NumberStatus::Positive, "{pair} reads {found:?}");
    ensure!(found.fiscal_code.is_empty() || session.ledger_has(pair, &found.fiscal_code), "its fiscal code reads {found:?}");
    let before = session.disk.query(session.kind, earlier);
    ensure!(!matches!(before, Ok(None)), "{earlier} was issued, and is called absent");
    if !session.capabilities().numbers_readable {
        ensure!(before.is_err(), "numbers_readable = false, and {earlier} reads {before:?}");
    }
    Ok(())
}

fn absent(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let current = session.stock()?.current;
    if !session.capabilities().numbers_readable {
        // What it cannot know it must not say: an error is never "absent".
        let found = session.disk.query(session.kind, current);
        ensure!(found.is_err(), "numbers_readable = false, and the next number reads {found:?}");
    }
    session.reads_numbers()?;
    let found = session.disk.query(session.kind, current).map_err(failed("querying the next number"))?;
    ensure!(found.is_none(), "the next number reads {found:?}");
    Ok(())
}

fn other_kind(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let invoice = sample::plain(&session.capabilities());
    let pair = session.issue_well(&invoice, "", None)?.pair;
    let others = InvoiceKind::ALL.into_iter().filter(|kind| *kind != session.kind);
    for kind in others {
        let found = session.disk.query(kind, pair);
        ensure!(!matches!(found, Ok(Some(_))), "as {} it reads {found:?}", kind.name());
    }
    Ok(())
}

fn limits(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let limit = Amount::from_fen(50_000);
    let old = configure(&session, &|config| config.limits.invoice = limit)?;
    let told = session.disk.limits(session.kind);
    let invoice = sample::plain(&session.capabilities());
    let (expected, before) = (session.stock()?.current, session.ledger().len());
    let answer = session.issue(expected, &invoice, "", None);
    let grown = session.ledger().len() - before;
    configure(&session, &|config| config.limits.invoice = old.limits.invoice)?;
    ensure!(grown == 0, "an invoice above the limit was signed");
    let told = told.map_err(failed("reading the limits"))?;
    ensure!(told.invoice_limit.is_none() || told.invoice_limit == limit, "the limit reads {:?}", told.invoice_limit);
    // Some components give a text and no code: the class is for people, and proves nothing.
    let (IssueAnswer::NotSent(error) | IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error)) = &answer else {
        return Err(Stop::Fail(format!("it gave {answer:?}")));
    };
    ensure!(!matches!(error.class, DeviceClass::Link | DeviceClass::NoStock), "the limit was expected: {error}");
    Ok(())
}

fn locked(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let invoice = sample::plain(&session.capabilities());
    let known = session.issue_well(&invoice, "", None)?.pair;
    let (expected, before) = (session.stock()?.current, session.ledger().len());
    configure(&session, &|config| config.state.locked = Some(702))?;
    let answer = session.issue(expected, &invoice, "", None);
    let found = session.disk.resync().and_then(|()| session.disk.query(session.kind, known));
    let grown = session.ledger().len() - before;
    configure(&session, &|config| config.state.locked = None)?;
    ensure!(grown == 0, "a locked disk has signed");
    ensure!(found.map_err(failed("reading a locked disk"))?.is_some(), "a locked disk has lost {known}");
    refused(&answer, DeviceClass::Locked)
}

fn wrong_password(stand: &mut dyn Stand) -> Outcome {
    let tries = |stand: &dyn Stand| {
        let mut tries = 0;
        stand.with_disk(&mut |disk| tries = disk.tries_left(crate::sim::disk::Secret::Disk));
        tries
    };
    if !stand.open().map_err(failed("opening it"))?.identity_proves().contains(&PasswordKind::Disk) {
        return Err(Stop::NotApplicable("identity_proves has no disk password: the device checks none".to_owned()));
    }
    let Some(opened) = stand.open_with_wrong_password() else {
        return Err(Stop::Fail("the dialect carries a password, and the stand has no wrong one".to_owned()));
    };
    let before = tries(stand);
    let mut disk = opened.map_err(failed("opening it"))?;
    for _ in 0..3 {
        match disk.identity() {
            Err(error) if error.class == DeviceClass::BadPassword => {}
            other => return Err(Stop::Fail(format!("a wrong password reads {other:?}"))),
        }
    }
    let after = tries(stand);
    ensure!(after + 1 == before, "{before} tries were left, now {after}");
    Ok(())
}

fn void(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    can(&session, DiskOperation::Void)?;
    let invoice = sample::plain(&session.capabilities());
    let pair = session.issue_well(&invoice, "", None)?.pair;
    let operation = Operation::Void { kind: session.kind, pair, net: invoice.totals.net, operator: "张三".to_owned() };
    done(session.disk.operate(&operation))?;
    let found = session.disk.query(session.kind, pair).map_err(failed("querying it"))?;
    let status = found.map(|found| found.status);
    ensure!(status == Some(NumberStatus::PositiveVoid), "its status reads {status:?}");
    let again = session.disk.operate(&operation);
    ensure!(!matches!(again, OperationAnswer::Done { .. }), "voided twice: {again:?}");
    let count = session.ledger().iter().filter(|entry| entry.pair() == pair).count();
    ensure!(count == 1, "{pair} is in the ledger {count} times");
    Ok(())
}

fn blank_void(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    can(&session, DiskOperation::BlankVoid)?;
    let expected = session.stock()?.current;
    done(session.disk.operate(&Operation::BlankVoid { kind: session.kind, expected, operator: "张三".to_owned() }))?;
    let found = session.disk.query(session.kind, expected).map_err(failed("querying it"))?;
    let status = found.map(|found| found.status);
    ensure!(status == Some(NumberStatus::BlankVoid), "its status reads {status:?}");
    let next = session.stock()?.current;
    ensure!(Some(next) == expected.successor(), "after {expected} the pair reads {next}");
    if !session.capabilities().numbers_readable {
        // On a day with a blank that was given up such a disk may not tell what its last number is: the next day begins.
        configure(&session, &|config| {
            if let ClockSetting::OffsetS(offset_s) = &mut config.clock {
                *offset_s += 86_400;
            }
        })?;
    }
    Ok(())
}

fn red(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    if !session.capabilities().red {
        return Err(Stop::NotApplicable("red = false".to_owned()));
    }
    let blue = sample::plain(&session.capabilities());
    let original = session.issue_well(&blue, "", None)?.pair;
    let notice = session.kind.is_special().then(|| "1101082603000001".to_owned());
    let pair = session.issue_well(&sample::reversed(&blue), "", Some(&Red { original, notice }))?.pair;
    let entries = session.ledger();
    let entry = entries.last().ok_or_else(|| Stop::Fail("the ledger is empty".to_owned()))?;
    ensure!(entry.status == EntryStatus::Negative && entry.original == Some(original), "the disk signed {entry:?}");
    let found = session.disk.query(session.kind, pair).map_err(failed("querying it"))?;
    let Some(found) = found else { return Err(Stop::Fail(format!("{pair} is not found"))) };
    ensure!(found.status == NumberStatus::Negative, "its status reads {:?}", found.status);
    ensure!(found.original.is_none_or(|read| read == original), "it reads as a reversal of {:?}", found.original);
    Ok(())
}

fn discount(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let capabilities = session.capabilities();
    let invoice = sample::discounted(&capabilities);
    if !capabilities.discount_lines {
        // A dialect without such lines may put the discount into the line above it: the sums must be what was asked for.
        let (expected, before) = (session.stock()?.current, session.ledger().len());
        let answer = session.issue(expected, &invoice, "", None);
        let new = session.ledger().split_off(before);
        let signed = matches!(answer, IssueAnswer::Signed(_)) && new.len() == 1;
        let refused = matches!(answer, IssueAnswer::NotSent(_)) && new.is_empty();
        ensure!(signed || refused, "discount_lines = false: issuing gave {answer:?}, the ledger has {new:?}");
        let sums = (invoice.totals.net, invoice.totals.tax);
        ensure!(new.iter().all(|entry| (entry.net, entry.tax) == sums), "the disk signed other sums: {new:?}");
        return Ok(());
    }
    let pair = session.issue_well(&invoice, "", None)?.pair;
    let found = session.disk.query(session.kind, pair).map_err(failed("querying it"))?;
    let Some(found) = found else { return Err(Stop::Fail(format!("{pair} is not found"))) };
    ensure!(found.lines.len() == 2, "two lines read as {}", found.lines.len());
    ensure!(found.gross == invoice.totals.gross, "{} reads as {}", invoice.totals.gross, found.gross);
    Ok(())
}

fn by_request(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    if !session.capabilities().finds_request {
        return Err(Stop::NotApplicable("finds_request = false".to_owned()));
    }
    let invoice = sample::plain(&session.capabilities());
    let (expected, request_id) = (session.stock()?.current, "CONFORMANCE2");
    let request = IssueRequest {
        kind: session.kind,
        expected,
        invoice: &invoice,
        remark: "",
        seller: &session.seller,
        red: None,
        request_id,
    };
    let answer = session.disk.issue(&request);
    ensure!(matches!(answer, IssueAnswer::Signed(_)), "issuing gave {answer:?}");
    let found = session.disk.find(session.kind, Search::Request(request_id)).map_err(failed("finding it"))?;
    let pairs: Vec<_> = found.iter().map(|found| found.pair).collect();
    ensure!(pairs == [expected], "{request_id} reads {pairs:?}");
    let none = session.disk.find(session.kind, Search::Request("NEVERUSED")).map_err(failed("finding none"))?;
    ensure!(none.is_empty(), "a request that never was reads {none:?}");
    Ok(())
}

fn too_wide(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let capabilities = session.capabilities();
    let wide = |width: u16| "A".repeat(usize::from(width) + 1);
    let plain = sample::plain(&capabilities);
    let (mut item, mut buyer) = (plain.clone(), plain.clone());
    item.lines[0].name = wide(capabilities.widths.item_name);
    buyer.buyer.name = wide(capabilities.widths.party_name);
    let remark = wide(capabilities.widths.remark);
    let before = session.ledger().len();
    let expected = session.stock()?.current;
    for (what, invoice, remark) in [("item name", &item, ""), ("buyer's name", &buyer, ""), ("remark", &plain, remark.as_str())] {
        let answer = session.issue(expected, invoice, remark, None);
        ensure!(matches!(answer, IssueAnswer::NotSent(_)), "with a wide {what} issuing gave {answer:?}");
    }
    ensure!(session.ledger().len() == before, "something was signed");
    Ok(())
}

fn too_many_lines(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let capabilities = session.capabilities();
    let lines = |count: u16| (0..count).map(|_| sample::line("打印纸", 100)).collect();
    let before = session.ledger().len();
    let expected = session.stock()?.current;
    let answer = session.issue(expected, &sample::invoice(&capabilities, lines(capabilities.max_lines + 1)), "", None);
    ensure!(matches!(answer, IssueAnswer::NotSent(_)), "one line too many gave {answer:?}");
    ensure!(session.ledger().len() == before, "something was signed");
    Ok(())
}

fn report(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    can(&session, DiskOperation::Report)?;
    configure(&session, &|config| config.online = true)?;
    done(session.disk.operate(&Operation::Report { kind: session.kind }))?;
    let mut reported = false;
    session.stand.with_disk(&mut |disk| reported = disk.config().state.reported_at.is_some());
    ensure!(reported, "the disk knows of no report");
    if can(&session, DiskOperation::Clear).is_ok() {
        done(session.disk.operate(&Operation::Clear { kind: session.kind }))?;
    }
    let invoice = sample::plain(&session.capabilities());
    session.issue_well(&invoice, "", None).map(|_| ())
}

fn report_and_clear(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    can(&session, DiskOperation::Report)?;
    can(&session, DiskOperation::Clear)?;
    configure(&session, &|config| {
        config.online = true;
        config.state.locked = Some(702);
    })?;
    let kind = session.kind;
    let reported = done(session.disk.operate(&Operation::Report { kind }));
    let cleared = reported.and_then(|()| done(session.disk.operate(&Operation::Clear { kind })));
    let invoice = sample::plain(&session.capabilities());
    let issued = cleared.and_then(|()| session.issue_well(&invoice, "", None).map(|_| ()));
    if issued.is_err() {
        // The cases after it need a disk that issues.
        configure(&session, &|config| config.state.locked = None)?;
    }
    issued
}

fn unsupported(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let kind = session.kind;
    let expected = session.stock()?.current;
    let operations = [
        Operation::BlankVoid { kind, expected, operator: "张三".to_owned() },
        Operation::Report { kind },
        Operation::Clear { kind },
        Operation::Upload { kind },
        Operation::RefreshOffline { kind },
    ];
    let before = session.ledger();
    let mut refused = 0;
    for operation in &operations {
        if session.capabilities().can(operation.name()) {
            continue;
        }
        refused += 1;
        let answer = session.disk.operate(operation);
        let plain = matches!(&answer, OperationAnswer::NotSent(error) if error.class == DeviceClass::Unsupported);
        ensure!(plain, "{} gave {answer:?}", operation.name());
    }
    ensure!(session.ledger() == before, "the ledger has changed");
    if refused > 0 {
        return Ok(());
    }
    let names: Vec<_> = operations.iter().map(|operation| operation.name().as_str()).collect();
    Err(Stop::NotApplicable(format!("operations has {}", names.join(", "))))
}

/// The last blank is signed; then there is none, and nothing more is.
pub(crate) fn stock_out(stand: &mut dyn Stand) -> Outcome {
    let mut session = Session::open(stand)?;
    let (kind, current) = (session.kind, session.stock()?.current);
    configure(&session, &|config| {
        config.segments.retain(|segment| segment.kind != kind || segment.code == current.code);
        for segment in config.segments.iter_mut().filter(|segment| segment.kind == kind) {
            segment.last = current.number;
        }
    })?;
    let invoice = sample::plain(&session.capabilities());
    session.issue_well(&invoice, "", None)?;
    match session.disk.stock(kind) {
        Err(error) if error.class == DeviceClass::NoStock => {}
        Ok(stock) if stock.remaining == 0 => {}
        other => return Err(Stop::Fail(format!("an empty disk reads {other:?}"))),
    }
    let next = current.successor().unwrap_or(current);
    let before = session.ledger().len();
    let answer = session.issue(next, &invoice, "", None);
    ensure!(session.ledger().len() == before, "an empty disk has signed");
    refused(&answer, DeviceClass::NoStock)
}

/// Changes the disk's configuration and gives back what it was.
fn configure(session: &Session<'_>, change: &dyn Fn(&mut crate::sim::SimConfig)) -> Result<crate::sim::SimConfig, Stop> {
    let mut done = Err(std::io::Error::other("the stand has no disk"));
    session.stand.with_disk(&mut |disk| {
        let old = disk.config().clone();
        done = disk.configure(change).map(|()| old);
    });
    done.map_err(|error| Stop::Fail(error.to_string()))
}

fn can(session: &Session<'_>, operation: DiskOperation) -> Outcome {
    if session.capabilities().can(operation) {
        return Ok(());
    }
    Err(Stop::NotApplicable(format!("operations has no {operation}")))
}

fn done(answer: OperationAnswer) -> Outcome {
    ensure!(matches!(answer, OperationAnswer::Done { .. }), "it gave {answer:?}");
    Ok(())
}

/// Not signed, and for this reason.
fn refused(answer: &IssueAnswer, class: DeviceClass) -> Outcome {
    let (IssueAnswer::NotSent(error) | IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error)) = answer else {
        return Err(Stop::Fail(format!("it gave {answer:?}")));
    };
    ensure!(error.class == class, "{class} was expected: {error}");
    Ok(())
}
