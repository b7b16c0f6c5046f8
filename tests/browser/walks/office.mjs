// What is done in the merchant's office: a correction from the consumer's wish to the second invoice, people and callbacks, and
// the figures of the month.

import assert from "node:assert/strict";
import { PASSWORD, WORDS, act, atTheDesk, becomes, setPassword, signIn } from "../clerk.mjs";
import { COMPANY_NUMBER, downloaded, seenIssued } from "../consumer.mjs";
import { fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { walk } from "../walk.mjs";

/** Both languages, both widths; each of them once. */
const OFFICES = [{ lang: "zh", width: 1280 }, { lang: "en", width: 390 }];

walk("correction_to_its_end", { over: OFFICES }, async (site, { lang, visit }) => {
  const words = WORDS[lang];
  const serial = fresh("WRONG");
  const [wrong, right] = [`写错${serial}`, `改对${serial}`];
  const asked = await site.json("insertForQRInvoice", site.document(serial, { GMF_MC: wrong, GMF_NSRSBH: COMPANY_NUMBER }));
  const me = await visit();
  await me.open(asked.data.qrcode);
  await seenIssued(me.page, lang);
  await me.page.click("summary:has(+ form[action$='/correct'])");
  await me.page.fill("textarea[name=text]", `抬头应为${right}`);
  await me.page.fill("input[name=contact]", "13800000000");
  await go(me.page, "form[action$='/correct'] button");

  // The clerk takes it, reverses the invoice, and makes the right one.
  const desk = await visit();
  const { page } = desk;
  await atTheDesk(site, desk, fresh("boss").toLowerCase(), ["manager"]);
  await desk.open("/console/tasks");
  await desk.look("tasks");
  await go(page, `tbody tr:has-text("${serial}") a`);
  await desk.look("asked");
  assert.match(await page.innerText("blockquote"), new RegExp(right));
  await go(page, "form[action$='/take'] button");
  assert.equal(await page.locator("form[action$='/replace']").count(), 0, "the wrong invoice stands: no form for another one");
  await desk.look("taken");
  const task = new URL(page.url()).pathname;
  await desk.open(`/console/invoices/${serial}`);
  await act(page, "red");
  await until("the red invoice", async () => (await site.signed(wrong)).some((entry) => entry.status === "negative") || undefined);
  await until("the form for the right one", async () => {
    await desk.open(task);
    return (await page.locator("form[action$='/replace']").count()) === 1 || undefined;
  });
  await desk.look("reversed");
  await page.fill("form[action$='/replace'] input[name=GMF_MC]", right);
  await page.check("form[action$='/replace'] input[name=confirm]");
  await go(page, "form[action$='/replace'] button.main");
  assert.equal(await page.locator("form[action$='/replace']").count(), 0, "one replacement");
  await desk.look("replaced");
  await go(page, "tbody tr:last-child a");
  await becomes(page, words.issued);
  await desk.look("right-invoice");
  await desk.open(task);
  await page.fill("input[name=answer]", "已红冲并重开");
  await go(page, "form[action$='/end'] button[value=done]");
  await desk.look("done");
  assert.equal(await page.locator("form[action$='/end']").count(), 0, "it is done");
  await desk.open("/console/tasks?state=done");
  assert.match(await page.innerText("main"), new RegExp(serial));
  await desk.look("tasks-done");
  assert.deepEqual((await site.signed(wrong)).map((entry) => entry.status).sort(), ["negative", "positive"]);
  assert.deepEqual((await site.signed(right)).map((entry) => entry.status), ["positive"]);
});

// Alone: the tenant has one callback address, which it changes.
walk("people_callbacks_and_reports", { over: OFFICES, alone: true }, async (site, { lang, visit }) => {
  const me = await visit();
  const { page } = me;
  await atTheDesk(site, me, fresh("admin").toLowerCase(), ["admin", "viewer"]);

  // A callback address is saved and tried; what its server answered is told.
  await me.open("/console/settings/callbacks");
  const callbacks = `${site.merchant}/callback`;
  await page.fill("input[name=url]", callbacks);
  await go(page, "form[action$='/callbacks'] button");
  assert.equal(await page.inputValue("input[name=url]"), callbacks);
  const before = site.callbacks.length;
  await go(page, "form[action$='/callbacks/test'] button");
  await page.locator("section[role=status] .notice.good").waitFor();
  assert.match(await page.innerText("section[role=status]"), /200/);
  assert.ok(site.callbacks.length > before, "it was called");
  await me.look("callback-tried");
  await page.fill("input[name=url]", `${site.merchant}/nowhere`);
  await go(page, "form[action$='/callbacks'] button");
  await go(page, "form[action$='/callbacks/test'] button");
  await page.locator("section[role=status] .notice:not(.good)").waitFor();
  await me.look("callback-refused");
  await page.fill("input[name=url]", "");
  await go(page, "form[action$='/callbacks'] button");

  // Somebody new: his link works once, and he sees what his role may see.
  await me.open("/console/settings/users");
  const login = fresh("new").toLowerCase();
  const form = "form[action='/console/settings/users']";
  await page.fill(`${form} input[name=name]`, "新同事");
  await page.fill(`${form} input[name=login]`, login);
  await page.check(`${form} input[value=viewer]`);
  await go(page, `${form} button`);
  const link = (await page.innerText("section[role=status] code")).trim();
  await me.look("invited");
  const other = await visit();
  await setPassword(other, link);
  await signIn(other.page, login, PASSWORD);
  await other.page.waitForURL(/\/console\/invoices$/);
  assert.equal(await other.page.locator("nav a[href^='/console/settings']").count(), 0, "a viewer has no settings");
  await me.open(`/console/settings/users?from=${login}`);
  const disable = `form[action$='/${login}/disable']`;
  await page.check(`${disable} input[name=confirm]`);
  await go(page, `${disable} button`);
  await me.look("shut-out");
  await other.open("/console/invoices");
  assert.match(other.page.url(), /\/console\/sign-in$/, "he is out at once");
  await me.open("/console/settings/history");
  assert.match(await page.innerText("main"), new RegExp(login));
  await me.look("history");

  // The month's figures hold an invoice that is on the disk, on the page and in both files.
  const serial = fresh("MONTH");
  await site.form("insertWithArray", { requestdatas: [site.document(serial, { GMF_MC: `月报${serial}` })] });
  await site.issued(serial);
  await me.open("/console/reports");
  await go(page, "form.filters button.main");
  await me.look("reports");
  // Others issue meanwhile: page and file are of one moment once nobody did between them.
  await until("a file that says what the page says", async () => {
    await page.reload({ waitUntil: "load" });
    const total = (await page.innerText("section.card:has(h2) tfoot td:last-child >> nth=0")).trim();
    assert.match(total, /^-?[\d,]+\.\d\d$/);
    const csv = (await downloaded(page, "a[href*='reports.csv'] >> nth=0")).bytes.toString();
    const days = csv.trim().split("\n").slice(1).map((row) => Math.round(Number(row.trim().split(",").pop()) * 100));
    const sum = days.reduce((all, one) => all + one, 0);
    return sum === Math.round(Number(total.replaceAll(",", "")) * 100) || undefined;
  });
  const xlsx = await downloaded(page, "a[href*='reports.xlsx'] >> nth=0");
  assert.equal(xlsx.bytes.subarray(0, 2).toString(), "PK");
});
