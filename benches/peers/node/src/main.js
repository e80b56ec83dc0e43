// Starts the service: one process, or WORKERS of them on one port. Prints a line when it is ready, and ends in order on SIGTERM.

import cluster from 'node:cluster';
import pino from 'pino';

import { createApp } from './app.js';
import { createAuth } from './auth.js';
import { createCalls } from './calls.js';
import { load } from './config.js';
import { createEvents } from './events.js';
import { createLiveKit } from './livekit.js';
import { createPushes } from './push/index.js';
import { createStore } from './store.js';
import { startTimeouts } from './timeouts.js';

const SHUTDOWN_MS = 15_000;
// What requests under way have of it; Node also waits for connections on which none has come yet.
const LAST_REQUESTS_MS = 3000;

const config = load();

if (config.workers > 1 && cluster.isPrimary) runPrimary();
else await runWorker();

function runPrimary() {
  let listening = 0;
  let stopping = false;
  for (let index = 0; index < config.workers; index++) cluster.fork();
  cluster.on('listening', (worker, { address, port }) => {
    listening += 1;
    if (listening === config.workers) console.log(`ready http=${address}:${port}`);
  });
  cluster.on('exit', () => {
    if (!stopping) cluster.fork();
  });
  const stop = () => {
    stopping = true;
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM');
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

async function runWorker() {
  // To stderr, since stdout has the ready line.
  const log = pino({ level: config.logLevel }, pino.destination(2));
  const store = createStore(config, log);
  const auth = createAuth(config.auth);
  const livekit = createLiveKit(config.livekit, config.call);
  const context = { config, log, store, auth, livekit };
  const pushes = createPushes(context, log);
  const calls = createCalls({ ...context, pushes });
  const events = createEvents(context, log);
  const app = createApp({ ...context, calls, events });
  const timeouts = startTimeouts({ ...context, calls }, log);

  await app.listen({ host: config.host, port: config.port });
  const { address, port } = app.server.address();
  config.publicUrl ||= `http://${address}:${port}`;
  if (!cluster.isWorker) console.log(`ready http=${address}:${port}`);

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    await events.close();
    const cut = setTimeout(() => app.server.closeAllConnections(), LAST_REQUESTS_MS);
    await app.close();
    clearTimeout(cut);
    await timeouts.stop();
    await pushes.close();
    await store.redis.quit();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
