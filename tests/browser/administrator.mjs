// What the people do who run the broker, and the words that they must find in its console.

import assert from "node:assert/strict";
import { go } from "./visitor.mjs";

/** A password that nobody has. */
export const PASSWORD = "correct horse battery";

/** Words of the console in both languages, as broker/src/console/words has them. */
export const WORDS = {
  zh: {
    wrong: "用户名、密码或验证码不正确", ready: "密码已设置，请登录", used: "该链接已使用或已过期，请联系管理员", overview: "总览", nothing: "没有符合条件的记录",
    issued: "已开票", unsettled: "结果未知", failed: "失败", cancelled: "已撤回", queued: "排队中", whole: "账本完整，与写入时一致",
    issuedLately: "已开票（最近一小时）", settled: "裁定已记录", looked: "试算结果：尚未执行任何操作", done: "批量重开已完成", rerun: "重跑（已证明未开票）",
    requeued: "已以同一流水号重新排队", allowed: "试算：可以执行", tookEffect: "已生效", before: "操作前的读数", after: "操作后的读数",
    code: "登记码只显示这一次", unknown: "没有这个页面或对象", stale: "settle_revision", paused: "已保存", takesNone: "未启用", roles: "您的角色无权执行此操作",
    factorSet: "第二验证因素已启用", factorOn: "已启用。剩余恢复码", proposed: "须由另一位管理员确认后才会执行",
  },
  en: {
    wrong: "The name, the password or the code is wrong", ready: "Your password is set; sign in", used: "This link was used already or has expired",
    overview: "Overview", nothing: "Nothing matches", issued: "Issued", unsettled: "Unsettled", failed: "Failed", cancelled: "Withdrawn",
    queued: "Queued", whole: "Everything is as it was written", issuedLately: "Issued in the last hour", settled: "The decision is entered",
    looked: "This is what it would do; nothing was done yet", done: "It is done", rerun: "Re-run (proven not issued)",
    requeued: "Queued again under the same serial number", allowed: "Dry run: it would be sent", tookEffect: "It took effect",
    before: "Read before", after: "Read after", code: "The code is shown once", unknown: "There is no such page or thing",
    stale: "settle_revision", paused: "Saved", takesNone: "takes none", roles: "Your role may not do this",
    factorSet: "The second factor is set up", factorOn: "It is set up", proposed: "It waits for another administrator",
  },
};

/** A form of the console, sent as a page of it sends it. */
async function send(site, path, fields, cookie) {
  const headers = { origin: site.broker, "content-type": "application/x-www-form-urlencoded", "accept-language": "en", cookie };
  return fetch(`${site.broker}${path}`, { method: "POST", redirect: "manual", headers, body: new URLSearchParams(fields).toString() });
}

/** The session of the first administrator, by the link that the command line printed. It is made once. */
async function root(site) {
  const password = await send(site, site.administratorLink, { new: PASSWORD, again: PASSWORD }, "");
  assert.equal(password.status, 303, await password.text());
  const signed = await send(site, "/console/sign-in", { name: "root", password: PASSWORD }, "");
  assert.equal(signed.status, 303, await signed.text());
  const cookie = signed.headers.get("set-cookie").split(";")[0];
  const page = await (await fetch(`${site.broker}/console/account`, { headers: { cookie } })).text();
  return { cookie, csrf: page.match(/name="csrf" value="([^"]+)"/)[1] };
}

/** Somebody new; the address at which he sets his password. */
export async function invite(site, name, role) {
  site.root ??= root(site);
  const { cookie, csrf } = await site.root;
  const answer = await send(site, "/console/users", { csrf, name, role }, cookie);
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return text.match(/\/console\/password\/[\w-]+/)[0];
}

/** Sets the first password. */
export async function setPassword(visitor, address) {
  const { page } = visitor;
  await visitor.open(address);
  await page.fill("input[name=new]", PASSWORD);
  await page.fill("input[name=again]", PASSWORD);
  await page.click("main button");
  await page.waitForURL(/sign-in\?done=/);
}

/** Signs in on the page that is open. */
export async function signIn(page, name, password = PASSWORD) {
  await page.fill("input[name=name]", name);
  await page.fill("input[name=password]", password);
  await go(page, "main button.main");
}

/** A person with a password, signed in, at the overview. */
export async function atTheConsole(site, visitor, name, role = "administrator") {
  await setPassword(visitor, await invite(site, name, role));
  await signIn(visitor.page, name);
  await visitor.page.waitForURL(/\/console$/);
}

/** The number beside a word of a list of facts. */
export async function fact(page, word) {
  const value = page.locator("dt", { hasText: word }).first().locator("xpath=following-sibling::dd[1]");
  return (await value.innerText()).trim();
}

/** Loads the page again until it says a word, as a person does who waits. */
export async function says(page, word) {
  const ends = Date.now() + 60_000;
  for (;;) {
    const shown = await page.innerText("main");
    if (shown.includes(word)) return;
    assert.ok(Date.now() < ends, `it does not say ${word}: ${shown}`);
    await page.reload({ waitUntil: "load" });
  }
}
