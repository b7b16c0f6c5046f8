//! Invoices of the sample orders in `demo/`, as a simulated disk would have signed them.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use rust_decimal::Decimal;
use taxdisk_cli::northwind::{self, Choices, Order};
use taxdisk_layout::{IssuedInvoice, Seller};
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, LineBody, Priority, TotalsBody};
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::rules::parse_invoice;

const ORDERS: &str = include_str!("../../../demo/northwind-orders.jsonl");
/// The characters of a cipher area.
const CIPHER: &[u8] = b"0123456789+-*/<>";

/// An order of the sample.
pub fn order(number: &str) -> Order {
    let orders = ORDERS.lines().map(|line| serde_json::from_str::<Order>(line).unwrap());
    orders.into_iter().find(|order| order.order == number).unwrap()
}

/// The content of an order's invoice, with the packing as its specification.
pub fn content(order: &Order) -> InvoiceBody {
    let choices = Choices {
        seller: "91110000MA0000001L".to_owned(),
        kind: "026".to_owned(),
        issue_point: None,
        priority: Priority::default(),
        clerk: "张建国".to_owned(),
    };
    let mut body = northwind::submission(order, &choices).unwrap().invoice.unwrap();
    for (line, ordered) in body.lines.iter_mut().zip(&order.lines) {
        line.specification.clone_from(&ordered.unit);
        line.unit = "件".to_owned();
    }
    body.buyer = BuyerBody {
        name: order.customer.name.clone(),
        taxpayer_number: Some("91310000MA00000025".to_owned()),
        address_phone: format!("{} {}", order.customer.address, order.customer.phone),
        bank_account: "中国工商银行上海市分行营业部 1001 2345 6789 0123 456".to_owned(),
    };
    body.payee = "李秀英".to_owned();
    body.reviewer = "王芳".to_owned();
    body
}

/// An order whose discounts stand on lines of their own.
pub fn discounted(order: &Order) -> InvoiceBody {
    let mut body = content(order);
    let (mut lines, mut net, mut tax) = (Vec::new(), Amount::ZERO, Amount::ZERO);
    for (line, ordered) in body.lines.iter().zip(&order.lines) {
        let part = |value: Decimal| Amount::round(value).unwrap();
        let rate: Decimal = line.rate.parse().unwrap();
        let list: Decimal = ordered.unit_price.parse::<Decimal>().unwrap() * ordered.quantity.parse::<Decimal>().unwrap();
        let less = part(list * ordered.discount.parse::<Decimal>().unwrap());
        let mut push = |line: LineBody| {
            net = net.checked_add(line.net.parse().unwrap()).unwrap();
            tax = tax.checked_add(line.tax.parse().unwrap()).unwrap();
            lines.push(line);
        };
        let kind = (less > Amount::ZERO).then(|| "discounted".to_owned());
        let (full, price) = (part(list), Some(ordered.unit_price.clone()));
        let taxed = part(full.decimal() * rate).to_string();
        push(LineBody { kind, net: full.to_string(), tax: taxed, price, ..line.clone() });
        if less > Amount::ZERO {
            let name = line.name.clone();
            let taxed = part(-less.decimal() * rate).to_string();
            let (kind, rate, net) = (Some("discount".to_owned()), line.rate.clone(), format!("-{less}"));
            push(LineBody { kind, name, rate, net, tax: taxed, ..LineBody::default() });
        }
    }
    body.lines = lines;
    let gross = net.checked_add(tax).unwrap();
    body.totals = TotalsBody { net: net.to_string(), tax: tax.to_string(), gross: gross.to_string() };
    body
}

/// The same with every amount and quantity turned around.
pub fn reversed(mut body: InvoiceBody) -> InvoiceBody {
    let turn = |text: &mut String| match text.strip_prefix('-') {
        Some(rest) => *text = rest.to_owned(),
        None => text.insert(0, '-'),
    };
    for line in &mut body.lines {
        turn(&mut line.net);
        turn(&mut line.tax);
        line.quantity.iter_mut().for_each(turn);
    }
    turn(&mut body.totals.net);
    turn(&mut body.totals.tax);
    turn(&mut body.totals.gross);
    body
}

/// A content as a disk would have signed it under number `number`.
pub fn issued(body: &InvoiceBody, number: u32) -> IssuedInvoice {
    signed(parse_invoice(body, InvoiceKind::ElectronicOrdinary).unwrap(), InvoiceKind::ElectronicOrdinary, number)
}

