// Everything around the pages: the merchant's systems (a till that prints codes, a query service, a receiver of callbacks, a
// caller of the API), the mail server, and the questions that only the program that started this can answer.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer as httpsServer } from "node:https";
import { createServer as tcpServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { PATIENCE_MS } from "./visitor.mjs";

/** The till's system, as it is registered with the portal. */
const SYSCODE = "TILL";
/** 税收分类编码 of what is sold here. */
const GOODS = "1060105010000000000";
/** Between two looks at something that takes its time. */
const PAUSE_MS = 100;

/** See the head of this file. */
export class Site {
  static async open(settings, browser) {
    const site = new Site(settings, browser);
    await site.#listen();
    await site.#register();
    return site;
  }

  constructor(settings, browser) {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    Object.assign(this, settings, { settings, browser, orders: new Map(), callbacks: [], mails: [], waiting: [], over: false,
      // WeChat's side: order ids that its users authorised, and the card of each.
      cards: { authorised: new Set(), inserted: new Map() } });
    this.key = createPrivateKey(settings.callerKey);
    this.tillKey = privateKey;
    this.tillPublic = publicKey.export({ type: "spki", format: "pem" });
    // Answers come in the order of the questions.
    const answers = createInterface({ input: process.stdin });
    answers.on("line", (line) => this.waiting.shift()?.(JSON.parse(line)));
    // Whoever started this has ended: nobody would end the browser.
    answers.on("close", () => this.over || process.exit(1));
  }

  // --- What the program that started this is asked ---

  /**
   * @param {"ledger" | "stop_agent" | "start_agent" | "stop_broker" | "start_broker" | "empty_disk" | "fill_disk" | "till_ledger"
   *   | {doubt: string}} what
   */
  ask(what) {
    return new Promise((answered) => {
      this.waiting.push(answered);
      console.log(`@ask ${JSON.stringify(what)}`);
    });
  }

  /** Invoices of a buyer in the disk's own ledger. */
  async signed(buyer) {
    return (await this.ask("ledger")).filter((entry) => entry.buyer_name === buyer);
  }

  // --- The merchant's till and its service ---

  /** An order that was paid at the till; the link of the code on its receipt. */
  async till(number, { total = "113.00", state = "INVOICEABLE", item = "*纸制品*打印纸", more = {} } = {}) {
    this.orders.set(number, { total, state, item, more });
    const args = ["qr", "make", "--syscode", SYSCODE, "--order", number, "--key-file", this.keyFile, "--kid", String(this.kid)];
    const { stdout } = await promisify(execFile)(this.portalProgram, [...args, "--public-url", this.portal]);
    return stdout.trim();
  }

  #query(body) {
    const asked = JSON.parse(body);
    const order = this.orders.get(asked.order);
    const data = order && {
      XSF_NSRSBH: this.seller, ORGCODE: "A", JSHJ: order.total, SHMC: "示例商店",
      items: [{ XMMC: order.item, XMJSHJ: order.total, SL: "0.13", SPBM: GOODS }], ...order.more,
    };
    const state = order?.state ?? "NOT_FOUND";
    const text = JSON.stringify({ version: "1", code: "0000", msg: "ok", state, order: asked.order,
      ...(state === "NOT_INVOICEABLE" && { reason: "该订单已退货" }), ...(data && { data }) });
    const claims = { aud: "einvoice-platform", jti: asked.requestId, body_sha256: createHash("sha256").update(text).digest("hex") };
    return { text, sign: jws(claims, this.tillKey) };
  }

  /** Waits for the callback of a serial number; what it said. */
  async called(serial) {
    return until(`a callback of ${serial}`, () => this.callbacks.find((one) => one.fpqqlsh === serial));
  }

  /** Waits for a mail to an address; its text as it came. */
  async mailed(address) {
    return until(`a mail to ${address}`, () => this.mails.find((mail) => mail.to.includes(address))?.text);
  }

  // --- The merchant as a caller of the compatible API ---

  /** A document as a merchant sends it. */
  document(serial, { total = "113.00", item = "*纸制品*打印纸", ...more } = {}) {
    const items = [{ XMMC: item, XMSL: 1, XMJSHJ: total, SL: "0.13", SPBM: GOODS }];
    return { FPQQLSH: serial, XSF_NSRSBH: this.seller, ORGCODE: "A", SHMC: "示例商店", JSHJ: total, items, ...more };
  }

  /** One of the interfaces that take JSON. */
  json(name, value) {
    return this.#call(name, "application/json", JSON.stringify(value), {});
  }

  /** One of the interfaces that take a form. */
  form(name, fields) {
    const texts = Object.entries(fields).map(([field, value]) => [field, typeof value === "string" ? value : JSON.stringify(value)]);
    const data = texts.find(([field]) => field === "requestdatas")?.[1];
    const claims = data === undefined ? {} : { requestdatas: createHash("md5").update(data).digest("hex") };
    return this.#call(name, "application/x-www-form-urlencoded", new URLSearchParams(texts).toString(), claims);
  }

  async #call(name, type, body, claims) {
    const url = `${this.portal}/output-tax/api/invoiceApply/${name}?appid=${this.appid}`;
    const headers = { "content-type": type, sign: jws({ iss: "einvoice", ...claims, jti: randomUUID() }, this.key) };
    const answer = await (await fetch(url, { method: "POST", headers, body })).json();
    assert.ok(["0000", "1001", "1002", "9999"].includes(answer.code), JSON.stringify(answer));
    return answer;
  }

  /** Waits until a serial number is issued; what the API says of it. */
  async issued(serial) {
    return until(`${serial} issued`, async () => {
      const answer = await this.form("queryInvoiceStatus", { fpqqlsh: serial });
      return answer.statuscode === "4" ? answer.data : undefined;
    });
  }

  // --- The operator of the portal ---

  /** A call of the operator's interface. */
  async operator(method, path, body) {
    return send(method, `${this.portal}${path}`, this.operatorKey, body);
  }

  /** A call of the broker's API, as its administrator makes it. */
  async brokerCall(method, path, body) {
    return send(method, `${this.broker}${path}`, this.brokerKey, body);
  }

  /** Writes something of the broker's, as its administrator does. */
  async brokerPut(path, body) {
    return this.brokerCall("PUT", path, body);
  }

  /** A clerk of the merchant; the address at which he sets his password. */
  async invite(login, roles) {
    const made = await this.operator("POST", "/admin/v1/tenants/shop/users", { name: login, login, roles });
    return made.password_url;
  }

  async #register() {
    const user = await this.operator("POST", "/admin/v1/tenants/shop/users", { name: "收银系统" });
    const wish = { name: "收银系统", appid: "TILL1", syscode: SYSCODE, public_keys: [this.tillPublic], query_url: `${this.merchant}/query` };
    const applied = await send("POST", `${this.portal}/tenant/v1/applications`, user.key, wish);
    await this.operator("POST", `/admin/v1/applications/${applied.id}/approve`);
    const key = await send("POST", `${this.portal}/tenant/v1/systems/${SYSCODE}/keys`, user.key, {});
    this.kid = key.kid;
    this.keyFile = join(this.scratch, "till.key");
    await writeFile(this.keyFile, Buffer.from(key.secret, "base64url").toString("hex"), { mode: 0o600 });
  }

  async #listen() {
    this.https = httpsServer({ cert: this.certificate, key: this.certificateKey }, (request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part)).on("end", () => {
        const body = Buffer.concat(parts).toString();
        if (request.url === "/query") {
          const { text, sign } = this.#query(body);
          response.writeHead(200, { "content-type": "application/json", sign }).end(text);
        } else if (request.url === "/callback") {
          this.callbacks.push(JSON.parse(body));
          response.writeHead(200, { "content-type": "application/json" }).end(`{"code":"0000","msg":""}`);
        } else if (request.url.startsWith("/cgi-bin/") || request.url.startsWith("/card/")) {
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(wechat(request.url, body, this.cards)));
        } else {
          response.writeHead(404).end();
        }
      });
    });
    await new Promise((done) => this.https.listen(this.merchantPort, "127.0.0.1", done));
    this.merchant = `https://127.0.0.1:${this.merchantPort}`;
    this.smtp = tcpServer((socket) => mailbox(socket, this.mails));
    await new Promise((done) => this.smtp.listen(this.mailPort, "127.0.0.1", done));
  }

  async close() {
    this.over = true;
    this.https.close();
    this.https.closeAllConnections();
    this.smtp.close();
  }
}

