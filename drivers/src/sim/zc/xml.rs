//! Type 0x20: XML documents over the line, by the table of device-serial-zc.md, section 7. Whether a real device takes them
//! here at all is unknown; the profile says how.
//!
//! Every document is carried into the fixed fields of the command that belongs to it and back, so that both types mean the
//! same by construction. Texts that the fields cannot hold are refused (3003), never cut. FPCX, TJXXCX and ERRUPINV answer
//! groups. Documents whose fields the facts do not name (passwords, upload, the reporting disk's) are not handled.

use encoding_rs::GBK;

use super::ZcOptions;
use super::commands::{self, Reply};
use super::fields::{Fields, Writer};
use crate::sim::disk::SimDisk;
use crate::sim::issue::Saving;
use crate::sim::markup::{Element, Encoding, Markup};
use crate::sim::refusal::Refusal;

/// A field of a document and its width in the fixed form.
type Field = (&'static str, usize);

const COMMON: [Field; 5] = [("nsrsbh", 20), ("sksbbh", 12), ("sksbkl", 8), ("fplxdm", 3), ("jqbh", 12)];
const LINE: [Field; 8] = [("xm", 20), ("dj", 12), ("sl", 12), ("je", 12), ("zsl", 6), ("se", 12), ("hsdj", 12), ("hsje", 12)];
/// Most lines of one document: the fixed form counts in four characters, the disk refuses far fewer.
const MAX_LINES: usize = 2_000;

/// One document: its id, its commands, what it says and what it is answered.
struct Document {
    id: &'static str,
    cmds: &'static [u8],
    request: &'static [&'static [Field]],
    answer: &'static [Field],
}

const DOCUMENTS: [Document; 15] = [
    Document { id: "SKSBBH", cmds: &[0x02, 0x03], request: &[&[("jqbh", 12)]], answer: &[("sksbbh", 12)] },
    Document {
        id: "SKPXXCX",
        cmds: &[0x04],
        request: &[&[("sksbkl", 8), ("jqbh", 12)]],
        answer: &[
            ("sksbbh", 12),
            ("nsrsbh", 20),
            ("nsrmc", 80),
            ("swjgdm", 11),
            ("swjgmc", 80),
            ("fplxdm", 30),
            ("dqsz", 14),
            ("qysj", 14),
            ("bbh", 10),
            ("kpjh", 5),
            ("qylx", 3),
            ("blxx", 16),
            ("qtkzxx", 80),
        ],
    },
    Document {
        id: "JKSJCX",
        cmds: &[0x06],
        request: &[&COMMON],
        answer: &[
            ("fplxdm", 3),
            ("kpjzsj", 8),
            ("bsqsrq", 14),
            ("bszzrq", 14),
            ("dzkpxe", 12),
            ("zxbsrq", 14),
            ("syrl", 12),
            ("scjzrq", 2),
            ("lxkpsc", 5),
            ("lxzsljje", 12),
            ("lxkzxx", 160),
            ("zdyxx", 100),
        ],
    },
    Document { id: "SQSLCX", cmds: &[0x07], request: &[&COMMON], answer: &[("fplxdm", 3)] },
    Document {
        id: "GPXXCX",
        cmds: &[0x08],
        request: &[&COMMON],
        answer: &[("fplxdm", 3), ("dqfpdm", 12), ("dqfphm", 8), ("zsyfs", 12)],
    },
    Document {
        id: "FPKJ",
        cmds: &[0x0A],
        // The lines stand between the two.
        request: &[
            &[
                ("zskl", 8),
                ("xhdwdm", 20),
                ("xhdwmc", 80),
                ("sksbbh", 12),
                ("sksbkl", 8),
                ("fplxdm", 3),
                ("kplx", 1),
                ("ghdwdm", 20),
                ("ghdwmc", 80),
            ],
            &[("hjje", 12), ("hjse", 12), ("jshj", 12), ("bz", 80), ("kpr", 20), ("yfpdm", 12), ("yfphm", 8), ("jqbh", 12)],
        ],
        answer: &[("fplxdm", 3), ("fpdm", 12), ("fphm", 8), ("kprq", 14), ("skm", 20), ("qmz", 512)],
    },
    Document {
        id: "FPZF",
        cmds: &[0x0B],
        request: &[&[
            ("nsrsbh", 20),
            ("sksbbh", 12),
            ("sksbkl", 8),
            ("fplxdm", 3),
            ("zskl", 8),
            ("zflx", 1),
            ("fpdm", 12),
            ("fphm", 8),
            ("zfr", 20),
            ("jqbh", 12),
        ]],
        answer: &[("fplxdm", 3), ("fpdm", 12), ("fphm", 8), ("zfrq", 14), ("qmz", 512)],
    },
    Document {
        id: "FPCX",
        cmds: &[0x0C],
        request: &[&[("nsrsbh", 20), ("sksbbh", 12), ("sksbkl", 8), ("fplxdm", 3), ("cxfs", 1), ("cxtj", 30)]],
        answer: &[
            ("fpdm", 12),
            ("fphm", 8),
            ("fpzt", 2),
            ("scbz", 2),
            ("kprq", 8),
            ("kpsj", 6),
            ("skm", 20),
            ("skpbh", 12),
            ("xhdwdm", 20),
            ("xhdwmc", 80),
            ("ghdwdm", 20),
            ("ghdwmc", 80),
        ],
    },
    Document { id: "SJCB", cmds: &[0x11], request: &[&COMMON, &[("jzlx", 1), ("kpjh", 5)]], answer: &[] },
    Document { id: "JKHC", cmds: &[0x12], request: &[&COMMON, &[("kpjh", 5)]], answer: &[] },
    Document {
        id: "TJXXCX",
        cmds: &[0x13],
        request: &[&[("nsrsbh", 20), ("sksbbh", 12), ("sksbkl", 8), ("fplxdm", 3), ("qsrq", 8), ("zzrq", 8), ("jqbh", 12)]],
        answer: &[("fplxdm", 3)],
    },
    Document { id: "LXXXXP", cmds: &[0x15], request: &[&COMMON, &[("kpjh", 5)]], answer: &[] },
    Document {
        id: "FPBL",
        cmds: &[0x1D],
        request: &[&[("nsrsbh", 20), ("sksbbh", 12), ("sksbkl", 8), ("fplxdm", 3), ("bsqsrq", 8), ("bsjzrq", 8), ("jqbh", 12)]],
        answer: &[],
    },
    Document { id: "HQLXSJ", cmds: &[0x30], request: &[], answer: &[("wscfpzs", 8), ("wscfpsj", 14), ("wscfpljje", 14)] },
    Document {
        id: "ERRUPINV",
        cmds: &[0x31],
        request: &[&[("nsrsbh", 20), ("sksbbh", 12), ("sksbkl", 8), ("jqbh", 12)]],
        answer: &[("fpzs", 8)],
    },
];

