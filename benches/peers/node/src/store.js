// Redis: one record per call, a line per user, devices, wake-ups. What must change together changes in one script.

import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';

const MAX_DEVICES = 10;
const IDEMPOTENCY_MS = 24 * 3600 * 1000;
const script = (name) => readFileSync(new URL(`lua/${name}.lua`, import.meta.url), 'utf8');

export function createStore({ redis: { url, prefix, timeoutMs }, call: rules }, log) {
  const redis = new Redis(url, { enableAutoPipelining: true, maxRetriesPerRequest: 1, commandTimeout: timeoutMs });
  redis.on('error', (error) => log.error({ err: error }, 'redis'));
  redis.defineCommand('inviteCall', { lua: script('invite') });
  redis.defineCommand('commitCall', { lua: script('commit'), numberOfKeys: 4 });
  redis.defineCommand('putDevice', { lua: script('putDevice'), numberOfKeys: 2 });

  const key = {
    call: (id) => `${prefix}call:${id}`,
    line: (user) => `${prefix}line:${user}`,
    devices: (user) => `${prefix}devices:${user}`,
    history: (user) => `${prefix}history:${user}`,
    idempotency: (user, name) => `${prefix}idempotency:${user}:${name}`,
    pushes: (id) => `${prefix}pushes:${id}`,
    tokens: `${prefix}tokens`,
    wake: `${prefix}wake`,
  };
  const channel = (user) => `${prefix}events:${user}`;
  const lineMs = rules.maxDurationMs + 3600 * 1000;

  return {
    redis,
    channel,

    async devices(user) {
      return (await redis.hvals(key.devices(user))).map((value) => JSON.parse(value));
    },

    async putDevice(user, device) {
      const tokens = [device.voip_token, device.alert_token, device.fcm_token].filter(Boolean);
      const value = JSON.stringify(device);
      await redis.putDevice(
        key.devices(user),
        key.tokens,
        device.id,
        value,
        MAX_DEVICES,
        user,
        key.devices(''),
        ...tokens,
      );
    },

    async removeDevice(user, device) {
      await redis.hdel(key.devices(user), device);
    },

    // Where `over` names calls that have ended, their claims of lines do not count.
    async begin(call, wakeAt, events, { claim, over, idempotency }) {
      const { id, caller, callee, created_at: now } = call;
      const keys = [
        key.call(id),
        key.line(caller.id),
        key.line(callee.id),
        key.wake,
        key.history(caller.id),
        key.history(callee.id),
      ];
      if (idempotency) keys.push(key.idempotency(caller.id, idempotency.key));
      const [word, known, digest] = await redis.inviteCall(
        keys.length,
        ...keys,
        id,
        JSON.stringify(call),
        wakeAt ?? '',
        now,
        lineMs,
        rules.retentionMs,
        rules.retentionMs,
        claim ? '1' : '',
        over.caller ?? '',
        over.callee ?? '',
        channel(caller.id),
        channel(callee.id),
        JSON.stringify(events),
        idempotency?.digest ?? '',
        IDEMPOTENCY_MS,
      );
      return { word, id: known, digest };
    },

    async load(id) {
      const [version, record] = await redis.hmget(key.call(id), 'v', 'r');
      return version ? { version, call: JSON.parse(record) } : undefined;
    },

    async commit(call, version, wakeAt, events) {
      const { id, caller, callee } = call;
      const written = await redis.commitCall(
        key.call(id),
        key.wake,
        key.line(caller.id),
        key.line(callee.id),
        version,
        JSON.stringify(call),
        id,
        wakeAt ?? '',
        rules.retentionMs,
        channel(caller.id),
        channel(callee.id),
        events.length ? JSON.stringify(events) : '',
      );
      return written === 1;
    },

    // The user's calls that live or ended after `since`, newest first.
    async recent(user, since) {
      const ids = await redis.zrevrangebyscore(key.history(user), '+inf', since - rules.maxDurationMs);
      const records = await Promise.all(ids.map((id) => redis.hget(key.call(id), 'r')));
      return records
        .filter(Boolean)
        .map((record) => JSON.parse(record))
        .filter((call) => call.state !== 'ended' || call.ended_at > since);
    },

    due(now, limit) {
      return redis.zrangebyscore(key.wake, '-inf', now, 'LIMIT', 0, limit);
    },

    // A wake-up without a record.
    async forget(id) {
      await redis.zrem(key.wake, id);
    },

    async recordPush(id, device, result) {
      await redis
        .pipeline()
        .hset(key.pushes(id), device, JSON.stringify(result))
        .pexpire(key.pushes(id), rules.retentionMs)
        .exec();
    },
  };
}
