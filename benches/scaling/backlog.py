#!/usr/bin/env python3
"""Counts what it costs real gateways to wake a backlog: 10,000 records of ended calls that are to be compacted, and nobody who remembers them.

It puts the records into a redis-server of its own, as measure.py makes them and where keys.rs would, starts so many gateways, and counts
the commands until none is due. What is compared with `Sweeps` of simulation.py is how often each record is loaded and how often a commit of
it is tried; the time says little where all gateways share a machine.

    cargo build --release && benches/scaling/backlog.py target/release/bellwire 1 2 5
"""

import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from measure import record, server, uuid as random_uuid
from simulation import PARTITIONS, partition_of, tags

CALLS = 10_000
GIVEN_UP_AFTER_S = 120
CONFIG = """
[http]
listen = "127.0.0.1:0"
ops_listen = "127.0.0.1:0"
[auth]
ticket_secret = "a secret that signs tickets of a benchmark"
[[auth.users]]
issuer = "benchmark"
audience = "bellwire"
algorithm = "HS256"
secret = "a secret of the issuer of a benchmark's users"
[store]
url = "redis://127.0.0.1:{port}"
[livekit]
rooms = false
"""


def write_calls(redis, tag):
    """Calls that ended long ago and are kept for long, so that each is to be compacted at once."""
    for start in range(0, CALLS, 500):
        commands = []
        for number in range(start, start + 500):
            digits = random_uuid(number)
            call = f"{digits[:14]}7{digits[15:19]}8{digits[20:]}"
            text = json.loads(record(call, "ann", "bob", compacted=False))
            text["rules"]["retention_ms"] = 3650 * 86_400_000
            base = f"bw:{{{tag[partition_of(uuid.UUID(call).bytes)]}}}:"
            commands.append(("SET", f"{base}call:{call}", json.dumps(text, separators=(",", ":"), ensure_ascii=False)))
            commands.append(("ZADD", f"{base}later", 1_770_000_000_000 + number, call))
        redis.ask(*commands)


def count(binary, gateways):
    tag = tags()
    with server() as (redis, port), tempfile.TemporaryDirectory() as folder:
        write_calls(redis, tag)
        config = Path(folder) / "bellwire.toml"
        config.write_text(CONFIG.format(port=port))
        redis.ask(("CONFIG", "RESETSTAT"))
        command = [binary, "serve", "--without-push", "--config", config]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(gateways)]
        began = time.monotonic()
        try:
            # A record that was compacted is due again when its retention has passed.
            due = [("ZCOUNT", f"bw:{{{tag[partition]}}}:later", "-inf", 1_780_000_000_000) for partition in range(PARTITIONS)]
            while sum(redis.ask(*due)):
                ended = [one.returncode for one in running if one.poll() is not None]
                if ended or time.monotonic() - began > GIVEN_UP_AFTER_S:
                    raise SystemExit(f"a gateway ended ({ended}), or {GIVEN_UP_AFTER_S} s were not enough")
                time.sleep(0.1)
            calls = {name[8:]: int(figures.split(",")[0][6:]) for name, figures in redis.info("commandstats").items() if name.startswith("cmdstat_")}
        finally:
            for one in running:
                one.terminate()
            for one in running:
                one.wait()
    print(f"| {gateways} | {calls['get'] / CALLS:.1f} | {calls['evalsha'] / CALLS:.1f} | {time.monotonic() - began:.0f} s |")


if __name__ == "__main__":
    print("| gateways | loads of each call | commits tried | all after, starts included |\n| --- | --- | --- | --- |")
    for gateways in sys.argv[2:]:
        count(sys.argv[1], int(gateways))
