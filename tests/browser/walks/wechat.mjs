// Inside WeChat: the titles that its user keeps there (sections 6.3.3 and 7.3.3), by the bridge that WeChat puts into its pages.

import assert from "node:assert/strict";
import { COMPANY_NUMBER, check, issue, seenIssued } from "../consumer.mjs";
import { fresh, isSigned } from "../site.mjs";
import { walk } from "../walk.mjs";

/** How its browser calls itself. */
const WECHAT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36 MicroMessenger/8.0.50";
/** The page's words when the bridge refuses. */
const FAILED = { zh: /微信/, en: /WeChat/ };

/** Puts a bridge into every page of a device, which asks WeChat: `says` is what its user does, and may change. */
async function bridge(visitor, says) {
  await visitor.context.exposeFunction("askWechat", (page, name, given) => {
    if (name === "preVerifyJSAPI") {
      const may = given.appId === "wxplatform" && given.verifyJsApiList.includes("chooseInvoiceTitle") && isSigned(page, given);
      return { err_msg: `preVerifyJSAPI:${may ? "ok" : "fail_invalid signature"}` };
    }
    assert.equal(name, "chooseInvoiceTitle");
    return says(isSigned(page, given));
  });
  await visitor.context.addInitScript(`window.WeixinJSBridge = { invoke: (name, given, done) =>
    window.askWechat(location.href, name, given).then(done) };`);
}

walk("title_is_picked_inside_wechat", { over: [{ lang: "zh" }, { lang: "en" }] }, async (site, { lang, visit }) => {
  const serial = fresh("WECHAT");
  const title = `微信抬头${serial}有限公司`;
  const asked = await site.json("insertForQRInvoice", site.document(serial));
  assert.equal(asked.code, "0000", JSON.stringify(asked));

  // In another browser there is nothing to pick from.
  const other = await visit();
  await other.open(asked.data.qrcode);
  assert.equal(await other.page.locator("[data-titles]").count(), 0);

  let answer = { err_msg: "chooseInvoiceTitle:cancel" };
  const me = await visit({ agent: WECHAT });
  await bridge(me, (signed) => (signed ? answer : { err_msg: "chooseInvoiceTitle:fail_access denied" }));
  const { page } = me;
  await me.open(asked.data.qrcode);
  await page.fill("input[name=GMF_MC]", "先写的抬头");
  const button = page.locator("[data-titles] button");
  const picked = async () => {
    await button.click();
    await page.locator("[data-titles] button:not([disabled])").waitFor();
  };
  // Its user says no, then WeChat does: what he wrote stays, and he is told what to do.
  await picked();
  assert.equal(await page.inputValue("input[name=GMF_MC]"), "先写的抬头");
  assert.equal((await page.innerText("[data-titles] .hint")).trim(), "");
  answer = { err_msg: "chooseInvoiceTitle:fail" };
  await picked();
  assert.match(await page.innerText("[data-titles] .hint"), FAILED[lang]);
  assert.equal(await page.inputValue("input[name=GMF_MC]"), "先写的抬头");
  await me.look("refused");

  const info = { type: "0", title, taxNumber: COMPANY_NUMBER, companyAddress: "北京市示例路1号", telephone: "010-12345678",
    bankName: "示例银行", bankAccount: "0200001009000000001" };
  answer = { err_msg: "chooseInvoiceTitle:ok", choose_invoice_title_info: JSON.stringify(info) };
  await picked();
  assert.equal(await page.inputValue("input[name=GMF_MC]"), title);
  assert.equal(await page.inputValue("input[name=GMF_NSRSBH]"), COMPANY_NUMBER);
  assert.equal(await page.inputValue("input[name=GMF_DZDH]"), "北京市示例路1号 010-12345678");
  assert.ok(await page.isChecked("input[name=kind][value=enterprise]"));
  await me.look("picked");
  await check(page);
  await issue(page);
  await seenIssued(page, lang);
  assert.equal((await site.signed(title)).length, 1);
});
