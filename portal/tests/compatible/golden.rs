//! Golden requests and replies: a few typical exchanges for each interface, the same under both prefixes.

use serde_json::{Value, json};
use taxdisk_portal::api::{INTERFACES, PREFIXES};

use crate::platform::{CODE, PAPER_CODE, SELLER, Said, blue};
use crate::transcript::{Transcript, compare, folder};
use crate::variants;

macro_rules! goldens {
    ($($name:ident $file:literal $scenario:path;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let mut texts = Vec::new();
            for prefix in PREFIXES {
                let mut transcript = Transcript::start(prefix).await;
                $scenario(&mut transcript).await;
                texts.push(transcript.end());
            }
            assert_eq!(texts[0], texts[1], "the prefixes mean the same");
            compare($file, &texts[0]);
        })*

        /// The files that these tests compare.
        pub(crate) const FILES: &[&str] = &[$($file),*];
    };
}

goldens! {
    insert_with_array "insertWithArray" insert_with_array_;
    insert_with_split "insertWithSplit" insert_with_split_;
    insert_for_qr "insertForQRInvoice" insert_for_qr_;
    qr_with_split "qr-with-split" qr_with_split_;
    red "red" red_;
    part_red "part-red" part_red_;
    issue "issue" issue_;
    del "del" del_;
    delete_invoice_fail_data "deleteInvoiceFailData" delete_invoice_fail_data_;
    invalid "invalid" invalid_;
    reissue "reissue" reissue_;
    callback_replay "callback-replay" callback_replay_;
    bs_restart_create "bsRestartCreate" bs_restart_create_;
    call_back_by_email "callBackByEmail" call_back_by_email_;
    call_back_by_sms "callBackBySms" call_back_by_sms_;
    query_invoice_status "queryInvoiceStatus" query_invoice_status_;
    query_by_original "queryInvoiceStatusByysfpqqlsh" query_by_original_;
    batch_query "batchQueryInvoiceStatus" batch_query_;
    sign "sign" variants::sign;
    wire "wire" variants::wire;
}

#[test]
fn every_interface_has_its_file_and_no_file_is_left_over() {
    if std::env::var_os("TAXDISK_BLESS").is_some() {
        // They are being written.
        return;
    }
    let all: Vec<String> =
        FILES.iter().map(|file| std::fs::read_to_string(folder().join(format!("{file}.txt"))).unwrap_or_default()).collect();
    let all = all.concat();
    for interface in INTERFACES {
        assert!(all.contains(&format!("POST /<prefix>/api/invoiceApply/{}?", interface.name)), "{}", interface.name);
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(FILES.contains(&name.trim_end_matches(".txt")), "{name} is compared by no test");
    }
}

const LOST_DISK: Said =
    Said::Failed { fault: "disk", code: "disk_timeout", text: "税控设备离线超过 30 分钟，未开具发票" };

