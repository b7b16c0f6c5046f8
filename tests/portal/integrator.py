"""A merchant's system in another language: issues, queries, reverses through the portal's compatible API, and is called back.

Usage: integrator.py PORTAL_URL APPID KEY_PEM SELLER
Prints one line a step; ends with 0 if everything was as the interface promises.
"""

import hashlib
import html
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

import jwt

PORTAL, APPID, KEY_FILE, SELLER = sys.argv[1:5]
KEY = open(KEY_FILE).read()
PATIENCE_S = 90
GOODS = "1060105000000000000"
received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes callbacks; the first attempt of each is refused, so that every one must be repeated."""

    seen = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        callback = self.headers["x-callback-id"]
        first = callback not in Receiver.seen
        Receiver.seen.add(callback)
        if not first:
            received.append((callback, json.loads(body), self.headers["x-callback-sign"], body))
        answer = json.dumps({"code": "9999" if first else "0000", "msg": ""}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
CALLBACK = f"http://127.0.0.1:{server.server_address[1]}/callback"


def sign(claims):
    now = int(time.time())
    return jwt.encode({"iss": "einvoice", "aud": "einvoice", "jti": str(uuid.uuid4()), "iat": now, "nbf": now - 300,
                       "exp": now + 300, **claims}, KEY, algorithm="RS256")


def post(name, body, content_type, claims, prefix="invoiceclient-web"):
    url = f"{PORTAL}/{prefix}/api/invoiceApply/{name}?appid={APPID}"
    request = urllib.request.Request(url, body, {"content-type": content_type, "sign": sign(claims)})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
        reply = json.loads(answer.read())
    assert reply["code"] in ("0000", "1001", "1002", "9999"), reply
    return reply


def form(name, prefix="invoiceclient-web", **fields):
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    claims = {}
    if "requestdatas" in texts:
        claims["requestdatas"] = hashlib.md5(texts["requestdatas"].encode()).hexdigest()
    return post(name, urllib.parse.urlencode(texts).encode(), "application/x-www-form-urlencoded", claims, prefix)


def blue(serial, gross="113.00", kind="1", **more):
    line = {"XMMC": "*纸制品*打印纸", "XMSL": 2, "XMJSHJ": gross, "SL": 0.13, "SPBM": GOODS, "DW": "包"}
    return {"FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方", "JSHJ": gross, "FPLX": kind, "items": [line], **more}


def status(serial):
    return form("queryInvoiceStatus", fpqqlsh=serial)


def wait(serial, code="4"):
    end = time.time() + PATIENCE_S
    while True:
        reply = status(serial)
        if reply.get("statuscode") == code:
            return reply
        assert time.time() < end, f"{serial}: {reply}"
        time.sleep(0.2)


def told(serial):
    end = time.time() + PATIENCE_S
    while True:
        mine = [entry for entry in received if entry[1]["fpqqlsh"] == serial]
        if mine:
            return mine
        assert time.time() < end, f"no callback for {serial}"
        time.sleep(0.2)


def step(text):
    print(text, flush=True)


run = uuid.uuid4().hex[:6].upper()

step("issue")
serial = f"PY{run}-01"
document = blue(serial, LYID=f"order-{run}")
url = [{"fpqqlsh": serial, "url": CALLBACK}]
reply = form("insertWithArray", requestdatas=[document], url=url)
assert reply["code"] == "0000", reply
issued = wait(serial)
assert issued["data"]["fpHm"] and issued["data"]["jshj"] == 113.0, issued
code, number = issued["data"]["fpDm"], issued["data"]["fpHm"]

step("callback")
callback, body, signature, raw = told(serial)[0]
assert body["code"] == "0000" and json.loads(body["data"])["fpHm"] == number, body
public = urllib.request.urlopen(f"{PORTAL}/platform-key.pem").read().decode()
claims = jwt.decode(signature, public, algorithms=["RS256"])
assert claims["cb"] == callback and claims["body_sha256"] == hashlib.sha256(raw).hexdigest(), claims

step("repeat, said otherwise")
other = {**document, "JSHJ": 113, "FPLX": 1, "BZ": ""}
reply = form("insertWithArray", prefix="output-tax", requestdatas=[other])
assert reply["code"] == "0000" and reply["datas"][0]["repeat"] and reply["datas"][0]["fpHm"] == number, reply

step("conflict")
reply = form("insertWithArray", requestdatas=[{**document, "GMF_MC": "别人"}])
assert reply["code"] == "1001" and reply["datas"][0]["diff"] == ["GMF_MC"], reply

step("suspected duplicate is held")
twin = f"PY{run}-02"
reply = form("insertWithArray", requestdatas=[{**document, "FPQQLSH": twin}])
assert reply["code"] == "0000" and reply["subcode"] == "SUSPECTED_DUPLICATE", reply
assert status(twin)["statuscode"] == "1"

step("approval, sent back, revised")
waiting = f"PY{run}-03"
reply = form("insertWithArray", requestdatas=[blue(waiting, "226.00")], autoAudit="false")
assert reply["code"] == "0000" and status(waiting)["statuscode"] == "1", reply
named = {"FPQQLSH": waiting, "XSF_NSRSBH": SELLER}
assert form("issue", requestdatas=[{**named, "JSHJ": None}])["code"] == "1001"
assert form("issue", requestdatas=[{**named, "JSHJ": "225.00"}])["code"] == "1001"
assert form("del", requestdatas=[named])["code"] == "0000"
assert status(waiting)["code"] == "1002"
reply = form("insertWithArray", requestdatas=[blue(waiting, "339.00")], autoAudit="false")
assert reply["code"] == "0000", reply
assert form("issue", requestdatas=[{**named, "JSHJ": 339}])["code"] == "0000"
assert wait(waiting)["data"]["jshj"] == 339.0
assert form("del", requestdatas=[named])["code"] == "9999"

step("partial red, then no more than is left")
part = f"PY{run}-04"
line = {"XMMC": "*纸制品*打印纸", "XMJSHJ": "-13.00", "SL": 0.13, "SPBM": GOODS}
red = {"FPQQLSH": part, "fpDm": code, "fpHm": number, "JSHJ": "-13.00", "items": [line]}
reply = form("part-red", requestdatas=[red])
assert reply["code"] == "0000", reply
assert wait(part)["data"]["yfpHm"] == number
much = {**red, "FPQQLSH": f"PY{run}-05", "JSHJ": "-100.01", "items": [{**line, "XMJSHJ": "-100.01"}]}
assert "100.00" in form("part-red", requestdatas=[much])["msg"]

step("full red waits for approval")
whole, again = f"PY{run}-06", f"PY{run}-07"
second = wait(waiting)["data"]
red = {"FPQQLSH": whole, "fpDm": second["fpDm"], "fpHm": second["fpHm"]}
assert form("red", requestdatas=[red])["code"] == "0000"
assert form("red", requestdatas=[{**red, "FPQQLSH": again}])["subcode"] == "ORIGINAL_REVERSED"
named = {"FPQQLSH": whole, "XSF_NSRSBH": SELLER, "JSHJ": "-339.00"}
assert form("issue", requestdatas=[named])["code"] == "0000"
assert wait(whole)["data"]["jshj"] == -339.0
assert status(waiting)["data"]["bred"] == "Y"

step("an electronic invoice is not voided; a paper one is")
assert form("invalid", requestdatas={"fpDm": code, "fpHm": number})["subcode"] == "VOID_KIND"
assert form("invalid", requestdatas={"fpDm": number, "fpHm": code})["code"] == "1001"
paper = f"PY{run}-08"
assert form("insertWithArray", requestdatas=[blue(paper, "56.50", kind="3")])["code"] == "0000"
printed = wait(paper)["data"]
assert form("invalid", requestdatas={"fpDm": printed["fpDm"], "fpHm": printed["fpHm"]})["code"] == "0000"
end = time.time() + PATIENCE_S
while status(paper)["data"]["zfbz"] != "Y":
    assert time.time() < end, status(paper)
    time.sleep(0.2)

step("split")
long = f"PY{run}-09"
lines = [{"XMMC": f"*纸制品*打印纸{n}", "XMJSHJ": "1.13", "SL": 0.13, "SPBM": GOODS} for n in range(1, 131)]
document = {**blue(long, "146.90"), "items": lines}
reply = form("insertWithSplit", requestdatas=[document])
assert reply["code"] == "0000" and len(reply["datas"]) > 1, reply
parts = [entry["fpqqlsh"] for entry in reply["datas"]]
assert round(sum(entry["jshj"] for entry in reply["datas"]), 2) == 146.9
assert [entry["fpqqlsh"] for entry in form("insertWithSplit", requestdatas=[document])["datas"]] == parts
for serial in parts:
    wait(serial)
assert form("queryInvoiceStatusByysfpqqlsh", ysfpqqlsh=long)["data"]["statuscode"] == "4"

step("code for a consumer")


def confirmed(link, fields):
    """Fills in the form as a browser does; what the page for confirming sends on."""
    page = urllib.request.urlopen(link, urllib.parse.urlencode(fields).encode()).read().decode()
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    assert hidden, page
    return urllib.parse.urlencode({**{name: html.unescape(value) for name, value in hidden}, "step": "issue"}).encode()


qr = {"FPQQLSH": f"PY{run}-10", "XSF_NSRSBH": SELLER, "ORGCODE": "A", "SHMC": "示例", "JSHJ": "11.30", "KPR": "张三",
      "items": [{"XMMC": "*纸制品*打印纸", "XMJSHJ": "11.30", "SL": "0.13", "SPBM": GOODS}]}
reply = post("insertForQRInvoice", json.dumps(qr).encode(), "application/json", {}, "output-tax")
link = reply["data"]["qrcode"]
assert post("insertForQRInvoice", json.dumps(qr).encode(), "application/json", {})["data"]["qrcode"] == link
assert status(qr["FPQQLSH"])["statuscode"] == "1"
urllib.request.urlopen(link, confirmed(link, {"kind": "person", "GMF_MC": "消费者"})).read()
assert wait(qr["FPQQLSH"])["data"]["gmfMc"] == "消费者"
urllib.request.urlopen(link, urllib.parse.urlencode({"GMF_MC": "别人"}).encode()).read()
assert status(qr["FPQQLSH"])["data"]["gmfMc"] == "消费者", "a second scan changes nothing"

step("re-issue of what exists")
named = {"FPQQLSH": paper, "XSF_NSRSBH": SELLER, "JSHJ": "56.5"}
assert form("reissue", requestdatas=[named])["datas"][0]["result"] == "ALREADY_ISSUED"
assert form("reissue", requestdatas=[{**named, "FPQQLSH": "NOTHERE"}])["code"] == "1002"

step("batch query, replay")
reply = form("batchQueryInvoiceStatus", fpqqlshs=[paper, "NOTHERE", paper])
assert [entry["code"] for entry in reply["data"]] == ["0000", "1002"], reply
before = len(received)
serial = f"PY{run}-01"
assert form("callback/replay", fpqqlsh=serial)["code"] == "0000"
end = time.time() + PATIENCE_S
while len(received) == before:
    assert time.time() < end
    time.sleep(0.2)
assert received[-1][0] == callback, "the id is stable"

step("done")
