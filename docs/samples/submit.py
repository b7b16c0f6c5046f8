"""Submits one job and waits for its end. Standard library only.

    TAXDISK_BROKER=https://broker.example TAXDISK_KEY=tdk_… python3 submit.py job.json

Ends with 0 when the invoice exists, with 1 when it is certain that none does, and with 2 when it cannot tell. Then run it again
with the same file: one serial number is at most one invoice, however often it is sent.
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BROKER = os.environ["TAXDISK_BROKER"].rstrip("/")
KEY = os.environ["TAXDISK_KEY"]
# How long this program goes on asking, seconds. The job goes on without it.
PATIENCE_S = float(os.environ.get("PATIENCE_S", "600"))
# Of one call, seconds: longer than the 30 that the broker is asked to wait.
CALL_S = 60
LONGEST_PAUSE_S = 60
ENDED = ("issued", "voided", "failed", "cancelled")


class Refused(Exception):
    """The broker said no, and the same again would be answered so again."""

    def __init__(self, problem):
        super().__init__(f"{problem.get('code')}: {problem.get('detail') or problem.get('title')}")
        self.problem = problem


class NotKnown(Exception):
    """The time is over and there is no answer."""


def problem_of(error):
    """The problem document of an answer. What stands before the broker may answer in its own words."""
    try:
        return json.load(error)
    except (ValueError, OSError, http.client.HTTPException):
        passing = error.code == 429 or error.code >= 500
        return {"code": f"http_{error.code}", "title": error.reason, "retry": "safe" if passing else "never"}


def call(end, method, path, body=None):
    """The answer to a call. It is repeated while the broker says that this is safe, and when no answer comes: then nobody knows
    whether it arrived, and the serial number makes the same again safe."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    pause_s = 1
    while True:
        try:
            request = urllib.request.Request(BROKER + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = problem_of(error)
            if problem.get("retry") != "safe":
                raise Refused(problem) from None
            why, wait_s = problem.get("code"), float(error.headers.get("retry-after") or pause_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why, wait_s = str(error), pause_s
        if time.monotonic() + wait_s > end:
            raise NotKnown(why)
        time.sleep(wait_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def submit(job):
    """Submits a job and gives it back as it ended, or as it is when the time is over."""
    end = time.monotonic() + PATIENCE_S
    view = call(end, "POST", "/v1/jobs", job)
    path = "/v1/jobs/" + urllib.parse.quote(view["seller"]) + "/" + urllib.parse.quote(view["serial"])
    while view["state"] not in ENDED and time.monotonic() < end:
        view = call(end, "GET", path + "?wait=30s")
    return view


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        view = submit(job)
    except Refused as refused:
        print(refused, file=sys.stderr)
        for breach in refused.problem.get("breaches", []):
            print(f"  {breach['pointer']}: {breach['detail']}", file=sys.stderr)
        # Refused does not mean that there is no invoice: an earlier request may have made one.
        return 1 if refused.problem.get("issued") == "no" else 2
    except NotKnown as why:
        print(f"no answer ({why}); run it again with the same file", file=sys.stderr)
        return 2
    if view["state"] in ("issued", "voided"):
        issued = view.get("issued") or view["original"]
        print(view["state"], issued["code"], issued["number"])
        return 0
    if view["state"] in ("failed", "cancelled"):
        problem = view.get("problem") or {}
        print(view["state"], problem.get("code", ""), problem.get("text", ""))
        return 1
    print(view["state"], view.get("waiting", ""), view.get("waiting_text", ""))
    return 2


if __name__ == "__main__":
    sys.exit(main())