/** What WeChat signs pages with. */
const TICKET = "page-ticket";

/** Where WeChat asks its user whether an invoice may be kept. */
export const AUTHORISES = "https://mp.weixin.qq.com/bizmall/authinvoice";

/**
 * As much of WeChat's API as pages need: the JS-SDK (appendix 1) and the card pack (微信电子发票, 开票平台接口). Everything that it
 * refuses is tested at the portal.
 */
function wechat(path, body, cards) {
  const { pathname, searchParams } = new URL(path, "https://wechat.example");
  const good = (more) => ({ errcode: 0, errmsg: "ok", ...more });
  if (pathname === "/cgi-bin/token" && searchParams.get("secret") === "s&cret") return { access_token: "token", expires_in: 7200 };
  if (searchParams.get("access_token") !== "token") return { errcode: 40001, errmsg: "invalid credential" };
  const asked = pathname.startsWith("/card/invoice/") && !pathname.endsWith("/setpdf") ? JSON.parse(body) : {};
  switch (pathname) {
    case "/cgi-bin/ticket/getticket":
      return good({ ticket: searchParams.get("type") === "jsapi" ? TICKET : "card-ticket", expires_in: 7200 });
    case "/card/invoice/getauthurl":
      return good({ auth_url: `${AUTHORISES}?${new URLSearchParams({ order: asked.order_id, back: asked.redirect_url })}` });
    case "/card/invoice/getauthdata":
      return cards.authorised.has(asked.order_id) ? good({ invoice_status: "auth success" }) : { errcode: 72038, errmsg: "never auth" };
    case "/card/invoice/platform/setpdf":
      return body.includes("%PDF-") ? good({ s_media_id: "media" }) : { errcode: 40007, errmsg: "invalid media" };
    case "/card/invoice/insert":
      if (cards.inserted.has(asked.order_id)) return { errcode: 72056, errmsg: "order_id repeated" };
      cards.inserted.set(asked.order_id, asked.card_ext.user_card.invoice_user_data);
      return good({ code: "c" });
    default:
      return { errcode: 40013, errmsg: "invalid" };
  }
}

