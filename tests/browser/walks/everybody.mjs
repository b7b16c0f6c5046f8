// Whoever comes: without JavaScript, in the dark, with a keyboard alone, over a slow line, or with bad intentions.

import assert from "node:assert/strict";
import { WORDS as DESK, atTheDesk, search, signIn } from "../clerk.mjs";
import { COMPANY_NUMBER, WORDS, check, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { walk } from "../walk.mjs";

walk("offline_scheme_without_javascript", { over: [{ lang: "zh", width: 390 }, { lang: "en", width: 1280 }] }, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const title = `无脚本${order}`;
  const code = await site.till(order);
  const me = await visit({ script: false });
  const { page } = me;
  await me.open(code);
  await me.look("form");
  await check(page);
  assert.match(await page.innerText("[role=alert]"), new RegExp(WORDS[lang].correct));
  await fill(page, { kind: "enterprise", title, number: COMPANY_NUMBER });
  await check(page);
  await me.look("confirm");
  await issue(page);
  await page.waitForURL(/\/q\//);
  // The page loads itself again by its own head.
  assert.ok(await page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]").count() > 0 || await issuedAlready(page, lang));
  await until("the page that says issued", async () => {
    if (await issuedAlready(page, lang)) return true;
    await page.reload({ waitUntil: "load" });
    return undefined;
  });
  await me.look("state");
  await go(page, "a[href^='/i/']");
  await me.look("invoice");
  await hasPdf(page);
  assert.equal((await site.signed(title)).length, 1);

  // What stands around it: the page for printers, a receipt that is searched for, and the terminal.
  await go(page, "a[href$='/print']");
  assert.ok(await page.locator("[data-print]").isHidden(), "a button that needs a script is not there");
  await me.look("print");
  await me.open("/find");
  const date = new Date(Date.now() + 8 * 3600_000).toISOString().slice(0, 10);
  for (const [name, value] of Object.entries({ serial: order, total: "113.00", date })) await page.fill(`input[name=${name}]`, value);
  await go(page, "main form button.main");
  assert.equal(await page.innerText("[role=status] strong"), WORDS[lang].issued, "by the number of the order on the receipt");
  await me.look("found");
  await me.open("/kiosk");
  await page.locator("#scan:focus").waitFor();
  await page.keyboard.type(code);
  assert.equal(await page.inputValue("#scan"), code);
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
  assert.match(await page.innerText("main"), /011002000111/);
  assert.equal(await page.locator("meta[http-equiv=refresh]").getAttribute("content"), "60;url=/kiosk", "it clears itself");
  await hasPdf(page);
});

async function issuedAlready(page, lang) {
  return (await page.innerText("[role=status] strong")).startsWith(WORDS[lang].issued);
}

walk("dark", { over: [{ width: 390 }, { width: 1280 }] }, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const me = await visit({ dark: true });
  const { page } = me;
  await me.open(await site.till(order));
  await me.look("form");
  await check(page);
  await me.look("faults");
  await fill(page, { kind: "person", title: `深色${order}` });
  await check(page);
  await me.look("confirm");
  await issue(page);
  await seenIssued(page, lang);
  await me.look("state");
  await go(page, "a[href^='/i/']");
  await me.look("invoice");
  const desk = await visit({ dark: true });
  await desk.open("/console/sign-in");
  await desk.look("sign-in");
  await signIn(desk.page, "nobody", "not the password");
  await desk.look("wrong-password");
  await atTheDesk(site, desk, fresh("clerk").toLowerCase());
  await desk.look("list");
  await go(desk.page, "tbody a");
  await desk.look("detail");
});

