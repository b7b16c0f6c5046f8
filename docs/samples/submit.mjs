// Submits one job and waits for its end. Node 20 or newer, no packages.
//
//   TAXDISK_BROKER=https://broker.example TAXDISK_KEY=tdk_… node submit.mjs job.json
//
// Ends with 0 when the invoice exists, with 1 when it is certain that none does, and with 2 when it cannot tell. Then run it again
// with the same file: one serial number is at most one invoice, however often it is sent.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const BROKER = process.env.TAXDISK_BROKER.replace(/\/$/, "");
const KEY = process.env.TAXDISK_KEY;
// How long this program goes on asking, milliseconds. The job goes on without it.
const PATIENCE_MS = Number(process.env.PATIENCE_S ?? 600) * 1000;
// Of one call, milliseconds: longer than the 30 s that the broker is asked to wait.
const CALL_MS = 60_000;
const LONGEST_PAUSE_MS = 60_000;
const ENDED = ["issued", "voided", "failed", "cancelled"];

/** The broker said no, and the same again would be answered so again. */
class Refused extends Error {
  constructor(problem) {
    super(`${problem.code}: ${problem.detail || problem.title}`);
    this.problem = problem;
  }
}

/** The time is over and there is no answer. */
class NotKnown extends Error {}

/** The problem document of an answer. What stands before the broker may answer in its own words. */
function problemOf(status, text) {
  try {
    return JSON.parse(text);
  } catch {
    const passing = status === 429 || status >= 500;
    return { code: `http_${status}`, title: text.slice(0, 200), retry: passing ? "safe" : "never" };
  }
}

/**
 * The answer to a call. It is repeated while the broker says that this is safe, and when no answer comes: then nobody knows
 * whether it arrived, and the serial number makes the same again safe.
 */
async function call(end, method, path, body) {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  for (let pauseMs = 1000; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    let why;
    let waitMs = pauseMs;
    try {
      const signal = AbortSignal.timeout(CALL_MS);
      const answer = await fetch(BROKER + path, { method, headers, body: body && JSON.stringify(body), signal });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      const problem = problemOf(answer.status, text);
      if (problem.retry !== "safe") throw new Refused(problem);
      why = problem.code;
      waitMs = Number(answer.headers.get("retry-after") ?? pauseMs / 1000) * 1000;
    } catch (error) {
      if (error instanceof Refused) throw error;
      why = error.cause?.message ?? error.message;
    }
    if (Date.now() + waitMs > end) throw new NotKnown(why);
    await sleep(waitMs);
  }
}

/** Submits a job and gives it back as it ended, or as it is when the time is over. */
async function submit(job) {
  const end = Date.now() + PATIENCE_MS;
  let view = await call(end, "POST", "/v1/jobs", job);
  const path = `/v1/jobs/${encodeURIComponent(view.seller)}/${encodeURIComponent(view.serial)}`;
  while (!ENDED.includes(view.state) && Date.now() < end) {
    view = await call(end, "GET", `${path}?wait=30s`);
  }
  return view;
}

async function main() {
  const job = JSON.parse(await readFile(process.argv[2], "utf8"));
  let view;
  try {
    view = await submit(job);
  } catch (error) {
    if (error instanceof Refused) {
      console.error(error.message);
      for (const breach of error.problem.breaches ?? []) console.error(`  ${breach.pointer}: ${breach.detail}`);
      // Refused does not mean that there is no invoice: an earlier request may have made one.
      return error.problem.issued === "no" ? 1 : 2;
    }
    if (!(error instanceof NotKnown)) throw error;
    console.error(`no answer (${error.message}); run it again with the same file`);
    return 2;
  }
  if (view.state === "issued" || view.state === "voided") {
    const issued = view.issued ?? view.original;
    console.log(view.state, issued.code, issued.number);
    return 0;
  }
  if (view.state === "failed" || view.state === "cancelled") {
    console.log(view.state, view.problem?.code ?? "", view.problem?.text ?? "");
    return 1;
  }
  console.log(view.state, view.waiting ?? "", view.waiting_text ?? "");
  return 2;
}

process.exitCode = await main();
