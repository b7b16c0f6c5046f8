//! Documents of the sample orders, read back by programs of others: poppler, zbar, easyofd.

#![allow(clippy::unwrap_used)]

mod samples;
mod tools;

use std::path::Path;

use taxdisk_layout::{Fonts, IssuedInvoice, LayoutError, capitals, json, ofd, ofd_with, pdf, pdf_with, qr_png, qr_text, xml};
use taxdisk_protocol::kind::InvoiceKind;

/// The most bytes of one document.
const BYTES_MAX: usize = 60 * 1024;

fn sample(name: &str) -> IssuedInvoice {
    samples::all().into_iter().find(|(sample, _)| *sample == name).unwrap().1
}

/// Without spaces: rows of a cell are joined as they were before they were cut.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Everything that a document of this invoice has to say.
fn fields(invoice: &IssuedInvoice) -> Vec<String> {
    let (content, seller) = (&invoice.invoice, &invoice.seller);
    let buyer = &content.buyer;
    let is_roll = invoice.kind == InvoiceKind::Roll;
    let mut fields = vec![
        invoice.kind.name().to_owned(),
        invoice.pair.code.to_string(),
        invoice.pair.number.to_string(),
        invoice.machine.to_string(),
        "2026年11月28日".to_owned(),
        buyer.name.clone(),
        buyer.taxpayer_number.as_ref().map(ToString::to_string).unwrap_or_default(),
        seller.name.clone(),
        seller.taxpayer_number.to_string(),
        format!("¥{}", content.totals.net),
        format!("¥{}", content.totals.gross),
        capitals(content.totals.gross),
        content.remark.clone(),
        content.clerk.clone(),
        content.payee.clone(),
        content.reviewer.clone(),
    ];
    if !invoice.kind.is_special() {
        fields.extend(invoice.check_code.clone());
    }
    if !is_roll {
        fields.extend([buyer.address_phone.clone(), buyer.bank_account.clone(), seller.address_phone.clone()]);
        fields.extend([seller.bank_account.clone(), invoice.cipher.clone().unwrap()]);
    }
    for line in &content.lines {
        fields.extend([line.name.clone(), line.specification.clone(), line.unit.clone(), line.net.to_string()]);
        fields.extend(line.quantity.map(|quantity| quantity.to_string()));
        fields.extend(line.price.map(|price| price.to_string()));
        if line.zero_rate.is_none() {
            fields.push(line.tax.to_string());
        }
    }
    if let Some(original) = invoice.original {
        fields.extend(["销项负数".to_owned(), "（负数）".to_owned()]);
        fields.push(format!("对应正数发票代码:{}号码:{}", original.code, original.number));
    }
    fields
}

#[test]
fn pdftotext_finds_every_field_of_every_sample() {
    for (name, invoice) in samples::all() {
        let document = pdf(&invoice).unwrap();
        assert!(document.len() <= BYTES_MAX, "{name}: {} bytes", document.len());
        let text = bare(&tools::pdf_text(&document));
        for field in fields(&invoice) {
            assert!(text.contains(&bare(&field)), "{name}: {field:?} is missing in\n{text}");
        }
        assert_eq!(text.contains("SAMPLE"), invoice.simulated, "{name}");
        assert_eq!(text.contains("样票"), invoice.simulated, "{name}");
    }
}

#[test]
fn an_independent_reader_finds_the_same_text_in_the_ofd() {
    for (name, invoice) in samples::all() {
        let document = ofd(&invoice).unwrap();
        assert!(document.len() <= BYTES_MAX, "{name}: {} bytes", document.len());
        let read = tools::read_ofd(&document);
        assert_eq!(read["unmapped"], serde_json::json!([]), "{name}: characters without a glyph in their font");
        let mut text = String::new();
        for piece in read["pages"].as_array().unwrap().iter().flat_map(|page| page.as_array().unwrap()) {
            text.push_str(piece.as_str().unwrap());
        }
        let text = bare(&text);
        for field in fields(&invoice) {
            assert!(text.contains(&bare(&field)), "{name}: {field:?} is missing in\n{text}");
        }
        assert_eq!(text.contains("样票SAMPLE"), invoice.simulated, "{name}");
        let pages = tools::pdf_pages(&pdf(&invoice).unwrap(), 20).len();
        assert_eq!(read["pages"].as_array().unwrap().len(), pages, "{name}");
    }
}

