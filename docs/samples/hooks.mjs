// Takes webhooks: checks the signature, stores each message once, and answers only then. Node 20 or newer, no packages.
//
//   node hooks.mjs 8090 secrets.txt events.jsonl
//
// `secrets.txt` holds what `taxdisk webhook create` printed (whsec_…), a line each: after a rotation old and new one, until the old
// one ends. `events.jsonl` gets a line for each message; what your business does with it happens afterwards, from there.

import { createHmac, timingSafeEqual } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const [port, secretsFile, storeFile] = process.argv.slice(2);
// A message that is older was recorded by somebody, or a clock is wrong. Seconds.
const TOLERANCE_S = 5 * 60;
const LARGEST_BODY = 1 << 20;

/** Is one of the signatures by one of the secrets, and the time near ours? */
function signed(secrets, headers, body) {
  const id = headers["webhook-id"] ?? "";
  const sent = headers["webhook-timestamp"] ?? "";
  if (!id || !/^\d+$/.test(sent) || Math.abs(Date.now() / 1000 - Number(sent)) > TOLERANCE_S) return false;
  const given = (headers["webhook-signature"] ?? "").split(" ").filter((word) => word.startsWith("v1,"));
  return secrets.some((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const right = Buffer.from(createHmac("sha256", key).update(`${id}.${sent}.`).update(body).digest("base64"));
    return given.some((word) => {
      const signature = Buffer.from(word.slice(3));
      return signature.length === right.length && timingSafeEqual(signature, right);
    });
  });
}

// The messages that were taken, by their ids. In your system this is a table with the id as its key.
const store = openSync(storeFile, "a+");
const text = readFileSync(store);
// What a crash left half written was not answered and comes again.
const whole = text.lastIndexOf("\n") + 1;
ftruncateSync(store, whole);
const lines = text.subarray(0, whole).toString().split("\n").filter(Boolean);
const known = new Set(lines.map((line) => JSON.parse(line).id));
process.on("exit", () => closeSync(store));

/** Durable when it returns. A message that is here already changes nothing. */
function keep(id, event) {
  if (known.has(id)) return;
  writeSync(store, JSON.stringify({ id, event }) + "\n");
  fsyncSync(store);
  known.add(id);
}

async function take(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > LARGEST_BODY) return 413;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const secrets = readFileSync(secretsFile, "utf8").split(/\s+/).filter(Boolean);
  if (!signed(secrets, request.headers, body)) return 401;
  keep(request.headers["webhook-id"], JSON.parse(body));
  return 204;
}

const server = createServer((request, response) => {
  take(request).then(
    (status) => response.writeHead(status).end(),
    // Nothing was stored, so nothing is confirmed: it comes again.
    (error) => {
      console.error(error);
      response.writeHead(500).end();
    },
  );
});
// A sender that falls silent holds no connection for ever. Milliseconds.
server.requestTimeout = 15_000;
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/hooks`));
