// 离线二维码: a till's receipt, scanned (sections 3.1 to 3.3.6 of the schemes).

import assert from "node:assert/strict";
import { COMPANY_NUMBER, WORDS, check, downloaded, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { fresh } from "../site.mjs";
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

walk("offline_in_the_middle", { over: [{ lang: "zh" }, { lang: "en" }], alone: true }, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const me = await visit();
  await me.open(await site.till(order));
  const email = `${order.toLowerCase()}@consumer.example`;
  await fill(me.page, { kind: "person", title: `断线${order}`, email });
  await check(me.page);
  await site.ask("stop_agent");
  try {
    await issue(me.page);
    await me.page.waitForURL(/\/q\//);
    // The page finds out by itself, and says it in a consumer's words.
    await me.page.locator("[role=status] strong", { hasText: WORDS[lang].offline }).waitFor();
    await me.look("device-away", lang === "zh" ? { picture: "consumer-offline" } : {});
  } finally {
    await site.ask("start_agent");
  }
  await seenIssued(me.page, lang);
  assert.match(await site.mailed(email), /application\/pdf/);
  assert.equal((await site.signed(`断线${order}`)).length, 1);
});