#[test]
fn pages_look_as_they_were_last_approved() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    for name in ["blue", "red", "eight", "list", "exempt", "roll", "real", "special"] {
        for (index, page) in tools::pdf_pages(&pdf(&sample(name)).unwrap(), 72).iter().enumerate() {
            let golden = folder.join(format!("{name}-{}.png", index + 1));
            if std::env::var_os("TAXDISK_BLESS").is_some() {
                std::fs::write(&golden, page).unwrap();
            }
            let approved = std::fs::read(&golden)
                .unwrap_or_else(|error| panic!("{}: {error}; look at it, then run with TAXDISK_BLESS=1", golden.display()));
            let ((width, height, page), (w, h, approved)) = (tools::pixels(page), tools::pixels(&approved));
            assert_eq!((width, height), (w, h), "{name}: size of page {}", index + 1);
            // Versions of the renderer smooth edges differently: a pixel differs when it is of another shade altogether, and
            // a fifth of a percent of them may.
            let differing = page.iter().zip(&approved).filter(|(a, b)| a.abs_diff(**b) > 96).count();
            assert!(differing * 500 <= page.len(), "{name}: {differing} pixels of page {} differ", index + 1);
        }
    }
}

#[test]
fn every_page_of_a_sample_carries_the_watermark_and_no_real_page_does() {
    for (name, invoice) in samples::all() {
        for (index, page) in tools::pdf_pages(&pdf(&invoice).unwrap(), 36).iter().enumerate() {
            let (_, _, pixels) = tools::pixels(page);
            // The watermark's own colour; text over it hides some.
            let is_tinted = |p: &&[u8]| [250, 222, 218].iter().zip(*p).all(|(want, got)| got.abs_diff(*want) <= 6);
            let (tinted, all) = (pixels.chunks_exact(3).filter(is_tinted).count(), pixels.len() / 3);
            let page = index + 1;
            assert_eq!(tinted * 300 > all, invoice.simulated, "{name}: {tinted} of {all} pixels of page {page}");
        }
    }
}

#[test]
fn the_qr_code_says_what_the_device_said() {
    let real = sample("real");
    assert_eq!(qr_text(&real).as_deref(), Some(samples::REAL_QR));
    assert_eq!(tools::qr_content(&qr_png(&real).unwrap()), samples::REAL_QR);
    assert_eq!(tools::qr_content(&tools::pdf_pages(&pdf(&real).unwrap(), 150)[0]), samples::REAL_QR);
    let made = tools::qr_content(&qr_png(&sample("blue")).unwrap());
    assert_eq!(made, "01,10,011002000111,21435070,440.00,20261128,07345210986612340057,SAMPLE");
    // Of a real invoice none is made up.
    let silent = IssuedInvoice { qr_text: None, ..real };
    assert_eq!(qr_png(&silent), Err(LayoutError::NoQrText));
    assert_eq!(qr_text(&silent), None);
    assert!(pdf(&silent).is_ok());
}

#[test]
fn the_same_invoice_gives_the_same_bytes() {
    for name in ["blue", "list", "roll"] {
        let invoice = sample(name);
        let other = std::thread::spawn({
            let invoice = invoice.clone();
            // Fonts of their own, as another process has.
            move || {
                let fonts = Fonts::with_fallback(Vec::new());
                (pdf_with(&invoice, &fonts).unwrap(), ofd_with(&invoice, &fonts).unwrap())
            }
        });
        let (pdf_again, ofd_again) = other.join().unwrap();
        assert!(pdf(&invoice).unwrap() == pdf_again, "{name}: PDF");
        assert!(ofd(&invoice).unwrap() == ofd_again, "{name}: OFD");
    }
}

