// 离线二维码: a till's receipt, scanned (sections 3.1 to 3.3.6 of the schemes).

import assert from "node:assert/strict";
import { atTheDesk, search } from "../clerk.mjs";
import { COMPANY_NUMBER, WORDS, check, downloaded, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

walk("offline_scheme", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const words = WORDS[lang];
  const order = fresh("POS");
  const title = `示例科技${order.slice(-4)}有限公司`;
  const code = await site.till(order, { more: { URL: `${site.merchant}/callback` } });
  const me = await visit();
  const pictured = (name) => (lang === "zh" && width === 390 ? { picture: name } : {});

  await me.open(code);
  assert.match(await me.page.innerText("main"), /¥113\.00/);
  assert.equal(await me.page.title(), words.form);
  await me.look("form");

  // A company without its number goes no further, and is told so.
  await fill(me.page, { kind: "enterprise", title });
  await check(me.page);
  assert.match(await me.page.innerText("[role=alert]"), new RegExp(words.correct));
  assert.equal(await me.page.inputValue("input[name=GMF_MC]"), title, "what was filled in stays");
  await me.look("faults");

  // What the disk cannot print is named while it is typed.
  await fill(me.page, { title: "甲😀公司" });
  await me.page.locator("#h-title", { hasText: words.unprintable }).waitFor();
  assert.equal(await me.page.getAttribute("input[name=GMF_MC]", "aria-invalid"), "true");

  const email = `${order.toLowerCase()}@consumer.example`;
  await fill(me.page, { title, number: COMPANY_NUMBER, address: "上海市示例路1号 021-55550000", bank: "示例银行 62200000", email });
  await me.look("filled");
  await check(me.page);
  const shown = await me.page.innerText("main");
  for (const word of [words.confirm, title, COMPANY_NUMBER, email, "¥113.00"]) assert.ok(shown.includes(word), `${word} in ${shown}`);
  await me.look("confirm");
  assert.equal((await site.signed(title)).length, 0, "nothing is issued before it is confirmed");

  await issue(me.page);
  await me.page.waitForURL(/\/q\//);
  await seenIssued(me.page, lang);
  const serial = await serialOf(me.page, lang);
  assert.ok(!(await me.page.innerText("main")).includes(title), "whoever scans sees the buyer masked");
  await me.look("state", pictured("consumer-state"));

  await go(me.page, "a[href^='/i/']");
  assert.match(await me.page.innerText("main"), /011002000111/);
  await me.look("invoice", pictured("consumer-invoice"));
  await hasPdf(me.page);
  const ofd = await downloaded(me.page, "a[href$='/ofd']");
  assert.equal(ofd.bytes.subarray(0, 2).toString(), "PK");
  await go(me.page, "a[href$='/print']");
  await me.look("print");

  // The same receipt, and another print of it: the state, for everybody, and no second invoice.
  const stranger = await visit();
  for (const link of [code, await site.till(order)]) {
    await stranger.open(link);
    assert.equal(await serialOf(stranger.page, lang), serial);
    assert.equal(await stranger.page.locator("input[name=GMF_MC]").count(), 0);
  }
  await stranger.look("scanned-again");
  assert.equal((await site.signed(title)).length, 1, "one invoice on the disk");

  assert.match(await site.mailed(email), /application\/pdf/);
  assert.equal((await site.called(serial)).code, "0000");
});

walk("offline_scheme_refusals", { over: [{ lang: "zh" }, { lang: "en", width: 1280 }] }, async (site, { lang, visit }) => {
  const me = await visit();
  await me.open("/qrcode-connector?syscode=TILL&order=forged");
  assert.match(await me.page.innerText("h1"), new RegExp(WORDS[lang].invalid));
  await me.look("forged");
  const order = fresh("POS");
  const code = await site.till(order, { state: "NOT_INVOICEABLE" });
  await me.open(code);
  assert.match(await me.page.innerText("h1"), new RegExp(WORDS[lang].refused));
  assert.match(await me.page.innerText("main"), /该订单已退货/);
  await me.look("not-invoiceable");
  const later = await site.till(fresh("POS"), { state: "NOT_FOUND" });
  await me.open(later);
  assert.match(await me.page.innerText("h1"), new RegExp(WORDS[lang].unknown));
  await me.look("not-uploaded-yet");
});

walk("one_invoice_from_two_pages_and_a_double_tap", {}, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const [first, second] = [`甲${order}`, `乙${order}`];
  const code = await site.till(order);
  const [one, two] = [await visit(), await visit()];
  for (const [visitor, title] of [[one, first], [two, second]]) {
    await visitor.open(code);
    await fill(visitor.page, { kind: "person", title });
    await check(visitor.page);
  }
  // The same device has it open twice, too.
  const again = await one.tab();
  await one.open(code, again);
  await fill(again, { kind: "person", title: first });
  await check(again);
  const tap = (page) => page.dblclick("button[name=step][value=issue]");
  await Promise.all([tap(one.page), tap(two.page), tap(again)]);
  for (const page of [one.page, two.page, again]) {
    await page.waitForURL(/\/q\//);
    await seenIssued(page, lang);
  }
  const serials = await Promise.all([one.page, two.page, again].map((page) => serialOf(page, lang)));
  assert.equal(new Set(serials).size, 1, "everybody sees the same request");

  // Back to the page of confirming, and once more.
  await one.page.goBack();
  const button = one.page.locator("button[name=step][value=issue]");
  if (await button.count()) {
    await button.click();
  } else {
    await one.open(code);
  }
  await one.page.waitForURL(/\/q\//);
  assert.equal(await serialOf(one.page, lang), serials[0]);
  const signed = [...await site.signed(first), ...await site.signed(second)];
  assert.equal(signed.length, 1, JSON.stringify(signed));
  await one.look("state");
});

/**
 * What breaks behind a page while somebody asks for an invoice, and what a clerk reads of it. The agent is put back last of the
 * first two: it reads the disk's stock when it starts, and at rest every 20 s only.
 */
const BROKEN = [
  {
    what: "disk", breaks: ["empty_disk"], mends: [],
    zh: "税控设备没有空白发票", en: "The disk has no blank invoice left",
  },
  {
    what: "agent", breaks: ["stop_agent"], mends: ["fill_disk", "start_agent"],
    zh: "税控设备或开票助手离线", en: "The disk or its agent is not connected",
  },
  {
    what: "broker", breaks: ["stop_broker"], mends: ["start_broker"],
    zh: "暂时连不上开票服务", en: "The issuing service does not answer",
  },
];

walk("offline_in_the_middle", { over: [{ lang: "zh" }, { lang: "en", width: 1280 }], alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const desk = await visit({ width: 1280 });
  await atTheDesk(site, desk, fresh("clerk").toLowerCase(), ["viewer"]);
  const sales = [];
  const all = () => Promise.all(sales.splice(0).map((sale) => arrived(site, one, sale)));
  try {
    for (const { what, breaks, mends, ...said } of BROKEN) {
      const order = fresh("POS");
      const sale = { order, title: `断线${order}`, email: `${order.toLowerCase()}@consumer.example`, me: await visit() };
      const { page } = sale.me;
      await sale.me.open(await site.till(order, { more: { URL: `${site.merchant}/callback` } }));
      await fill(page, { kind: "person", title: sale.title, email: sale.email });
      await check(page);
      for (const step of breaks) await site.ask(step);
      await issue(page);
      await page.waitForURL(/\/q\//);
      // The page finds out by itself, and says it in a consumer's words.
      await page.locator("[role=status] strong", { hasText: WORDS[lang].offline }).waitFor();
      const shown = await page.innerText("main");
      assert.doesNotMatch(shown, /broker|stock|http|127\.0\.0\.1/i, "nothing of ours is said to a consumer");
      await sale.me.look(`${what}-away`, lang === "zh" && what === "agent" ? { picture: "consumer-offline" } : {});
      // The clerk reads why, in his language, and that nothing is issued.
      await desk.open("/console/invoices");
      // By what is printed on the guest's receipt, as well as by his name.
      await search(desk.page, ...(what === "agent" ? ["order", order] : ["buyer", sale.title]));
      await go(desk.page, "tbody a");
      await until(`the desk to say: ${said[lang]}`, async () => {
        if ((await desk.page.innerText("main")).includes(said[lang])) return true;
        await desk.page.reload({ waitUntil: "load" });
        return undefined;
      });
      assert.doesNotMatch(await desk.page.innerText("main"), /127\.0\.0\.1/, "where the broker is, is nobody's business here");
      await desk.look(`${what}-at-the-desk`);
      assert.equal((await site.signed(sale.title)).length, 0, "nothing is issued meanwhile");
      sales.push(sale);
      for (const step of mends) await site.ask(step);
      if (mends.length > 0) await all();
    }
  } finally {
    for (const step of ["fill_disk", "start_broker", "start_agent"]) await site.ask(step);
  }
});

/** What had to wait is issued by itself: the open page says so, and mail and callback come. */
async function arrived(site, { lang }, { order, title, email, me }) {
  await seenIssued(me.page, lang);
  const serial = await serialOf(me.page, lang);
  assert.match(await site.mailed(email), /application\/pdf/);
  assert.equal((await site.called(serial)).code, "0000");
  assert.equal((await site.signed(title)).length, 1, order);
}