async fn insert_with_array_(t: &mut Transcript) {
    t.says("The smallest request that is good: seller, buyer, total, one line.");
    t.documents(
        "insertWithArray",
        &json!([{ "FPQQLSH": "DEMO20270115A0001", "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方",
        "JSHJ": 106, "items": [{ "XMMC": "虚构服务", "XMJSHJ": "106.00", "SL": 0.06, "SPBM": "3040000000000000000" }] }]),
    )
    .await;
    t.broker("DEMO20270115A0001", Said::Issued).await;
    t.says("The same again, with its numbers written otherwise: the state of the first one, and nothing is queued.");
    t.documents(
        "insertWithArray",
        &json!([{ "FPQQLSH": "DEMO20270115A0001", "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方",
        "JSHJ": "1.06E2", "FPLX": "1", "BZ": "", "items": [{ "XMMC": "虚构服务", "XMJSHJ": 106, "SL": "0.060", "FPHXZ": "0",
        "SPBM": "304" }] }]),
    )
    .await;
    t.says("Other content under the same serial number: refused, and the fields that differ are named.");
    let mut other = blue("DEMO20270115A0001");
    other["GMF_MC"] = json!("另一购方");
    t.documents("insertWithArray", &json!([other])).await;
    t.says("Two documents with all delivery fields; a discount pair, the discount first; a member that nobody knows.");
    let discounted = json!({ "FPQQLSH": "DEMO20270115A0002", "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方", "JSHJ": "799.00",
        "KPR": "王五", "BZ": "备注", "ZDYBZ": "T42", "futureMember": {"a": 1}, "items": [
            { "FPHXZ": 1, "HH": "2", "XMMC": "*家具*椅子", "XMJSHJ": "-100.00", "SL": "0.17", "SPBM": "1050201" },
            { "FPHXZ": "2", "HH": "1", "ZKHHH": "2", "XMMC": "*家具*椅子", "XMSL": "1", "XMJSHJ": "899.00", "SL": "0.17",
              "SPBM": "1050201", "DW": "把" }] });
    let documents = json!([discounted, blue("DEMO20270115A0003")]).to_string();
    t.form(
        "insertWithArray",
        &[
            ("requestdatas", &documents),
            ("email", r#"[{"fpqqlsh":"DEMO20270115A0002","address":"a@buyer.example,b@buyer.example"}]"#),
            ("sms", r#"[{"fpqqlsh":"DEMO20270115A0003","address":"13800000000"}]"#),
            ("url", r#"[{"fpqqlsh":"DEMO20270115A0002","url":"https://merchant.example/cb"}]"#),
            ("delurl", r#"[{"fpqqlsh":"DEMO20270115A0003","url":"https://merchant.example/del"}]"#),
            ("autoAudit", "false"),
        ],
    )
    .await;
    t.says("A callback host that is not on the caller's list: the invoice is issued, the address is not called.");
    let documents = json!([blue("DEMO20270115A0004")]).to_string();
    let url = r#"[{"fpqqlsh":"DEMO20270115A0004","url":"https://sample.example/cb"}]"#;
    t.form("insertWithArray", &[("requestdatas", &documents), ("url", url)]).await;
    t.says("One document of a batch breaks two rules: all is refused, with a verdict for each.");
    let mut wrong = blue("DEMO20270115A0006");
    wrong["JSHJ"] = json!("113.01");
    wrong["items"][0]["XMDJ"] = json!("49.00");
    t.documents("insertWithArray", &json!([blue("DEMO20270115A0005"), wrong])).await;
    t.says("The same order comes twice, told by its LYID, under two serial numbers: the later one is held for a person.");
    let mut first = blue("DEMO20270115A0007");
    first["LYID"] = json!("order-7");
    t.documents("insertWithArray", &json!([first])).await;
    first["FPQQLSH"] = json!("DEMO20270115A0008");
    t.documents("insertWithArray", &json!([first])).await;
    t.says("While the disk's answer is lost, a repeat says 开票中 and sends nothing.");
    t.broker("DEMO20270115A0004", Said::Unsettled).await;
    t.documents("insertWithArray", &json!([blue("DEMO20270115A0004")])).await;
}

fn long(serial: &str) -> Value {
    let line = |n: usize| json!({ "XMMC": format!("*纸制品*打印纸{n}"), "XMJSHJ": "113.00", "SL": "0.13", "SPBM": "1060105" });
    let lines: Vec<Value> = (1..=12).map(line).collect();
    json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方", "JSHJ": "1356.00", "items": lines })
}

async fn insert_with_split_(t: &mut Transcript) {
    t.says("Twelve lines, 1200.00 net; the disk takes ten lines and 1000.00 an invoice.");
    t.documents("insertWithSplit", &json!([long("DEMO20270115S0001")])).await;
    t.says("The same again: the same parts.");
    t.documents("insertWithSplit", &json!([long("DEMO20270115S0001")])).await;
    t.says("What fits on one invoice keeps its serial number.");
    t.documents("insertWithSplit", &json!([blue("DEMO20270115S0002")])).await;
    t.says("A kind whose limits nobody knows: the disk has no licence for it.");
    let mut roll = long("DEMO20270115S0003");
    roll["FPLX"] = json!("12");
    t.documents("insertWithSplit", &json!([roll])).await;
}

fn qr(serial: &str) -> Value {
    json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "orgcode": "A", "SHMC": "示例商店", "JSHJ": "11.3", "RQSJ": "2027-01-15",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "11.30", "SL": "0.13", "SPBM": "1060105" }] })
}

