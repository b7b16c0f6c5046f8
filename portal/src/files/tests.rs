//! Files of goods and customers: every fault is named, limits hold, and what is exported comes back equal.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::io::Write as _;

use super::import::{self, Outcome};
use super::table::{self, Cell, TableError};
use super::*;
use crate::ledger::{Clock, Ledger};
use crate::store;

const TAX_CODE: &str = "1030307010000000000";

fn goods(cells: [&str; 9]) -> Result<Goods, Vec<(Option<usize>, String)>> {
    Goods::read(&cells.map(str::to_owned))
}

fn coffee() -> Goods {
    goods(["咖啡", "大杯", "杯", "28.5", "6%", TAX_CODE, "0", "", ""]).unwrap()
}

fn csv_of(rows: &str) -> String {
    format!("商品名称,规格型号,单位,含税单价,税率,税收分类编码,享受优惠政策,优惠政策名称,零税率标识\r\n{rows}")
}

#[test]
fn each_rule_of_goods_names_its_column() {
    assert_eq!(coffee().rate.to_string(), "0.06");
    let columns = |cells| goods(cells).unwrap_err().into_iter().map(|(place, _)| place).collect::<Vec<_>>();
    assert_eq!(columns(["", "", "", "", "0.06", TAX_CODE, "", "", ""]), [Some(0)], "a name is needed");
    assert_eq!(columns(["咖啡😀", "", "", "", "0.06", TAX_CODE, "", "", ""]), [Some(0)], "not in GBK");
    assert_eq!(columns(["咖啡", "", "", "-1", "0.06", TAX_CODE, "", "", ""]), [Some(3)]);
    assert_eq!(columns(["咖啡", "", "", "1.1234567", "0.06", TAX_CODE, "", "", ""]), [Some(3)], "seven decimals");
    assert_eq!(columns(["咖啡", "", "", "", "6", TAX_CODE, "", "", ""]), [Some(4)], "a rate is a fraction");
    assert_eq!(columns(["咖啡", "", "", "", "", TAX_CODE, "", "", ""]), [Some(4)]);
    assert_eq!(columns(["咖啡", "", "", "", "0.06", "10303", "", "", ""]), [Some(5)], "19 digits");
    assert_eq!(columns(["咖啡", "", "", "", "0.06", TAX_CODE, "2", "", ""]), [Some(6)]);
    assert_eq!(columns(["咖啡", "", "", "", "0", TAX_CODE, "0", "免税", "1"]), [Some(7)], "a policy needs its mark");
    assert_eq!(columns(["咖啡", "", "", "", "0.06", TAX_CODE, "", "", "1"]), [Some(8)], "a rate above zero has no mark");
    assert!(goods(["大米", "", "千克", "", "0", TAX_CODE, "1", "免税", "1"]).is_ok());
}

#[test]
fn each_rule_of_customers_names_its_column() {
    let read = |cells: [&str; 7]| Customer::read(&cells.map(str::to_owned));
    let columns = |cells| read(cells).unwrap_err().into_iter().map(|(place, _)| place).collect::<Vec<_>>();
    assert!(read(["个人", "张三", "", "", "", "a@b.example", "+86 13800000000"]).is_ok());
    assert!(read(["企业", "示例", "91110000MA0000001L", "", "", "", ""]).is_ok());
    assert_eq!(columns(["企业", "示例", "", "", "", "", ""]), [Some(2)], "an enterprise has a number");
    assert_eq!(columns(["企业", "示例", "91110000MA00000019", "", "", "", ""]), [Some(2)], "check character");
    assert_eq!(columns(["谁", "示例", "", "", "", "", ""]), [Some(0)]);
    assert_eq!(columns(["个人", "", "", "", "", "", ""]), [Some(1)]);
    assert_eq!(columns(["个人", "张三", "", "", "", "no mail", "12"]), [Some(5), Some(6)]);
}

#[test]
fn all_faults_of_a_file_come_at_once_by_row_and_column() {
    let file = csv_of(&format!(
        "咖啡,,,,6,{TAX_CODE},,,\r\n茶,,,,0.06,12,,,\r\n\r\n水,,,,0.06,{TAX_CODE},,,\r\n水,,,,0.06,{TAX_CODE},,,\r\n"
    ));
    let faulty = import::read::<Goods>(&table::read(file.as_bytes()).unwrap()).unwrap_err();
    let places: Vec<_> = faulty.faults.iter().map(|fault| (fault.column.as_str(), fault.whose)).collect();
    assert_eq!(places, [("税率", Whose::Author), ("税收分类编码", Whose::Author), ("", Whose::Author)]);
    assert_eq!(faulty.count, 3);
    assert_eq!(faulty.faults[0].row, 2);
    assert!(faulty.faults[2].text.contains("同一条"), "two rows of one key: {}", faulty.faults[2].text);
    for (file, expected) in [
        ("", "空"),
        ("商品名称,税率\r\n", "缺少"),
        ("商品名称,税率,税收分类编码,什么\r\n", "没有这样的列"),
        ("商品名称,税率,税收分类编码,SL\r\n", "两次"),
        ("商品名称,税率,税收分类编码\r\n", "没有内容"),
    ] {
        let faulty = import::read::<Goods>(&table::read(file.as_bytes()).unwrap()).unwrap_err();
        assert!(faulty.faults.iter().any(|fault| fault.text.contains(expected)), "{file:?}: {:?}", faulty.faults);
    }
}

