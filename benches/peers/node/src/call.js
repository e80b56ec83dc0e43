// A call: what may happen to it, and how it is shown. Pure: no clock, no network. Times are in milliseconds since 1970.
//
// Each function that changes a call changes the record that it is given, and says whether there was anything to change.

import { Problem } from './problem.js';

export const begin = ({ id, caller, callee, media, room, metadata, ringUntil, devices, endReason }, now) => {
  const call = {
    id,
    state: 'calling',
    media,
    caller,
    callee: { id: callee },
    room,
    metadata,
    created_at: now,
    ring_until: ringUntil,
    legs: devices.map((device) => ({ state: 'pushing', device })),
    events: [],
  };
  note(call, 'call.invited', {}, now);
  if (endReason) end(call, endReason, now);
  return call;
};

const note = (call, type, data, now) => call.events.push({ seq: call.events.length + 1, type, at: now, data });

const isRinging = (call) => call.state === 'calling' || call.state === 'ringing';

export const isEnded = (call) => call.state === 'ended';

export const isParty = (call, user) => call.caller.id === user || call.callee.id === user;

export function end(call, reason, now) {
  call.state = 'ended';
  call.end_reason = reason;
  call.ended_at = now;
  note(call, 'call.ended', { reason }, now);
  return true;
}

// The leg of a device that speaks of its ring; refused when the ring is over for it.
function leg(call, device) {
  if (isEnded(call)) throw Problem.ended(call.end_reason);
  if (call.state === 'active' && call.answered_by !== device) {
    throw new Problem(409, 'answered-elsewhere', 'another device has answered');
  }
  const found = call.legs.find((leg) => leg.device.id === device);
  if (!found) throw new Problem(409, 'device-not-rung', 'the device takes no part in the call');
  return found;
}

export function alerting(call, device, now) {
  const found = leg(call, device);
  if (found.state !== 'pushing' || !isRinging(call)) return false;
  found.state = 'ringing';
  if (call.state === 'calling') {
    call.state = 'ringing';
    call.ringing_at = now;
    note(call, 'call.ringing', {}, now);
  }
  return true;
}

export function notRung(call, device) {
  const found = leg(call, device);
  if (found.state !== 'pushing') return false;
  found.state = 'not_rung';
  return true;
}

// The first answer wins, and may ask again.
export function answer(call, device, now) {
  const found = leg(call, device);
  if (call.state === 'active') return false;
  if (found.state === 'declined' || found.state === 'busy') {
    throw new Problem(409, 'declined-before', 'the device has declined before');
  }
  found.state = 'answered';
  call.state = 'active';
  call.answered_at = now;
  call.answered_by = device;
  note(call, 'call.answered', { device_id: device }, now);
  return true;
}

export function decline(call, device, reason, now) {
  if (isEnded(call)) return false;
  const found = leg(call, device);
  if (call.state === 'active') return end(call, 'completed', now);
  if (found.state === 'declined' || found.state === 'busy') return false;
  found.state = reason;
  if (reason === 'declined') {
    note(call, 'call.declined', {}, now);
    end(call, 'declined', now);
  } else if (call.legs.every((leg) => leg.state === 'busy')) {
    end(call, 'busy', now);
  }
  return true;
}

export function cancel(call, now) {
  if (isEnded(call)) return false;
  if (call.state === 'active') return end(call, 'completed', now);
  note(call, 'call.cancelled', {}, now);
  return end(call, 'cancelled', now);
}

export function hangUp(call, user, now) {
  if (call.caller.id === user) return cancel(call, now);
  if (isEnded(call)) return false;
  return end(call, call.state === 'active' ? 'completed' : 'declined', now);
}

export function wake(call, maxDurationMs, now) {
  if (isRinging(call) && call.ring_until <= now) return end(call, 'timed_out', now);
  if (call.state === 'active' && call.answered_at + maxDurationMs <= now) return end(call, 'max_duration', now);
  return false;
}

// When a call must be looked at again, if ever.
export function wakeAt(call, maxDurationMs) {
  if (isRinging(call)) return call.ring_until;
  return call.state === 'active' ? call.answered_at + maxDurationMs : undefined;
}

const time = (ms) => ms && new Date(ms).toISOString();

export const view = (call) => ({
  id: call.id,
  state: call.state,
  end_reason: call.end_reason,
  media: call.media,
  caller: call.caller,
  callee: call.callee,
  created_at: time(call.created_at),
  ring_until: time(call.ring_until),
  ringing_at: time(call.ringing_at),
  answered_at: time(call.answered_at),
  answered_by: call.answered_by,
  ended_at: time(call.ended_at),
  metadata: call.metadata,
  seq: call.events.length,
});

// Who hears of the invite here needs no second request to show who calls.
export const eventView = (call, { seq, type, at, data }) => ({
  call_id: call.id,
  seq,
  type,
  at: time(at),
  data: type === 'call.invited' ? { ...data, call: view(call) } : data,
});
