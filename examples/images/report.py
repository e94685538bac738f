"""The shop's job: makes visits, reads the number of them, and tells it."""

import json
import os
import urllib.request

BACK = os.environ.get("BACK", "http://back:3000")
VISITS = int(os.environ.get("VISITS", "10"))


def ask(method, path):
    request = urllib.request.Request(BACK + path, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


before = ask("GET", "/visits")["visits"]
by = {}
for _ in range(VISITS):
    pod = ask("POST", "/visit")["by"]
    by[pod] = by.get(pod, 0) + 1
after = ask("GET", "/visits")["visits"]
for pod, count in sorted(by.items()):
    print(f"{count:4} counted by {pod}")
print(f"visits: {before} before, {after} after")
if after < before + VISITS:
    raise SystemExit("the database has lost some")
