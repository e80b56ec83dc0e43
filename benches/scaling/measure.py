#!/usr/bin/env python3
"""Measures on a real redis-server the figures of docs/SCALING.md that docs/PERFORMANCE.md does not have.

What an ended call takes of Redis' memory, what it costs Redis to tell one more instance of a commit, what a commit and a read of a
record cost, and what a long line costs an invite. It runs Bellwire's own scripts on a server of its own, on a free port, for about
half a minute, and prints the figures to be copied to the top of model.py. No gateway and no network is in them; CPU is Redis'
own (`INFO cpu`), so other work on the machine disturbs it little.

    benches/scaling/measure.py            # needs redis-server 7 on PATH
"""

import itertools
import json
import os
import random
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "src/store/redis/scripts"
RECORD = ROOT / "tests/fixtures/records/format-1/ended-statistics.json"
CALLS = 20_000
# Listeners at most.
MOST = 24
# Of `src/store/mod.rs`: a line on which so many stand is claimed no more.
CLAIMS_BEFORE = 8
# No call is committed twice.
NUMBERS = itertools.count(10**6)
TOKENS = ("voip_token", "alert_token", "fcm_token", "fcm_fid")


class Redis:
    """A connection that sends commands in batches and reads only what it must: RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def ask(self, *commands):
        """The answers to commands that go out together."""
        self.socket.sendall(b"".join(map(encoded, commands)))
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def info(self, section):
        lines = self.ask(("INFO", section))[0].decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu(self):
        info = self.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    def memory(self):
        return int(self.info("memory")["used_memory"])

    def script(self, name):
        source = (SCRIPTS / "shared.lua").read_text() + "\n" + (SCRIPTS / f"{name}.lua").read_text()
        return self.ask(("SCRIPT", "LOAD", source))[0].decode()


def encoded(command):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def uuid(number):
    digits = f"{random.Random(number).getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def record(call, caller, callee, compacted):
    """The record of a completed call to two phones, from a fixture: as it stands after ten minutes, or with what it has before."""
    whole = json.loads(RECORD.read_text())
    whole["id"], whole["caller"]["id"], whole["callee"]["id"] = call, caller, callee
    whole["room"] = f"bw_main_{call}_{'ab' * 16}"
    whole["legs"] = whole["legs"][:2]
    whole["events"] = [event for event in whole["events"] if "user_id" not in event["data"]]
    whole["tasks"] = []
    if compacted:
        for leg in whole["legs"]:
            leg["device"] = {key: value for key, value in leg["device"].items() if key not in TOKENS}
        whole["compacted"] = True
    rest = {key: value for key, value in whole.items() if key not in ("format", "id", "version")}
    head = {"format": 1, "commit": "0123456789abcdef", "id": call, "version": 16}
    return json.dumps({**head, **rest}, separators=(",", ":"), ensure_ascii=False)


def memory_by(redis, count, commands):
    """Bytes of Redis for each of so many things, each of which `commands` writes."""
    before = redis.memory()
    for start in range(0, count, 500):
        redis.ask(*[command for number in range(start, start + 500) for command in commands(number)])
    return (redis.memory() - before) / count


def record_of_an_ended_call(number):
    call, tag = uuid(number), f"bw:{{{number % 256}}}:"
    text = record(call, uuid(number + 1), uuid(number + 2), compacted=True)
    return [("SET", f"{tag}call:{call}", text), ("ZADD", f"{tag}later", 1770000000000 + number, call)]


def that_it_was_counted(number):
    return [("SET", f"bw:{{{number % 256}}}:accounted:{uuid(number)}", "1", "PX", 7 * 86_400_000)]


def calls_of_a_user(kind, length):
    return lambda number: [("ZADD", f"bw:{{1}}:{kind}:{uuid(number)}", *(word for call in range(length) for word in (0, uuid(call))))]


def cost(redis, rounds, commands):
    """CPU of Redis by command, in microseconds, the least of three times; what `commands` gives goes out at once, and no more before the answers."""
    redis.ask(*commands(0))
    least = float("inf")
    for _ in range(3):
        before = redis.cpu()
        for number in range(rounds):
            redis.ask(*commands(number))
        least = min(least, redis.cpu() - before)
    return least / (rounds * len(commands(0))) * 1e6


def commits(redis, together):
    """Commits of new calls with a notice each; so many go out at once."""
    commit, text = redis.script("commit"), record(uuid(1), uuid(2), uuid(3), compacted=False)
    notice = json.dumps({"call": uuid(1), "version": 7, "parties": [uuid(2), uuid(3)], "after": 2, "last": 3, "from": uuid(4)},
                        separators=(",", ":"))

    def batch(_):
        calls = [next(NUMBERS) for _ in range(together)]
        return [("EVALSHA", commit, 5, *(f"bw:{{5}}:{key}" for key in (f"call:{uuid(call)}", "wake", "later", "notices", "events")),
                 1, "", "0123456789abcdef", 1, text, 1770000000000, 1, uuid(call), notice) for call in calls]

    return batch


class Listeners:
    """Instances that listen to the channel and do nothing with what they hear."""

    def __init__(self, port, count):
        self.selector, self.ends, self.heard = selectors.DefaultSelector(), False, 0
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port))
            one.sendall(encoded(("SSUBSCRIBE", "bw:{5}:events")))
            one.recv(1000)
            self.selector.register(one, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.drain)
        self.thread.start()

    def drain(self):
        while not self.ends:
            for key, _ in self.selector.select(0.2):
                self.heard += len(key.fileobj.recv(1 << 20))

    def close(self):
        self.ends = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()


def cost_of_one_more_listener(redis, port, together):
    """From what a commit costs with none and with `MOST` listeners: the least of several rounds, by turns."""
    costs = {0: [], MOST: []}
    for _ in range(3):
        for count, seen in costs.items():
            listeners = Listeners(port, count)
            seen.append(cost(redis, 500 // together, commits(redis, together)))
            listeners.close()
            assert count == 0 or listeners.heard > 300_000 * count, "they hear nothing"
    alone, crowded = min(costs[0]), min(costs[MOST])
    return (crowded - alone) / MOST, alone


def cost_of_a_long_line(redis, length):
    """`ring_line.lua` for a callee who has so many claims on their line, and the bytes that it answers."""
    ring, line, until = redis.script("ring_line"), f"bw:{{9}}:line:hot-{length}", 4102444800000
    claim = json.dumps({"user": uuid(1), "call": uuid(2), "peer": uuid(3), "role": "callee", "at": 1770000000000, "until": until})
    if length:
        redis.ask(*[("RPUSH", line, f"{until} {uuid(100 + number)} {claim}") for number in range(length)])
    keys = [line, *(f"bw:{{9}}:{key}" for key in ("history:hot", "devices:hot", "blocks:hot", "bans", "attached:hot", "named:hot", "contacts:hot"))]
    rings = ("EVALSHA", ring, len(keys), *keys, "hot", 1770000000000, uuid(9), until, f"{until} {uuid(9)} {claim}", 100, until, until,
             "caller", 0, CLAIMS_BEFORE, 0)
    frees = ("LREM", line, -1, f"{until} {uuid(9)} {claim}")
    answer = redis.ask(rings, frees)[0]
    both = cost(redis, 200, lambda _: [rings, frees])
    return 2 * both, sum(map(len, answer[4]))


@contextmanager
def server():
    """A redis-server of its own on a free port, and a connection to it."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", "", "--bind", "127.0.0.1"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield connected(process, port), port
        finally:
            process.terminate()
            process.wait()


