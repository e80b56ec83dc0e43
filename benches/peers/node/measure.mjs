// A first figure: invites to callees with two devices each, at fixed rates and as many as go. CPU is user plus system time of the service alone,
// until the last push was taken. Usage: node measure.mjs [rate, or max]... (default: 200 1000 max); CALLS invites each.
//
// The service is configured by the environment as ever: WORKERS, LOG_LEVEL, REQUEST_LOG, APNS_CLIENT, RECORD_PUSHES.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

import { createStage, devicesOf, userToken } from './stage.mjs';

const CONNECTIONS = 64;
const CALLS = Number(process.env.CALLS ?? 5000);
const WARM_UP = 1000;
const TICK_MS = 5;
const TICKS_PER_SECOND = 100;

const rates = process.argv.length > 2 ? process.argv.slice(2) : ['200', '1000', 'max'];
const stage = await createStage();
const pool = new Pool(stage.url, { connections: CONNECTIONS, pipelining: 1 });

const statOf = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
const pids = [stage.pids.service, ...childrenOf(stage.pids.service)];

// Microseconds of CPU so far, and resident megabytes.
const cpuOf = (pid) => ((Number(statOf(pid)[11]) + Number(statOf(pid)[12])) * 1e6) / TICKS_PER_SECOND;
const cpu = () => pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
const memory = () => pids.reduce((sum, pid) => sum + (Number(statOf(pid)[21]) * 4096) / 2 ** 20, 0);

async function ask(method, path, token, body, status) {
  const answer = await pool.request({
    method,
    path,
    body,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  const text = await answer.body.text();
  if (answer.statusCode !== status) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
  return text;
}

async function atOnce(count, task) {
  let next = 0;
  const run = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, run));
}

async function rings() {
  const { counts } = await (await fetch(`${stage.control}/counts`)).json();
  return counts
    .filter(({ kind, status }) => kind === 'ring' && status === 200)
    .reduce((sum, { count }) => sum + count, 0);
}

async function scenario(name, count, rate) {
  const people = Array.from({ length: count }, (_, index) => {
    const callee = `callee-${name}-${index}`;
    const body = JSON.stringify({ callee, media: 'video', ring_seconds: 120, metadata: { chat: 'c-1881' } });
    return { callee, calleeToken: userToken(callee), callerToken: userToken(`caller-${name}-${index}`), body };
  });
  await atOnce(count, async (index) => {
    const { callee, calleeToken } = people[index];
    for (const [id, device] of Object.entries(devicesOf(callee))) {
      await ask('PUT', `/v1/devices/${id}`, calleeToken, JSON.stringify(device), 200);
    }
  });
  await sleep(500);

  const rungBefore = await rings();
  const latencies = [];
  const invite = async (index, due = performance.now()) => {
    const { callerToken, body } = people[index];
    const text = await ask('POST', '/v1/calls', callerToken, body, 201);
    if (!text.includes('"state":"calling"')) throw new Error(`a call that does not ring: ${text}`);
    latencies.push(performance.now() - due);
  };
  const [before, redisBefore, began] = [cpu(), cpuOf(stage.pids.redis), performance.now()];
  if (rate) {
    // Each is sent when it is due, whether the others are answered or not, and timed from then.
    const all = [];
    while (all.length < count) {
      while (all.length < count && began + (all.length * 1000) / rate <= performance.now()) {
        all.push(invite(all.length, began + (all.length * 1000) / rate));
      }
      await sleep(TICK_MS);
    }
    await Promise.all(all);
  } else {
    await atOnce(count, (index) => invite(index));
  }
  const took = (performance.now() - began) / 1000;
  while ((await rings()) < rungBefore + 2 * count) await sleep(20);
  const [used, redisUsed] = [cpu() - before, cpuOf(stage.pids.redis) - redisBefore];

  latencies.sort((one, other) => one - other);
  const quantile = (share) => Number(latencies[Math.min(count - 1, Math.floor(count * share))].toFixed(1));
  return {
    scenario: name,
    invites: count,
    'a second': Math.round(count / took),
    'p50 ms': quantile(0.5),
    'p99 ms': quantile(0.99),
    'CPU µs': Math.round(used / count),
    'Redis µs': Math.round(redisUsed / count),
    MB: Math.round(memory()),
  };
}

const results = [];
try {
  await scenario('warm-up', WARM_UP);
  for (const rate of rates) {
    results.push(rate === 'max' ? await scenario('max', CALLS) : await scenario(`at-${rate}`, CALLS, Number(rate)));
  }
} catch (error) {
  console.error(
    stage
      .log()
      .match(/.*"level":[56]0.*/g)
      ?.slice(-5)
      .join('\n') ?? 'the service logged no error',
  );
  throw error;
}
console.table(results);
await pool.close();
const code = await stage.stop();
stage.close();
process.exit(code);
