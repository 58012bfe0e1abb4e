"""Asks a model server for its models: probe.py BASE_URL. Prints `{"model": …, "owned_by": …}`."""

import json
import os
import sys
import urllib.request

request = urllib.request.Request(sys.argv[1].rstrip("/") + "/models")
if key := os.environ.get("WAYPOST_UPSTREAM_API_KEY"):
    request.add_header("Authorization", f"Bearer {key}")
with urllib.request.urlopen(request, timeout=10) as reply:
    models = json.load(reply).get("data") or []
if not models:
    sys.exit("it lists no models")
print(json.dumps({"model": models[0]["id"], "owned_by": models[0].get("owned_by") or ""}))