async fn insert_for_qr_(t: &mut Transcript) {
    t.says("Without a buyer: a link that waits for one.");
    let first = t.json("insertForQRInvoice", &qr("DEMO20270115Q0001")).await;
    t.says("The same again: the same link.");
    let again = t.json("insertForQRInvoice", &qr("DEMO20270115Q0001")).await;
    assert_eq!(first.json()["data"], again.json()["data"]);
    t.says("Without a serial number LYID makes one.");
    let mut derived = qr("");
    derived["LYID"] = json!("receipt-42");
    t.json("insertForQRInvoice", &derived).await;
    t.says("With neither.");
    t.json("insertForQRInvoice", &qr("")).await;
    t.says("With a buyer: issued at once.");
    let mut known = qr("DEMO20270115Q0002");
    known["GMF_MC"] = json!("虚构购方");
    known["URL"] = json!("https://merchant.example/cb");
    t.json("insertForQRInvoice", &known).await;
}

async fn qr_with_split_(t: &mut Transcript) {
    t.says("The plan is made now; its parts wait for the buyer together.");
    let mut document = long("DEMO20270115Q0003");
    document["ORGCODE"] = json!("A");
    document["SHMC"] = json!("示例商店");
    document.as_object_mut().unwrap().remove("GMF_MC");
    t.json("qr-with-split", &json!({ "requestdatas": document.to_string() })).await;
    t.says("Nothing to invoice is an error, and has the code of one.");
    t.json("qr-with-split", &json!({ "requestdatas": "" })).await;
}

async fn red_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115R0001")).await;
    let red = |serial: &str| json!([{ "FPQQLSH": serial, "fpDm": CODE, "fpHm": "00000001" }]);
    t.says("Without autoAudit a red waits for a person.");
    t.documents("red", &red("DEMO20270115R0002")).await;
    t.says("The same again.");
    t.documents("red", &red("DEMO20270115R0002")).await;
    t.says("Another red of the same invoice, while the first one waits.");
    t.documents("red", &red("DEMO20270115R0003")).await;
    t.says("An invoice that this tenant does not have.");
    t.documents("red", &json!([{ "FPQQLSH": "DEMO20270115R0004", "fpDm": CODE, "fpHm": "00099999" }])).await;
    t.says("A blue serial number for a red.");
    t.documents("red", &red("DEMO20270115R0001")).await;
}

async fn part_red_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115P0001")).await;
    let part = |serial: &str, gross: &str| {
        json!([{ "FPQQLSH": serial, "fpDm": CODE, "fpHm": "00000001", "JSHJ": gross,
            "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": gross, "SL": "0.13", "SPBM": "1060105" }] }])
    };
    t.says("A part, which is issued without a person.");
    t.documents("part-red", &part("DEMO20270115P0002", "-13.00")).await;
    t.says("More than is left.");
    t.documents("part-red", &part("DEMO20270115P0003", "-100.01")).await;
    t.says("A total above zero.");
    t.documents("part-red", &part("DEMO20270115P0004", "13.00")).await;
    t.broker("DEMO20270115P0002", Said::Issued).await;
    t.says("The red, issued.");
    t.form("queryInvoiceStatus", &[("fpqqlsh", "DEMO20270115P0002")]).await;
}

