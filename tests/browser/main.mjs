// Runs the walks, two at a time, and prints them as cargo prints tests. Started by the test program `browser` of this crate,
// which gives the addresses in TAXDISK_BROWSER. Arguments: words that names of walks must contain.

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Browser } from "./visitor.mjs";
import { Site } from "./site.mjs";
import { walks } from "./walk.mjs";

/** Walks at the same time: pages wait for disks most of the time, and machines of tests have two cores. */
const AT_ONCE = 2;

const settings = JSON.parse(process.env.TAXDISK_BROWSER ?? "null");
if (!settings) throw new Error("this is started by `cargo xtask test --only browser`");
for (const file of (await readdir(new URL("walks/", import.meta.url))).sort()) await import(`./walks/${file}`);
await rm(settings.out, { recursive: true, force: true });
await mkdir(settings.out, { recursive: true });

const words = process.argv.slice(2);
const chosen = walks.filter((walk) => words.length === 0 || words.some((word) => walk.name.includes(word)));
const browser = await Browser.launch(settings);
const site = await Site.open(settings, browser);
const failures = [];

async function run(walk) {
  const started = Date.now();
  const visitors = [];
  try {
    await walk.run(site, { ...walk.one, visit: (more) => browser.visitor({ ...walk.one, ...more, folder: walk.folder }, visitors) });
    // What went wrong beside the way: errors of the console, calls of other hosts, dialogs.
    for (const visitor of visitors) visitor.settle();
    console.log(`test ${walk.name} ... ok (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    console.log(`test ${walk.name} ... FAILED`);
    failures.push(walk);
    // Told at once: what comes after it may end this program.
    const beside = visitors.flatMap((visitor) => visitor.faults).map((fault) => `\nbeside the way: ${fault}`);
    console.log(`---- ${walk.name} ----\n${error?.stack ?? error}${beside.join("")}`);
    for (const visitor of visitors) await visitor.keep("where-it-failed");
  } finally {
    for (const visitor of visitors) await visitor.close();
  }
}

const queue = chosen.filter((walk) => !walk.alone);
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let walk = queue.shift(); walk; walk = queue.shift()) await run(walk);
}));
for (const walk of chosen.filter((walk) => walk.alone)) await run(walk);

const figures = browser.figures();
if (figures.pages.length > 0) {
  console.log(`\npages: ${figures.looked} looked at; the heaviest: ${figures.pages[0].page}, ${figures.pages[0].bytes} bytes`);
  const most = figures.pages.toSorted((a, b) => b.requests - a.requests)[0];
  console.log(`the most files: ${most.page}, ${most.requests}`);
  for (const paint of figures.paints) console.log(`first paint of ${paint.page}: ${paint.all.join(", ")} ms (throttled)`);
}
await writeFile(join(settings.out, "figures.json"), `${JSON.stringify(figures, null, 1)}\n`);
await site.close();
await browser.close();
const counts = { passed: chosen.length - failures.length, failed: failures.length, filtered_out: walks.length - chosen.length };
console.log(`@counts ${JSON.stringify(counts)}`);
// The program at the other end of standard input lives longer than this one.
process.stdin.destroy();
