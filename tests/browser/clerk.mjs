// What the merchant's people do in the console, and the words that they must find there.

import assert from "node:assert/strict";
import { go } from "./visitor.mjs";

/** A password that nobody has. */
export const PASSWORD = "correct horse battery";

/** Words of the console in both languages, as portal/src/console/words.rs has them. */
export const WORDS = {
  zh: {
    signIn: "登录", wrong: "用户名、密码或验证码不正确", list: "发票列表", issued: "已开票", nothing: "没有符合条件的单据", failed: "未开票（失败）",
    requeued: "已重新进入开票队列", ready: "密码已设置", sample: "样票", redAccepted: "红冲请求已受理", unknown: "没有这个页面或单据",
    correction: "更正", approval: "审批", released: "已批准，进入开票队列", waits: "待审批",
  },
  en: {
    signIn: "Sign in", wrong: "The user name, the password or the code is wrong", list: "All invoices", issued: "Issued", nothing: "Nothing matches",
    failed: "Not issued (failed)", requeued: "Queued again under the same serial number", ready: "Your password is set", sample: "SAMPLE",
    redAccepted: "The reversal is accepted", unknown: "There is no such page or request", correction: "correct", approval: "Approval",
    released: "Approved and queued", waits: "Waits for approval",
  },
};

/** Sets the first password with the operator's link. */
export async function setPassword(visitor, address) {
  const { page } = visitor;
  await visitor.open(address);
  await page.fill("input[name=new]", PASSWORD);
  await page.fill("input[name=again]", PASSWORD);
  await page.click("main button");
  await page.waitForURL(/sign-in\?ready/);
}

/** Signs in on the page that is open. */
export async function signIn(page, login, password = PASSWORD) {
  await page.fill("input[name=tenant]", "shop");
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", password);
  await go(page, "main button.main");
}

/** A clerk with a password, signed in, at the list. */
export async function atTheDesk(site, visitor, login, roles = ["clerk", "manager"]) {
  await setPassword(visitor, await site.invite(login, roles));
  await signIn(visitor.page, login);
  await visitor.page.waitForURL(/\/console\/invoices$/);
}

/** Finds requests by one of the ways of the list. */
export async function search(page, by, word) {
  await page.selectOption("select[name=by]", by);
  await page.fill("input[name=word]", word);
  await go(page, "form.filters button.main");
}

/** Does one of the actions of a request, with the tick that it demands. */
export async function act(page, name) {
  const form = page.locator(`form[action$='/${name}']`);
  await form.locator("input[type=checkbox]").check();
  await form.locator("button").click();
  await page.waitForURL(/done=/);
}

/** Waits until a request is in a state; the console's pages are loaded again for that, as a clerk does it. */
export async function becomes(page, state) {
  const ends = Date.now() + 60_000;
  for (;;) {
    const shown = await page.innerText("main .state");
    if (shown === state) return;
    assert.ok(Date.now() < ends, `it is ${shown}, not ${state}`);
    await page.reload({ waitUntil: "load" });
  }
}