async fn issue_(t: &mut Transcript) {
    let documents = json!([blue("DEMO20270115I0001")]).to_string();
    t.form("insertWithArray", &[("requestdatas", &documents), ("autoAudit", "false")]).await;
    let entry = |gross: Value| json!([{ "FPQQLSH": "DEMO20270115I0001", "XSF_NSRSBH": SELLER, "JSHJ": gross }]);
    t.says("An amount that is not there is not approved anyway.");
    t.documents("issue", &entry(Value::Null)).await;
    t.says("Another amount.");
    t.documents("issue", &entry(json!("113.01"))).await;
    t.says("Approved.");
    t.documents("issue", &entry(json!(113))).await;
    t.says("Approved again: the state, and no second effect.");
    t.documents("issue", &entry(json!("113.00"))).await;
    t.broker("DEMO20270115I0001", LOST_DISK).await;
    t.says("Not 待开票.");
    t.documents("issue", &entry(json!("113.00"))).await;
    t.says("Nobody knows it.");
    t.documents("issue", &json!([{ "FPQQLSH": "DEMO20270115I0002", "XSF_NSRSBH": SELLER, "JSHJ": 1 }])).await;
}

async fn del_(t: &mut Transcript) {
    let documents = json!([blue("DEMO20270115D0001"), blue("DEMO20270115D0002")]).to_string();
    t.form("insertWithArray", &[("requestdatas", &documents), ("autoAudit", "false")]).await;
    t.says("Sent back; one later client spells the member in small letters.");
    t.documents("del", &json!([{ "FPQQLSH": "DEMO20270115D0001", "XSF_NSRSBH": SELLER }])).await;
    t.documents("del", &json!([{ "fpqqlsh": "DEMO20270115D0002" }])).await;
    t.says("Again: done is done.");
    t.documents("del", &json!([{ "FPQQLSH": "DEMO20270115D0001", "XSF_NSRSBH": SELLER }])).await;
    t.says("Corrected under its own serial number.");
    let mut corrected = blue("DEMO20270115D0001");
    corrected["GMF_MC"] = json!("虚构购方二");
    t.documents("insertWithArray", &json!([corrected])).await;
    t.says("While it is issued it is not sent back.");
    t.documents("del", &json!([{ "FPQQLSH": "DEMO20270115D0001", "XSF_NSRSBH": SELLER }])).await;
    t.says("Nobody knows it.");
    t.documents("del", &json!([{ "FPQQLSH": "DEMO20270115D0003", "XSF_NSRSBH": SELLER }])).await;
}

async fn delete_invoice_fail_data_(t: &mut Transcript) {
    t.documents("insertWithArray", &json!([blue("DEMO20270115F0001")])).await;
    t.says("Only 开票失败.");
    t.form("deleteInvoiceFailData", &[("fpqqlsh", "DEMO20270115F0001")]).await;
    t.broker("DEMO20270115F0001", LOST_DISK).await;
    t.says("One published sample has the value in quotes.");
    t.form("deleteInvoiceFailData", &[("fpqqlsh", "\"DEMO20270115F0001\"")]).await;
    t.says("In the query string, as the catalogue has it.");
    let token = t.platform.token(&json!({}));
    t.raw("deleteInvoiceFailData?appid=APP1&fpqqlsh=DEMO20270115F0002", None, Some(&token), b"").await;
}

async fn invalid_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115V0001")).await;
    let mut paper = blue("DEMO20270115V0002");
    paper["FPLX"] = json!("3");
    t.platform.issued(&paper).await;
    t.says("An electronic invoice is not voided.");
    t.documents("invalid", &json!({ "fpDm": CODE, "fpHm": "00000001" })).await;
    t.says("The official demo has code and number the wrong way round: a hint, and no guess.");
    t.documents("invalid", &json!({ "fpDm": "00000002", "fpHm": PAPER_CODE })).await;
    t.says("A paper invoice: voiding has begun.");
    t.documents("invalid", &json!({ "fpDm": PAPER_CODE, "fpHm": "00000002" })).await;
    t.says("The same again, as an array of one.");
    t.documents("invalid", &json!([{ "fpDm": PAPER_CODE, "fpHm": "00000002" }])).await;
    t.broker(&format!("*void:{PAPER_CODE}:00000002"), Said::Voided).await;
    t.says("It is done.");
    t.documents("invalid", &json!({ "fpDm": PAPER_CODE, "fpHm": "00000002" })).await;
    t.form("queryInvoiceStatus", &[("fpqqlsh", "DEMO20270115V0002")]).await;
}

