// 码上开票 and 预约二维码: codes that people of the merchant make (sections 6.1 to 7.3.4), and what is found without a code.

import assert from "node:assert/strict";
import { atTheDesk } from "../clerk.mjs";
import { WORDS, check, downloaded, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { AUTHORISES, fresh, until } from "../site.mjs";
import { go, printed, scanned } from "../visitor.mjs";
import { CARDS, WECHAT, authoriser, bridge } from "../wechat.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

/** 商品档案 of a hotel. */
const GOODS = `商品名称,规格型号,单位,含税单价,税率,税收分类编码\r
*住宿服务*房费,,晚,,0.06,3070402000000000000\r
*餐饮服务*早餐,,份,30,0.06,3070401000000000000\r
`;

/** Names that a clerk finds again among those of other walks. */
const guest = () => `住客${fresh("G").slice(-6)}`;

walk("code_made_by_hand", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const desk = await visit({ width: 1280 });
  const { page } = desk;
  await atTheDesk(site, desk, fresh("clerk").toLowerCase(), ["clerk"]);
  await desk.open("/console/codes/new");
  await desk.look("new-code");
  const line = { XMMC: "*餐饮服务*咖啡", DW: "杯", XMSL: "2", price: "28.50", SL: "0.06", SPBM: "3070401000000000000" };
  for (const [name, value] of Object.entries(line)) await page.fill(`input[name='${name}.0']`, value);
  await go(page, "button[name=step][value=make]");
  assert.match(await page.innerText("main"), /57\.00/);
  await desk.look("code", lang === "zh" && width === 1280 ? { picture: "console-code" } : {});
  const code = page.url();
  const link = await page.getAttribute("main a[href*='/q/']", "href");
  await go(page, "a[href$='/receipt']");
  await desk.look("receipt", lang === "zh" && width === 1280 ? { picture: "console-receipt" } : {});
  // 保存并打印: what receipts of the organisation show is kept, and the browser prints at once.
  await page.selectOption("select[name=width]", "80");
  // The same in every language: the walks share the organisation, and what its receipts show.
  const heading = "凭此码领取发票";
  await page.fill("input[name=heading]", heading);
  await go(page, "main form button.main");
  await until("the browser to print", () => printed(page));
  assert.ok((await page.innerText("article.receipt.mm80")).includes(heading));
  assert.equal(await scanned(desk, "article img.qr"), link, "a telephone reads it from the paper");
  await desk.look("receipt-printed");

  const me = await visit();
  const title = guest();
  await me.open(link);
  await fill(me.page, { kind: "person", title });
  await check(me.page);
  await issue(me.page);
  await seenIssued(me.page, lang);
  await me.look("state");
  await me.open(link);
  await seenIssued(me.page, lang);
  assert.equal((await site.signed(title)).length, 1);
  await desk.open(code);
  assert.equal(await page.locator("form[action$='/cancel']").count(), 0, "what is filled in is not cancelled");
  await desk.look("used");
  await desk.open("/console/codes");
  await desk.look("codes");
});