#[test]
fn a_rare_character_comes_from_another_font_or_is_reported() {
    let mut invoice = sample("blue");
    invoice.invoice.buyer.name = "北京龘科技".to_owned();
    let none = Fonts::with_fallback(Vec::new());
    let error = LayoutError::NoGlyph { field: "buyer.name", character: '龘', position: 2 };
    assert_eq!(pdf_with(&invoice, &none).unwrap_err(), error);
    assert_eq!(ofd_with(&invoice, &none).unwrap_err(), error);
    assert!(error.to_string().contains("buyer.name: no font has the character U+9F98 at place 3"), "{error}");
    assert!(error.to_string().contains("stays valid"), "{error}");
    let missing = Path::new("/nowhere/font.ttf").to_owned();
    let rare = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rare.ttf");
    let fonts = Fonts::with_fallback(vec![(missing, 0), (rare, 0)]);
    assert!(tools::pdf_text(&pdf_with(&invoice, &fonts).unwrap()).contains("北京龘科技"));
    let read = tools::read_ofd(&ofd_with(&invoice, &fonts).unwrap());
    assert_eq!(read["unmapped"], serde_json::json!([]));
    assert!(read["pages"][0].as_array().unwrap().iter().any(|piece| piece == "龘"));
    assert!(json(&invoice).unwrap().contains("北京龘科技"));
}

#[test]
fn what_is_beyond_a_limit_is_refused_by_name() {
    let good = sample("blue");
    let refused = |change: fn(&mut IssuedInvoice)| {
        let mut invoice = good.clone();
        change(&mut invoice);
        let error = pdf(&invoice).unwrap_err();
        assert_eq!(ofd(&invoice).unwrap_err(), error);
        error.to_string()
    };
    let lines = refused(|invoice| invoice.invoice.lines = vec![invoice.invoice.lines[0].clone(); 101]);
    assert!(lines.starts_with("lines: 101 lines, at most 100"), "{lines}");
    let long = refused(|invoice| invoice.invoice.remark = "长".repeat(501));
    assert!(long.starts_with("remark: 501 characters, at most 500"), "{long}");
    let cipher = refused(|invoice| invoice.cipher = Some("0".repeat(225)));
    assert!(cipher.starts_with("cipher: 225 characters"), "{cipher}");
    let control = refused(|invoice| invoice.invoice.clerk = "张\u{7}".to_owned());
    assert!(control.starts_with("clerk: the character U+0007 at place 2"), "{control}");
    let time = refused(|invoice| invoice.issued_at = "2026-11-28".to_owned());
    assert!(time.starts_with("issued_at"), "{time}");
    let fit = refused(|invoice| invoice.invoice.clerk = "名".repeat(200));
    assert!(fit.starts_with("clerk: the text is too long"), "{fit}");
    let kind = refused(|invoice| invoice.kind = InvoiceKind::MotorVehicle);
    assert!(kind.contains("005"), "{kind}");
    let code = refused(|invoice| invoice.qr_text = Some("0".repeat(257)));
    assert!(code.starts_with("qr_text: 257 bytes"), "{code}");
}

#[test]
fn facts_are_exact_in_both_forms() {
    let mut invoice = sample("red");
    invoice.invoice.remark = "<备注> & \"引号\"".to_owned();
    let text = json(&invoice).unwrap();
    assert!(text.contains("\"hjje\":-1552.60,\"hjse\":-148.31,\"jshj\":-1700.91"), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["yfpHm"], "21435072");
    assert_eq!(value["kplx"], 1);
    assert_eq!(value["bz"], "对应正数发票代码:011002000111号码:21435072 <备注> & \"引号\"");
    assert_eq!(value["items"].as_array().unwrap().len(), 5);
    assert_eq!(value["items"][2]["fphxz"], 1);
    let text = xml(&invoice).unwrap();
    assert!(text.contains("<bz>对应正数发票代码:011002000111号码:21435072 &lt;备注&gt; &amp; &quot;引号&quot;</bz>"), "{text}");
    assert!(text.contains("<jshj>-1700.91</jshj>") && text.matches("<item>").count() == 5, "{text}");
    let blue = json(&sample("blue")).unwrap();
    assert!(blue.contains("\"yfpDm\":\"\",\"yfpHm\":\"\""), "two members stay, though empty: {blue}");
}
