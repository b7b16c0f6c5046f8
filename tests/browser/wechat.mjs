// WeChat, as far as a page inside it can tell: its browser's name, the bridge that it puts into pages, and its own page on which a
// user authorises an invoice for the card pack.

import assert from "node:assert/strict";
import { AUTHORISES, isSigned } from "./site.mjs";

/** How its browser calls itself. */
export const WECHAT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36 MicroMessenger/8.0.50";
/** What a page says of the card pack. */
export const CARDS = {
  zh: { no: "您没有授权", sent: "已授权", kept: "已在微信卡包中" },
  en: { no: "You did not authorise it", sent: "Authorised", kept: "is in WeChat's card pack already" },
};

/** WeChat's own page for a device: its user says `yes()` or not, and is led back. */
export async function authoriser(site, visitor, yes) {
  await visitor.context.route(`${AUTHORISES}?*`, (route) => {
    const { searchParams } = new URL(route.request().url());
    if (yes()) site.cards.authorised.add(searchParams.get("order"));
    return route.fulfill({ status: 302, headers: { location: searchParams.get("back") } });
  });
}

/** Puts a bridge into every page of a device, which asks WeChat: `says` is what its user does, and may change. */
export async function bridge(visitor, says) {
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
