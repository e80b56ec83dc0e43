// Checks the service against Bellwire's simulator: whole calls, pushes, events, what is refused. Exits 0 if all was seen.

import assert from 'node:assert/strict';

import { createStage, devicesOf, hex, userToken } from './stage.mjs';

const SOON_MS = 5000;

function clientOf({ url, control }) {
  async function ask(method, path, { as, body, headers, raw }) {
    const answer = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${as}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: raw ?? (body !== undefined ? JSON.stringify(body) : undefined),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : undefined };
  }
  async function expect(status, method, path, request) {
    const answer = await ask(method, path, request);
    assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
  return {
    expect,
    post: (path, as, body = {}, status = 200, headers = {}) => expect(status, 'POST', path, { as, body, headers }),
    // Requests of a call in the simulator's record, once there are so many.
    async pushes(call, kind, count) {
      const answer = await fetch(`${control}/requests?call=${call}&kind=${kind}&count=${count}&wait=5s`);
      const { requests } = await answer.json();
      assert.equal(requests.length, count, `${kind} of ${call}`);
      return requests;
    },
    async taken(call, provider, why) {
      const answer = await fetch(`${control}/requests?call=${call}&kind=ring&provider=${provider}&status=200&wait=5s`);
      const { requests } = await answer.json();
      assert.equal(requests.length, 1, `${provider} after ${why}`);
    },
    async rule(line) {
      const answer = await fetch(`${control}/rules`, { method: 'POST', body: JSON.stringify({ line }) });
      assert.equal(answer.status, 201);
    },
    reset: () => fetch(`${control}/reset`, { method: 'POST' }),
  };
}

// A stream of events; `until` waits for one that fits, and gives all so far.
async function listen({ url }, token, headers = {}) {
  const abort = new AbortController();
  const answer = await fetch(`${url}/v1/events`, {
    headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...headers },
    signal: abort.signal,
  });
  assert.equal(answer.status, 200);
  const events = [];
  let wake = () => {};
  const read = (async () => {
    let text = '';
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s, 2)));
        if (fields.data) events.push({ id: fields.id, ...JSON.parse(fields.data) });
      }
      wake();
    }
  })()
    .catch(() => {})
    .finally(() => wake());
  return {
    events,
    async until(fits, within = SOON_MS) {
      const deadline = Date.now() + within;
      while (!events.some(fits)) {
        assert.ok(Date.now() < deadline, `not among the events: ${JSON.stringify(events)}`);
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, 100);
        });
      }
      return events;
    },
    async close() {
      abort.abort();
      await read;
    },
  };
}

const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((user) => userToken(user));
const typesOf = (events, call) =>
  events.filter(({ call_id: id }) => id === call).map(({ type, seq }) => `${seq} ${type}`);