/// The fixed fields that a document of a command stands for, if it is one.
pub(super) fn fields(cmd: u8, data: &[u8]) -> Option<Vec<u8>> {
    let root = Element::parse(data).unwrap_or_default();
    let document = DOCUMENTS.iter().find(|document| document.cmds.contains(&cmd) && document.id == root.attribute("id"))?;
    let input = root.child("body").filter(|_| root.name == "business").and_then(|body| body.child("input"))?;
    request(document, input).ok()
}

/// Executes a document. A business error is an OK with a returncode; a cmd that no document has is unknown.
pub(super) fn execute(cmd: u8, data: &[u8], options: &ZcOptions, disk: &mut SimDisk, saving: Saving) -> Reply {
    if !DOCUMENTS.iter().any(|document| document.cmds.contains(&cmd)) {
        return Reply::Unknown;
    }
    let root = Element::parse(data).unwrap_or_default();
    let document = DOCUMENTS.iter().find(|document| document.cmds.contains(&cmd) && document.id == root.attribute("id"));
    let input = root.child("body").filter(|_| root.name == "business").and_then(|body| body.child("input"));
    let (Some(document), Some(input)) = (document, input) else {
        // Cannot be handled: nobody's id.
        return answer("", Err(Refusal::jsk(3003)));
    };
    answer(document.id, run(document, cmd, input, options, disk, saving))
}

fn run(
    document: &Document,
    cmd: u8,
    input: &Element,
    options: &ZcOptions,
    disk: &mut SimDisk,
    saving: Saving,
) -> Result<Markup, Refusal> {
    let request = request(document, input)?;
    // The narrow forms: a document has no widths.
    let mut narrow = ZcOptions { wide_limits: false, wide_statistics: false, ..options.clone() };
    match commands::execute(cmd, &request, &mut narrow, disk, saving) {
        Reply::Data(data) => Ok(fields_of(document, &data)),
        Reply::Refused(refusal) => Err(refusal),
        Reply::Unknown => Err(Refusal::jsk(4004)),
    }
}

/// The fixed fields of a document.
fn request(document: &Document, input: &Element) -> Result<Vec<u8>, Refusal> {
    let mut writer = Writer::default();
    for (part, fields) in document.request.iter().enumerate() {
        if document.id == "FPKJ" && part == 1 {
            lines(&mut writer, input)?;
        }
        put(&mut writer, input, fields)?;
    }
    Ok(writer.done())
}

fn lines(writer: &mut Writer, input: &Element) -> Result<(), Refusal> {
    let groups = input.child("sfxm").map(|lines| lines.children.as_slice()).unwrap_or_default();
    let groups = || groups.iter().filter(|child| child.name == "group");
    if groups().count() > MAX_LINES {
        return Err(Refusal::jsk(562));
    }
    writer.show(groups().count(), 4);
    groups().try_for_each(|group| put(writer, group, &LINE))
}

fn put(writer: &mut Writer, element: &Element, fields: &[Field]) -> Result<(), Refusal> {
    for (name, width) in fields {
        let text = element.text(name);
        let (bytes, _, unmappable) = GBK.encode(text);
        if unmappable || bytes.len() > *width {
            return Err(Refusal::jsk(3003));
        }
        writer.text(text, *width);
    }
    Ok(())
}