walk("reservation_from_the_wall", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const desk = await visit();
  const { page } = desk;
  await atTheDesk(site, desk, fresh("clerk").toLowerCase(), ["admin", "clerk"]);
  await desk.open("/console/goods");
  await page.click("summary:has(+ form[action$='/import'])");
  await page.setInputFiles("input[type=file]", { name: "goods.csv", mimeType: "text/csv", buffer: Buffer.from(GOODS) });
  await go(page, "button[value=import]");
  await desk.look("goods");
  await desk.open("/console/organisations");
  await desk.look("organisations");
  await desk.open("/console/organisations/A/codes/new");
  await page.fill("input[name=name]", fresh("前台"));
  await page.fill("input[name=goods_word]", "房费");
  await go(page, "button[value=find]");
  await go(page, "button[name=add]");
  await page.selectOption("select[name='by.0']", "amount");
  await page.fill("input[name=limit]", "2000");
  await page.fill("input[name='field.0']", "房号");
  await desk.look("set-up");
  await go(page, "button[name=step][value=save]");
  await desk.look("wall");
  const wall = await page.getAttribute("main a[href*='/r/']", "href");
  const png = await downloaded(page, "a[href*='/qr.png']");
  assert.equal(png.bytes.subarray(1, 4).toString(), "PNG");

  // A guest, who has scanned it with WeChat. Sent without anything it says what is missing; sent twice it is one reservation; nothing
  // is issued.
  const me = await visit({ agent: WECHAT, elsewhere: [AUTHORISES] });
  const title = guest();
  const info = { err_msg: "chooseInvoiceTitle:ok", choose_invoice_title_info: JSON.stringify({ type: "1", title }) };
  await bridge(me, (signed) => (signed ? info : { err_msg: "chooseInvoiceTitle:fail_access denied" }));
  await authoriser(site, me, () => true);
  await me.open(wall);
  await me.look("form");
  await go(me.page, "main form[data-memory] button.main");
  assert.match(await me.page.innerText("[role=alert]"), new RegExp(WORDS[lang].correct));
  await me.look("faults");
  // What the disk cannot print is named while it is typed, in the merchant's own fields too: the very set of the server.
  const room = me.page.locator("input[name='answer.0']");
  const named = me.page.locator("[id='h-answer.0']");
  await room.fill("8楼€镕㐀");
  assert.match(await named.innerText(), new RegExp(`${WORDS[lang].unprintable}.*€ 㐀$`));
  assert.equal(await unnamed(room, named), CODE_PAGE_936, "characters that disks print");
  await me.page.click("[data-titles] button");
  await until("the title that is kept in WeChat", async () => (await me.page.inputValue("input[name=GMF_MC]")) === title || undefined);
  assert.ok(await me.page.isChecked("input[name=kind][value=person]"));
  await fill(me.page, { email: `${fresh("guest").toLowerCase()}@consumer.example` });
  await me.page.fill("input[name='money.0']", "888.00");
  await room.fill("1208");
  assert.equal(await named.innerText(), "");
  await check(me.page);
  for (const word of [title, "¥888.00", "1208"]) assert.ok((await me.page.innerText("main")).includes(word), word);
  await me.look("confirm", lang === "zh" && width === 390 ? { picture: "reservation-confirm" } : {});
  await go(me.page, "button[name=step][value=change]");
  assert.equal(await room.inputValue(), "1208", "what was filled in stays");
  await check(me.page);
  await me.page.dblclick("button[name=step][value=issue]");
  await me.page.locator("[role=status] strong", { hasText: WORDS[lang].reserved }).waitFor();
  await me.look("reserved");
  assert.equal((await site.signed(title)).length, 0, "nothing is issued without a clerk");

  // Somebody else has no JavaScript: the same steps.
  const plain = await visit({ script: false });
  await plain.open(wall);
  await fill(plain.page, { kind: "person", title: guest(), email: "plain@consumer.example" });
  await plain.page.fill("input[name='money.0']", "1.00");
  await check(plain.page);
  await go(plain.page, "button[name=step][value=issue]");
  assert.equal(await plain.page.innerText("[role=status] strong"), WORDS[lang].reserved);
  await plain.look("reserved-without-a-script");

  // The clerk finds it by the buyer's name, looks, and gives it back.
  await desk.open(`/console/reservations?word=${encodeURIComponent(title)}`);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await desk.look("reservations");
  await go(page, "tbody a");
  await go(page, "form[action$='/take'] button");
  await desk.look("draft");
  await go(page, "form[action$='/release'] button");

  // 填开发票: a line by hand, then 开票信息: the guest is added to the draft, and the line stays.
  await desk.open("/console/issue");
  const line = { XMMC: "*餐饮服务*洗衣", DW: "件", XMJSHJ: "12.00", SL: "0.06", SPBM: "3070401000000000000" };
  for (const [name, value] of Object.entries(line)) await page.fill(`input[name='${name}.0']`, value);
  await page.fill("input[name=reservation_word]", title);
  await go(page, "button[value=find_reservation]");
  await desk.look("reservations-offered", lang === "zh" && width === 1280 ? { picture: "issue-screen", from: "#reservations" } : {});
  await go(page, "button[name=attach]");
  assert.equal(await page.inputValue("input[name='XMMC.0']"), line.XMMC);
  assert.equal(await page.inputValue("input[name=GMF_MC]"), title);
  await desk.look("attached");
  await page.fill("input[name=GMF_DZDH]", "路1号€");
  await page.locator("[id='h-GMF_DZDH'].bad", { hasText: "€" }).waitFor();
  await page.fill("input[name=GMF_DZDH]", "");
  await go(page, "button[name=step][value=check]");
  assert.match(await page.innerText("main"), /900\.00/);
  await desk.look("check");
  await page.dblclick("button[name=step][value=make]");
  // The guest's page finds out by itself.
  await seenIssued(me.page, lang);
  await me.look("issued");
  await go(me.page, "a[href*='/card?part=1']");
  await me.page.locator("[role=status]", { hasText: CARDS[lang].sent }).waitFor();
  await until("the card", () => [...site.cards.inserted.values()].find((one) => one.title === title));
  assert.equal((await site.signed(title)).length, 1);
});

