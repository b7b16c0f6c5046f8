// The administrators' console of the broker: coming in, looking, and what is done with what is stuck. Docs: docs/admin.md.

import assert from "node:assert/strict";
import { PASSWORD, WORDS, atTheConsole, fact, invite, says, setPassword, signIn } from "../administrator.mjs";
import { choose, enter, tick, write } from "../keyboard.mjs";
import { fresh, until } from "../site.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

/** A serial number that the broker takes as it is: letters and digits. */
const serialNumber = (prefix) => fresh(prefix).replace("-", "");

/** Pictures of the documentation are in English: docs/admin.md is. */
const pictured = ({ lang, width }, name, from) => (lang === "en" && width === 1280 ? { picture: name, from } : {});

walk("broker_console", { over: EVERYWHERE }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const name = fresh("anna").toLowerCase();
  const me = await visit({ at: "broker" });
  const { page } = me;

  // The first password, by a link that works once.
  const link = await invite(site, name, "administrator");
  await me.open(link);
  await me.look("admin-first-password");
  await setPassword(me, link);
  assert.match(await page.innerText("[role=status]"), new RegExp(words.ready));
  await me.open(link);
  assert.match(await page.innerText("h1"), new RegExp(words.used));
  await me.open("/console/jobs");
  assert.match(page.url(), /\/console\/sign-in$/, "nobody sees the jobs who is not signed in");
  await signIn(page, name, "wrong horse battery");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.wrong));
  assert.equal(await page.inputValue("input[name=password]"), "", "a password is never sent back");
  await me.look("admin-wrong-password");
  await signIn(page, name);
  await page.waitForURL(/\/console$/);
  assert.equal(await page.innerText("h1"), words.overview);

  // The overview counts an invoice that somebody else issues; nobody loads it again.
  const before = Number(await fact(page, words.issuedLately));
  await page.evaluate("window.sameDocument = true");
  const serial = serialNumber("LIVE");
  const sent = await site.form("insertWithArray", { requestdatas: [site.document(serial, { GMF_MC: `实时${serial}` })] });
  assert.equal(sent.code, "0000", JSON.stringify(sent));
  const { number } = await site.issued(serial).then(() => site.brokerCall("GET", `/v1/jobs/${site.seller}/${serial}`)).then((job) => job.issued);
  await until("the overview to count it", async () => Number(await fact(page, words.issuedLately)) > before || undefined);
  assert.equal(await page.evaluate("window.sameDocument"), true, "it was not loaded again");
  await me.look("admin-overview", pictured(one, "admin-overview"));

  // The job, by its serial number, with its attempt and its lines in the chain.
  await me.open("/console/jobs");
  await me.look("admin-jobs");
  await page.fill("input[name=serial]", serial);
  await go(page, "form.filters button.main");
  assert.equal(await page.locator("tbody tr").count(), 1);
  await go(page, "tbody a");
  const shown = await page.innerText("main");
  for (const word of [serial, words.issued, number]) assert.ok(shown.includes(word), `${word} in ${shown}`);
  assert.equal(await page.locator("form[action$='/settle']").count(), 0, "what is issued is not settled");
  assert.equal(await page.locator("form[action$='/cancel']").count(), 0, "what is issued is not withdrawn");
  await me.look("admin-job");
  await me.open("/console/jobs?serial=NOBODYS");
  assert.match(await page.innerText("main"), new RegExp(words.nothing));

  // Disks, and one with its stock and dates.
  await me.open("/console/disks");
  await me.look("admin-disks");
  await go(page, `a[href='/console/disks/${site.disk}']`);
  await page.locator("svg.plot").first().waitFor();
  assert.match(await page.locator("svg.plot").first().getAttribute("aria-label"), /24/, "the picture is told in words");
  await me.look("admin-disk");

  // A code for a new agent, as a picture too.
  await me.open("/console/agents");
  await page.fill("form[action$='/enroll'] input[name=name]", "till 3");
  await go(page, "form[action$='/enroll'] button");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.code));
  const box = await page.locator("svg.qr").boundingBox();
  assert.ok(box.width >= 200 && Math.abs(box.width - box.height) < 2, JSON.stringify(box));
  await me.look("admin-enrol");

  // The chain of the seller holds the job; all chains are as they were written.
  await me.open(`/console/audit?seller=${site.seller}&word=${serial}`);
  assert.ok(await page.locator(`tbody a[href$='/${serial}']`).count() >= 3);
  await me.look("admin-audit");
  await go(page, "form[action$='/verify'] button");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.whole));
  await me.look("admin-verified");

  for (const address of ["/console/operations", "/console/pauses", "/console/keys", "/console/webhooks", "/console/users", "/console/account"]) {
    await me.open(address);
    await me.look(`admin-${address.split("/").pop()}`);
  }
  await me.open("/console/disks/000000000000");
  assert.match(await page.innerText("h1"), new RegExp(words.unknown));

  // Who only looks has no buttons, and the addresses answer so.
  const other = await visit({ at: "broker" });
  await atTheConsole(site, other, fresh("vera").toLowerCase(), "viewer");
  assert.equal(await other.page.locator("nav a[href='/console/audit'], nav a[href='/console/users']").count(), 0);
  await other.open(`/console/jobs/${site.seller}/${serial}`);
  assert.equal(await other.page.locator("main form").count(), 0);
  await other.open("/console/keys");
  assert.match(await other.page.innerText("h1"), new RegExp(words.roles));
  await other.look("admin-forbidden");

  await go(page, "form[action='/console/sign-out'] button");
  assert.match(page.url(), /\/console\/sign-in$/);
  await page.goBack();
  await page.reload();
  assert.match(page.url(), /\/console\/sign-in$/, "back after signing out shows nothing");
});

