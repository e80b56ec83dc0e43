// Pushes of a call: sent to each device, and again after 5xx, 429 or a broken connection, as long as it is of use.

import { setTimeout as sleep } from 'node:timers/promises';

import { createApns } from './apns.js';
import { createFcm } from './fcm.js';
import { createMessages } from './messages.js';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 1600;
const MISSED = ['cancelled', 'timed_out', 'busy', 'unreachable'];

export function createPushes({ config, store, auth }, log) {
  const { record } = config.push;
  const messages = createMessages({ config, auth });
  const apns = createApns(config.push.apns, config.ca);
  const fcm = createFcm(config.push.fcm, config.ca);
  const underWay = new Set();

  async function deliver(call, device, kind, push) {
    const provider = device.platform === 'ios' ? apns : fcm;
    let pause = FIRST_PAUSE_MS;
    for (let attempt = 1; ; attempt++) {
      const began = performance.now();
      const result = await provider.send(push).catch((error) => ({ reason: error.message }));
      const latencyMs = Math.round(performance.now() - began);
      const { status, reason } = result;
      log.info(
        {
          call_id: call.id,
          device_id: device.id,
          push: kind,
          attempt,
          provider: provider.name,
          status,
          reason,
          latency_ms: latencyMs,
        },
        'pushed',
      );
      if (record) {
        await store.recordPush(call.id, `${device.id} ${kind}`, { at: Date.now(), status, reason, attempt, latencyMs });
      }
      if (status === 200) return;
      if (result.gone) await store.removeDevice(call.callee.id, device.id);
      const again = status === undefined || status === 429 || status >= 500 || (result.retry && attempt === 1);
      const wait = Math.max(pause * (0.5 + Math.random() / 2), Number(result.retryAfter ?? 0) * 1000);
      if (!again || result.gone || Date.now() + wait >= push.until) return;
      await sleep(wait);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      if (kind === 'ring' && !(await stillRings(call.id))) return;
    }
  }

  async function stillRings(id) {
    const found = await store.load(id);
    return found && (found.call.state === 'calling' || found.call.state === 'ringing');
  }

  // In the background: who asked has the answer already.
  function start(call, device, kind, push) {
    if (!push?.token) return;
    const run = deliver(call, device, kind, push)
      .catch((error) => log.error({ err: error, call_id: call.id, device_id: device.id }, 'a push failed'))
      .finally(() => underWay.delete(run));
    underWay.add(run);
  }

  return {
    ring(call) {
      for (const { device } of call.legs) start(call, device, 'ring', messages.ring(call, device));
    },

    // The other devices need not ring any more, or have missed a call.
    stop(call) {
      const missed = MISSED.includes(call.end_reason);
      for (const { device, state } of call.legs) {
        if (['answered', 'declined', 'busy'].includes(state)) continue;
        if (missed) start(call, device, 'missed', messages.missed(call, device));
        else start(call, device, 'cancel', messages.cancel(call, device));
      }
    },

    async close() {
      await Promise.allSettled(underWay);
      apns.close();
      fcm.close();
    },
  };
}
