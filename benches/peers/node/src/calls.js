// What users and devices do with calls: load, change, commit where nobody else has, and tell the phones.

import { createHash, randomUUID } from 'node:crypto';

import * as model from './call.js';
import { roomName } from './livekit.js';
import { Problem } from './problem.js';

const MAX_TRIES = 10;

export function createCalls({ store, pushes, config: { call: rules } }) {
  const views = (call, from) => call.events.slice(from).map((event) => model.eventView(call, event));

  async function change(id, changes, found) {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { call, version } = found ?? (await store.load(id)) ?? {};
      found = undefined;
      if (!call) throw new Problem(404, 'call-not-found', 'no such call');
      const known = call.events.length;
      const rang = call.state === 'calling' || call.state === 'ringing';
      if (!changes(call, Date.now())) return call;
      const wakeAt = model.wakeAt(call, rules.maxDurationMs);
      if (!(await store.commit(call, version, wakeAt, views(call, known)))) continue;
      if (rang && (model.isEnded(call) || call.state === 'active')) pushes.stop(call);
      return call;
    }
    throw new Problem(503, 'unavailable', 'try again in a moment');
  }

  // A call whose party asks, as it was read.
  async function find(id, who) {
    const found = await store.load(id);
    const visible = found && model.isParty(found.call, who.user) && (!who.call || who.call === id);
    if (!visible) throw new Problem(404, 'call-not-found', 'no such call');
    return found;
  }

  async function byDevice(id, who, device, changes) {
    const found = await find(id, who);
    if (found.call.callee.id !== who.user) {
      throw new Problem(403, 'not-allowed', 'only a device of the callee may do this');
    }
    return change(id, (call, now) => changes(call, device, now), found);
  }

  async function invite({ caller, callee, media, ringMs, metadata, idempotency }) {
    const over = {};
    let busy = false;
    const digest = idempotency && createHash('sha256').update(JSON.stringify(idempotency.body)).digest('hex');
    const devices = await store.devices(callee);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const [id, now] = [randomUUID(), Date.now()];
      const call = model.begin(
        {
          id,
          caller,
          callee,
          media,
          metadata,
          devices,
          room: roomName(id),
          ringUntil: now + (ringMs ?? rules.ringMs),
          endReason: busy ? 'busy' : devices.length ? undefined : 'unreachable',
        },
        now,
      );
      const live = !model.isEnded(call);
      const begun = await store.begin(call, model.wakeAt(call, rules.maxDurationMs), views(call, 0), {
        claim: live,
        over,
        idempotency: idempotency && { key: idempotency.key, digest },
      });
      switch (begun.word) {
        case 'begun':
          if (live) pushes.ring(call);
          else pushes.stop(call);
          return call;
        case 'known': {
          if (begun.digest !== digest) {
            throw new Problem(422, 'idempotency-key-reused', 'the key was used with another request');
          }
          return (await find(begun.id, { user: caller.id })).call;
        }
        case 'caller_busy': {
          const other = await store.load(begun.id);
          if (other && !model.isEnded(other.call)) {
            const redial = other.call.caller.id === caller.id && other.call.state !== 'active';
            if (!redial) throw new Problem(409, 'caller-busy', 'the caller is on a call already');
            await change(begun.id, (own, at) => own.state !== 'active' && model.cancel(own, at));
          }
          over.caller = begun.id;
          break;
        }
        case 'callee_busy': {
          const other = await store.load(begun.id);
          if (other && !model.isEnded(other.call)) busy = true;
          else over.callee = begun.id;
        }
      }
    }
    throw new Problem(503, 'unavailable', 'try again in a moment');
  }

  return {
    invite,
    get: async (id, who) => (await find(id, who)).call,
    alerting: (id, who, device) => byDevice(id, who, device, model.alerting),
    notRung: (id, who, device) => byDevice(id, who, device, model.notRung),
    answer: (id, who, device) => byDevice(id, who, device, model.answer),
    decline: (id, who, device, reason) =>
      byDevice(id, who, device, (call, device, now) => model.decline(call, device, reason, now)),

    async cancel(id, who) {
      const found = await find(id, who);
      if (found.call.caller.id !== who.user) {
        throw new Problem(403, 'not-allowed', 'only the caller cancels; the callee declines');
      }
      return change(id, model.cancel, found);
    },

    async hangUp(id, who) {
      const found = await find(id, who);
      const { answered_by: answeredBy } = found.call;
      // A ticket of a device that did not answer is about its own ring.
      if (who.device && answeredBy !== who.device) {
        return change(id, (call, now) => model.decline(call, who.device, 'declined', now), found);
      }
      return change(id, (call, now) => model.hangUp(call, who.user, now), found);
    },

    async wake(id) {
      try {
        await change(id, (call, now) => model.wake(call, rules.maxDurationMs, now));
      } catch (error) {
        if (error.code !== 'call-not-found') throw error;
        await store.forget(id);
      }
    },

    // Whether a party may have a token to join now.
    joins(call, who, device) {
      if (model.isEnded(call)) throw Problem.ended(call.end_reason);
      if (call.caller.id === who.user) return;
      if (call.state !== 'active') throw new Problem(403, 'not-allowed', 'the callee gets a token with the answer');
      if (call.answered_by !== device) throw new Problem(409, 'answered-elsewhere', 'another device has answered');
    },
  };
}
