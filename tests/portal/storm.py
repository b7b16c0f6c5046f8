"""Sends requests with repeats while portal, broker and agent are killed, and waits until every result was called back.

Usage: storm.py PORTAL_URL APPID KEY_PEM SELLER COUNT
"""

import hashlib
import http.server
import json
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

import jwt

PORTAL, APPID, KEY_FILE, SELLER, COUNT = sys.argv[1:6]
KEY = open(KEY_FILE).read()
PATIENCE_S = 300
told = {}
ids = {}
refused = set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["code"] == "0000":
            ids.setdefault(body["fpqqlsh"], set()).add(self.headers["x-callback-id"])
            told.setdefault(body["fpqqlsh"], []).append(json.loads(body["data"])["fpHm"])
        else:  # a person decided that no invoice exists: the same serial number is issued again, below
            refused.add(body["fpqqlsh"])
        answer = b'{"code":"0000","msg":"ok"}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
CALLBACK = f"http://127.0.0.1:{server.server_address[1]}/callback"


def send(name, **fields):
    """One request, again and again until it is answered with anything but "send it again"."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    end = time.time() + PATIENCE_S
    while True:
        now = int(time.time())
        claims = {"jti": str(uuid.uuid4()), "iat": now, "exp": now + 300}
        if "requestdatas" in texts:
            claims["requestdatas"] = hashlib.md5(texts["requestdatas"].encode()).hexdigest()
        request = urllib.request.Request(
            f"{PORTAL}/output-tax/api/invoiceApply/{name}?appid={APPID}", urllib.parse.urlencode(texts).encode(),
            {"content-type": "application/x-www-form-urlencoded", "sign": jwt.encode(claims, KEY, algorithm="RS256")})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                reply = json.loads(answer.read())
            if reply["code"] != "9999":
                return reply
        except OSError:
            pass
        assert time.time() < end, "the portal does not come back"
        time.sleep(0.1)


def gross_of(number):
    return f"{number + 1}.13"


def one(number):
    serial = f"ST{number:06}"
    gross = gross_of(number)
    document = {"FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": f"购方{number}", "JSHJ": gross,
                "items": [{"XMMC": "*纸制品*打印纸", "XMJSHJ": gross, "SL": 0.13, "SPBM": "1060105000000000000"}]}
    for _ in range(3):
        reply = send("insertWithArray", requestdatas=[document], url=[{"fpqqlsh": serial, "url": CALLBACK}])
        assert reply["code"] == "0000", reply


numbers = list(range(int(COUNT)))
lock = threading.Lock()
failures = []


def work():
    while True:
        with lock:
            if not numbers:
                return
            number = numbers.pop()
        try:
            one(number)
        except Exception as error:  # told at the end
            failures.append((number, repr(error)))
        # Spread over the kills.
        time.sleep(0.5)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures[:3]
print("all accepted", flush=True)
end = time.time() + PATIENCE_S
while len(told) < int(COUNT):
    assert time.time() < end, f"{len(told)} of {COUNT} were told"
    while refused:
        serial = refused.pop()
        named = {"FPQQLSH": serial, "XSF_NSRSBH": SELLER, "JSHJ": gross_of(int(serial[2:]))}
        reply = send("reissue", requestdatas=[named])
        assert reply["code"] == "0000", reply
        print("issued again", serial, reply["datas"][0]["result"], flush=True)
    time.sleep(0.2)
for serial, numbers_told in told.items():
    assert len(set(numbers_told)) == 1 and len(ids[serial]) == 1, (serial, numbers_told, ids[serial])
    reply = send("queryInvoiceStatus", fpqqlsh=serial)
    assert reply["statuscode"] == "4" and reply["data"]["fpHm"] == numbers_told[0], reply
assert len({numbers_told[0] for numbers_told in told.values()}) == int(COUNT), "two serial numbers share a number"
print("done", flush=True)
