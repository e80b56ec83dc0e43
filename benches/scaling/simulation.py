"""What docs/SCALING.md simulates: how keys fall on Redis' servers, how late wake-ups are, how often rooms are looked at.

It does as the code does, by the same numbers: src/store/redis/keys.rs (partitions, tags, slots), src/scheduler (the sweep, which every
instance makes over all partitions: nothing is leased, no instance owns any) and src/dispatch/sweep.rs (LiveKit's rooms). What it prints is
`scaling.py`'s. Time is in milliseconds. Whatever is by chance has a seed of its own, so each run says the same.
"""

import hashlib
import heapq
import random
from collections import Counter

PARTITIONS, SLOTS = 256, 16_384


def slot(tag):
    """CRC-16/XMODEM, as `slot` of keys.rs has it."""
    crc = 0
    for byte in tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc % SLOTS


def tags():
    """Of each partition the first number whose slot is in its share, as `TAGS` of keys.rs."""
    found, number = {}, 0
    while len(found) < PARTITIONS:
        found.setdefault(slot(str(number).encode()) // (SLOTS // PARTITIONS), number)
        number += 1
    return [found[partition] for partition in range(PARTITIONS)]


def partition_of(what):
    """The first byte of a SHA-256, as `Keys::of`."""
    return hashlib.sha256(what).digest()[0]


def masters_of_slots(masters):
    """Which master has each slot where `redis-cli --cluster create` has shared them out: even runs, one after the other."""
    owners, cursor, first = [], 0.0, 0
    for master in range(masters):
        last = SLOTS - 1 if master == masters - 1 else round(cursor + SLOTS / masters - 1)
        owners += [master] * (last - first + 1)
        first, cursor = last + 1, cursor + SLOTS / masters
    return owners


def unevenness(masters, by_partition):
    """How much more than the mean the most loaded master has, given what each partition has."""
    owners = masters_of_slots(masters)
    loads = Counter({master: 0 for master in range(masters)})
    for tag, load in zip(tags(), by_partition):
        loads[owners[slot(str(tag).encode())]] += load
    return max(loads.values()) / (sum(loads.values()) / masters) - 1


def users_by_partition(users, seed):
    """How many of these users lie in each partition, and how many calls where few users make most: by a log-normal of sigma 1.5."""
    chance, counts, calls = random.Random(seed), [0] * PARTITIONS, [0.0] * PARTITIONS
    for number in range(users):
        partition = partition_of(f"user-{number}".encode())
        counts[partition] += 1
        calls[partition] += chance.lognormvariate(0, 1.5)
    return counts, calls


class Sweeps:
    """Instances that sweep one Redis and wake what is overdue, whoever's it was (src/scheduler/mod.rs, wake.rs).

    Each takes the first `BATCH` by time, all of them the same; with `spread`, as in the code, each takes others by chance."""

    EVERY, AFTER, BATCH, AT_ONCE = 600, 300, 512, 64
    """`SWEEP_EVERY`, `SWEEP_AFTER`, `SWEEP_BATCH` and `AT_ONCE` of calls."""
    OF_ALL = 8 * 512
    """So many are chosen from, the first rather than the last (`CHOICE` of src/scheduler/wake.rs)."""

    def __init__(self, instances, dues, costs, spread=False, seed=1):
        self.dues, self.costs, self.spread, self.chance = sorted(dues), costs, spread, random.Random(seed)
        self.woken = [None] * len(dues)
        self.first, self.left, self.redis_free, self.number = 0, len(dues), 0.0, 0
        self.loads = self.commits = 0
        self.batch, self.flying, self.full = [[] for _ in range(instances)], [0] * instances, [False] * instances
        self.gateway_free = [0.0] * instances
        self.events = []
        for instance in range(instances):
            self.at(self.chance.uniform(0, 1.5 * self.EVERY), self.sweep, instance)

    def at(self, time, what, *of):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, what, of))

    def run(self):
        while self.left and self.events:
            time, _, what, of = heapq.heappop(self.events)
            what(time, *of)
        return self

    def serve(self, time, cost):
        """When Redis has answered what arrives now: one thing after the other."""
        self.redis_free = max(self.redis_free, time) + cost
        return self.redis_free + self.costs["round_trip"] / 2

    def sweep(self, time, instance):
        while self.first < len(self.dues) and self.woken[self.first] is not None:
            self.first += 1
        due, at = [], self.first
        most = self.OF_ALL if self.spread else self.BATCH
        while at < len(self.dues) and self.dues[at] <= time - self.AFTER and len(due) < most:
            if self.woken[at] is None:
                due.append(at)
            at += 1
        if len(due) > self.BATCH:
            drawn = sorted((place + self.chance.uniform(0, self.OF_ALL), one) for place, one in enumerate(due))
            due = [one for _, one in drawn[: self.BATCH]]
        answered = self.serve(time, self.costs["sweep"])
        self.batch[instance], self.full[instance] = due[::-1], len(due) == self.BATCH
        if not due:
            self.pause(answered, instance)
        for _ in range(min(self.AT_ONCE, len(due))):
            self.begin(answered, instance)

    def pause(self, time, instance):
        self.at(time + self.EVERY * (0.5 + self.chance.random()), self.sweep, instance)

    def begin(self, time, instance):
        self.flying[instance] += 1
        self.at(time + self.costs["round_trip"] / 2, self.load, instance, self.batch[instance].pop())

    def load(self, time, instance, call):
        self.loads += 1
        answered = self.serve(time, self.costs["load"])
        if self.woken[call] is not None:
            self.at(answered, self.end, instance)
            return
        # The gateway decodes, steps and encodes, on two cores.
        ready = self.gateway_free[instance] = max(self.gateway_free[instance], answered) + self.costs["gateway"] / 2
        self.at(ready + self.costs["round_trip"] / 2, self.commit, instance, call)

    def commit(self, time, instance, call):
        self.commits += 1
        answered = self.serve(time, self.costs["commit"])
        if self.woken[call] is None:
            self.woken[call] = self.redis_free
            self.left -= 1
            self.at(answered, self.end, instance)
        else:
            # Another instance was first: it loads again, and finds that nothing is due.
            self.at(answered + self.costs["round_trip"] / 2, self.load, instance, call)

    def end(self, time, instance):
        self.flying[instance] -= 1
        if self.batch[instance]:
            self.begin(time, instance)
        elif not self.flying[instance]:
            if self.full[instance]:
                self.at(time, self.sweep, instance)
            else:
                self.pause(time, instance)

    def late(self):
        """How late each was woken, the least first."""
        return sorted(woken - due for woken, due in zip(self.woken, self.dues))


def looks_at_a_room(answered, ring_s, talk_s, rounds, seed):
    """How often one instance loads the record of a call since the sweep sees its room for the first time, with another number of people than
    before, or no more; of an instance that webhooks do not tell of it."""
    chance, looks = random.Random(seed), 0
    for _ in range(rounds):
        is_answered = chance.random() < answered
        ring = chance.expovariate(1 / ring_s[0]) if is_answered else ring_s[1]
        ends = ring + (chance.expovariate(1 / talk_s) if is_answered else 0)
        time, seen = chance.uniform(0, 27), 0
        while time < ends:
            people = 1 if time < ring else 2
            looks, seen = looks + (people != seen), people
            time += 18 * (0.5 + chance.random())
        # What is gone is looked at once.
        looks += seen > 0
    return looks / rounds
