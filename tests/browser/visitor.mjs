// A person at a device. Whatever page he looks at is held against what every page promises: it is in his language, nothing of
// others is loaded, it is small, nothing breaks the policy of its contents, no heading, button or label is cut off or lies over
// another one, and axe-core has no serious objection.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/**
 * Everything that a page loads, before fonts, as it comes over the wire. The overview of the broker's console loads htmx (52 KiB),
 * which a browser then keeps; consumers with a telephone load nothing of that size.
 */
const PAGE_BYTES = { portal: 60 * 1024, broker: 80 * 1024 };
/** Any single wait. Machines of tests are shared. */
export const PATIENCE_MS = 60_000;
/** Lighthouse's mobile profile ("slow 4G"): round trip in ms, bytes a second down and up, slow-down of the processor. */
const THROTTLED = { latency: 150, downloadThroughput: (1638.4 * 1024) / 8, uploadThroughput: (675 * 1024) / 8, cpu: 4 };
/**
 * What a page loads at most before it is whole: itself, style, script, and a few pictures of its own. What a script asks for
 * afterwards, while the page stays open, is not counted.
 */
const PAGE_REQUESTS = { portal: 5, broker: 6 };
/** First contentful paint on that line, the promise. */
const FIRST_PAINT_MS = 1000;
/**
 * A machine of tests does other things meanwhile, which makes a paint later and never earlier: the best of so many loads counts.
 * One is enough where nothing disturbs; each is printed.
 */
const PAINTS = 4;
/** The promise is held where it is measured, in the long run alone; in the ladder a machine may be three times as slow. */
const PAINT_BOUND_MS = process.env.TAXDISK_TEST_EVERYWHERE ? FIRST_PAINT_MS : 3 * FIRST_PAINT_MS;
/** A picture in the documentation at most. */
const PICTURE_BYTES = 80 * 1024;
/** A page at a desk is shown on so small a window, pixels: more is more bytes than a reader of the documentation needs. */
const DESK_PICTURE = { width: 1000, height: 440 };
/** Words that only the pages' own listener writes to the console. */
const BROKEN_POLICY = "policy of contents broken:";

/** One Chromium with a profile of its own, and what was measured in it. */
export class Browser {
  static async launch(settings) {
    const args = [
      "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
      // Nobody but this machine is there, whatever a page names.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server", "--font-render-hinting=none",
    ];
    const chrome = await chromium.launch({ executablePath: settings.chromium, headless: true, args, timeout: PATIENCE_MS });
    return new Browser(settings, chrome);
  }

  constructor(settings, chrome) {
    Object.assign(this, { settings, chrome, bytes: new Map(), requests: new Map(), paints: [], looked: 0 });
  }

  /** A person with a clean device. */
  async visitor(who, list = []) {
    const visitor = await Visitor.arrive(this, who);
    list.push(visitor);
    return visitor;
  }

  figures() {
    const requests = (page) => this.requests.get(page);
    const pages = [...this.bytes].map(([page, bytes]) => ({ page, bytes, requests: requests(page) })).sort((a, b) => b.bytes - a.bytes);
    return { looked: this.looked, pages, paints: this.paints };
  }

  async close() {
    await this.chrome.close();
  }
}

