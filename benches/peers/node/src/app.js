// The HTTP side: routes, who asks, what is refused, one log line a request.

import Fastify, { LogController } from 'fastify';

import { view } from './call.js';
import { Problem, problemOf } from './problem.js';
import { schemas } from './schemas.js';

const BODY_BYTES = 16 * 1024;
const METADATA_BYTES = 2048;
const METADATA_DEPTH = 32;
const MAX_SINCE = 100;

const depth = (value) => (value && typeof value === 'object' ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0);

export function createApp({ config, log, auth, calls, store, events, livekit }) {
  const app = Fastify({
    loggerInstance: log,
    // One line instead of Fastify's two.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  });
  app.decorateRequest('who', null);

  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body ? parse(request, body, done) : done(null, {}),
  );
  app.addHook('preValidation', async (request) => {
    request.body ??= {};
  });
  app.addHook('onRequest', async (request) => {
    if (!request.routeOptions.config.open) request.who = auth.authenticate(request.headers.authorization);
  });
  if (config.requestLog) {
    app.addHook('onResponse', async (request, reply) => {
      request.log.info(
        {
          method: request.method,
          url: request.url,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
        },
        'request',
      );
    });
  }
  const send = (reply, problem) => reply.code(problem.statusCode).type('application/problem+json').send(problem.body());
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    if (problem) return send(reply, problem);
    request.log.error({ err: error }, 'a request failed');
    return send(reply, new Problem(500, 'internal', 'the operator finds the cause in the log'));
  });
  app.setNotFoundHandler({}, (request, reply) => send(reply, new Problem(404, 'not-found', 'no such path')));

  const userOnly = async ({ who }) => {
    if (who.call) throw new Problem(403, 'users-only', 'only a user may do this');
  };
  // A ticket names its own device, for its own call.
  const deviceOf = ({ who, params, body }) => {
    if (who.call && who.call !== params.id) throw new Problem(403, 'wrong-call', 'the ticket is for another call');
    if (who.device && body.device_id && body.device_id !== who.device) {
      throw new Problem(403, 'wrong-device', 'the ticket is for another device');
    }
    return who.device ?? body.device_id;
  };
  const neededDevice = (request) => {
    const device = deviceOf(request);
    if (!device) throw Problem.field('/device_id', "is needed with a user's token");
    return device;
  };
  const answered = (call) => ({ call: view(call) });

  const deviceView = ({ id, voip_token, alert_token, fcm_token, registered_at, ...shown }) => ({
    device_id: id,
    ...shown,
    registered_at: new Date(registered_at).toISOString(),
  });

  app.put(
    '/v1/devices/:device_id',
    { schema: schemas.putDevice, preHandler: userOnly },
    async ({ who, params, body }) => {
      if (body.app !== config.app) throw Problem.field('/app', 'is not an app of this service');
      const needed = body.platform === 'ios' ? 'voip_token' : 'fcm_token';
      if (!body[needed]) throw Problem.field(`/${needed}`, 'is needed for this platform');
      const device = { environment: 'production', ...body, id: params.device_id, registered_at: Date.now() };
      await store.putDevice(who.user, device);
      return deviceView(device);
    },
  );

  app.get('/v1/devices', { preHandler: userOnly }, async ({ who }) => ({
    devices: (await store.devices(who.user)).map(deviceView),
  }));

  app.delete(
    '/v1/devices/:device_id',
    { schema: schemas.device, preHandler: userOnly },
    async ({ who, params }, reply) => {
      await store.removeDevice(who.user, params.device_id);
      return reply.code(204).send();
    },
  );

  app.post('/v1/calls', { schema: schemas.invite, preHandler: userOnly }, async ({ who, headers, body }, reply) => {
    if (body.callee === who.user) throw Problem.field('/callee', 'must not be the caller');
    const { metadata } = body;
    if (metadata !== undefined) {
      if (depth(metadata) > METADATA_DEPTH) throw Problem.field('/metadata', 'is nested too deep');
      if (Buffer.byteLength(JSON.stringify(metadata)) > METADATA_BYTES)
        throw Problem.field('/metadata', 'is too large');
    }
    const key = headers['idempotency-key'];
    const call = await calls.invite({
      caller: { id: who.user, name: who.name },
      callee: body.callee,
      media: body.media,
      ringMs: body.ring_seconds && body.ring_seconds * 1000,
      metadata,
      idempotency: key && { key, body },
    });
    const answer = answered(call);
    if (call.state !== 'ended') answer.livekit = await livekit.access(call, who.user);
    return reply.code(201).header('location', `/v1/calls/${call.id}`).send(answer);
  });

  app.get('/v1/calls/:id', { schema: schemas.call }, async ({ who, params }) => view(await calls.get(params.id, who)));

  app.post('/v1/calls/:id/alerting', { schema: schemas.alerting }, async (request) => {
    const device = neededDevice(request);
    const says = request.body.rung === false ? calls.notRung : calls.alerting;
    return answered(await says(request.params.id, request.who, device));
  });

  app.post('/v1/calls/:id/answer', { schema: schemas.answer }, async (request) => {
    const device = neededDevice(request);
    const call = await calls.answer(request.params.id, request.who, device);
    return { ...answered(call), livekit: await livekit.access(call, request.who.user) };
  });

  app.post('/v1/calls/:id/decline', { schema: schemas.decline }, async (request) => {
    const device = neededDevice(request);
    return answered(await calls.decline(request.params.id, request.who, device, request.body.reason ?? 'declined'));
  });

  app.post('/v1/calls/:id/cancel', { schema: schemas.cancel }, async ({ who, params }) =>
    answered(await calls.cancel(params.id, who)),
  );

  app.post('/v1/calls/:id/hangup', { schema: schemas.cancel }, async ({ who, params }) =>
    answered(await calls.hangUp(params.id, who)),
  );

  app.post('/v1/calls/:id/token', { schema: schemas.token }, async (request) => {
    const device = deviceOf(request);
    const call = await calls.get(request.params.id, request.who);
    calls.joins(call, request.who, device);
    return { livekit: await livekit.access(call, request.who.user) };
  });

  app.get('/v1/events', { schema: schemas.events }, async (request, reply) => {
    if (!request.headers.accept?.includes('text/event-stream')) {
      throw new Problem(406, 'not-acceptable', 'accept text/event-stream');
    }
    const text = request.query.since ?? request.headers['last-event-id'] ?? '';
    const since = text
      .split(',')
      .filter(Boolean)
      .map((part) => part.trim().split(':'));
    if (since.length > MAX_SINCE || since.some(([, seq]) => !/^\d{1,9}$/.test(seq))) {
      throw new Problem(400, 'invalid-query', 'since is of the form <call id>:<seq>');
    }
    await events.open(
      request,
      reply,
      request.who,
      since.map(([call, seq]) => [call, Number(seq)]),
    );
    return reply;
  });

  app.get('/livez', { config: { open: true } }, async () => ({ status: 'ok' }));
  app.get('/readyz', { config: { open: true } }, async (request, reply) => {
    await store.redis.ping().catch(() => reply.code(503));
    return { status: reply.statusCode === 200 ? 'ok' : 'no store' };
  });
  return app;
}