#[test]
fn a_spreadsheets_numbers_are_exact_or_refused() {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (place, name) in (0..).zip(["商品名称", "税率", "税收分类编码", "含税单价"]) {
        sheet.write_string(0, place, name).unwrap();
    }
    sheet.write_string(1, 0, "咖啡").unwrap();
    sheet.write_number(1, 1, 0.06).unwrap();
    sheet.write_number(1, 2, 1_030_307_010_000_000_000.0).unwrap();
    sheet.write_number(1, 3, 0.1 + 0.2).unwrap();
    let rows = table::read(&book.save_to_buffer().unwrap()).unwrap();
    let faulty = import::read::<Goods>(&rows).unwrap_err();
    assert_eq!((faulty.count, faulty.faults[0].row), (1, 2));
    assert_eq!(faulty.faults[0].column, "税收分类编码");
    assert_eq!(faulty.faults[0].whose, Whose::Spreadsheet, "a code of 19 digits was rounded by the spreadsheet");
}

#[test]
fn gbk_as_excel_writes_it_is_read_and_broken_text_is_not() {
    let file = csv_of(&format!("咖啡,,,,0.06,{TAX_CODE},,,\r\n"));
    let gbk = taxdisk_protocol::gbk::encode(&file).unwrap();
    let read: Vec<Goods> = import::read(&table::read(&gbk).unwrap()).unwrap();
    assert_eq!(read[0].name, "咖啡");
    assert!(matches!(table::read(b"\xff\xff\xff"), Err(TableError::Unreadable(_))));
    assert!(matches!(table::read(b"PK\x03\x04 no zip"), Err(TableError::Unreadable(_))));
}

