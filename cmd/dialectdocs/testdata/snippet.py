"""Runs a Python snippet that defines verify() over the cases on standard input:
{code, cases: [{body, headers, secret}]} in, an array of true and false out; an
exception is its text."""
import base64
import json
import sys
from email.message import Message

given = json.load(sys.stdin)
scope = {}
exec(given["code"], scope)


def judged(case):
    headers = Message()  # finds names in any case, as servers' headers do
    for name, value in (case.get("headers") or {}).items():
        headers[name] = value
    try:
        return scope["verify"](base64.b64decode(case["body"]), headers, case["secret"])
    except Exception as e:  # the test shows it
        return repr(e)


json.dump([judged(c) for c in given["cases"]], sys.stdout)
