"""Takes webhooks: checks the signature, stores each message once, and answers only then. Standard library only.

    python3 hooks.py 8090 secrets.txt events.jsonl

`secrets.txt` holds what `taxdisk webhook create` printed (whsec_…), a line each: after a rotation old and new one, until the old one
ends. `events.jsonl` gets a line for each message; what your business does with it happens afterwards, from there.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time

# A message that is older was recorded by somebody, or a clock is wrong. Seconds.
TOLERANCE_S = 5 * 60
LARGEST_BODY = 1 << 20


def signed(secrets, headers, body):
    """Is one of the signatures by one of the secrets, and the time near ours?"""
    message, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message or not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE_S:
        return False
    text = f"{message}.{sent}.".encode() + body
    given = [word[3:] for word in headers.get("webhook-signature", "").split() if word.startswith("v1,")]
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        right = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest())
        if any(hmac.compare_digest(right, signature.encode()) for signature in given):
            return True
    return False


class Store:
    """The messages that were taken, by their ids. In your system this is a table with the id as its key."""

    def __init__(self, path):
        self.file = open(path, "ab+")
        self.file.seek(0)
        text = self.file.read()
        # What a crash left half written was not answered and comes again.
        whole = text.rfind(b"\n") + 1
        self.file.truncate(whole)
        self.ids = {json.loads(line)["id"] for line in text[:whole].splitlines()}
        self.lock = threading.Lock()

    def keep(self, message, event):
        """Durable when it returns. A message that is here already changes nothing."""
        with self.lock:
            if message in self.ids:
                return
            self.file.write(json.dumps({"id": message, "event": event}).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
            self.ids.add(message)


class Hooks(http.server.BaseHTTPRequestHandler):
    # A sender that falls silent holds no thread for ever. Seconds.
    timeout = 15

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > LARGEST_BODY:
            return self.answer(413)
        body = self.rfile.read(length)
        with open(SECRETS, encoding="utf-8") as file:
            secrets = file.read().split()
        if not signed(secrets, self.headers, body):
            return self.answer(401)
        STORE.keep(self.headers["webhook-id"], json.loads(body))
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port, SECRETS, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    STORE = Store(path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hooks)
    print(f"http://127.0.0.1:{server.server_address[1]}/hooks", flush=True)
    server.serve_forever()
