// Inside WeChat: the titles that its user keeps there (sections 6.3.3 and 7.3.3), by the bridge that WeChat puts into its pages, and
// its card pack (section 3.3.6), by WeChat's own page.

import assert from "node:assert/strict";
import { COMPANY_NUMBER, check, issue, seenIssued } from "../consumer.mjs";
import { AUTHORISES, fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { CARDS, WECHAT, authoriser, bridge } from "../wechat.mjs";
import { walk } from "../walk.mjs";

/** The page's words when the bridge refuses. */
const FAILED = { zh: /微信/, en: /WeChat/ };
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
  const me = await visit({ agent: WECHAT, elsewhere: [AUTHORISES] });
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

  // The card pack, from the page of the code and of the invoice: he says no, then yes, then presses once more.
  let yes = false;
  await authoriser(site, me, () => yes);
  const says = (word) => page.locator("[role=status]", { hasText: word }).waitFor();
  await me.look("offered-card");
  await go(page, "a[href*='/card?part=1']");
  await says(CARDS[lang].no);
  assert.ok(![...site.cards.inserted.values()].some((one) => one.title === title), "nothing without his word");
  yes = true;
  await go(page, "a[href*='/card?part=1']");
  await says(CARDS[lang].sent);
  await me.look("card-sent");
  const card = await until("the card", () => [...site.cards.inserted.values()].find((one) => one.title === title));
  assert.equal(card.fee, 11300);
  await page.goto(new URL(await page.getAttribute("a[href^='/i/']", "href"), page.url()).href);
  await until("the page that says it is there", async () => {
    await go(page, "a[href*='/card?part=1']");
    return (await page.innerText("[role=status]")).includes(CARDS[lang].kept) || undefined;
  });
  await me.look("card-kept");
  assert.equal([...site.cards.inserted.values()].filter((one) => one.title === title).length, 1, "one card");

  // Titles are offered on the form of a till's code too.
  await me.open(await site.till(fresh("POS")));
  await button.waitFor();
  await picked();
  assert.equal(await page.inputValue("input[name=GMF_MC]"), title);
});
