// Everything that can be configured, from environment variables. What has no default must be set.

import { readFileSync } from 'node:fs';

const env = (name, fallback) => {
  const value = process.env[name] || fallback;
  if (value === undefined) throw new Error(`${name} must be set`);
  return value;
};

const number = (name, fallback) => {
  const value = Number(env(name, String(fallback)));
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} must be a number that is not negative`);
  return value;
};

const secret = (name) => {
  const value = env(name);
  if (Buffer.byteLength(value) < 32) throw new Error(`${name} must have at least 32 bytes`);
  return value;
};

export function load() {
  const [host, port] = env('LISTEN', '127.0.0.1:8080').split(':');
  const caFile = env('CA_FILE', '');
  return {
    host,
    port: Number(port),
    workers: number('WORKERS', 1),
    logLevel: env('LOG_LEVEL', 'info'),
    requestLog: env('REQUEST_LOG', 'on') !== 'off',
    publicUrl: env('PUBLIC_URL', ''),
    app: env('APP'),
    ca: caFile && readFileSync(caFile, 'utf8'),
    redis: {
      url: env('REDIS_URL', 'redis://127.0.0.1:6379'),
      prefix: env('REDIS_PREFIX', 'calls:'),
      timeoutMs: number('REDIS_TIMEOUT_MS', 5000),
    },
    auth: {
      issuer: env('JWT_ISSUER'),
      audience: env('JWT_AUDIENCE'),
      secret: secret('JWT_SECRET'),
      leewayMs: 30_000,
      ticketSecret: secret('TICKET_SECRET'),
    },
    call: {
      ringMs: number('RING_SECONDS', 45) * 1000,
      connectMs: 20_000,
      reconnectMs: 30_000,
      maxDurationMs: number('MAX_DURATION_SECONDS', 4 * 3600) * 1000,
      retentionMs: 7 * 24 * 3600 * 1000,
      // How often calls that are due are looked for.
      pollMs: number('POLL_MS', 250),
    },
    events: { streamsPerUser: 20, pingMs: 25_000 },
    livekit: {
      url: env('LIVEKIT_URL', 'ws://127.0.0.1:7880'),
      apiKey: env('LIVEKIT_API_KEY', 'devkey'),
      apiSecret: env('LIVEKIT_API_SECRET', 'secret'),
    },
    push: {
      record: env('RECORD_PUSHES', 'off') === 'on',
      apns: {
        client: env('APNS_CLIENT', 'node-apn'),
        endpoint: env('APNS_ENDPOINT', 'https://api.push.apple.com'),
        teamId: env('APNS_TEAM_ID'),
        keyId: env('APNS_KEY_ID'),
        key: readFileSync(env('APNS_KEY_FILE'), 'utf8'),
        expirationMs: 10_000,
      },
      fcm: {
        endpoint: env('FCM_ENDPOINT', 'https://fcm.googleapis.com'),
        serviceAccount: JSON.parse(readFileSync(env('FCM_SERVICE_ACCOUNT_FILE'), 'utf8')),
        connections: 2,
      },
    },
  };
}
