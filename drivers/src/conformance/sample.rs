//! Invoices that every disk should be able to sign, and variations of them.

use taxdisk_protocol::capabilities::Capabilities;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals};
use taxdisk_protocol::money::Amount;

/// The buyer of all samples.
pub const BUYER_NAME: &str = "测试买方有限公司";
/// His number, its check character right.
const BUYER_NUMBER: &str = "91310000MA00000025";
/// A goods code of the tax office's list (纸制品).
pub const GOODS_CODE: &str = "1060105020000000000";

/// A line with 13 % tax on a price without tax of `net_fen`, quantity one.
pub fn line(name: &str, net_fen: i64) -> Line {
    let net = fen(net_fen);
    // Half a fen and more is rounded up, as the rules say; samples are positive.
    let tax = fen((net_fen * 13 + 50).div_euclid(100));
    Line {
        kind: LineKind::Normal,
        name: name.to_owned(),
        goods_code: None,
        specification: String::new(),
        unit: String::new(),
        quantity: "1".parse().ok(),
        price: net.to_string().parse().ok(),
        net,
        rate: "0.13".parse().expect("13 % is a rate"),
        tax,
        zero_rate: None,
        deduction: None,
    }
}

/// An invoice of these lines, with what this device must be given besides.
pub fn invoice(capabilities: &Capabilities, mut lines: Vec<Line>) -> Invoice {
    if capabilities.goods_codes {
        for line in &mut lines {
            line.goods_code = Some(GOODS_CODE.to_owned());
        }
    }
    let sum = |amount: fn(&Line) -> Amount| fen(lines.iter().map(|line| amount(line).fen()).sum());
    let (net, tax) = (sum(|line| line.net), sum(|line| line.tax));
    let (address_phone, bank_account) = contact(capabilities);
    let widths = &capabilities.widths;
    for line in &mut lines {
        line.name = fitting(widths.item_name, &line.name);
    }
    let buyer_number = BUYER_NUMBER.parse().ok().filter(|_| widths.taxpayer_number > 0);
    let person = |name: &str, is_told_apart: bool| if is_told_apart { fitting(widths.person, name) } else { String::new() };
    Invoice {
        buyer: Buyer { name: fitting(widths.party_name, BUYER_NAME), taxpayer_number: buyer_number, address_phone, bank_account },
        totals: Totals { net, tax, gross: fen(net.fen() + tax.fen()) },
        lines,
        remark: String::new(),
        clerk: person("张三", true),
        payee: person("李四", !capabilities.single_person),
        reviewer: person("王五", !capabilities.single_person),
        notice: String::new(),
    }
}

/// The text, or nothing where the device has no room for any.
pub fn fitting(width: u16, text: &str) -> String {
    if width == 0 { String::new() } else { text.to_owned() }
}

/// The plain one: two lines.
pub fn plain(capabilities: &Capabilities) -> Invoice {
    invoice(capabilities, vec![line("打印纸", 20_000), line("技术服务费", 47_170)])
}

/// One line, and a tenth of it taken off by a discount line.
pub fn discounted(capabilities: &Capabilities) -> Invoice {
    let mut first = line("打印纸", 20_000);
    first.kind = LineKind::Discounted;
    let mut second = line("打印纸", 2_000);
    second.kind = LineKind::Discount;
    second.quantity = None;
    second.price = None;
    second.net = fen(-second.net.fen());
    second.tax = fen(-second.tax.fen());
    invoice(capabilities, vec![first, second])
}

/// The same with every amount and quantity negative: what reverses it.
pub fn reversed(blue: &Invoice) -> Invoice {
    let mut red = blue.clone();
    for line in &mut red.lines {
        line.quantity = "-1".parse().ok();
        line.net = fen(-line.net.fen());
        line.tax = fen(-line.tax.fen());
    }
    let totals = blue.totals;
    red.totals = Totals { net: fen(-totals.net.fen()), tax: fen(-totals.tax.fen()), gross: fen(-totals.gross.fen()) };
    red
}

fn contact(capabilities: &Capabilities) -> (String, String) {
    let text = |width: Option<u16>, text: &str| if width.is_some() { text.to_owned() } else { String::new() };
    let widths = &capabilities.widths;
    (text(widths.address_phone, "示例路1号 010-00000000"), text(widths.bank_account, "示例银行 6222000000000000"))
}

fn fen(value: i64) -> Amount {
    Amount::from_fen(value).expect("samples are a few hundred yuan")
}
