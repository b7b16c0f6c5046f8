// The merchant's console: signing in, finding, looking, and what may be done to a request.

import assert from "node:assert/strict";
import { WORDS, act, atTheDesk, becomes, search, setPassword, signIn } from "../clerk.mjs";
import { COMPANY_NUMBER, downloaded } from "../consumer.mjs";
import { fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

walk("console", { over: EVERYWHERE }, async (site, { lang, width, visit }) => {
  const words = WORDS[lang];
  const pictured = (name) => (lang === "zh" && width === 1280 ? { picture: name } : {});
  const serial = fresh("DESK");
  const title = `控制台${serial}`;
  const sent = await site.form("insertWithArray", { requestdatas: [site.document(serial, { GMF_MC: title, GMF_NSRSBH: COMPANY_NUMBER })] });
  assert.equal(sent.code, "0000", JSON.stringify(sent));
  const login = fresh("clerk").toLowerCase();
  const me = await visit();
  const { page } = me;

  // The first password, by the operator's link; it works once.
  const link = await site.invite(login, ["clerk", "manager"]);
  await me.open(link);
  await me.look("first-password");
  await setPassword(me, link);
  assert.match(await page.innerText("[role=status]"), new RegExp(words.ready));
  await me.look("sign-in");
  await me.open(link);
  assert.equal(await page.locator("input[name=new]").count(), 0, "the link is used up");
  await me.open("/console/invoices");
  assert.match(page.url(), /\/console\/sign-in$/, "nobody sees the list who is not signed in");
  await signIn(page, login, "wrong horse battery");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.wrong));
  assert.equal(await page.inputValue("input[name=password]"), "", "a password is never sent back");
  await me.look("wrong-password");
  await signIn(page, login);
  await page.waitForURL(/\/console\/invoices$/);
  assert.equal(await page.innerText("h1"), words.list);
  await me.look("list");

  // Found by serial number and by buyer; nothing by what nobody has.
  await site.issued(serial);
  await search(page, "serial", serial);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await search(page, "buyer", title);
  assert.equal(await page.locator("tbody tr").count(), 1);
  assert.match(await page.innerText("tbody tr"), new RegExp(words.issued));
  await search(page, "number", "99999999");
  assert.match(await page.innerText("main"), new RegExp(words.nothing));
  await me.look("nothing-found");
  await search(page, "serial", serial);
  const csv = await downloaded(page, "a[href*='invoices.csv']");
  assert.ok(csv.bytes.toString().includes(serial), csv.bytes.toString().slice(0, 300));
  const xlsx = await downloaded(page, "a[href*='invoices.xlsx']");
  assert.equal(xlsx.bytes.subarray(0, 2).toString(), "PK");

  await go(page, `a[href$='/${serial}']`);
  const shown = await page.innerText("main");
  for (const word of [serial, title, COMPANY_NUMBER, "011002000111"]) assert.ok(shown.includes(word), `${word} in ${shown}`);
  assert.equal(await page.locator("form[action$='/reissue']").count(), 0, "what is issued is not issued again");
  assert.equal(await page.locator("form[action$='/void']").count(), 0, "an electronic invoice is never voided");
  await me.look("detail", pictured("console-detail"));
  await act(page, "red");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.redAccepted));
  await me.look("reversed");
  await until("the red invoice", async () => (await site.signed(title)).some((entry) => entry.status === "negative") || undefined);
  const entries = await site.signed(title);
  assert.deepEqual(entries.map((entry) => entry.status).sort(), ["negative", "positive"], JSON.stringify(entries));

  await me.open("/console/account");
  await me.look("account");
  await me.open("/console/approval");
  await me.look("approval");
  await me.open("/console/invoices/NOBODYS");
  assert.match(await page.innerText("h1"), new RegExp(words.unknown));
  await me.look("not-there");
  await me.open("/console/invoices");
  await search(page, "buyer", title);
  await me.look("found-again", pictured("console-list"));
  await go(page, "form[action='/console/sign-out'] button");
  assert.match(page.url(), /\/console\/sign-in$/);
  await page.goBack();
  await page.reload();
  assert.match(page.url(), /\/console\/sign-in$/, "back after signing out shows nothing");
});