/** See the head of this file. */
export class Visitor {
  static async arrive(browser, who) {
    const { lang = "zh", width = 390, dark = false, script = true, at = "portal", agent, elsewhere = [] } = who;
    const phone = width < 600;
    const context = await browser.chrome.newContext({
      viewport: { width, height: phone ? 844 : 800 }, hasTouch: phone, isMobile: phone && script,
      locale: lang === "zh" ? "zh-CN" : "en-GB", timezoneId: "Asia/Shanghai", colorScheme: dark ? "dark" : "light",
      javaScriptEnabled: script, reducedMotion: "reduce", acceptDownloads: true, ...(agent && { userAgent: agent }),
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(`addEventListener("securitypolicyviolation", (event) =>
      console.error("${BROKEN_POLICY} " + event.violatedDirective + " " + event.blockedURI));`);
    // Nobody has a printer: it is counted how often a page asks for one, in the window that everybody sees.
    await context.addInitScript("window.print = () => { top.printed = (top.printed ?? 0) + 1; };");
    const visitor = new Visitor(browser, context, { lang, width, script, at, elsewhere, folder: who.folder ?? "set-up" });
    visitor.page = await visitor.tab();
    return visitor;
  }

  constructor(browser, context, who) {
    Object.assign(this, { browser, context, ...who, faults: [], shots: 0, loads: new Map() });
  }

  /** Another page of the same device. */
  async tab() {
    const page = await this.context.newPage();
    const own = new URL(this.browser.settings[this.at]).origin;
    const load = { bytes: 0, requests: 0, status: 200, url: "" };
    this.loads.set(page, load);
    page.on("request", (request) => {
      const url = request.url();
      const expected = [`${own}/`, ...this.elsewhere].some((begin) => url.startsWith(begin));
      if (!expected && !/^(data|blob|chrome|chrome-extension):/.test(url)) this.faults.push(`another host is called: ${url}`);
    });
    page.on("response", (response) => {
      if (response.request().isNavigationRequest() && response.frame() === page.mainFrame()) {
        Object.assign(load, { status: response.status(), url: response.url() });
      }
    });
    page.on("console", (message) => {
      // The browser calls a page with a status of 4xx an error; what such a page says is asserted by the walk.
      const ofPage = message.text().startsWith("Failed to load resource") && message.location().url === load.url && load.status >= 400;
      if (message.type() === "error" && !ofPage) this.faults.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.faults.push(`error of a script: ${error}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`a dialog: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
    const wire = await this.context.newCDPSession(page);
    await wire.send("Network.enable");
    // Each page is counted as for somebody who comes for the first time.
    await wire.send("Network.setCacheDisabled", { cacheDisabled: true });
    const main = (await wire.send("Page.getFrameTree")).frameTree.frame.id;
    wire.on("Network.requestWillBeSent", (event) => {
      if (event.type === "Document" && event.frameId === main && !event.redirectResponse) Object.assign(load, { bytes: 0, requests: 0 });
      const counted = !["Fetch", "XHR", "EventSource"].includes(event.type) && !event.request.url.startsWith("data:");
      if (counted && !event.redirectResponse) load.requests += 1;
    });
    wire.on("Network.loadingFinished", (event) => { load.bytes += event.encodedDataLength; });
    load.wire = wire;
    return page;
  }

  /** Opens an address of the program whose pages he visits, or of a link that it gave. */
  async open(address, page = this.page) {
    await page.goto(new URL(address, this.browser.settings[this.at]).href, { waitUntil: "load" });
  }

  /**
   * Looks at the page: everything that it promises, and a screenshot.
   *
   * @param {string} name of the page, for the picture
   * @param {{picture?: string, from?: string, excused?: string[]}} options `picture`: also a picture of the documentation, if they
   *   are to be written anew; `from`: what stands at its top, a selector; `excused`: rules of axe-core that this page breaks on
   *   purpose, with the reason beside the call
   */
  async look(name, { page = this.page, picture = "", from = "", excused = [] } = {}) {
    await page.waitForLoadState("load");
    const load = this.loads.get(page);
    const wrong = [];
    const lang = await page.locator("html").getAttribute("lang");
    if (!lang?.startsWith(this.lang)) wrong.push(`its language is ${lang}, not ${this.lang}`);
    const allowed = PAGE_BYTES[this.at];
    if (load.bytes > allowed) wrong.push(`${load.bytes} bytes are loaded, ${allowed} are allowed`);
    if (load.requests > PAGE_REQUESTS[this.at]) wrong.push(`${load.requests} files are loaded, ${PAGE_REQUESTS[this.at]} are allowed`);
    if (load.requests < 1) wrong.push("no request was counted");
    if (load.bytes < 500) wrong.push(`${load.bytes} bytes are loaded: nothing was counted`);
    // Against the device, not the window: a telephone's window grows with a page that is too wide.
    const scrollWidth = await page.evaluate("document.documentElement.scrollWidth");
    if (scrollWidth > this.width + 1) wrong.push(`it is ${scrollWidth} wide, the device ${this.width}`);
    wrong.push(...await page.evaluate(cutOff, this.width));
    // Axe runs in the page; without JavaScript the same HTML comes as with it.
    if (this.script) wrong.push(...await objections(page, excused));
    await this.keep(name, page);
    const heaviest = this.browser.bytes.get(name) ?? 0;
    this.browser.bytes.set(name, Math.max(heaviest, load.bytes));
    this.browser.requests.set(name, Math.max(this.browser.requests.get(name) ?? 0, load.requests));
    this.browser.looked += 1;
    if (picture) await this.picture(picture, page, from);
    assert.deepEqual([...wrong, ...this.faults], [], `${name}, ${page.url()}`);
  }

  /** A screenshot among the artefacts. */
  async keep(name, page = this.page) {
    const folder = join(this.browser.settings.out, this.folder);
    await mkdir(folder, { recursive: true });
    this.shots += 1;
    const file = join(folder, `${String(this.shots).padStart(2, "0")}-${name}.png`);
    await page.screenshot({ path: file, fullPage: true }).catch((error) => this.faults.push(`no screenshot: ${error}`));
  }

  /** A picture of the documentation: `cargo xtask screenshots` asks for them. */
  async picture(name, page, from) {
    const folder = this.browser.settings.pictures;
    if (!folder) return;
    // Without the ring of the focus: nobody is at this device.
    await page.evaluate("document.activeElement.blur()");
    const phone = this.width < 600;
    const size = page.viewportSize();
    if (!phone) await page.setViewportSize(DESK_PICTURE);
    if (from) await page.locator(from).first().evaluate((element) => element.scrollIntoView());
    const bytes = await page.screenshot({ fullPage: phone });
    await page.setViewportSize(size);
    assert.ok(bytes.length <= PICTURE_BYTES, `the picture ${name} has ${bytes.length} bytes`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${name}.png`), bytes);
  }

  /** Opens an address over a slow line with a slow processor; the time of the first contentful paint is noted and bounded. */
  async paint(name, address) {
    const { cpu, ...network } = THROTTLED;
    const { wire } = this.loads.get(this.page);
    await wire.send("Network.emulateNetworkConditions", { offline: false, ...network });
    await wire.send("Emulation.setCPUThrottlingRate", { rate: cpu });
    const all = [];
    do {
      await this.open(address);
      // Asked of the page as a function: a text would be evaluated there again and again, which the page's policy forbids.
      all.push(Math.round(await this.page.evaluate((patience) => new Promise((done) => {
        setTimeout(() => done(Infinity), patience);
        const seen = (list) => list.getEntriesByName("first-contentful-paint").forEach((paint) => done(paint.startTime));
        new PerformanceObserver(seen).observe({ type: "paint", buffered: true });
      }), PATIENCE_MS)));
    } while (all.at(-1) > FIRST_PAINT_MS && all.length < PAINTS);
    await wire.send("Emulation.setCPUThrottlingRate", { rate: 1 });
    await wire.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    const ms = Math.min(...all);
    this.browser.paints.push({ page: name, ms, all });
    assert.ok(ms <= PAINT_BOUND_MS, `the first paint of ${name} took ${all.join(", ")} ms`);
  }

  /** What was noticed beside the way is a failure too. */
  settle() {
    assert.deepEqual(this.faults, []);
  }

  async close() {
    await this.context.close();
  }
}

/** Clicks what leads to another page, and waits for that. */
export async function go(page, selector) {
  await Promise.all([page.waitForEvent("load"), page.click(selector)]);
}

/** How often a page has asked for the printer; undefined: never. */
export const printed = (page) => page.evaluate("window.printed");

/** What a telephone reads of a code on the screen, by another program than the one that drew it. */
export async function scanned(visitor, selector) {
  const folder = join(visitor.browser.settings.out, visitor.folder);
  await mkdir(folder, { recursive: true });
  const file = join(folder, "scanned.png");
  await visitor.page.locator(selector).screenshot({ path: file, scale: "device" });
  const { stdout } = await promisify(execFile)("zbarimg", ["--quiet", "--raw", file]);
  return stdout.trim();
}

/** What axe-core finds serious or critical, one sentence for each element. */
async function objections(page, excused) {
  await page.evaluate(AXE);
  const found = await page.evaluate(`axe.run(document, { preload: false, resultTypes: ["violations"] })`);
  const serious = found.violations.filter(({ id, impact }) => (impact === "serious" || impact === "critical") && !excused.includes(id));
  return serious.flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) =>
    `axe ${id}: ${help}: ${target.join(" ")}: ${(failureSummary ?? "").split("\n").slice(1).join("; ").trim()}`));
}

/**
 * Headings, buttons and links of menus that are wider than their place or stand out of the window or their card, and labels of
 * plots that are cut off or lie over each other; a sentence for each. Runs in the page.
 */
function cutOff(width) {
  const wrong = [];
  const named = (element) => `<${element.localName}> ${JSON.stringify(element.textContent.trim().slice(0, 40))}`;
  const seen = (box) => box.width > 0 && box.height > 0;
  for (const element of document.querySelectorAll("h1, h2, h3, button, a.button, nav a, legend, summary")) {
    const box = element.getBoundingClientRect();
    // What is kept off the page until somebody tabs to it, and what scrolls in its own box.
    if (!seen(box) || box.right <= 0 || element.closest(".scroll")) continue;
    if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline") {
      wrong.push(`${named(element)} is ${element.scrollWidth} wide, its place ${element.clientWidth}`);
    }
    if (box.left < -1 || box.right > width + 1) wrong.push(`${named(element)} ends at ${box.right}, the device at ${width}`);
    const card = element.parentElement?.closest(".card, fieldset, main")?.getBoundingClientRect();
    if (card && box.right > card.right + 1) wrong.push(`${named(element)} ends at ${box.right}, its box at ${card.right}`);
  }
  for (const plot of document.querySelectorAll("svg.plot")) {
    const frame = plot.getBoundingClientRect();
    const labels = [...plot.querySelectorAll("text")].map((text) => ({ text, box: text.getBoundingClientRect() }));
    for (const [place, { text, box }] of labels.entries()) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 2) wrong.push(`${named(text)} is cut off`);
      if (box.height < 11) wrong.push(`${named(text)} is ${box.height} high: nobody can read it`);
      const over = labels.slice(0, place).find(({ box: other }) =>
        box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 1 && other.top < box.bottom - 1);
      if (over) wrong.push(`${named(text)} lies over ${named(over.text)}`);
    }
  }
  return wrong;
}