walk("broker_console_updates", { over: EVERYWHERE, alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const me = await visit({ at: "broker" });
  const { page } = me;
  await atTheConsole(site, me, fresh("anna").toLowerCase());
  const card = page.locator("section.card", { has: page.locator("input[name=versions]") });
  const offer = async (versions) => {
    await card.locator("input[name=versions]").fill(versions);
    await go(page, "form[action$='/updates']:has(input[name=versions]) button");
  };
  // What lies there and cannot be used says why; the two others are shown, and offered to nobody.
  await me.open("/console/agents");
  assert.equal(await card.locator("li").count(), 2);
  assert.match(await card.locator(".notice").innerText(), /taxdisk-agent-0\.9\.9/);
  assert.equal(await card.locator(".state.good").count(), 0);
  // Agents of the tests are built without a key: each says so.
  assert.match(await page.innerText("main"), new RegExp(words.takesNone));
  // A file's name is a long word; a telephone must not become wider by it.
  assert.ok(await page.evaluate("document.documentElement.scrollWidth") <= one.width, "it fits the window");
  await me.look("admin-updates-none");
  await offer("newest please");
  assert.equal(await page.locator("nav").count(), 1, "it is a page of the console");
  assert.match(await page.innerText("main"), /newest please/, "it says what cannot be read");
  await me.look("admin-updates-wrong");
  await me.open("/console/agents");
  await offer("^0.2");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.paused));
  assert.equal(await card.locator("li .state.good").count(), 1, "the one in the range");
  await me.look("admin-updates-offered");
  await go(page, "form[action$='/updates']:has(input[value=stop]) button");
  assert.equal(await card.locator(".state.good").count(), 0);
});

// These walk alone, in this order: all use the disk of the second seller. The operation is the last: its agent must have heard what
// people settled.