walk("console_re_issue", { over: [{ lang: "zh", width: 1280 }, { lang: "en", width: 390 }], alone: true }, async (site, { lang, visit }) => {
  const words = WORDS[lang];
  const serial = fresh("AGAIN");
  const title = `重开${serial}`;
  const me = await visit();
  const { page } = me;
  await atTheDesk(site, me, fresh("boss").toLowerCase());
  const rule = (more) => site.brokerPut(`/v1/sellers/${site.seller}`, { name: "示例商贸有限公司", ...more });
  // What waits for a disk for a second fails here, so that there is something to re-issue.
  await rule({ disk_trouble: { fail_after_s: 1 } });
  await site.ask("stop_agent");
  try {
    await site.form("insertWithArray", { requestdatas: [site.document(serial, { GMF_MC: title })] });
    await me.open(`/console/invoices/${serial}`);
    await becomes(page, words.failed);
    await me.look("failed");
  } finally {
    await rule({});
    await site.ask("start_agent");
  }
  assert.equal((await site.signed(title)).length, 0, "failed means that no invoice exists");
  // Two tabs, both pressed.
  const other = await me.tab();
  await me.open(`/console/invoices/${serial}`, other);
  await Promise.all([act(page, "reissue"), act(other, "reissue")]);
  await me.look("re-issued");
  await becomes(page, words.issued);
  assert.equal((await site.signed(title)).length, 1, "one invoice, under the same serial number");
  await me.look("issued");
});

walk("console_approval", { over: [{ lang: "zh", width: 390 }, { lang: "en", width: 1280 }] }, async (site, { lang, visit }) => {
  const words = WORDS[lang];
  const serial = fresh("HELD");
  const title = `待批${serial}`;
  const document = site.document(serial, { GMF_MC: title });
  const sent = await site.form("insertWithArray", { requestdatas: [document], autoAudit: "false" });
  assert.equal(sent.code, "0000", JSON.stringify(sent));
  const [boss, viewer] = [await visit(), await visit()];
  await atTheDesk(site, boss, fresh("boss").toLowerCase());
  await atTheDesk(site, viewer, fresh("viewer").toLowerCase(), ["viewer"]);
  await viewer.open(`/console/invoices/${serial}`);
  assert.equal(await viewer.page.locator("form[action$='/release']").count(), 0, "who may not has no button");
  await viewer.look("seen-by-a-viewer");
  await boss.open("/console/approval");
  assert.match(await boss.page.innerText("main"), new RegExp(serial));
  await boss.look("queue");
  await go(boss.page, `a[href$='/${serial}']`);
  await becomes(boss.page, words.waits);
  assert.equal((await site.signed(title)).length, 0, "nothing is issued before it is approved");
  await act(boss.page, "release");
  assert.match(await boss.page.innerText("[role=status]"), new RegExp(words.released));
  await becomes(boss.page, words.issued);
  await boss.look("approved");
  assert.equal((await site.signed(title)).length, 1);
});

walk("every_page_of_the_menu", { over: EVERYWHERE }, async (site, { visit }) => {
  const me = await visit();
  const { page } = me;
  await atTheDesk(site, me, fresh("all").toLowerCase(), ["viewer", "clerk", "manager", "admin"]);
  const addresses = await page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  assert.ok(addresses.length >= 10, `the menu has ${addresses}`);
  for (const address of addresses) {
    await me.open(address);
    // The issue screen leads on to a draft of its own.
    if (new URL(page.url()).pathname === address) {
      assert.equal(await page.locator("nav a[aria-current]").getAttribute("href"), address, "the menu says where he is");
    }
    await me.look(address.split("/").slice(2).join("-"));
  }
});
