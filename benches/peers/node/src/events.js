// The event stream, as SSE: a snapshot of the user's calls, and then every event, numbered per call.

import { view, eventView } from './call.js';
import { Problem } from './problem.js';

const RECENT_MS = 10 * 60_000;
const RETRY_MS = 1000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createEvents(
  {
    store,
    config: {
      events: { streamsPerUser, pingMs },
    },
  },
  log,
) {
  // Connected streams by the channel of their user; a channel is subscribed to while it has any.
  const streams = new Map();
  const subscriber = store.redis.duplicate({ enableAutoPipelining: false, commandTimeout: undefined });
  subscriber.on('error', (error) => log.error({ err: error }, 'redis, for events'));
  subscriber.on('message', (channel, message) => {
    const there = streams.get(channel);
    if (!there) return;
    const events = JSON.parse(message).map((event) => ({ event, text: lineOf(event) }));
    for (const stream of there.all) stream.tell(events);
  });
  const pings = setInterval(() => {
    for (const { all } of streams.values()) for (const stream of all) stream.write(':\n\n');
  }, pingMs).unref();

  const lineOf = (event) => `id: ${event.call_id}:${event.seq}\ndata: ${JSON.stringify(event)}\n\n`;

  async function attach(channel, stream) {
    let there = streams.get(channel);
    if (there?.all.size >= streamsPerUser) throw new Problem(429, 'too-many-streams', 'too many event streams');
    if (!there) {
      there = { all: new Set(), ready: subscriber.subscribe(channel) };
      streams.set(channel, there);
    }
    there.all.add(stream);
    await there.ready;
  }

  async function detach(channel, stream) {
    const there = streams.get(channel);
    if (!there?.all.delete(stream) || there.all.size) return;
    streams.delete(channel);
    await subscriber.unsubscribe(channel);
  }

  return {
    async open(request, reply, who, since) {
      const channel = store.channel(who.user);
      const seen = new Map(since);
      let waiting = [];
      const stream = {
        write: (text) => reply.raw.write(text),
        end: (why) => reply.raw.end(`: ${why}\n\n`),
        // What comes before the snapshot waits for it.
        tell(events) {
          if (waiting) {
            waiting.push(...events);
            return;
          }
          for (const {
            event: { call_id: call, seq },
            text,
          } of events) {
            if (who.call && who.call !== call) continue;
            if (seq <= (seen.get(call) ?? 0)) continue;
            seen.set(call, seq);
            stream.write(text);
          }
        },
      };
      await attach(channel, stream);
      const left = Math.min(who.expiresAt - Date.now(), LONGEST_TIMER_MS);
      const expires = setTimeout(() => stream.end('the token has expired'), left);
      reply.raw.on('close', () => {
        clearTimeout(expires);
        detach(channel, stream).catch((error) => request.log.warn({ err: error }, 'a channel could not be left'));
      });
      try {
        const recent = await store.recent(who.user, Date.now() - RECENT_MS);
        const calls = recent.filter((call) => !who.call || who.call === call.id);
        reply.hijack();
        // The connection ends with its stream, so that nothing waits for it when the service stops.
        const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', connection: 'close' };
        reply.raw.writeHead(200, headers);
        stream.write(`retry: ${RETRY_MS}\ndata: ${JSON.stringify({ type: 'snapshot', calls: calls.map(view) })}\n\n`);
        for (const call of calls) {
          // Who names a call is told what it has missed of it.
          const from = seen.get(call.id) ?? call.events.length;
          for (const event of call.events.slice(from)) stream.write(lineOf(eventView(call, event)));
          seen.set(call.id, call.events.length);
        }
        const queued = waiting;
        waiting = undefined;
        stream.tell(queued);
      } catch (error) {
        await detach(channel, stream);
        throw error;
      }
    },

    // Ends all streams: their clients come back to another process.
    async close() {
      clearInterval(pings);
      for (const { all } of streams.values()) for (const stream of all) stream.end('the service restarts');
      await subscriber.quit();
    },
  };
}
