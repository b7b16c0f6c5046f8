// 在线申请: the merchant asks for a code by `insertForQRInvoice` (sections 4.1 to 4.3.3), and his own codes (5.1 to 5.3.5).

import assert from "node:assert/strict";
import { COMPANY_NUMBER, WORDS, check, fill, hasPdf, issue, seenIssued, serialOf } from "../consumer.mjs";
import { fresh } from "../site.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

walk("online_scheme_without_a_buyer", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const serial = fresh("ONLINE");
  const title = `示例大学${serial.slice(-4)}学院`;
  const document = site.document(serial, { total: "56.50", item: "*餐饮服务*咖啡", URL: `${site.merchant}/callback` });
  const asked = await site.json("insertForQRInvoice", document);
  assert.equal(asked.code, "0000", JSON.stringify(asked));
  const me = await visit();
  await me.open(asked.data.qrcode);
  assert.match(await me.page.innerText("main"), /¥56\.50/);
  await me.look("form");
  await fill(me.page, { kind: "institution", title, number: COMPANY_NUMBER });
  await me.look("filled", lang === "zh" && width === 390 ? { picture: "consumer-form" } : {});
  await check(me.page);
  await me.look("confirm");
  // Back to the form: what was filled in is there.
  await go(me.page, "button[name=step][value=change]");
  assert.equal(await me.page.inputValue("input[name=GMF_MC]"), title);
  await check(me.page);
  await issue(me.page);
  await seenIssued(me.page, lang);
  assert.equal(await serialOf(me.page, lang), serial);
  await me.look("state");
  const called = await site.called(serial);
  assert.equal(called.code ?? "0000", "0000");
  await go(me.page, "a[href^='/i/']");
  await hasPdf(me.page);

  // Asked for again it is the same code; scanned again it is the state.
  assert.equal((await site.json("insertForQRInvoice", document)).data.qrcode, asked.data.qrcode);
  await me.open(asked.data.qrcode);
  await seenIssued(me.page, lang);
  assert.equal((await site.signed(title)).length, 1);

  // A correction is a task for the merchant; nothing is changed by asking.
  await me.page.click("summary:has(+ form[action$='/correct'])");
  await me.page.fill("textarea[name=text]", "抬头写错了");
  await me.look("correction");
  await go(me.page, "form[action$='/correct'] button");
  await me.page.locator("[role=status]", { hasText: WORDS[lang].corrected }).waitFor();
  await me.page.click("summary:has(+ form[action$='/send'])");
  await me.page.fill("form[action$='/send'] input[name=address]", `${serial.toLowerCase()}@elsewhere.example`);
  await go(me.page, "form[action$='/send'] button");
  await me.page.locator("[role=status]", { hasText: WORDS[lang].sent }).waitFor();
  await me.look("sent-elsewhere");
  assert.match(await site.mailed(`${serial.toLowerCase()}@elsewhere.example`), /application\/pdf/);
});

walk("online_scheme_with_a_buyer", { over: EVERYWHERE }, async (site, { lang, visit }) => {
  const serial = fresh("ONLINE");
  const title = `有抬头${serial}`;
  const asked = await site.json("insertForQRInvoice", site.document(serial, { GMF_MC: title, GMF_NSRSBH: COMPANY_NUMBER }));
  assert.equal(asked.code, "0000", JSON.stringify(asked));
  const me = await visit();
  await me.open(asked.data.qrcode);
  assert.equal(await me.page.locator("input[name=GMF_MC]").count(), 0, "the buyer is known: there is no form");
  await seenIssued(me.page, lang);
  await me.look("state");
  await go(me.page, "a[href^='/i/']");
  await me.look("invoice");
  await hasPdf(me.page);
  assert.equal((await site.signed(title)).length, 1);
});

walk("own_code_scheme", { over: EVERYWHERE }, async (site, { visit }) => {
  // The form is the merchant's own; what he has filled in there comes by the standard interface.
  const serial = fresh("OWN");
  const title = `自有码${serial}`;
  const email = `${serial.toLowerCase()}@consumer.example`;
  const document = site.document(serial, { GMF_MC: title, GMF_NSRSBH: COMPANY_NUMBER });
  const told = await site.form("insertWithArray", {
    requestdatas: [document], url: [{ fpqqlsh: serial, url: `${site.merchant}/callback` }], email: [{ fpqqlsh: serial, address: email }],
  });
  assert.equal(told.code, "0000", JSON.stringify(told));
  const called = await site.called(serial);
  assert.ok(called.shareurl ?? called.data?.shareurl, JSON.stringify(called).slice(0, 500));
  const me = await visit();
  await me.open(called.shareurl ?? called.data.shareurl);
  assert.match(await me.page.innerText("main"), /¥113\.00/);
  await me.look("invoice");
  await hasPdf(me.page);
  assert.match(await site.mailed(email), /application\/pdf/);
  // The same again, as a merchant sends it whose line was cut: the same invoice.
  const again = await site.form("insertWithArray", { requestdatas: [document] });
  assert.equal(again.code, "0000", JSON.stringify(again));
  assert.equal((await site.signed(title)).length, 1);
});