/// The same of any kind.
pub fn signed(invoice: Invoice, kind: InvoiceKind, number: u32) -> IssuedInvoice {
    let code = match kind {
        InvoiceKind::PaperOrdinary | InvoiceKind::PaperSpecial => "1100200130",
        InvoiceKind::Roll => "011002000107",
        InvoiceKind::ElectronicSpecial => "011002000113",
        _ => "011002000111",
    };
    // Any text does for a cipher; this one repeats for the same number.
    let mut state = u64::from(number) + 88_172_645_463_325_252;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        CIPHER[(state >> 32) as usize % CIPHER.len()] as char
    };
    let cipher = (0..108).map(|_| draw()).collect();
    IssuedInvoice {
        serial: format!("S{number}").parse().unwrap(),
        kind,
        pair: format!("{code} {number:08}").parse().unwrap(),
        issued_at: "20261128101530".to_owned(),
        machine: "661500000001".parse().unwrap(),
        check_code: Some("07345210986612340057".to_owned()),
        cipher: Some(cipher),
        qr_text: None,
        seller: Seller {
            name: "北京罗斯文贸易有限公司".to_owned(),
            taxpayer_number: "91110000MA0000001L".parse().unwrap(),
            address_phone: "北京市海淀区中关村东路 1 号院 8 号楼 601 室 010-62600000".to_owned(),
            bank_account: "招商银行北京海淀支行 1109 0001 2345 678".to_owned(),
        },
        invoice,
        mark: None,
        original: None,
        notice: None,
        simulated: true,
    }
}

/// Every sample with its name.
pub fn all() -> Vec<(&'static str, IssuedInvoice)> {
    let three = content(&order("10248"));
    let mut person = content(&order("10249"));
    person.buyer = BuyerBody { name: "个人".to_owned(), ..BuyerBody::default() };
    let discounts = discounted(&order("10250"));
    let long = content(&order("11077"));
    let red = reversed(discounts.clone());
    let mut red = issued(&red, 21_435_073);
    red.original = Some(issued(&discounts, 21_435_072).pair);
    vec![
        ("blue", issued(&three, 21_435_070)),
        ("person", issued(&person, 21_435_071)),
        ("discount", issued(&discounts, 21_435_072)),
        ("red", red),
        ("list", issued(&long, 21_435_074)),
        ("exempt", issued(&exempt(), 21_435_075)),
        ("eight", issued(&eight(), 21_435_076)),
        ("special", special(&three)),
        ("roll", signed(parse_invoice(&roll(), InvoiceKind::Roll).unwrap(), InvoiceKind::Roll, 21_435_078)),
        ("real", IssuedInvoice { simulated: false, qr_text: Some(REAL_QR.to_owned()), ..issued(&three, 21_435_077) }),
    ]
}

fn special(body: &InvoiceBody) -> IssuedInvoice {
    let kind = InvoiceKind::PaperSpecial;
    signed(parse_invoice(body, kind).unwrap(), kind, 21_435_079)
}

fn roll() -> InvoiceBody {
    let mut body = discounted(&order("10250"));
    body.buyer = BuyerBody { name: "个人".to_owned(), ..BuyerBody::default() };
    body
}

/// QR content as a device gives it, made up.
pub const REAL_QR: &str = "01,10,011002000111,21435077,440.00,20261128,07345210986612340057,5B1F";

/// Two lines that are not taxed, one with the ordinary rate zero.
pub fn exempt() -> InvoiceBody {
    let line = |name: &str, net: &str, zero_rate: &str| LineBody {
        name: name.to_owned(),
        net: net.to_owned(),
        rate: "0".to_owned(),
        tax: "0.00".to_owned(),
        zero_rate: Some(zero_rate.to_owned()),
        ..LineBody::default()
    };
    InvoiceBody {
        buyer: BuyerBody { name: "个人".to_owned(), ..BuyerBody::default() },
        lines: vec![line("*蔬菜*有机菠菜", "60.00", "exempt"), line("*预付卡销售*预付卡", "1000.05", "not_taxed")],
        totals: TotalsBody { net: "1060.05".to_owned(), tax: "0.00".to_owned(), gross: "1060.05".to_owned() },
        clerk: "张建国".to_owned(),
        ..InvoiceBody::default()
    }
}

/// Eight lines, some with names that need two rows, and a long buyer.
pub fn eight() -> InvoiceBody {
    let mut body = content(&order("11077"));
    body.lines.truncate(8);
    for (index, line) in body.lines.iter_mut().enumerate().filter(|(index, _)| index % 3 == 0) {
        line.name = format!("*食品*{}（进口原装礼盒装，第 {} 号仓库发货，冷链配送）", line.name, index + 1);
    }
    let sum = |part: fn(&LineBody) -> &String| {
        body.lines.iter().fold(Amount::ZERO, |sum, line| sum.checked_add(part(line).parse().unwrap()).unwrap())
    };
    let (net, tax) = (sum(|line| &line.net), sum(|line| &line.tax));
    body.totals = TotalsBody { net: net.to_string(), tax: tax.to_string(), gross: net.checked_add(tax).unwrap().to_string() };
    body.buyer.name = "内蒙古自治区呼伦贝尔市鄂伦春自治旗大杨树镇农牧业机械化综合服务专业合作社联合社".to_owned();
    body.buyer.address_phone =
        "内蒙古自治区呼伦贝尔市鄂伦春自治旗大杨树镇振兴路与铁西街交叉口向东三百米路北 0470-5720000".to_owned();
    body.remark = "订单 11077 的前八行；货物已于 2026 年 11 月 27 日由铁路运出，运单号 NW11077-1 至 NW11077-8。".to_owned();
    body
}
