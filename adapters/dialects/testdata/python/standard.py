"""Asks a PyPI package, standardwebhooks or svix, about each case on standard input."""

import base64
import json
import sys

import standardwebhooks
import svix

packages = {"standardwebhooks": standardwebhooks.Webhook, "svix": svix.Webhook}


def verdict(case):
    try:
        packages[case["package"]](case["secret"]).verify(base64.b64decode(case["body"]), case["headers"])
        return "true"
    except Exception as e:
        return str(e)


json.dump([verdict(c) for c in json.load(sys.stdin)], sys.stdout)
