// What consumers do on their pages, and the words that they must find there.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { go } from "./visitor.mjs";

/** Words of the pages in both languages, as portal/src/pages/words.rs has them. */
export const WORDS = {
  zh: {
    form: "填写发票抬头", confirm: "请核对后开票", issued: "开票成功", offline: "已收到，商户的税控设备暂时不可用", unprintable: "税控设备无法打印",
    sample: "样票 SAMPLE", total: "价税合计", correct: "请修改以下内容", corrected: "更正申请已交给商户", sent: "已进入发送队列",
    reserved: "预约已提交", invalid: "二维码无效", unknown: "暂无此订单", refused: "该订单不能开票",
  },
  en: {
    form: "Who is the invoice for?", confirm: "Please check before it is issued", issued: "Issued",
    offline: "Received; the merchant's tax device is not available now", unprintable: "The tax device cannot print",
    sample: "样票 SAMPLE", total: "Total with tax", correct: "Please correct the following",
    corrected: "The merchant's staff will look at your request", sent: "It is on its way",
    reserved: "Reserved", invalid: "This code is not valid", unknown: "No such order yet", refused: "This order cannot be invoiced",
  },
};

/** A company that does not exist, with a number that could. */
export const COMPANY_NUMBER = "91310000MA00000025";

/** Fills the buyer in. What is not given stays as it is. */
export async function fill(page, { kind, title, number, address, bank, email }) {
  if (kind) await page.check(`input[name=kind][value=${kind}]`);
  const fields = { GMF_MC: title, GMF_NSRSBH: number, email };
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) await page.fill(`input[name=${name}]`, value);
  if (address !== undefined || bank !== undefined) {
    if (!(await page.isVisible("input[name=GMF_DZDH]"))) await page.click("summary:has(~ label input[name=GMF_DZDH])");
    await page.fill("input[name=GMF_DZDH]", address ?? "");
    await page.fill("input[name=GMF_YHZH]", bank ?? "");
  }
}

/** From the form to the step of confirming, or to what is wrong. */
export const check = (page) => go(page, "button[name=step][value=check]");

/** The last step. */
export const issue = (page) => page.click("button[name=step][value=issue]");

/** Waits until the page itself says that the invoice is issued: nobody loads it again. */
export async function seenIssued(page, lang) {
  // The whole text: "Being issued" holds the word too.
  await page.locator("[role=status] strong", { hasText: new RegExp(`^${WORDS[lang].issued}$`) }).waitFor();
}

/** The serial number that a page of a state shows. */
export async function serialOf(page, lang) {
  const label = { zh: "开票流水号", en: "Serial number" }[lang];
  return (await page.locator("dt", { hasText: label }).locator("xpath=following-sibling::dd[1]").innerText()).trim();
}

/** Clicks a link to a file and gives what came. */
export async function downloaded(page, selector) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

/** The PDF of an invoice's page is one. */
export async function hasPdf(page) {
  const { name, bytes } = await downloaded(page, "a[href$='/pdf']");
  assert.match(name, /^\d{12}-\d{8}\.pdf$/);
  assert.equal(bytes.subarray(0, 5).toString(), "%PDF-");
  assert.ok(bytes.length > 10_000, `${bytes.length} bytes`);
}