def connected(process, port):
    while process.poll() is None:
        try:
            return Redis(port)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("redis-server does not start")


def main():
    with server() as (redis, port):
        sample = record(uuid(1), uuid(2), uuid(3), compacted=True)
        print(f"redis-server {redis.info('server')['redis_version']}, {os.cpu_count()} cores")
        print(f"record of an ended call to two phones, compacted   {len(sample.encode()):8,} bytes")
        for what, count, commands in (
            ("the same in Redis, with its wake-up", CALLS, record_of_an_ended_call),
            ("that it was counted, for seven days", CALLS, that_it_was_counted),
            ("a user's history of 100 calls", 2000, calls_of_a_user("history", 100)),
            ("28 calls that name a user", 2000, calls_of_a_user("named", 28)),
        ):
            print(f"{what:50} {memory_by(redis, count, commands):8,.0f} bytes")
        redis.ask(("SET", "bw:{5}:call:read", sample))
        print(f"load of a record (GET), alone                      {cost(redis, 1000, lambda _: [('GET', 'bw:{5}:call:read')]):8.1f} us")
        for together in (1, 16):
            listener, alone = cost_of_one_more_listener(redis, port, together)
            print(f"commit, {together:2} at once, no listener                     {alone:8.1f} us")
            print(f"each listener more                                 {listener:8.2f} us")
        for length in (0, CLAIMS_BEFORE // 2, CLAIMS_BEFORE):
            microseconds, size = cost_of_a_long_line(redis, length)
            print(f"ring a callee with {length:4} claims on their line        {microseconds:8.1f} us, answers {size:,} bytes")


if __name__ == "__main__":
    main()
