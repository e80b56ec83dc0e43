// What a device is sent: the ring, the word to stop, the missed call. The fields are those of Bellwire's own payload.

import { createHash, randomUUID } from 'node:crypto';

// FCM keeps a message that is about a ring no longer than this.
const RING_TTL_MS = 60_000;
const MISSED_KEPT_MS = 24 * 3600 * 1000;
const STOP_KEPT_MS = 30_000;
// Until when a push of a missed call is tried.
const MISSED_TRIED_MS = 10 * 60_000;
// How long a ticket can read how the call ended.
const OUTCOME_READABLE_MS = 5 * 60_000;
const STOP_REASONS = { declined: 'declined_elsewhere', cancelled: 'cancelled', timed_out: 'timed_out' };

export function createMessages({ config, auth }) {
  const { expirationMs } = config.push.apns;

  function ring(call, device) {
    const { id: deviceId, platform } = device;
    const ticket = auth.ticket({
      call: call.id,
      user: call.callee.id,
      device: deviceId,
      expiresAt: call.ring_until + config.call.maxDurationMs + OUTCOME_READABLE_MS,
    });
    const now = Date.now();
    const fields = {
      type: 'ring',
      call_id: call.id,
      caller_id: call.caller.id,
      caller_name: call.caller.name,
      video: call.media === 'video',
      created_at: call.created_at,
      expires_at: call.ring_until,
      ticket,
      url: config.publicUrl,
      server_time: now,
      metadata: call.metadata,
    };
    const until = call.ring_until;
    if (platform === 'android') {
      return {
        until,
        token: device.fcm_token,
        fields,
        high: true,
        ttlMs: Math.min(until - now, RING_TTL_MS),
        collapse: call.id,
      };
    }
    return {
      until,
      id: randomUUID(),
      token: device.voip_token,
      topic: `${device.app}.voip`,
      pushType: 'voip',
      priority: 10,
      expiration: Math.floor(Math.min(now + expirationMs, until) / 1000),
      aps: {},
      fields,
    };
  }

  function cancel(call, device) {
    const now = Date.now();
    const reason = call.state === 'active' ? 'answered_elsewhere' : (STOP_REASONS[call.end_reason] ?? 'ended');
    const fields = { type: 'cancel', call_id: call.id, reason, server_time: now };
    const until = Math.max(call.ring_until, now + STOP_KEPT_MS);
    if (device.platform === 'android') {
      return {
        until,
        token: device.fcm_token,
        fields,
        high: false,
        ttlMs: Math.min(until - now, RING_TTL_MS),
        collapse: call.id,
      };
    }
    return (
      device.alert_token && {
        until,
        id: randomUUID(),
        token: device.alert_token,
        topic: device.app,
        pushType: 'background',
        priority: 5,
        expiration: Math.floor(until / 1000),
        aps: { 'content-available': 1 },
        fields,
      }
    );
  }

  function missed(call, device) {
    const now = Date.now();
    const { caller } = call;
    const fields = {
      type: 'missed',
      call_id: call.id,
      caller_id: caller.id,
      caller_name: caller.name,
      count: 1,
      at: call.ended_at,
      server_time: now,
    };
    const until = now + MISSED_TRIED_MS;
    if (device.platform === 'android') {
      return { until, token: device.fcm_token, fields, high: true, ttlMs: MISSED_KEPT_MS, collapse: call.id };
    }
    // One notification per caller.
    const thread = createHash('sha256').update(caller.id).digest('hex').slice(0, 32);
    return (
      device.alert_token && {
        until,
        id: randomUUID(),
        token: device.alert_token,
        topic: device.app,
        pushType: 'alert',
        priority: 10,
        expiration: Math.floor((now + MISSED_KEPT_MS) / 1000),
        collapse: thread,
        aps: {
          alert: { title: 'Missed call', body: caller.name },
          sound: 'default',
          'interruption-level': 'time-sensitive',
          'thread-id': thread,
          'mutable-content': 1,
        },
        fields,
      }
    );
  }

  return { ring, cancel, missed };
}