async function wholeCall(stage, { hasApnsId = true } = {}) {
  const { expect, post, pushes } = clientOf(stage);
  for (const [id, body] of Object.entries(devicesOf('bob')))
    await expect(200, 'PUT', `/v1/devices/${id}`, { as: bob, body });
  const streams = [await listen(stage, alice), await listen(stage, bob)];
  for (const stream of streams) await stream.until(({ type, calls }) => type === 'snapshot' && calls.length === 0);

  const invite = { callee: 'bob', media: 'video', ring_seconds: 30, metadata: { chat: 'c-1881' } };
  const { call, livekit } = await post('/v1/calls', alice, invite, 201);
  assert.equal(call.state, 'calling');
  assert.deepEqual(call.caller, { id: 'alice', name: 'Alice' });
  const grant = claimsOf(livekit.token);
  assert.equal(grant.sub, 'alice');
  assert.equal(grant.video.room, livekit.room);
  assert.equal(grant.roomConfig.maxParticipants, 2);

  const rings = await pushes(call.id, 'ring', 2);
  const ring = Object.fromEntries(rings.map((push) => [push.provider, push]));
  assert.deepEqual(
    rings.map(({ status }) => status),
    [200, 200],
  );
  assert.equal(ring.apns.target, hex('voip bob'));
  assert.equal(ring.apns.headers['apns-topic'], 'com.example.phone.voip');
  assert.equal(ring.apns.headers['apns-push-type'], 'voip');
  assert.ok(Number(ring.apns.headers['apns-expiration']) > Date.now() / 1000);
  if (hasApnsId) assert.match(ring.apns.headers['apns-id'], /^[0-9a-f-]{36}$/);
  assert.equal(ring.apns.body.caller_name, 'Alice');
  assert.equal(ring.fcm.body.message.android.priority, 'HIGH');
  assert.equal(ring.fcm.body.message.data.metadata, '{"chat":"c-1881"}');

  const { ticket } = ring.apns.body;
  const rung = await post(`/v1/calls/${call.id}/alerting`, ticket);
  assert.equal(rung.call.state, 'ringing');
  await post(`/v1/calls/${call.id}/token`, ticket, {}, 403);

  const answered = await post(`/v1/calls/${call.id}/answer`, ticket);
  assert.equal(answered.call.answered_by, 'iphone-1');
  assert.equal(claimsOf(answered.livekit.token).sub, 'bob');
  const again = await post(`/v1/calls/${call.id}/answer`, ticket);
  assert.equal(again.call.answered_at, answered.call.answered_at);
  const late = await post(`/v1/calls/${call.id}/answer`, ring.fcm.body.message.data.ticket, {}, 409);
  assert.equal(late.code, 'answered-elsewhere');
  const [stop] = await pushes(call.id, 'cancel', 1);
  assert.equal(stop.body.message.data.reason, 'answered_elsewhere');

  const busy = await post('/v1/calls', carol, { callee: 'bob', media: 'audio' }, 201);
  assert.equal(busy.call.end_reason, 'busy');
  assert.equal(busy.livekit, undefined);
  await post(`/v1/calls/${call.id}/token`, alice);

  const ended = await post(`/v1/calls/${call.id}/hangup`, ticket);
  assert.equal(ended.call.end_reason, 'completed');
  const expected = ['1 call.invited', '2 call.ringing', '3 call.answered', '4 call.ended'];
  for (const stream of streams) {
    await stream.until(({ call_id: id, type }) => id === call.id && type === 'call.ended');
    assert.deepEqual(typesOf(stream.events, call.id), expected);
    await stream.close();
  }
  const resumed = await listen(stage, bob, { 'last-event-id': `${call.id}:2` });
  await resumed.until(({ type }) => type === 'call.ended');
  assert.deepEqual(typesOf(resumed.events, call.id), expected.slice(2));
  await resumed.close();
  return call;
}

async function otherEnds(stage) {
  const { expect, post, pushes } = clientOf(stage);
  const invite = { callee: 'bob', media: 'audio', ring_seconds: 5 };

  const key = { 'idempotency-key': 'a-key' };
  const first = await post('/v1/calls', alice, invite, 201, key);
  const replay = await post('/v1/calls', alice, invite, 201, key);
  assert.equal(replay.call.id, first.call.id);
  const reused = await post('/v1/calls', alice, { ...invite, media: 'video' }, 422, key);
  assert.equal(reused.code, 'idempotency-key-reused');

  const { call: redialled } = await post('/v1/calls', alice, invite, 201);
  const { end_reason: reason } = await expect(200, 'GET', `/v1/calls/${first.call.id}`, { as: alice });
  assert.equal(reason, 'cancelled');
  await pushes(first.call.id, 'missed', 2);

  const declined = await post(`/v1/calls/${redialled.id}/decline`, bob, { device_id: 'pixel-1' });
  assert.equal(declined.call.end_reason, 'declined');
  const [stop] = await pushes(redialled.id, 'cancel', 1);
  assert.equal(stop.headers['apns-push-type'], 'background');

  const stream = await listen(stage, alice);
  const { call } = await post('/v1/calls', alice, invite, 201);
  const isEnd = ({ call_id: id, type }) => id === call.id && type === 'call.ended';
  const event = (await stream.until(isEnd, 5000 + SOON_MS)).find(isEnd);
  assert.deepEqual(event.data, { reason: 'timed_out' });
  assert.ok(Date.parse(event.at) - Date.parse(call.ring_until) < 2000, 'it timed out late');
  await pushes(call.id, 'missed', 2);
  await stream.close();

  const nobody = await post('/v1/calls', alice, { ...invite, callee: 'nobody' }, 201);
  assert.equal(nobody.call.end_reason, 'unreachable');
  await post(`/v1/calls/${call.id}/cancel`, carol, {}, 404);
}