#[test]
fn limits_of_files_hold() {
    assert_eq!(table::read(&vec![b'a'; table::MAX_FILE_BYTES + 1]), Err(TableError::TooLarge));
    let line = "a\r\n";
    assert!(table::read(line.repeat(MAX_ENTRIES + 1).as_bytes()).is_ok(), "the heading is one more");
    assert_eq!(table::read(line.repeat(MAX_ENTRIES + 2).as_bytes()), Err(TableError::Rows));
    assert_eq!(table::read("a,".repeat(64).as_bytes()), Err(TableError::Columns));
    assert_eq!(table::read("a".repeat(4097).as_bytes()), Err(TableError::Cell(1)));
    let mut far = rust_xlsxwriter::Workbook::new();
    far.add_worksheet().write_string(1_048_575, 16_383, "far").unwrap();
    assert_eq!(table::read(&far.save_to_buffer().unwrap()), Err(TableError::Columns));
    let mut bomb = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    bomb.start_file("xl/sharedStrings.xml", zip::write::SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..65 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap().into_inner();
    assert!(bomb.len() < table::MAX_FILE_BYTES);
    assert_eq!(table::read(&bomb), Err(TableError::Inflated));
}

#[test]
fn no_exported_cell_is_a_formula() {
    let evil = ["=HYPERLINK(\"x\")", "+1+1", "-2+3", "@SUM(A1)", "＝1", "'=1", "''"];
    let rows: Vec<Vec<String>> = evil.iter().map(|text| vec![(*text).to_owned()]).collect();
    let csv = table::write_csv(&Goods::COLUMNS[..1], &rows).unwrap();
    assert!(csv.starts_with(b"\xEF\xBB\xBF"), "spreadsheets read Chinese by the mark");
    let text = String::from_utf8(csv.clone()).unwrap();
    for line in text.lines().skip(1) {
        assert!(line.trim_start_matches('"').starts_with('\''), "{line}");
    }
    let back: Vec<_> = table::read(&csv).unwrap().into_iter().skip(1).map(|(_, cells)| cells[0].clone()).collect();
    assert_eq!(back, evil.map(|text| Cell::Text(text.to_owned())));
}

#[test]
fn a_sum_below_zero_stays_a_number_and_what_only_begins_like_one_does_not() {
    let column = |number| table_column("金额", number);
    let rows = ["-113.00", "-2+3", "\t=1", "\r=1"].map(|text| vec![text.to_owned(), text.to_owned()]);
    let csv = String::from_utf8(table::write_csv(&[column(true), column(false)], &rows).unwrap()).unwrap();
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!((lines[1], lines[2]), ("-113.00,'-113.00", "'-2+3,'-2+3"));
    assert!(csv.contains("'\t=1") && csv.contains("'\r=1"), "{csv:?}");
}

fn table_column(heading: &'static str, number: bool) -> Column {
    Column { heading, aliases: &[], required: false, number }
}

fn any_goods() -> impl Strategy<Value = Goods> {
    let name = "[=+@'a-z一-龥,\"-][a-z一-龥 ,\"'-]{0,20}[a-z一-龥]";
    (name, "[a-z0-9]{0,5}", proptest::option::of(1_i64..999_999_999_999_999), prop_oneof![Just(6_i64), Just(13), Just(1)])
        .prop_map(|(name, specification, price, rate)| Goods {
            name,
            specification,
            unit: "个".to_owned(),
            price: price.map(|price| rust_decimal::Decimal::new(price, 6).normalize()),
            rate: rust_decimal::Decimal::new(rate, 2),
            goods_code: TAX_CODE.to_owned(),
            preferential: false,
            policy: String::new(),
            zero_rate: String::new(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_exported_comes_back_equal(goods in any_goods()) {
        prop_assume!(Goods::read(&goods.cells()).is_ok());
        let rows = vec![goods.cells()];
        for file in [table::write_csv(Goods::COLUMNS, &rows).unwrap(), table::write_xlsx(Goods::COLUMNS, &rows).unwrap()] {
            let back: Vec<Goods> = import::read(&table::read(&file).unwrap()).unwrap();
            prop_assert_eq!(&back, std::slice::from_ref(&goods));
        }
    }
}

fn any_customer() -> impl Strategy<Value = Customer> {
    let title = "[=+@'a-z一-龥,\"-][a-z一-龥 ,\"'-]{0,20}[a-z一-龥]";
    let kinds = prop_oneof![
        Just((customers::BuyerType::Enterprise, "91110000MA0000001L")),
        Just((customers::BuyerType::Institution, "")),
        Just((customers::BuyerType::Person, "")),
    ];
    (kinds, title, "[一-龥 0-9-]{0,20}[0-9]", "[0-9]{8,19}", "(a@b\\.example)?", "(\\+?[0-9]{5,15})?").prop_map(
        |((kind, number), title, address_phone, bank_account, mail, phone)| Customer {
            kind,
            title,
            taxpayer_number: number.to_owned(),
            address_phone: address_phone.trim().to_owned(),
            bank_account,
            mail,
            phone,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn customers_that_are_exported_come_back_equal(customer in any_customer()) {
        prop_assume!(Customer::read(&customer.cells()).is_ok());
        let rows = vec![customer.cells()];
        let columns = Customer::COLUMNS;
        for file in [table::write_csv(columns, &rows).unwrap(), table::write_xlsx(columns, &rows).unwrap()] {
            let back: Vec<Customer> = import::read(&table::read(&file).unwrap()).unwrap();
            prop_assert_eq!(&back, std::slice::from_ref(&customer));
        }
    }
}

#[tokio::test]
async fn an_import_is_of_one_tenant_and_the_second_time_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let opened = store::open(&format!("sqlite:{}", folder.path().join("portal.db").display())).await.unwrap();
    let clock: Clock = std::sync::Arc::new(|| 1_000);
    let ledger = Ledger::start(opened.writer, clock);
    let entries = vec![coffee(), Goods { name: "茶".to_owned(), ..coffee() }];
    let run = |tenant: &'static str, entries: Vec<Goods>| {
        let ledger = ledger.clone();
        async move {
            let work = ledger.run(move |session| Box::pin(async move { import::apply(session, tenant, &entries).await }));
            work.await.unwrap()
        }
    };
    let mut reader = opened.readers.get().await.unwrap();
    let dry = import::dry_run(&mut *reader, "one", &entries).await.unwrap().unwrap();
    assert_eq!(dry, Outcome { new: 2, changed: 0, same: 0 });
    assert!(import::all::<Goods>(&mut *reader, "one").await.unwrap().is_empty(), "a dry run writes nothing");
    assert_eq!(run("one", entries.clone()).await, Ok(dry));
    assert_eq!(run("one", entries.clone()).await, Ok(Outcome { new: 0, changed: 0, same: 2 }));
    let dearer = Goods { price: Some(rust_decimal::Decimal::from(30)), ..coffee() };
    assert_eq!(run("one", vec![dearer]).await, Ok(Outcome { new: 0, changed: 1, same: 0 }));
    assert_eq!(import::all::<Goods>(&mut *reader, "one").await.unwrap().len(), 2);
    assert!(import::all::<Goods>(&mut *reader, "two").await.unwrap().is_empty(), "another tenant's file");
    let many = (0..MAX_ENTRIES - 1).map(|index| Goods { name: format!("货{index}"), ..coffee() }).collect();
    assert_eq!(run("one", many).await.unwrap_err().count, 1, "the tenant's file would be too long");
    assert_eq!(import::all::<Goods>(&mut *reader, "one").await.unwrap().len(), 2, "nothing of it was written");
}
