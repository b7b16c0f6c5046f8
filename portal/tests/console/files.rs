//! 商品档案 and 客户档案: tried, imported whole or not at all, exported as they were, and chosen from.

use crate::browser::Place;
use crate::codes::draft;
use crate::platform::SELLER;

const CLERK: &[&str] = &["clerk"];
const GOODS: &str = "商品名称,规格型号,单位,含税单价,税率,税收分类编码\r\n\
                     *餐饮服务*咖啡,大杯,杯,28.5,6%,3070401000000000000\r\n=茶,,壶,,0.06,3070401000000000000\r\n";
const CUSTOMERS: &str = "类型,购方名称,纳税人识别号,邮箱\r\n企业,示例采购有限公司,91110000MA0000001L,a@b.example\r\n";

#[tokio::test]
async fn a_file_is_tried_then_imported_whole_and_exported_as_it_was() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    for (path, file, entries) in [("/console/goods", GOODS, 2), ("/console/customers", CUSTOMERS, 1)] {
        browser.get(path).await;
        let import = format!("{path}/import");
        let tried = browser.upload(&import, &[("step", "try")], file.as_bytes()).await;
        assert!(tried.status == 200 && tried.body.contains(&format!("将新增 {entries} 条")), "{}", tried.body);
        assert!(browser.get(path).await.body.contains("档案中没有符合的条目"), "trying writes nothing");
        let done = browser.upload(&import, &[("step", "import")], file.as_bytes()).await;
        assert_eq!(done.location, format!("{path}?new={entries}&changed=0&same=0"), "{}", done.body);
        assert!(browser.get(&done.location).await.body.contains(&format!("新增 {entries} 条")));
        for ending in ["csv", "xlsx"] {
            let file = browser.get(&format!("{path}.{ending}")).await;
            assert!(file.status == 200 && file.disposition.contains("attachment"), "{}", file.disposition);
            let again = browser.upload(&import, &[("step", "import")], &file.bytes).await;
            assert_eq!(again.location, format!("{path}?new=0&changed=0&same={entries}"), "{ending}: {}", again.body);
        }
    }
    let csv = browser.get("/console/goods.csv").await.body;
    assert!(csv.contains("'=茶"), "no cell is a formula: {csv}");
}

#[tokio::test]
async fn a_file_with_a_fault_says_where_and_whose_and_writes_nothing() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    browser.get("/console/goods").await;
    let faulty = format!("{GOODS}<b>水</b>,,,,6,12\r\n");
    for step in ["try", "import"] {
        let page = browser.upload("/console/goods/import", &[("step", step)], faulty.as_bytes()).await;
        assert_eq!(page.status, 422);
        for text in ["没有写入任何内容", "填写有误", "税率", "税收分类编码", "<td class=\"sum\">4</td>"] {
            assert!(page.body.contains(text), "{step}: {text}");
        }
    }
    let page = browser.upload("/console/goods/import", &[("step", "import")], b"PK\x03\x04 no workbook").await;
    assert!(page.status == 422 && page.body.contains("不是可读取的"), "{}", page.body);
    assert_eq!(browser.upload("/console/goods/import", &[("step", "import")], b"").await.status, 422, "no file was chosen");
    let large = vec![b'a'; 5 * 1024 * 1024];
    assert_eq!(browser.upload("/console/goods/import", &[("step", "import")], &large).await.status, 413);
    assert!(browser.get("/console/goods").await.body.contains("档案中没有符合的条目"));
    // Only routes that take a file read one: the token of a form is not found in it elsewhere.
    assert_eq!(browser.upload("/console/codes/new/AAAAAAAAAAAAAAAAAAAAAA", &[], b"x").await.status, 403);
    let mut stranger = place.browser();
    stranger.cookie.clone_from(&browser.cookie);
    assert_eq!(stranger.upload("/console/goods/import", &[("step", "import")], GOODS.as_bytes()).await.status, 403, "no token");
}

#[tokio::test]
async fn an_entry_is_put_and_removed_by_hand() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    browser.get("/console/goods").await;
    let entry = |rate: &'static str, price: &'static str| {
        [("c0", "水"), ("c2", "瓶"), ("c3", price), ("c4", rate), ("c5", "1030307010000000000")]
    };
    let wrong = browser.post("/console/goods", &entry("6", "3")).await;
    assert!(wrong.status == 422 && wrong.body.contains("税率") && wrong.body.contains("value=\"水\""), "{}", wrong.body);
    assert_eq!(browser.post("/console/goods", &entry("0.13", "3")).await.location, "/console/goods?new=1&changed=0&same=0");
    assert_eq!(browser.post("/console/goods", &entry("0.13", "4")).await.location, "/console/goods?new=0&changed=1&same=0");
    let page = browser.get("/console/goods?word=%E6%B0%B4").await;
    let id = page.body.split_once("name=\"id\" value=\"").expect("a row").1.split('"').next().unwrap().to_owned();
    for _ in 0..2 {
        let page = browser.post("/console/goods/remove", &[("id", &id)]).await;
        assert_eq!(page.location, "/console/goods?done=removed");
    }
    assert!(browser.get("/console/goods").await.body.contains("档案中没有符合的条目"));
    let mut viewer = place.signed_in("shop", "vera", &["viewer"]).await;
    let page = viewer.get("/console/goods").await;
    assert!(page.status == 200 && !page.body.contains("/import"), "a viewer sees no button that he may not press");
}

#[tokio::test]
async fn lines_are_chosen_from_the_goods_file() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    browser.get("/console/goods").await;
    browser.upload("/console/goods/import", &[("step", "import")], GOODS.as_bytes()).await;
    let at = browser.get("/console/codes/new").await.location;
    let org = format!("{SELLER}/A");
    let found = browser.post(&at, &[("org", &org), ("FPLX", "1"), ("goods_word", "咖啡"), ("step", "find")]).await;
    assert!(found.body.contains("大杯") && !found.body.contains("=茶"), "{}", found.body);
    let id = found.body.split_once("name=\"add\" value=\"").expect("a hit").1.split('"').next().unwrap().to_owned();
    let form = browser.post(&at, &[("org", &org), ("FPLX", "1"), ("XMMC.0", ""), ("add", &id)]).await;
    for value in ["*餐饮服务*咖啡", "28.5", "0.06", "3070401000000000000"] {
        assert!(form.body.contains(&format!("value=\"{value}\"")), "{value}");
    }
    assert!(!form.body.contains("XMMC.1"), "the empty first line is gone");
    let more = browser.post(&at, &draft(&org, &[("XMMC.1", "别的"), ("step", "blank")])).await;
    assert!(more.body.contains("XMMC.2"));
    let less = browser.post(&at, &draft(&org, &[("XMMC.1", "别的"), ("drop", "0")])).await;
    assert!(!less.body.contains("XMMC.1") && less.body.contains("value=\"别的\""));
    let made = browser.post(&at, &draft(&org, &[("GGXH.0", "大杯"), ("step", "make")])).await;
    assert_eq!(made.status, 303, "{}", made.body);
}
