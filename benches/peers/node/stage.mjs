// What check.mjs and measure.mjs share: a redis-server, Bellwire's simulator and the service, each a child that ends with the stage.
// The service is this one, or with SERVICE=bellwire Bellwire itself.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createSigner } from 'fast-jwt';

const ISSUER = 'https://login.example.com';
const AUDIENCE = 'bellwire';
const USER_SECRET = 'a-secret-for-the-users-of-the-node-peer';
const TICKET_SECRET = 'a-secret-for-the-tickets-of-the-node-peer';
export const APP = 'com.example.phone';

const here = (path) => new URL(path, import.meta.url).pathname;
const ROOT = here('../../..');

function bellwire() {
  const built = ['dist', 'release', 'debug'].map((kind) => join(ROOT, 'target', kind, 'bellwire'));
  const found = process.env.BELLWIRE ?? built.find(existsSync);
  if (!found) throw new Error('no bellwire: build it, or name one by BELLWIRE');
  return found;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The values of a line `ready name=value ...`.
async function ready(child, name) {
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${name} ended (${code}) before it was ready`);
  });
  const line = (async () => {
    for await (const line of lines) {
      if (line.startsWith('ready '))
        return Object.fromEntries(
          line
            .split(' ')
            .slice(1)
            .map((part) => part.split('=')),
        );
    }
    throw new Error(`${name} was never ready`);
  })();
  ended.catch(() => {});
  const values = await Promise.race([line, ended]);
  child.stdout.resume();
  return values;
}

const sign = createSigner({ key: USER_SECRET, algorithm: 'HS256' });

export const userToken = (user, claims = {}) =>
  sign({
    iss: ISSUER,
    aud: AUDIENCE,
    sub: user,
    name: user[0].toUpperCase() + user.slice(1),
    exp: 4_000_000_000,
    ...claims,
  });

export async function createStage(settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'node-peer-'));
  const children = [];
  const log = join(folder, 'service.log');
  const start = (command, args, options = {}) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
    children.push(child);
    return child;
  };
  const kill = () => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', kill);

  const redisPort = await freePort();
  // As an operator would keep calls: an append-only file, written through every second.
  const redisArgs = ['--port', redisPort, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'];
  const redis = start('redis-server', redisArgs, { stdio: 'ignore' });
  const simulator = start(bellwire(), ['simulate', '--credentials', folder, '--control', '127.0.0.1:0', '--quiet']);
  const sim = await ready(simulator, 'the simulator');

  const redisUrl = `redis://127.0.0.1:${redisPort}`;
  const stderr = openSync(log, 'a');
  const service = startNode();
  const { http } = await ready(service, 'the service').catch((error) => {
    throw new Error(`${error.message}\n${readFileSync(log, 'utf8')}`);
  });

  function startNode() {
    return start(process.execPath, [here('src/main.js')], {
      stdio: ['ignore', 'pipe', stderr],
      env: {
        ...process.env,
        NODE_ENV: 'production',
        LISTEN: '127.0.0.1:0',
        REDIS_URL: redisUrl,
        APP,
        JWT_ISSUER: ISSUER,
        JWT_AUDIENCE: AUDIENCE,
        JWT_SECRET: USER_SECRET,
        TICKET_SECRET,
        CA_FILE: sim.ca_file,
        APNS_ENDPOINT: sim.apns,
        APNS_TEAM_ID: sim.team_id,
        APNS_KEY_ID: sim.key_id,
        APNS_KEY_FILE: sim.key_file,
        FCM_ENDPOINT: sim.fcm,
        FCM_SERVICE_ACCOUNT_FILE: sim.service_account_file,
        ...settings,
      },
    });
  }

  return {
    url: `http://${http}`,
    control: sim.control,
    log: () => readFileSync(log, 'utf8'),

    // Ends the service as an operator would, and gives its exit code.
    async stop() {
      service.kill('SIGTERM');
      const [code] = await once(service, 'exit');
      return code;
    },

    close() {
      process.off('exit', kill);
      kill();
    },
  };
}

export const hex = (text) => Buffer.from(text).toString('hex').padStart(64, '0').slice(-64);

export const devicesOf = (user) => ({
  'iphone-1': {
    platform: 'ios',
    app: APP,
    voip_token: hex(`voip ${user}`),
    alert_token: hex(`alert ${user}`),
    name: 'iPhone',
  },
  'pixel-1': {
    platform: 'android',
    app: APP,
    fcm_token: `${hex(`fcm ${user}`)}:APA91b${'x'.repeat(64)}`,
    name: 'Pixel',
  },
});