async fn reissue_(t: &mut Transcript) {
    let entry = |serial: &str| json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "JSHJ": "113.00" });
    t.documents("insertWithArray", &json!([blue("DEMO20270115E0001"), blue("DEMO20270115E0002"), blue("DEMO20270115E0003")]))
        .await;
    t.broker("DEMO20270115E0001", Said::Issued).await;
    t.broker("DEMO20270115E0002", LOST_DISK).await;
    t.says("The three truthful answers.");
    t.documents("reissue", &json!([entry("DEMO20270115E0001"), entry("DEMO20270115E0002"), entry("DEMO20270115E0003")])).await;
    t.says("Failed for its data: not by this road.");
    let data = Said::Failed { fault: "request", code: "device_refused", text: "税控设备拒绝：商品编码不存在" };
    t.broker("DEMO20270115E0003", data).await;
    t.documents("reissue", &json!([entry("DEMO20270115E0003")])).await;
    t.says("A mixed batch is 1001 as a whole; its entries are independent.");
    t.documents("reissue", &json!([entry("DEMO20270115E0001"), entry("DEMO20270115E0009")])).await;
    t.says("Nobody knows it.");
    t.documents("reissue", &json!([entry("DEMO20270115E0009")])).await;
}

async fn callback_replay_(t: &mut Transcript) {
    let documents = json!([blue("DEMO20270115C0001")]).to_string();
    let url = r#"[{"fpqqlsh":"DEMO20270115C0001","url":"https://merchant.example/cb"}]"#;
    t.form("insertWithArray", &[("requestdatas", &documents), ("url", url)]).await;
    t.broker("DEMO20270115C0001", Said::Issued).await;
    t.says("Its one callback is sent again.");
    t.form("callback/replay", &[("fpqqlsh", "DEMO20270115C0001")]).await;
    t.says("Nobody knows it.");
    t.form("callback/replay", &[("fpqqlsh", "DEMO20270115C0002")]).await;
}

async fn bs_restart_create_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115B0001")).await;
    t.says("Made again.");
    t.form("bsRestartCreate", &[("fpDm", CODE), ("fpHm", "00000001")]).await;
    t.says("No such invoice.");
    t.form("bsRestartCreate", &[("fpDm", CODE), ("fpHm", "00099999")]).await;
    t.says("The number is empty.");
    t.form("bsRestartCreate", &[("fpDm", CODE), ("fpHm", "")]).await;
    t.says("The code may be left out where an invoice has none; every invoice of a tax disk has one.");
    t.form("bsRestartCreate", &[("fpHm", "00000001")]).await;
}

async fn call_back_by_email_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115M0001")).await;
    t.documents("insertWithArray", &json!([blue("DEMO20270115M0002")])).await;
    t.says("In the query string, as in the sample.");
    let token = t.platform.token(&json!({}));
    let rest = "callBackByEmail?appid=APP1&fpqqlsh=DEMO20270115M0001&email=a%40buyer.example";
    t.raw(rest, None, Some(&token), b"").await;
    t.says("Not issued yet.");
    t.form("callBackByEmail", &[("fpqqlsh", "DEMO20270115M0002"), ("email", "a@buyer.example")]).await;
    t.says("No address; nobody knows it.");
    t.form("callBackByEmail", &[("fpqqlsh", "DEMO20270115M0001")]).await;
    t.form("callBackByEmail", &[("fpqqlsh", "DEMO20270115M0009"), ("email", "a@buyer.example")]).await;
}

async fn call_back_by_sms_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115M0001")).await;
    t.says("One of three names.");
    t.form("callBackBySms", &[("fpqqlsh", "DEMO20270115M0001"), ("mobile", "13800000000")]).await;
    t.says("None of them; nobody knows it.");
    t.form("callBackBySms", &[("fpqqlsh", "DEMO20270115M0001")]).await;
    t.form("callBackBySms", &[("fpqqlsh", "DEMO20270115M0009"), ("phone", "13800000000")]).await;
}