walk("broker_console_settle", { over: [{ lang: "zh", width: 390 }, { lang: "en", width: 1280 }], alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const serial = serialNumber("DOUBT");
  const me = await visit({ at: "broker" });
  const { page } = me;
  await atTheConsole(site, me, fresh("anna").toLowerCase());
  // The answer is lost, another program takes the number with an equal invoice, and nothing on the disk tells whose it is.
  const { current } = await site.ask({ doubt: serial });
  await me.open("/console/jobs?state=unsettled");
  await go(page, `tbody a[href$='/${serial}']`);
  assert.equal((await page.innerText("main .state")).trim(), words.unsettled);
  const form = page.locator("form[action$='/settle']");
  assert.equal(await form.locator(".report > section").count(), 2, "both readings, side by side");
  await me.look("admin-settle", pictured(one, "admin-settle", "form[action$='/settle']"));
  const decide = async (currentNumber) => {
    await form.locator("input[name=current_code]").fill(current.code);
    await form.locator("input[name=current_number]").fill(currentNumber);
    await form.locator("select[name=expected]").selectOption("present_foreign");
    await form.locator("select[name=decision]").selectOption("not_issued");
    await form.locator("textarea[name=reason]").fill("the number is the other till's, its paper was seen");
    await form.locator("input[type=checkbox]").check();
    await go(page, "form[action$='/settle'] button.main");
    return page.innerText("main");
  };
  // A decision is of what was shown; the agent reads the disk too, and then one looks again.
  const again = async (currentNumber) => {
    for (let turn = 0; ; turn += 1) {
      const said = await decide(currentNumber);
      if (!said.includes(words.stale)) return said;
      assert.ok(turn < 20, said);
      await me.open(`/console/jobs/${site.second}/${serial}`);
    }
  };
  // The disk says that no number went: with that, the expected one cannot be somebody else's.
  const first = String(Number(current.number) - 1).padStart(8, "0");
  assert.match(await again(first), /settle_contradiction/);
  await me.look("admin-contradiction");
  await me.open(`/console/jobs/${site.second}/${serial}`);
  assert.match(await again(current.number), new RegExp(words.settled));
  await me.look("admin-settled");
  const count = async () => (await site.ask("till_ledger")).length;
  const signed = await count();
  const reissue = page.locator("form[action$='/reissue']");
  await reissue.locator("input[name=reason]").fill("settled by hand");
  await go(page, "form[action$='/reissue'] button");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.requeued));
  await until("the invoice", async () => (await site.brokerCall("GET", `/v1/jobs/${site.second}/${serial}`)).state === "issued" || undefined);
  assert.equal(await count(), signed + 1, "one invoice of ours, after it was known that there is none");
});

