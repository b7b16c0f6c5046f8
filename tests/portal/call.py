"""One call of the portal's compatible API, as a merchant's system makes it. Prints the reply.

Usage: call.py PORTAL_URL APPID KEY_PEM SELLER NAME [FIELD=VALUE...]
"""

import hashlib
import sys
import time
import urllib.parse
import urllib.request
import uuid

import jwt

PORTAL, APPID, KEY_FILE, _SELLER, NAME = sys.argv[1:6]
fields = dict(field.split("=", 1) for field in sys.argv[6:])
now = int(time.time())
claims = {"jti": str(uuid.uuid4()), "iat": now, "exp": now + 300}
if "requestdatas" in fields:
    claims["requestdatas"] = hashlib.md5(fields["requestdatas"].encode()).hexdigest()
request = urllib.request.Request(
    f"{PORTAL}/output-tax/api/invoiceApply/{NAME}?appid={APPID}", urllib.parse.urlencode(fields).encode(),
    {"content-type": "application/x-www-form-urlencoded", "sign": jwt.encode(claims, open(KEY_FILE).read(), algorithm="RS256")})
with urllib.request.urlopen(request, timeout=30) as answer:
    print(answer.read().decode())