async function badDay(stage, { hasApnsId = true } = {}) {
  const { post, pushes, taken, rule, reset, expect } = clientOf(stage);
  await rule('apns 503 times 2');
  await rule('fcm 429 times 1');
  const { call } = await post('/v1/calls', alice, { callee: 'bob', media: 'audio' }, 201);
  const tries = await pushes(call.id, 'ring', 5);
  const by = (provider) => tries.filter((push) => push.provider === provider);
  assert.deepEqual(
    by('apns').map(({ status }) => status),
    [503, 503, 200],
  );
  assert.deepEqual(
    by('fcm').map(({ status }) => status),
    [429, 200],
  );
  if (hasApnsId) assert.equal(new Set(by('apns').map(({ headers }) => headers['apns-id'])).size, 1);
  await post(`/v1/calls/${call.id}/cancel`, alice);
  await pushes(call.id, 'missed', 2);

  // Connections that end: each ring is taken all the same, and the next ones too.
  for (const fault of ['goaway', 'reset', 'close', 'refuse', 'goaway-before']) {
    for (const provider of ['apns', 'fcm']) await rule(`${provider} ${fault} kind ring times 1`);
    const { call: cut } = await post('/v1/calls', alice, { callee: 'bob', media: 'audio' }, 201);
    for (const provider of ['apns', 'fcm']) await taken(cut.id, provider, fault);
    await post(`/v1/calls/${cut.id}/cancel`, alice);
  }

  await rule('apns 410 kind ring times 1');
  const { call: next } = await post('/v1/calls', alice, { callee: 'bob', media: 'audio' }, 201);
  await pushes(next.id, 'ring', 2);
  await post(`/v1/calls/${next.id}/cancel`, alice);
  const left = async () => {
    const { devices } = await expect(200, 'GET', '/v1/devices', { as: bob });
    return devices.map(({ device_id: id }) => id).join();
  };
  const deadline = Date.now() + SOON_MS;
  while ((await left()) !== 'pixel-1') assert.ok(Date.now() < deadline, 'a dead token stays');
  await reset();
}

async function refusals(stage) {
  const { expect, post } = clientOf(stage);
  const invite = { callee: 'bob', media: 'audio' };
  const refused = async (as) => (await post('/v1/calls', as, invite, 401)).code;
  assert.equal(await refused(userToken('alice', { exp: 1_000_000_000 })), 'token-expired');
  for (const claims of [{ iss: 'https://other.example.com' }, { aud: 'other' }])
    await refused(userToken('alice', claims));
  assert.equal(await refused(`${alice.slice(0, -8)}AAAAAAAA`), 'token-bad-signature');
  assert.equal(
    await refused(`${Buffer.from('{"alg":"none"}').toString('base64url')}.${alice.split('.')[1]}.`),
    'token-malformed',
  );
  for (const [body, pointer] of [
    [{ ...invite, extra: 1 }, '/extra'],
    [{ media: 'audio' }, '/callee'],
    [{ ...invite, ring_seconds: 4 }, '/ring_seconds'],
    [{ ...invite, callee: 'alice' }, '/callee'],
    [{ ...invite, metadata: 'x'.repeat(2048) }, '/metadata'],
  ]) {
    const { errors } = await post('/v1/calls', alice, body, 400);
    assert.equal(errors[0].pointer, pointer);
  }
  await post('/v1/calls', alice, { ...invite, metadata: 'x'.repeat(17_000) }, 413);
  const request = { as: alice, body: {}, raw: '{"callee":' };
  assert.equal((await expect(400, 'POST', '/v1/calls', request)).code, 'bad-json');
}

async function on(settings, name, scenario) {
  const stage = await createStage(settings);
  try {
    await scenario(stage);
    assert.equal(await stage.stop(), 0, 'it ends in order');
    assert.doesNotMatch(stage.log(), /"level":[56]0/, 'it logs no error');
    console.log(`ok: ${name}`);
  } catch (error) {
    console.error(stage.log().slice(-4000));
    throw error;
  } finally {
    stage.close();
  }
}

await on({}, 'one process, @parse/node-apn', async (stage) => {
  await wholeCall(stage);
  await otherEnds(stage);
  await badDay(stage);
  await refusals(stage);
});
await on({ APNS_CLIENT: 'apns2' }, 'one process, apns2', async (stage) => {
  await wholeCall(stage, { hasApnsId: false });
  await badDay(stage, { hasApnsId: false });
});
await on({ WORKERS: '2', RECORD_PUSHES: 'on' }, 'two processes', async (stage) => {
  await wholeCall(stage);
  await otherEnds(stage);
});
