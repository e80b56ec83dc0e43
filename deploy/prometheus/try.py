"""Makes calls at a gateway, then evaluates every expression of the dashboard and the alerts; see `try`, which starts what it needs."""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

GATEWAY, CONTROL, PROMETHEUS, ALICE, BOB = sys.argv[1:]
SECONDS = 12
HERE = Path(__file__).parent
# What a gateway without trouble, LiveKit or webhooks has nothing to tell of.
MAY_BE_EMPTY = ("livekit", "webhook", "usage_warnings", "limited", "jobs_total", 'status!~', 'verdict!=', "store_failures",
                "task_late", "ring_media", "policy", "config_reloads", 'reason="held-back"')


def ask(url, body=None, token=None, method=None):
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method or ("POST" if data else "GET"))
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def one_call():
    call = ask(f"{GATEWAY}/v1/calls", {"callee": "bob", "media": "audio"}, ALICE)["call"]["id"]
    found = ask(f"{CONTROL}/requests?call={call}&kind=ring&wait=5s")["requests"]
    ticket = next(push["body"]["ticket"] for push in found if "ticket" in push["body"])
    for verb in ("alerting", "answer", "hangup"):
        ask(f"{GATEWAY}/v1/calls/{call}/{verb}", {}, ticket)


def expressions():
    for panel in json.loads((HERE / "../grafana/bellwire.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s"), True
    for rule in json.loads(urllib.request.urlopen(f"{PROMETHEUS}/api/v1/rules").read())["data"]["groups"]:
        for one in rule["rules"]:
            if one["health"] == "err":
                sys.exit(f"{one['name']}: {one['lastError']}")
            # Alerts are to be silent here, and so without data.
            yield one["name"], one["query"], False


def main():
    ask(f"{GATEWAY}/v1/devices/iphone", {"platform": "ios", "app": "com.example.phone", "voip_token": "ab" * 32, "alert_token": "cd" * 32}, BOB, "PUT")
    stream = urllib.request.Request(f"{GATEWAY}/v1/events", headers={"authorization": f"Bearer {ALICE}", "accept": "text/event-stream"})
    reading = urllib.request.urlopen(stream)
    until, calls = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        one_call()
        calls += 1
    # One that nobody answers, so that something comes due.
    ask(f"{GATEWAY}/v1/calls", {"callee": "bob", "media": "audio", "ring_seconds": 5}, ALICE)
    time.sleep(7)
    faults, checked, empty = [], 0, []
    for title, expression, wants_data in expressions():
        answer = ask(f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        checked += 1
        if answer["status"] != "success" or answer.get("warnings"):
            faults.append(f"{title}: {answer.get('error') or answer['warnings']}\n    {expression}")
        elif wants_data and not answer["data"]["result"]:
            (empty if re.search("|".join(map(re.escape, MAY_BE_EMPTY)), expression) else faults).append(f"{title}: no data\n    {expression}")
    firing = [alert["labels"]["alertname"] for alert in ask(f"{PROMETHEUS}/api/v1/alerts")["data"]["alerts"] if alert["state"] == "firing"]
    reading.close()
    faults += [f"{alert} fires, and nothing is wrong" for alert in firing]
    print(f"{calls} calls; {checked} expressions, {len(empty)} of them without data, as they may be; {len(faults)} faults")
    if faults:
        sys.exit("\n".join(faults))


main()