walk("broker_console_bulk", { over: [{ lang: "en", width: 1280 }], alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const prefix = serialNumber("BULK");
  const serials = [1, 2, 3].map((number) => `${prefix}${number}`);
  const me = await visit({ at: "broker" });
  const { page } = me;
  await atTheConsole(site, me, fresh("olaf").toLowerCase(), "operator");
  const pause = async (act) => {
    await me.open(`/console/disks/${site.tillDisk}`);
    const form = `form[action='/console/pauses/disk/${site.tillDisk}']`;
    await page.locator(`${form} select[name=act]`).selectOption(act);
    await page.locator(`${form} input[name=reason]`).fill("paper is changed");
    await go(page, `${form} button`);
    assert.match(await page.innerText("[role=status]"), new RegExp(words.paused));
  };
  await pause("pause");
  try {
    for (const serial of serials) {
      const line = { name: "通行费", quantity: "1", price: "9.17", net: "9.17", rate: "0.09", tax: "0.83" };
      const invoice = { buyer: { name: `客户${serial}` }, lines: [line], totals: { net: "9.17", tax: "0.83", gross: "10.00" }, clerk: "张三" };
      await site.brokerCall("POST", "/v1/jobs", { seller: site.second, serial, kind: "025", invoice });
    }
    for (const serial of serials.slice(0, 2)) {
      await me.open(`/console/jobs/${site.second}/${serial}`);
      const form = page.locator("form[action$='/cancel']");
      await form.locator("input[name=reason]").fill("the till was closed");
      await form.locator("input[type=checkbox]").check();
      await go(page, "form[action$='/cancel'] button");
      assert.equal((await page.innerText("main .state")).trim(), words.cancelled);
    }
  } finally {
    await pause("resume");
  }
  const before = (await site.ask("till_ledger")).length;
  await me.open("/console/bulk");
  await page.selectOption("select[name=state]", "cancelled");
  await page.fill("input[name=serial]", prefix);
  await page.fill("input[name=reason]", "the till is open again");
  await go(page, "form[action='/console/bulk'] button.main");
  const shown = await page.innerText("[role=status]");
  assert.ok(shown.includes(words.looked) && shown.includes(words.rerun), shown);
  assert.equal(await page.locator("[role=status] tbody tr").count(), 2, "only those that were withdrawn");
  await me.look("admin-dry-run", pictured(one, "admin-bulk"));
  const view = await site.brokerCall("GET", `/v1/jobs/${site.second}/${serials[0]}`);
  assert.equal(view.state, "cancelled", "a dry run changes nothing");
  await page.check("form[action='/console/bulk/begin'] input[type=checkbox]");
  await go(page, "form[action='/console/bulk/begin'] button");
  // This broker asks for two persons: it waits, and whoever asked for it cannot confirm it.
  assert.match(page.url(), /\/console\/proposals\?done=done_proposed$/);
  const waits = await page.innerText("main");
  assert.ok(waits.includes(words.proposed) && waits.includes("the till is open again"), waits);
  assert.equal(await page.locator("form[action$='/confirm']").count(), 0, "an operator confirms nothing");
  await me.look("admin-proposal-waits");
  assert.equal((await site.brokerCall("GET", `/v1/jobs/${site.second}/${serials[0]}`)).state, "cancelled", "nothing is done yet");
  const second = await visit({ at: "broker" });
  await atTheConsole(site, second, fresh("bert").toLowerCase());
  await second.open("/console/proposals");
  await second.look("admin-proposal");
  await second.page.check("form[action$='/confirm'] input[type=checkbox]");
  await go(second.page, "form[action$='/confirm'] button.main");
  assert.match(second.page.url(), /\/console\/bulk\//);
  await says(second.page, words.done);
  await second.look("admin-bulk-done");
  for (const serial of serials) {
    await until(`${serial} issued`, async () => (await site.brokerCall("GET", `/v1/jobs/${site.second}/${serial}`)).state === "issued" || undefined);
  }
  assert.ok((await site.ask("till_ledger")).length <= before + 3, "one invoice each");
});

walk("broker_console_keyboard", { over: [{ lang: "en", width: 1280 }], alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const serial = serialNumber("KEYS");
  const me = await visit({ at: "broker" });
  const { page } = me;
  // Nothing is clicked from here on, the way in included.
  const name = fresh("anna").toLowerCase();
  await setPassword(me, await invite(site, name, "administrator"));
  await me.open("/console/sign-in");
  await write(page, "input[name=name]", name);
  await write(page, "input[name=password]", PASSWORD);
  await enter(page, "main button.main");
  await page.waitForURL(/\/console$/);
  const { current } = await site.ask({ doubt: serial });

  // Settled, by way of the list. A decision is of what was shown; the agent reads the disk too, and then one looks again.
  await me.open("/console/jobs?state=unsettled");
  await enter(page, `tbody a[href$='/${serial}']`);
  const form = "form[action$='/settle']";
  for (let turn = 0; ; turn += 1) {
    await write(page, `${form} input[name=current_code]`, current.code);
    await write(page, `${form} input[name=current_number]`, current.number);
    await choose(page, `${form} select[name=expected]`, "present_foreign");
    await choose(page, `${form} select[name=decision]`, "not_issued");
    await write(page, `${form} textarea[name=reason]`, "the number is the other till's, its paper was seen");
    await tick(page, `${form} input[type=checkbox]`);
    await enter(page, `${form} button.main`);
    const said = await page.innerText("main");
    if (!said.includes(words.stale)) {
      assert.ok(said.includes(words.settled), said);
      break;
    }
    assert.ok(turn < 20, said);
    await me.open(`/console/jobs/${site.second}/${serial}`);
  }
  assert.equal((await page.innerText("main .state")).trim(), words.failed);

  // What a bulk re-issue would do with it; the menu leads there.
  await enter(page, "nav a[href='/console/bulk']");
  await choose(page, "select[name=state]", "failed");
  await write(page, "input[name=serial]", serial);
  await write(page, "input[name=reason]", "settled by hand");
  await enter(page, "form[action='/console/bulk'] button.main");
  const shown = await page.innerText("[role=status]");
  assert.ok(shown.includes(words.looked) && shown.includes(words.rerun), shown);
  assert.equal(await page.locator("[role=status] tbody tr").count(), 1);
  await me.look("admin-keyboard");
  assert.equal((await site.brokerCall("GET", `/v1/jobs/${site.second}/${serial}`)).state, "failed", "a dry run changes nothing");
});

walk("broker_console_operation", { over: [{ lang: "zh", width: 1280 }], alone: true }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const me = await visit({ at: "broker" });
  const { page } = me;
  await atTheConsole(site, me, fresh("anna").toLowerCase());
  await me.open(`/console/disks/${site.tillDisk}`);
  await me.look("admin-till");
  await go(page, "a[href^='/console/operations?disk=']");
  await page.selectOption("select[name=operation]", "report");
  await page.fill("input[name=reason]", "month end");
  await go(page, "form[action='/console/operations'] button.main");
  await says(page, words.allowed);
  await me.look("admin-judged");
  await page.check("form[action$='/begin'] input[type=checkbox]");
  await go(page, "form[action$='/begin'] button");
  await says(page, words.tookEffect);
  const shown = await page.innerText("main");
  assert.ok(shown.includes(words.before) && shown.includes(words.after), shown);
  await me.look("admin-operation");
});