walk("keyboard_alone", {}, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const title = `键盘${order}`;
  const me = await visit();
  const { page } = me;
  await me.open(await site.till(order));
  /** Tab until an element has the focus; it can be seen that it has. */
  const to = async (selector) => {
    for (let steps = 0; steps < 40; steps += 1) {
      await page.keyboard.press("Tab");
      if (!(await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`))) continue;
      const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
      assert.notEqual(outline, "none", `the focus of ${selector} is seen`);
      return;
    }
    assert.fail(`Tab does not lead to ${selector}`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.className"), "skip", "the first stop skips to the content");
  await me.keep("skip");
  await to("input[name=kind]");
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate("document.querySelector('input[name=kind]:checked').value"), "person");
  await me.keep("kind");
  await to("input[name=GMF_MC]");
  await page.keyboard.type(title);
  await to("button[name=step]");
  await me.look("form");
  await page.keyboard.press("Enter");
  await page.locator("button[value=issue]").waitFor();
  await to("button[value=issue]");
  await me.look("confirm");
  await page.keyboard.press("Enter");
  await seenIssued(page, lang);
  await to("a[href^='/i/']");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/i\//);
  await to("a[href$='/pdf']");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  assert.match(download.suggestedFilename(), /\.pdf$/);
  assert.equal((await site.signed(title)).length, 1);
});

walk("title_is_kept_on_the_device_only_if_wanted", {}, async (site, { visit }) => {
  const me = await visit();
  const { page } = me;
  const title = `记住${fresh("ME")}`;
  const kept = async () => {
    await me.open(await site.till(fresh("POS")));
    return page.inputValue("input[name=GMF_MC]");
  };
  assert.equal(await kept(), "");
  await fill(page, { kind: "person", title });
  await check(page);
  assert.equal(await kept(), "", "nobody asked for it");
  await fill(page, { kind: "person", title });
  await page.check("#keep");
  await check(page);
  assert.equal(await kept(), title);
  await me.look("kept");
  await page.uncheck("#keep");
  await check(page);
  assert.equal(await kept(), "");
});

/** What somebody writes who wants his words to be run. Characters that a disk can print, so that they get far. */
const PAYLOADS = [`"><img src=x onerror=alert(1)>`, `'><script>alert(2)</script>`, `{{7*7}}\${7*7}<svg/onload=alert(3)>`, `javascript:alert(4)`];

/** Nothing of a payload became an element. */
async function isHarmless(page) {
  const found = await page.evaluate(`[...document.querySelectorAll("img[src=x], svg, script:not([src]), [onerror], [onload], a[href^=javascript]")]
    .map((element) => element.outerHTML)`);
  assert.deepEqual(found, [], page.url());
}

walk("what_consumers_write_is_never_run", {}, async (site, { lang, visit }) => {
  const desk = await visit({ width: 1280 });
  await atTheDesk(site, desk, fresh("clerk").toLowerCase());
  for (const [index, payload] of PAYLOADS.slice(0, 3).entries()) {
    const order = fresh("POS");
    const code = await site.till(order, { item: `*纸制品*${payload.slice(0, 24)}` });
    const me = await visit();
    const { page } = me;
    await me.open(code);
    await isHarmless(page);
    // Refused: every field of the form comes back as it was written.
    await fill(page, { title: payload, number: payload.slice(0, 20), address: payload, bank: payload, email: payload });
    await page.fill("input[name=email]", payload);
    await check(page);
    await isHarmless(page);
    assert.equal(await page.inputValue("input[name=GMF_MC]"), payload);
    await me.look(`refused-${index}`);
    await fill(page, { kind: "person", number: "", email: "" });
    await check(page);
    await isHarmless(page);
    await issue(page);
    await page.waitForURL(/\/q\//);
    await seenIssued(page, lang);
    await isHarmless(page);
    const serial = await serialOf(page, lang);
    await page.click("summary:has(+ form[action$='/correct'])");
    await page.fill("textarea[name=text]", payload);
    await page.fill("input[name=contact]", payload);
    await go(page, "form[action$='/correct'] button");
    await page.locator("[role=status]", { hasText: WORDS[lang].corrected }).waitFor();
    await page.click("summary:has(+ form[action$='/send'])");
    await page.fill("form[action$='/send'] input[name=address]", payload);
    await go(page, "form[action$='/send'] button");
    await isHarmless(page);
    await go(page, "a[href^='/i/']");
    await isHarmless(page);
    await hasPdf(page);
    // The clerk who opens it sees words.
    await desk.open(`/console/invoices/${serial}`);
    await isHarmless(desk.page);
    assert.ok((await desk.page.innerText("main")).includes(payload.slice(0, 8)));
    await desk.look(`at-the-desk-${index}`);
    me.settle();
  }
});

walk("what_clerks_write_is_never_run", {}, async (site, { lang, visit }) => {
  const me = await visit({ width: 1280 });
  const { page } = me;
  for (const payload of PAYLOADS) {
    await me.open("/console/sign-in");
    await page.fill("input[name=tenant]", payload);
    await page.fill("input[name=login]", payload);
    await page.fill("input[name=password]", payload);
    await go(page, "main button.main");
    await page.locator("[role=status]").waitFor();
    await isHarmless(page);
  }
  await atTheDesk(site, me, fresh("clerk").toLowerCase());
  for (const payload of PAYLOADS) {
    await me.open("/console/invoices");
    for (const by of ["serial", "buyer", "mail"]) {
      await search(page, by, `${payload} nobody`);
      assert.match(await page.innerText("main"), new RegExp(DESK[lang].nothing));
      assert.equal(await page.inputValue("input[name=word]"), `${payload} nobody`);
      await isHarmless(page);
    }
    for (const name of ["old", "new", "again"]) {
      await me.open("/console/account");
      for (const field of ["old", "new", "again"]) await page.fill(`input[name=${field}]`, "somethinglong");
      await page.fill(`input[name=${name}]`, payload);
      await go(page, "main button");
      await page.locator("[role=status]").waitFor();
      await isHarmless(page);
    }
  }
  await me.look("account");
});

walk("first_paint_over_a_slow_line", { alone: true }, async (site, { lang, visit }) => {
  const order = fresh("POS");
  const code = await site.till(order);
  const first = await visit();
  await first.paint("form", code);
  await fill(first.page, { kind: "person", title: `慢线${order}` });
  await check(first.page);
  await issue(first.page);
  await seenIssued(first.page, lang);
  const state = first.page.url();
  const invoice = new URL(await first.page.getAttribute("a[href^='/i/']", "href"), state).href;
  const desk = await visit({ width: 1280 });
  await atTheDesk(site, desk, fresh("clerk").toLowerCase());
  for (const [name, address] of [["state", state], ["invoice", invoice]]) await (await visit()).paint(name, address);
  for (const [name, address] of [["find", "/find"], ["kiosk", "/kiosk"], ["sign-in", "/console/sign-in"]]) {
    await (await visit()).paint(name, address);
  }
  await desk.paint("console list", "/console/invoices");
});

walk("a_page_too_wide_for_a_telephone_is_noticed", { over: [{ lang: "en", width: 390 }] }, async (site, { visit }) => {
  const me = await visit();
  await me.open("/find");
  await me.look("as-it-is");
  // A long word in a line that must not break. The window of a telephone grows with it, and so would a comparison with that.
  await me.page.evaluate(() => {
    const line = document.createElement("p");
    line.style.whiteSpace = "nowrap";
    line.textContent = "x".repeat(120);
    document.querySelector("main").append(line);
  });
  await assert.rejects(me.look("too-wide"), /wide, the device 390/);
});