async fn query_invoice_status_(t: &mut Transcript) {
    let query = [("fpqqlsh", "DEMO20270115N0001")];
    t.says("Nobody knows it.");
    t.form("queryInvoiceStatus", &query).await;
    let documents = json!([blue("DEMO20270115N0001")]).to_string();
    t.form("insertWithArray", &[("requestdatas", &documents), ("autoAudit", "false")]).await;
    t.says("1 待开票.");
    t.form("queryInvoiceStatus", &query).await;
    t.documents("issue", &json!([{ "FPQQLSH": "DEMO20270115N0001", "XSF_NSRSBH": SELLER, "JSHJ": "113.00" }])).await;
    t.broker("DEMO20270115N0001", Said::Waits("disk_offline")).await;
    t.says("2 开票中, and why it waits.");
    t.form("queryInvoiceStatus", &query).await;
    t.broker("DEMO20270115N0001", Said::Unsettled).await;
    t.says("2 开票中 while an answer of the disk is lost: never 3.");
    t.form("queryInvoiceStatus", &query).await;
    t.broker("DEMO20270115N0001", LOST_DISK).await;
    t.says("3 开票失败.");
    t.form("queryInvoiceStatus", &query).await;
    t.documents("reissue", &json!([{ "FPQQLSH": "DEMO20270115N0001", "XSF_NSRSBH": SELLER, "JSHJ": "113.00" }])).await;
    t.broker("DEMO20270115N0001", Said::Issued).await;
    t.says("4 开票成功, with all that is known of it.");
    t.form("queryInvoiceStatus", &query).await;
    t.says("From the query string, and from a JSON body.");
    let token = t.platform.token(&json!({}));
    t.raw("queryInvoiceStatus?appid=APP1&fpqqlsh=DEMO20270115N0001", None, Some(&token), b"").await;
    t.json("queryInvoiceStatus", &json!({ "fpqqlsh": "DEMO20270115N0001" })).await;
}

async fn query_by_original_(t: &mut Transcript) {
    let parts = t.documents("insertWithSplit", &json!([long("DEMO20270115O0001")])).await.json()["datas"].clone();
    let first = parts[0]["fpqqlsh"].as_str().unwrap().to_owned();
    t.broker(&first, Said::Issued).await;
    t.says("`data` is the part that is least advanced.");
    t.form("queryInvoiceStatusByysfpqqlsh", &[("ysfpqqlsh", "DEMO20270115O0001")]).await;
    t.says("What was not split answers for itself.");
    t.documents("insertWithArray", &json!([blue("DEMO20270115O0002")])).await;
    t.form("queryInvoiceStatusByysfpqqlsh", &[("ysfpqqlsh", "DEMO20270115O0002")]).await;
    t.says("Nobody knows it.");
    t.form("queryInvoiceStatusByysfpqqlsh", &[("ysfpqqlsh", "DEMO20270115O0003")]).await;
}

async fn batch_query_(t: &mut Transcript) {
    t.platform.issued(&blue("DEMO20270115G0001")).await;
    t.documents("insertWithArray", &json!([blue("DEMO20270115G0002")])).await;
    t.broker("DEMO20270115G0002", LOST_DISK).await;
    t.says("In the order of the request, each once; unknown ones have a code of their own.");
    let serials = r#"["DEMO20270115G0002","DEMO20270115G0009","DEMO20270115G0001","DEMO20270115G0002"]"#;
    t.form("batchQueryInvoiceStatus", &[("fpqqlshs", serials)]).await;
    t.says("More than twenty.");
    let many = json!((0..21).map(|n| format!("S{n}")).collect::<Vec<_>>()).to_string();
    t.form("batchQueryInvoiceStatus", &[("fpqqlshs", &many)]).await;
}