/// The answer's fields as elements.
fn fields_of(document: &Document, data: &[u8]) -> Markup {
    let mut fields = Fields::unchecked(data);
    let mut markup = Markup::default();
    match document.id {
        "FPCX" => invoice(&mut markup, &mut fields, document.answer),
        "SKSBBH" => {
            take(&mut markup, &mut fields, document.answer);
            markup.field("bspbh", "").field("qtxx", "");
        }
        "SQSLCX" => {
            take(&mut markup, &mut fields, document.answer);
            let count = fields.text(3);
            let rates = count.parse().unwrap_or(0);
            markup.open_with("sqslxx", "count", rates);
            groups(&mut markup, &mut fields, rates, &[("sl", 6)]);
            markup.close("sqslxx");
        }
        "TJXXCX" => {
            take(&mut markup, &mut fields, document.answer);
            let _ = fields.text(3);
            let months = data.len().saturating_sub(6) / STATISTICS.iter().map(|(_, width)| width).sum::<usize>();
            markup.open_with("tjxx", "count", months);
            groups(&mut markup, &mut fields, months, &STATISTICS);
            markup.close("tjxx");
        }
        "ERRUPINV" => {
            let count = fields.text(8).parse().unwrap_or(0);
            markup.field("fpzs", count).open_with("fpxx", "count", count);
            groups(&mut markup, &mut fields, count, &[("fpdm", 12), ("fphm", 8), ("cwms", 128)]);
            markup.close("fpxx");
        }
        // What a report and its clearing carry over the net stays empty: it is the tax office's own.
        "SJCB" => empty(&mut markup, &["sq", "fpmx", "fpdxx", "fphz", "szfphz", "qtxx"]),
        "JKHC" => empty(&mut markup, &["fpjkmw", "szjkmw"]),
        "LXXXXP" => empty(&mut markup, &["lxxxmw"]),
        _ => take(&mut markup, &mut fields, document.answer),
    }
    markup
}

/// Names of the amounts are ours; the facts name the nine counts only.
const STATISTICS: [Field; 19] = [
    ("qsrq", 8),
    ("jzrq", 8),
    ("qckcfs", 10),
    ("lgfpfs", 10),
    ("thfpfs", 10),
    ("zsfpfs", 10),
    ("zffpfs", 10),
    ("fsfpfs", 10),
    ("fffpfs", 10),
    ("kffpfs", 10),
    ("qmkcfs", 10),
    ("zsfpje", 12),
    ("zsfpse", 12),
    ("zffpje", 12),
    ("zffpse", 12),
    ("fsfpje", 12),
    ("fsfpse", 12),
    ("fffpje", 12),
    ("fffpse", 12),
];

fn invoice(markup: &mut Markup, fields: &mut Fields<'_>, head: &[Field]) {
    const TAIL: [Field; 11] = [
        ("hjje", 12),
        ("hjse", 12),
        ("jshj", 12),
        ("bz", 80),
        ("kpr", 20),
        ("yfpdm", 12),
        ("yfphm", 8),
        ("zfrq", 14),
        ("zfr", 20),
        ("ykfsje", 12),
        ("qmz", 512),
    ];
    markup.open_with("fpxx", "count", 1).open_with("group", "xh", 1);
    take(markup, fields, head);
    let count = fields.text(4).parse().unwrap_or(0).min(MAX_LINES);
    markup.open_with("sfxm", "count", count);
    groups(markup, fields, count, &LINE);
    markup.close("sfxm");
    take(markup, fields, &TAIL);
    markup.close("group").close("fpxx");
}

fn groups(markup: &mut Markup, fields: &mut Fields<'_>, count: usize, each: &[Field]) {
    for place in 1..=count {
        markup.open_with("group", "xh", place);
        take(markup, fields, each);
        markup.close("group");
    }
}

fn take(markup: &mut Markup, fields: &mut Fields<'_>, names: &[Field]) {
    for (name, width) in names {
        markup.field(name, fields.text(*width));
    }
}

fn empty(markup: &mut Markup, names: &[&str]) {
    for name in names {
        markup.field(name, "");
    }
}

fn answer(id: &str, outcome: Result<Markup, Refusal>) -> Reply {
    let (fields, code, text) = match outcome {
        Ok(fields) => (fields, 0, "成功".to_owned()),
        // Texts without a code have the internal code -101.
        Err(refusal) => (Markup::default(), refusal.code.map_or(-101, i64::from), refusal.text.into_owned()),
    };
    let mut markup = Markup::default();
    markup
        .open_all("business", &[("id", id)])
        .open("body")
        .open("output")
        .raw(fields)
        .field("returncode", code)
        .field("returnmsg", text)
        .close("output")
        .close("body")
        .close("business");
    Reply::Data(markup.document(Encoding::Gbk, Encoding::Gbk))
}
