"""What is assumed of people, what was measured of Bellwire, and what follows for so many users; the tables are `scaling.py`'s.

Everything that docs/SCALING.md assumes stands at the top, by name: change it there, then `scaling.py --write`.
"""

import json
import math
from functools import cache
from pathlib import Path

from simulation import looks_at_a_room

ROOT = Path(__file__).resolve().parents[2]
USERS = (1_000, 1_000_000, 10_000_000)

# Assumed: what people do. docs/SCALING.md says why.
CALLS_A_DAY = 2  # made by a user
BUSIEST_HOUR = 0.1  # of the day's calls
PEAK = 2  # the busiest minute, in means of the busiest hour
EVENT = 10  # a mass event, for some minutes
DEVICES, ANDROID = 1.6, 0.5  # of a user; and which share of them
ANSWERED, RING_S, TALK_S = 0.6, (8, 35), 180  # rings so long until the answer, and without one
ONLINE = 0.05  # of all users, with an event stream, in the busiest hour
SILENT = 0.1  # of Android phones are pushed to again, twice
PUSH_S, BAD_PUSH_S = 0.1, 1.0  # until a provider answers; on a bad day
THREADS, BUSY = 1, 0.5  # that serve in a gateway, and how busy they may be
MASTER_GB = 25  # of data in one Redis, with as much left free

# Measured: docs/PERFORMANCE.md, in the words of `SOURCES`.
GATEWAY_US, REDIS_US = 414, 269  # a whole call, at the greatest load
SWEEP = 0.0050  # of a core, by instance: the gateway's, and as much of Redis
LIVE_BYTES, DEVICE_BYTES = 4200, 990
STREAM_BYTES = 26_000
# Measured: benches/scaling/measure.py, rounded; docs/SCALING.md tells the range.
ENDED_BYTES, COUNTED_BYTES, HISTORY_BYTES, NAMED_BYTES = 3250, 160, 4200, 50
LOAD_US, COMMIT_US, LISTENER_US = 10, 28, (1, 5)  # told in company, and alone
LINE_US = ((0, 23), (4, 26), (8, 29))  # ring_line.lua, by claims on the line, of which there are no more

# Calculated by reading the code.
QUIET = 4  # CPU of a gateway by call where little company shares a system call: 949 µs an invite in place of 222
LIVEKIT = 1.6  # six commits of LiveKit's room and its webhooks beside the ten that were measured
NOTICES = 5 * ANSWERED + 3 * (1 - ANSWERED)  # commits with a new event, by call
HEAR_US = 5  # of a gateway by notice: estimated
KEPT_DAYS = 7  # call.retention
READER_COMMANDS, TURN_S = 7.6, 0.002  # what a reader that looks again asks of Redis, and how long its turn is, of 32 at once: two round trips
STREAMS = (12_288, 50_000)  # limits.event_streams: the default, and a raised one; seven eighths are for users
QUOTA = 600_000  # of Google, by minute and project
ROOM_BYTES, LIST_BYTES = 1_100, 32 << 20  # of LiveKit's list by room, and the most that is read

# What stands where, and must stand there still for all this to hold.
SOURCES = {
    "docs/PERFORMANCE.md": ["| 414 | 13,044 | 33,390 | 269 |", "of_core 0.004995, service_of_core 0.002997", "store 4.174"],
    "docs/OPERATIONS.md": ["an event stream 9 KB"],
    "config/default.toml": ["event_streams = 12288", "# connections = 2", "connections = 4", 'retention = "7d"'],
    "src/store/redis/keys.rs": ["PARTITIONS: usize = 256"],
    "src/store/redis/due.rs": ["DUE_OF_ONE: usize = 64"],
    "src/scheduler/wake.rs": ["CHOICE: usize = 8"],
    "src/scheduler/mod.rs": ["SWEEP_EVERY: Duration = Duration::from_millis(600)", "SWEEP_AFTER: Duration = Duration::from_millis(300)",
                             "SWEEP_BATCH: usize = 512", "AT_ONCE: usize = 64"],
    "src/dispatch/sweep.rs": ["EVERY: Duration = Duration::from_secs(18)"],
    "src/livekit/twirp.rs": ["MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024"],
}  # fmt: skip

