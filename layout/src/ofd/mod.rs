//! Pages as OFD (GB/T 33190-2016): a zip of XML documents, fonts cut down to what is used, and the invoice's facts as an
//! attachment. The marks and places are those of the PDF.
//!
//! Not here: signatures. A signed OFD is made by whoever holds the seal's key; this one says what was issued.

mod font;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use quick_xml::escape::escape;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::canvas::{Mark, Page};
use crate::error::LayoutError;
use crate::fonts::Fonts;
use crate::invoice::IssuedInvoice;
use crate::words;

/// Namespace of GB/T 33190-2016.
const NAMESPACE: &str = "xmlns:ofd=\"http://www.ofdspec.org/2016\"";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Gives out the identifiers of a document: each object has one of its own.
pub(super) struct Ids(u32);

impl Ids {
    pub(super) fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Micrometres as millimetres: `12.345`, `7`.
pub(super) fn mm(micrometres: i32) -> String {
    let sign = if micrometres < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:03}", micrometres.unsigned_abs() / 1000, micrometres.unsigned_abs() % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes the pages; `facts` is the XML form, attached.
pub(crate) fn write(pages: &[Page], fonts: &Fonts, invoice: &IssuedInvoice, facts: &str) -> Result<Vec<u8>, LayoutError> {
    let mut used: BTreeMap<u8, BTreeSet<(char, u16)>> = BTreeMap::new();
    for run in
        pages.iter().flat_map(|page| &page.marks).filter_map(|mark| if let Mark::Text(run) = mark { Some(run) } else { None })
    {
        for (character, glyph) in run.text.chars().zip(&run.glyphs) {
            used.entry(glyph.face).or_default().insert((character, glyph.id));
        }
    }
    let mut ids = Ids(0);
    let mut package = Package::new();
    let mut resources = format!("{DECLARATION}<ofd:Res {NAMESPACE} BaseLoc=\"Res\"><ofd:Fonts>");
    let mut font_ids = BTreeMap::new();
    for (face, characters) in &used {
        let id = ids.next();
        font_ids.insert(*face, id);
        let cut = font::cut(fonts.face(*face), characters)?;
        let (name, file) = (escape(cut.name.as_str()), format!("font_{id}.{}", cut.extension));
        let _ = write!(
            resources,
            "<ofd:Font ID=\"{id}\" FontName=\"{name}\" FamilyName=\"{name}\"><ofd:FontFile>{file}</ofd:FontFile></ofd:Font>"
        );
        package.add(&format!("Doc_0/Res/{file}"), &cut.data)?;
    }
    resources.push_str("</ofd:Fonts></ofd:Res>\n");
    let mut listed = String::new();
    for (index, page) in pages.iter().enumerate() {
        let id = ids.next();
        let content = page::content(page, fonts, &font_ids, &mut ids);
        package.add(&format!("Doc_0/Pages/Page_{index}/Content.xml"), content.as_bytes())?;
        let _ = write!(listed, "<ofd:Page ID=\"{id}\" BaseLoc=\"Pages/Page_{index}/Content.xml\"/>");
    }
    let (first, last) = (pages.first().map_or((0, 0), |page| (page.width, page.height)), ids.next());
    package.add("Doc_0/PublicRes.xml", resources.as_bytes())?;
    let document = format!(
        "{DECLARATION}<ofd:Document {NAMESPACE}><ofd:CommonData><ofd:MaxUnitID>{last}</ofd:MaxUnitID><ofd:PageArea>\
         <ofd:PhysicalBox>0 0 {} {}</ofd:PhysicalBox></ofd:PageArea><ofd:PublicRes>PublicRes.xml</ofd:PublicRes>\
         </ofd:CommonData><ofd:Pages>{listed}</ofd:Pages><ofd:Attachments>Attachs/Attachments.xml</ofd:Attachments>\
         </ofd:Document>\n",
        mm(first.0),
        mm(first.1)
    );
    package.add("Doc_0/Document.xml", document.as_bytes())?;
    let attachments = format!(
        "{DECLARATION}<ofd:Attachments {NAMESPACE}><ofd:Attachment ID=\"{last}\" Name=\"original_invoice\" Format=\"xml\" \
         Visible=\"false\"><ofd:FileLoc>original_invoice.xml</ofd:FileLoc></ofd:Attachment></ofd:Attachments>\n"
    );
    package.add("Doc_0/Attachs/Attachments.xml", attachments.as_bytes())?;
    package.add("Doc_0/Attachs/original_invoice.xml", facts.as_bytes())?;
    package.add("OFD.xml", root(invoice).as_bytes())?;
    package.finish()
}

/// `OFD.xml`: what readers show of a document before they open it.
fn root(invoice: &IssuedInvoice) -> String {
    let (pair, totals) = (invoice.pair, &invoice.invoice.totals);
    let day = words::day(&invoice.issued_at);
    let date = day.replace(['年', '月'], "-").replace('日', "");
    let buyer = invoice.invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    let data = [
        ("发票代码", pair.code.to_string()),
        ("发票号码", pair.number.to_string()),
        ("开票日期", day),
        ("校验码", invoice.check_code().to_owned()),
        ("合计金额", totals.net.to_string()),
        ("合计税额", totals.tax.to_string()),
        ("购买方纳税人识别号", buyer.to_owned()),
        ("销售方纳税人识别号", invoice.seller.taxpayer_number.to_string()),
    ];
    let mut custom = String::new();
    for (name, value) in data.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(custom, "<ofd:CustomData Name=\"{name}\">{}</ofd:CustomData>", escape(value.as_str()));
    }
    // Code and number are the invoice's identity, and so its document's: 32 digits.
    let id = format!("{:0>24}{}", pair.code.as_str(), pair.number);
    let title = escape(crate::title(invoice)).into_owned();
    format!(
        "{DECLARATION}<ofd:OFD {NAMESPACE} Version=\"1.0\" DocType=\"OFD\"><ofd:DocBody><ofd:DocInfo><ofd:DocID>{id}</ofd:DocID>\
         <ofd:Title>{title}</ofd:Title><ofd:CreationDate>{date}</ofd:CreationDate><ofd:Creator>taxdisk</ofd:Creator>\
         <ofd:CustomDatas>{custom}</ofd:CustomDatas></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot>\
         </ofd:DocBody></ofd:OFD>\n"
    )
}

/// The zip. Every entry carries the same date, so that the same invoice gives the same bytes.
struct Package {
    writer: ZipWriter<std::io::Cursor<Vec<u8>>>,
}

impl Package {
    fn new() -> Package {
        Package { writer: ZipWriter::new(std::io::Cursor::new(Vec::new())) }
    }

    fn add(&mut self, name: &str, data: &[u8]) -> Result<(), LayoutError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let defect = |error: &dyn std::fmt::Display| LayoutError::Defect(format!("OFD: {error}"));
        self.writer.start_file(name, options).map_err(|error| defect(&error))?;
        self.writer.write_all(data).map_err(|error| defect(&error))
    }

    fn finish(self) -> Result<Vec<u8>, LayoutError> {
        let written = self.writer.finish().map_err(|error| LayoutError::Defect(format!("OFD: {error}")))?;
        Ok(written.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact_and_short() {
        for (micrometres, text) in
            [(0, "0"), (1, "0.001"), (-1, "-0.001"), (5_500, "5.5"), (210_000, "210"), (-12_345, "-12.345")]
        {
            assert_eq!(mm(micrometres), text);
        }
    }
}