/** Characters of code page 936, as protocol/src/gbk.rs counts them, without those that no line of a form holds (C0 and DEL). */
const CODE_PAGE_936 = 21_919 - 33;

/** How many characters of the Basic Multilingual Plane a field takes without naming them. */
async function unnamed(field, hint) {
  const all = Array.from({ length: 0x10000 }, (_, code) => code).filter((code) => (code < 0xd800 || code > 0xdfff) && code !== 10 && code !== 13);
  await field.evaluate((input, codes) => {
    input.value = codes.map((code) => String.fromCharCode(code)).join("");
    input.dispatchEvent(new Event("input"));
  }, all);
  const named = await hint.evaluate((element) => new Set(element.textContent.slice(element.closest("form").dataset.bad.length + 1).split(" ")).size);
  return all.length - named;
}

walk("found_without_its_code", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const pictured = (name, at) => (lang === "zh" && width === at ? { picture: name } : {});
  const serial = fresh("FIND");
  const title = guest();
  const date = new Date(Date.now() + 8 * 3600_000).toISOString().slice(0, 10);
  const asked = await site.json("insertForQRInvoice", site.document(serial, { GMF_MC: title, RQSJ: date }));
  const me = await visit();
  await me.open("/find");
  await me.look("find", pictured("consumer-find", 390));
  await me.page.fill("input[name=extraction]", "000000000000");
  await go(me.page, "main form button.main");
  await me.page.locator("[role=alert]").waitFor();
  await me.look("nothing");
  await me.page.fill("input[name=extraction]", asked.data.invoicecode);
  await go(me.page, "main form button.main");
  await seenIssued(me.page, lang);
  assert.equal(await serialOf(me.page, lang), serial);

  // By what stands beside a torn code: serial number, total and date; a wrong total is the same answer as anything else.
  const receipt = async (total) => {
    await me.open("/find");
    for (const [name, value] of Object.entries({ serial, total, date })) await me.page.fill(`input[name=${name}]`, value);
    await Promise.all([me.page.waitForEvent("load"), me.page.press("input[name=date]", "Enter")]);
  };
  await receipt("113.01");
  await me.page.locator("[role=alert]").waitFor();
  await receipt("¥113");
  assert.equal(await me.page.innerText("[role=status] strong"), WORDS[lang].issued);
  assert.ok(!(await me.page.innerText("main")).includes(title), "masked");
  await me.look("by-receipt");

  // The terminal: the scanner types the link and Enter into the field that has the focus.
  const terminal = await visit();
  const screen = terminal.page;
  await terminal.open("/kiosk");
  await terminal.look("kiosk");
  const scan = async (link) => {
    await screen.keyboard.type(link);
    await Promise.all([screen.waitForEvent("load"), screen.keyboard.press("Enter")]);
  };
  await scan(asked.data.qrcode);
  // A terminal that everybody walks past clears itself, whoever looks: that is essential there (WCAG 2.2.1).
  await terminal.look("kiosk-invoice", { excused: ["meta-refresh"], from: "section:has([role=status])", ...pictured("kiosk", 1280) });
  assert.match(await screen.innerText("main"), /011002000111/);
  await hasPdf(screen);
  const [file] = await Promise.all([screen.waitForRequest(/\/i\/.*\/pdf$/), screen.click("[data-print-file]")]);
  assert.equal(file.frame().parentFrame(), screen.mainFrame(), "the file goes to the printer in a frame; the page stays");
  assert.match(screen.url(), /\/kiosk/);
  // The next one scans without touching anything: his invoice alone is there.
  const other = fresh("FIND");
  const second = await site.json("insertForQRInvoice", site.document(other, { GMF_MC: guest(), total: "226.00" }));
  await site.issued(other);
  await until("the field to have the keyboard again", () => screen.evaluate("document.activeElement.id === 'scan' || undefined"));
  // The minute after which it is cleared is a second for this scan: what the page says is shortened on its way.
  await terminal.context.route("**/kiosk?*", async (route) => {
    const response = await route.fetch();
    const text = await response.text();
    assert.match(text, /http-equiv="refresh" content="60;url=\/kiosk"/);
    await route.fulfill({ response, body: text.replace('content="60;', 'content="1;') });
  });
  await scan(second.data.qrcode);
  const shown = await screen.innerText("main");
  assert.ok(shown.includes("¥226.00") && !shown.includes("¥113.00"), shown);
  await screen.waitForEvent("load");
  assert.ok(!(await screen.innerText("main")).includes("226"), "nothing is left of it");
  await until("the field to wait for the next one", () => screen.evaluate("document.activeElement.id === 'scan' || undefined"));
});