SWEEP_COSTS = {"round_trip": 0.5, "sweep": 2.0, "load": LOAD_US / 1000, "commit": COMMIT_US / 1000, "gateway": 0.1}


class Scale:
    """What so many users need."""

    def __init__(self, users, streams=STREAMS[0], kept_days=KEPT_DAYS):
        self.users, self.kept_days = users, kept_days
        self.calls_a_day = users * CALLS_A_DAY
        self.mean = self.calls_a_day * BUSIEST_HOUR / 3600
        self.peak, self.event = self.mean * PEAK, self.mean * EVENT
        self.online = users * ONLINE
        self.lives_s = ANSWERED * (RING_S[0] + TALK_S) + (1 - ANSWERED) * RING_S[1]
        self.rooms = self.peak * self.lives_s
        self.by_cpu = self.peak * GATEWAY_US * 1e-6 * QUIET * LIVEKIT / (THREADS * BUSY)
        self.by_streams = self.online / (streams * 7 / 8)
        needed = max(1, math.ceil(max(self.by_cpu, self.by_streams)))
        # One may be dead or be restarted; of many, one in ten.
        self.instances = needed + max(1, math.ceil(needed / 10))

    def memory(self):
        """Of Redis, by what it is for."""
        calls = self.calls_a_day * self.kept_days
        return {
            "calls that live or ended within ten minutes": self.mean * (self.lives_s + 600) * LIVE_BYTES,
            "ended calls (`call.retention`)": calls * (ENDED_BYTES + 2 * NAMED_BYTES),
            "that they were counted (7 days)": self.calls_a_day * 7 * COUNTED_BYTES,
            "devices": self.users * DEVICES * DEVICE_BYTES,
            "histories (100 calls of each user)": self.users * HISTORY_BYTES,
        }

    def redis_cores(self):
        calls = self.peak * (REDIS_US * LIVEKIT + 2 * (LOAD_US + COMMIT_US)) * 1e-6
        told = self.peak * NOTICES * self.instances * LISTENER_US[1] * 1e-6
        looked = self.peak * self.instances * looks() * LOAD_US * 1e-6 if self.sweeps_rooms() else 0
        return {"calls": calls, "notices": told, "sweeps for what is due": self.instances * SWEEP, "LiveKit's rooms": looked}

    def sweeps_rooms(self):
        return self.rooms * ROOM_BYTES < LIST_BYTES

    def masters(self):
        """A power of two, over which the partitions are even."""
        needed = max(1, sum(self.memory().values()) / (MASTER_GB * 1e9), sum(self.redis_cores().values()) / BUSY)
        return 2 ** math.ceil(math.log2(needed))


@cache
def looks():
    return looks_at_a_room(ANSWERED, RING_S, TALK_S, 20_000, 1)


def pushes_of_a_call():
    """To Apple and to Google: rings, those that stop them, missed calls; to Google also rings that are pushed again."""
    rings = DEVICES
    others = ANSWERED * (DEVICES - 1)
    missed = (1 - ANSWERED) * DEVICES
    apple = (1 - ANDROID) * (rings + others + 2 * missed)
    return apple, ANDROID * (rings * (1 + 2 * SILENT) + others + missed)


def notice_bytes():
    """A notice as it stands in src/store/redis/notice.rs, to users whose ids are UUIDs, and the push message of RESP3 around it."""
    uuid = "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a"
    notice = {"call": uuid, "version": 12, "parties": [uuid, uuid], "after": 2, "last": 3, "from": uuid}
    text = "1234567 " + json.dumps(notice, separators=(",", ":"))
    return len(f">3\r\n$8\r\nsmessage\r\n$15\r\nbw:{{246}}:events\r\n${len(text)}\r\n{text}\r\n")
