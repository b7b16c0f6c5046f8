// A second factor: set up with an app, asked for at the next sign-in, and a recovery code for the day that the telephone is gone.
// Docs: docs/admin.md.

import assert from "node:assert/strict";
import { WORDS, atTheConsole, signIn } from "../administrator.mjs";
import { fresh } from "../site.mjs";
import { code } from "../totp.mjs";
import { go } from "../visitor.mjs";
import { EVERYWHERE, walk } from "../walk.mjs";

walk("broker_console_factor", { over: EVERYWHERE }, async (site, one) => {
  const { lang, visit } = one;
  const words = WORDS[lang];
  const name = fresh("fay").toLowerCase();
  const me = await visit({ at: "broker" });
  const { page } = me;
  await atTheConsole(site, me, name, "operator");

  // It is begun with the password, and shown to scan or to type.
  await me.open("/console/account");
  await me.look("admin-account");
  await page.fill("form[action$='/factor'] input[name=password]", "wrong horse battery");
  await go(page, "form[action$='/factor'] button");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.wrong));
  await page.fill("form[action$='/factor'] input[name=password]", "correct horse battery");
  await go(page, "form[action$='/factor'] button");
  const secret = (await page.innerText("main code")).trim();
  assert.match(secret, /^[A-Z2-7]{32}$/);
  const box = await page.locator("main svg").boundingBox();
  assert.ok(box.width > 150 && Math.abs(box.width - box.height) < 2, `a picture that can be scanned: ${JSON.stringify(box)}`);
  await me.look("admin-factor-scan");

  // A wrong code sets up nothing; the first right one gives the recovery codes, once.
  await page.fill("input[name=code]", "000000");
  await go(page, "main button.main");
  assert.equal((await page.innerText("main code")).trim(), secret, "the same picture again");
  await page.fill("input[name=code]", code(secret));
  await go(page, "main button.main");
  const recovery = await page.locator("main li code").allInnerTexts();
  assert.equal(recovery.length, 10);
  assert.match(await page.innerText("[role=status]"), new RegExp(words.factorSet));
  await me.look("admin-factor-recovery");
  await me.open("/console/account");
  const shown = await page.innerText("main");
  assert.ok(shown.includes(words.factorOn) && shown.includes("10"), shown);
  await me.look("admin-account-with-factor");

  // From now on nobody comes in by the password alone.
  const again = async (given) => {
    // First away from the overview: its live part would ask once more without the session, and be refused.
    await page.goto("about:blank");
    await page.context().clearCookies();
    await me.open("/console/sign-in");
    if (given) await page.fill("input[name=code]", given);
    await signIn(page, name);
  };
  await again("");
  assert.match(await page.innerText("[role=status]"), new RegExp(words.wrong));
  await again(code(secret, 1));
  await page.waitForURL(/\/console$/);
  await again(recovery[0]);
  await page.waitForURL(/\/console$/);
  await again(recovery[0]);
  assert.match(await page.innerText("[role=status]"), new RegExp(words.wrong), "a recovery code is good once");
});