/** Whether a page may use WeChat's bridge, as WeChat decides it: by a signature over the page's own address. */
export function isSigned(page, { verifySignature, verifyNonceStr, verifyTimestamp }) {
  const text = `jsapi_ticket=${TICKET}&noncestr=${verifyNonceStr}&timestamp=${verifyTimestamp}&url=${page.split("#")[0]}`;
  return createHash("sha1").update(text).digest("hex") === verifySignature;
}

/** As much of RFC 5321 as one sender on this machine needs. */
function mailbox(socket, mails) {
  let mail = { to: [], text: "" };
  let inside = false;
  socket.on("error", () => {});
  socket.write("220 mail.example\r\n");
  createInterface({ input: socket, crlfDelay: Infinity }).on("line", (line) => {
    if (inside && line !== ".") {
      mail.text += `${line.replace(/^\./, "")}\n`;
    } else if (inside) {
      inside = false;
      mails.push(mail);
      mail = { to: [], text: "" };
      socket.write("250 taken\r\n");
    } else if (/^RCPT TO:/i.test(line)) {
      mail.to.push(line.replace(/^RCPT TO:<?([^>\s]*).*$/i, "$1"));
      socket.write("250 ok\r\n");
    } else if (/^DATA/i.test(line)) {
      inside = true;
      socket.write("354 go on\r\n");
    } else if (/^QUIT/i.test(line)) {
      socket.end("221 bye\r\n");
    } else {
      socket.write("250 mail.example\r\n");
    }
  });
}

async function send(method, url, key, body) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${url}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

function jws(claims, key) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ typ: "JWT", alg: "RS256" })}.${part({ iat: now, exp: now + 300, ...claims })}`;
  return `${text}.${sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")}`;
}

/** Waits until something is there. */
export async function until(what, found) {
  const ends = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await found();
    if (value !== undefined) return value;
    assert.ok(Date.now() < ends, `waited ${PATIENCE_MS} ms for ${what}`);
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

/** A name that no other walk has. */
export function fresh(prefix) {
  return `${prefix}-${randomBytes(4).toString("hex").toUpperCase()}`;
}
