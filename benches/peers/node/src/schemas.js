// The shapes of requests and answers. Unknown fields are refused.

const DEVICE_ID = { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,64}$', not: { enum: ['.', '..'] } };
const USER_ID = { type: 'string', minLength: 1, maxLength: 128, pattern: '^[^\\s\\u0000-\\u001f\\u007f]+$' };
const TOKEN = { type: 'string', minLength: 1, maxLength: 512, pattern: '^[!-~]+$' };
const text = (maxLength) => ({ type: 'string', minLength: 1, maxLength, pattern: '^[^\\u0000-\\u001f\\u007f]*$' });

const object = (properties, required = []) => ({ type: 'object', additionalProperties: false, properties, required });
const string = { type: 'string' };
const party = { type: 'object', properties: { id: string, name: string } };

const call = {
  type: 'object',
  properties: {
    id: string,
    state: string,
    end_reason: string,
    media: string,
    caller: party,
    callee: party,
    created_at: string,
    ring_until: string,
    ringing_at: string,
    answered_at: string,
    answered_by: string,
    ended_at: string,
    metadata: {},
    seq: { type: 'integer' },
  },
};
const livekit = { type: 'object', properties: { url: string, room: string, token: string, expires_at: string } };
const callAnswer = { type: 'object', properties: { call, livekit } };

const callPath = object({
  id: { type: 'string', pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' },
});
const onCall = (properties) => ({ params: callPath, body: object(properties), response: { 200: callAnswer } });

export const schemas = {
  putDevice: {
    params: object({ device_id: DEVICE_ID }),
    body: object(
      {
        platform: { enum: ['ios', 'android'] },
        app: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,155}$' },
        environment: { enum: ['production', 'sandbox'] },
        voip_token: { ...TOKEN, pattern: '^([0-9a-fA-F]{2})+$' },
        alert_token: { ...TOKEN, pattern: '^([0-9a-fA-F]{2})+$' },
        fcm_token: TOKEN,
        name: text(128),
        locale: text(35),
        app_version: text(64),
      },
      ['platform', 'app'],
    ),
  },
  device: { params: object({ device_id: DEVICE_ID }) },
  invite: {
    headers: { type: 'object', properties: { 'idempotency-key': { type: 'string', minLength: 1, maxLength: 255 } } },
    body: object(
      {
        callee: USER_ID,
        media: { enum: ['audio', 'video'] },
        ring_seconds: { type: 'integer', minimum: 5, maximum: 120 },
        device_id: DEVICE_ID,
        metadata: {},
      },
      ['callee', 'media'],
    ),
    response: { 201: callAnswer },
  },
  call: { params: callPath, response: { 200: call } },
  alerting: onCall({ device_id: DEVICE_ID, rung: { type: 'boolean' }, reason: text(64) }),
  answer: onCall({ device_id: DEVICE_ID }),
  decline: onCall({ device_id: DEVICE_ID, reason: { enum: ['declined', 'busy'] } }),
  cancel: onCall({}),
  token: { ...onCall({ device_id: DEVICE_ID }), response: { 200: { type: 'object', properties: { livekit } } } },
  events: { querystring: object({ since: string, device_id: DEVICE_ID }) },
};
