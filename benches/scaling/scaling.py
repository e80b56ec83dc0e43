#!/usr/bin/env python3
"""Calculates and simulates how Bellwire grows: the tables of docs/SCALING.md, from measured figures and an assumed call rate.

What is assumed and measured stands at the top of `model.py`; what is simulated is in `simulation.py`; `measure.py` measured what Redis
costs. Standard library only, always the same output, some seconds.

    benches/scaling/scaling.py            # prints the tables
    benches/scaling/scaling.py --write    # puts them into docs/SCALING.md
    benches/scaling/scaling.py --check    # fails if docs/SCALING.md has others, or a source of a figure has another
"""

import math
import random
import re
import sys

import model
from model import BUSY, LISTENER_US, NOTICES, ROOT, STREAMS, USERS, Scale, looks, notice_bytes, pushes_of_a_call
from simulation import Sweeps, partition_of, slot, tags, unevenness, users_by_partition

def number(value):
    """Two digits that count, with commas."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}" if digits > 0 else f"{rounded:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def gigabytes(value):
    return f"{number(value / 1e9)} GB" if value >= 1e9 else f"{number(value / 1e6)} MB"


def load():
    rows = []
    for users in USERS:
        one = Scale(users)
        rates = map(number, (one.mean, one.peak, one.event))
        rows.append([f"{users:,}", f"{one.calls_a_day:,}", *rates, f"{one.online:,.0f}", number(one.rooms)])
    return table(["users", "calls a day", "a second, busiest hour", "peak minute", "mass event", "event streams", "calls at once"], rows)


def instances():
    rows = []
    for users in USERS:
        for streams in STREAMS:
            one = Scale(users, streams)
            each = one.online / (one.instances - 1) * model.STREAM_BYTES
            cores = one.event * model.GATEWAY_US * 1e-6 * model.LIVEKIT
            event = f"{number(cores)} to {number(cores * model.QUIET)}"
            needs = [number(one.by_cpu), number(one.by_streams), f"**{one.instances}**", gigabytes(each), event]
            rows.append([f"{users:,}", f"{streams:,}", *needs])
    head = ["users", "`limits.event_streams`", "machines' worth of CPU", "of streams", "instances", "memory of streams in each, one away"]
    return table([*head, "cores of all in a mass event"], rows)


def redis():
    kept = {7: "7d", 1: "1d", 1 / 72: "20m"}
    scales = [Scale(users, STREAMS[1], days) for users, days in zip((USERS[0], *USERS[1:2] * 2, *USERS[2:] * 3), (7, 7, 1, 7, 1, 1 / 72))]
    head = ["", *(f"{one.users:,}" for one in scales)]
    rows = [["`call.retention`", *(kept[one.kept_days] for one in scales)]]
    for part in scales[0].memory():
        rows.append([part, *(gigabytes(one.memory()[part]) for one in scales)])
    rows.append(["**memory**", *(f"**{gigabytes(sum(one.memory().values()))}**" for one in scales)])
    for part in scales[0].redis_cores():
        rows.append([f"cores: {part}", *(number(one.redis_cores()[part]) for one in scales)])
    rows.append(["**cores, at the peak**", *(f"**{number(sum(one.redis_cores().values()))}**" for one in scales)])
    rows.append(["**masters**, each with a replica", *(f"**{one.masters()}**" for one in scales)])
    return table(head, rows)


def partitions():
    # What the tests of keys.rs say of the same.
    assert slot(b"123456789") == 0x31C3 and tags()[partition_of(b"ann")] == 266
    counts, calls = users_by_partition(200_000, 1)
    rows = []
    for masters in (3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 100):
        days = [float(partition % 16 == 0) for partition in range(256)]
        each = [unevenness(masters, load) for load in ([1] * 256, counts, calls, days)]
        rows.append([masters, *(f"+{share:.0%}" for share in each)])
    return table(["masters", "partitions", "200,000 users", "their calls, few calling most", "the day's sums (16 keys)"], rows)


def notices():
    rows = []
    size = notice_bytes()
    for users in USERS[1:]:
        one = Scale(users)
        for count in (3, 6, 14, 52, 100):
            heard = one.peak * NOTICES
            cores = " to ".join(number(heard * count * cost * 1e-6) for cost in LISTENER_US)
            megabytes = heard * size / 1e6
            each = f"{number(heard * model.HEAR_US * 1e-4)}%"
            rows.append([f"{users:,}", count, *map(number, (heard, megabytes, megabytes * count)), cores, each])
    head = ["users", "instances", "notices a second", "MB/s to each", "MB/s from Redis", "cores of Redis"]
    return table([*head, "of a core in each instance"], rows)


def wakes():
    rows = []
    for count in (1, 2, 5, 10, 30):
        chance = random.Random(count)
        dead = Sweeps(count, [chance.uniform(0, 30_000) for _ in range(3_000)], model.SWEEP_COSTS).run().late()
        share = [dead[len(dead) // 2], dead[len(dead) * 99 // 100], dead[-1]]
        all_at_once = [Sweeps(count, [0.0] * 10_000, model.SWEEP_COSTS, spread).run() for spread in (False, True)]
        work = []
        for one in all_at_once:
            work += [f"{number(one.late()[-1] / 1000)} s", f"{number(one.loads / 10_000)}, {number(one.commits / 10_000)}"]
        rows.append([count, *(f"{ms:,.0f}" for ms in share), *work])
    head = ["living instances", "p50 ms", "p99 ms", "latest ms", "10,000 at once: all woken after", "loads, commits of each"]
    return table([*head, "if spread: after", "loads, commits"], rows)


def providers():
    rows = []
    apple, google = pushes_of_a_call()
    for users, streams in zip(USERS, (STREAMS[0], STREAMS[1], STREAMS[1])):
        one = Scale(users, streams)
        for what, rate in (("peak", one.peak), ("mass event", one.event)):
            open_now, bad = rate * apple * model.PUSH_S, rate * apple * model.BAD_PUSH_S
            connections = 2 * one.instances
            quota = rate * google * 60 / model.QUOTA
            streams_on_each = [number(open_now / connections), number(bad / connections)]
            to_google = [number(rate * google), f"{number(100 * quota)}%"]
            rows.append([f"{users:,}, {what}", number(rate * apple), connections, *streams_on_each, *to_google])
    head = ["", "to Apple a second", "connections (2 each)", "streams on each", "when Apple takes 1 s", "to Google a second", "of Google's quota"]
    return table(head, rows)


def livekit():
    rows = []
    for users, streams in ((1_000, STREAMS[0]), (1_000_000, STREAMS[1]), (10_000_000, STREAMS[1]), (10_000_000, STREAMS[0])):
        one = Scale(users, streams)
        size = one.rooms * model.ROOM_BYTES
        read = min(size, model.LIST_BYTES) * one.instances / 18
        reads = f"{number(one.peak * one.instances * looks())}" if one.sweeps_rooms() else "none: the list is too long"
        lists = [f"{number(size / 1e6)} MB", number(one.instances / 18), f"{number(read / 1e6)} MB/s"]
        rows.append([f"{users:,}", one.instances, number(one.rooms), *lists, reads, number(one.rooms / 270)])
    head = ["users", "instances", "rooms at the peak", "list of rooms", "lists a second", "read of lists"]
    return table([*head, "records loaded a second for it", "`ListParticipants` a second"], rows)


def herd():
    rows = []
    for users, streams in ((1_000_000, STREAMS[1]), (10_000_000, STREAMS[0]), (10_000_000, STREAMS[1])):
        one = Scale(users, streams)
        each = one.online / (one.instances - 1)
        seconds = [readers * model.READER_COMMANDS * model.LOAD_US * 1e-6 / one.masters() for readers in (each, one.online)]
        took = [f"{number(value)} s" for value in (each / 32 * model.TURN_S, *seconds)]
        rows.append([f"{users:,}", one.instances, f"{each:,.0f}", one.masters(), *took])
    head = ["users", "instances", "readers in each", "masters", "an instance needs", "each master's CPU if one looks again", "if all do"]
    return table(head, rows)


def hot():
    rows = []
    for claims, cost in model.LINE_US:
        rows.append([f"{claims:,}", f"{cost:,} µs", f"{claims * 258:,}", f"{BUSY * 1e6 / cost:,.0f}"])
    return table(["claims on the line", "CPU of Redis to ring it", "bytes answered", "invites a second in half a core"], rows)


def postgres():
    rows = []
    for users, streams in zip((*USERS, USERS[2]), (*STREAMS[1:] * 3, STREAMS[0])):
        one = Scale(users, streams)
        month = gigabytes(one.calls_a_day * 1000 * 30)
        rows.append([f"{users:,}", one.instances, number(one.peak), f"{one.calls_a_day:,}", month, 4 * (one.instances + 1)])
    head = ["users", "instances", "rows a second", "rows a day", "a month, at 1 KB a row with its indexes"]
    return table([*head, "connections, while one restarts"], rows)


def limits():
    """At how many users each thing is too little, if it stays as it is."""
    one, (_, google) = Scale(1_000_000), pushes_of_a_call()
    rooms = model.LIST_BYTES / model.ROOM_BYTES
    users_of_streams = STREAMS[0] * 7 / 8 / model.ONLINE
    memory = [sum(Scale(1_000_000, kept_days=days).memory().values()) for days in (7, 1)]
    calls = BUSY / one.redis_cores()["calls"] * one.peak
    rows = [
        ["event streams of one gateway", f"`limits.event_streams = {STREAMS[0]}`, of which seven eighths are for users", users_of_streams, None],
        ["memory of one Redis", f"{model.MASTER_GB} GB, `call.retention = \"7d\"`", 1e6 * model.MASTER_GB * 1e9 / memory[0], None],
        ["memory of one Redis", f"{model.MASTER_GB} GB, `call.retention = \"1d\"`", 1e6 * model.MASTER_GB * 1e9 / memory[1], None],
        ["LiveKit's list of rooms", f"32 MiB, {number(rooms)} rooms at once", rooms / one.rooms * 1e6, rooms / one.rooms * one.peak / one.event * 1e6],
        ["CPU of one Redis", f"half a core, {number(calls)} calls a second", calls / one.peak * 1e6, calls / one.event * 1e6],
        ["connections of PostgreSQL", "100, `history.connections = 4`: 25 gateways, one of them more during a restart", 21 * users_of_streams, None],
        ["Google's quota", f"{model.QUOTA:,} a minute for a project", *(model.QUOTA / 60 / google / rate * 1e6 for rate in (one.peak, one.event))],
    ]
    rows.sort(key=lambda row: row[3] or row[2])
    said = [[what, limit, number(peak), number(event) if event else "as much"] for what, limit, peak, event in rows]
    return table(["what", "how much there is", "enough for so many users at the peak", "in a mass event"], said)


TABLES = [load, limits, instances, redis, partitions, notices, wakes, providers, livekit, herd, hot, postgres]


def main(how):
    made, page = {make.__name__: make() for make in TABLES}, ROOT / "docs/SCALING.md"
    if not how:
        for name, text in made.items():
            print(f"{name}\n\n{text}\n")
        return 0
    text = page.read_text()
    for name, block in made.items():
        place = rf"(<!-- {name} -->\n)(?:(?!<!--).*?\n)?(<!-- end -->)"
        text, found = re.subn(place, lambda match: f"{match[1]}{block}\n{match[2]}", text, flags=re.S)
        if found != 1:
            print(f"{page.name} has no place for the table `{name}`")
            return 1
    if how == ["--write"]:
        page.write_text(text)
        return 0
    stale = [(file, words) for file, all_words in model.SOURCES.items() for words in all_words if words not in (ROOT / file).read_text()]
    for file, words in stale:
        print(f"{file} has no more “{words}”: change what stands at the top of scaling.py, then --write")
    if text != page.read_text():
        print(f"the tables of {page.name} are not those of scaling.py: --write, then read the words around them again")
    return int(bool(stale) or text != page.read_text())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
