// 码上开票 and 预约二维码: codes that people of the merchant make (sections 6.1 to 7.3.4), and what is found without a code.

import assert from "node:assert/strict";
import { atTheDesk } from "../clerk.mjs";
import { WORDS, check, downloaded, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { fresh } from "../site.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

/** 商品档案 of a hotel. */
const GOODS = `商品名称,规格型号,单位,含税单价,税率,税收分类编码\r
*住宿服务*房费,,晚,,0.06,3070402000000000000\r
*餐饮服务*早餐,,份,30,0.06,3070401000000000000\r
`;

/** Names that a clerk finds again among those of other walks. */
const guest = () => `住客${fresh("G").slice(-6)}`;

walk("code_made_by_hand", { over: EVERYWHERE }, async (site, { lang, visit }) => {
  const desk = await visit({ width: 1280 });
  const { page } = desk;
  await atTheDesk(site, desk, fresh("clerk").toLowerCase(), ["clerk"]);
  await desk.open("/console/codes/new");
  await desk.look("new-code");
  const line = { XMMC: "*餐饮服务*咖啡", DW: "杯", XMSL: "2", price: "28.50", SL: "0.06", SPBM: "3070401000000000000" };
  for (const [name, value] of Object.entries(line)) await page.fill(`input[name='${name}.0']`, value);
  await go(page, "button[name=step][value=make]");
  assert.match(await page.innerText("main"), /57\.00/);
  await desk.look("code");
  const code = page.url();
  const link = await page.getAttribute("main a[href*='/q/']", "href");
  await go(page, "a[href$='/receipt']");
  await desk.look("receipt");

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

walk("reservation_from_the_wall", { over: EVERYWHERE }, async (site, { lang, visit }) => {
  const desk = await visit({ width: 1280 });
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

  // A guest. Sent without anything it says what is missing; sent twice it is one reservation; nothing is issued.
  const me = await visit();
  const title = guest();
  await me.open(wall);
  await me.look("form");
  await go(me.page, "main form[data-memory] button.main");
  assert.match(await me.page.innerText("[role=alert]"), new RegExp(WORDS[lang].correct));
  await me.look("faults");
  await fill(me.page, { kind: "person", title, email: `${fresh("guest").toLowerCase()}@consumer.example` });
  await me.page.fill("input[name='money.0']", "888.00");
  await me.page.fill("input[name='answer.0']", "1208");
  await go(me.page, "main form[data-memory] button.main");
  await me.look("reserved");
  assert.equal((await site.signed(title)).length, 0, "nothing is issued without a clerk");

  // The clerk finds it by the buyer's name, takes it, checks and issues.
  await desk.open(`/console/reservations?word=${encodeURIComponent(title)}`);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await desk.look("reservations");
  await go(page, "tbody a");
  await go(page, "form[action$='/take'] button");
  await desk.look("draft");
  await go(page, "button[name=step][value=check]");
  assert.match(await page.innerText("main"), /888\.00/);
  await desk.look("check");
  await page.dblclick("button[name=step][value=make]");
  await me.page.reload();
  await seenReserved(me, lang);
  await me.look("issued");
  assert.equal((await site.signed(title)).length, 1);
});

/** Waits until the page of a reservation says that it is issued; it is loaded again for that. */
async function seenReserved(me, lang) {
  for (let looks = 0; looks < 100; looks += 1) {
    if ((await me.page.innerText("[role=status] strong")) === WORDS[lang].issued) return;
    await me.page.reload({ waitUntil: "load" });
  }
  assert.fail(await me.page.innerText("main"));
}

walk("found_without_its_code", { over: EVERYWHERE }, async (site, { lang, visit }) => {
  const serial = fresh("FIND");
  const title = guest();
  const asked = await site.json("insertForQRInvoice", site.document(serial, { GMF_MC: title }));
  const me = await visit();
  await me.open("/find");
  await me.look("find");
  await me.page.fill("input[name=extraction]", "000000000000");
  await go(me.page, "main form button.main");
  await me.page.locator("[role=alert]").waitFor();
  await me.look("nothing");
  await me.page.fill("input[name=extraction]", asked.data.invoicecode);
  await go(me.page, "main form button.main");
  await seenIssued(me.page, lang);
  assert.equal(await serialOf(me.page, lang), serial);

  // The terminal: the scanner types the link and Enter into the field that has the focus.
  const terminal = await visit();
  await terminal.open("/kiosk");
  await terminal.look("kiosk");
  await terminal.page.keyboard.type(asked.data.qrcode);
  await Promise.all([terminal.page.waitForEvent("load"), terminal.page.keyboard.press("Enter")]);
  // A terminal that everybody walks past clears itself, whoever looks: that is essential there (WCAG 2.2.1).
  await terminal.look("kiosk-invoice", { excused: ["meta-refresh"] });
  assert.match(await terminal.page.innerText("main"), /011002000111/);
  await hasPdf(terminal.page);
});
