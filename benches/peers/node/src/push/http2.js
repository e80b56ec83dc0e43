// A few long-lived HTTP/2 connections to one host. A connection that ended is replaced by the next request.

import { connect } from 'node:http2';

const PING_MS = 60_000;

export class Http2Host {
  #endpoint;
  #options;
  #timeoutMs;
  #sessions;
  #next = 0;

  constructor(endpoint, { ca, connections, timeoutMs }) {
    this.#endpoint = endpoint;
    this.#options = ca ? { ca } : {};
    this.#timeoutMs = timeoutMs;
    this.#sessions = new Array(connections);
  }

  #session() {
    this.#next = (this.#next + 1) % this.#sessions.length;
    const there = this.#sessions[this.#next];
    if (there && !there.closed && !there.destroyed) return there;
    const session = connect(this.#endpoint, this.#options);
    // Requests on it fail with the error; they are what is retried.
    session.on('error', () => session.destroy());
    const ping = setInterval(() => session.ping((error) => error && session.destroy(error)), PING_MS).unref();
    session.on('close', () => clearInterval(ping));
    this.#sessions[this.#next] = session;
    return session;
  }

  post(path, headers, body) {
    return new Promise((resolve, reject) => {
      const stream = this.#session().request({ ':method': 'POST', ':path': path, ...headers });
      let status;
      let retryAfter;
      let text = '';
      stream.setEncoding('utf8');
      stream.setTimeout(this.#timeoutMs, () => stream.destroy(new Error('timeout')));
      stream.on('response', (answer) => {
        status = answer[':status'];
        retryAfter = answer['retry-after'];
      });
      stream.on('data', (chunk) => {
        text += chunk;
      });
      stream.on('end', () => (status ? resolve({ status, retryAfter, text }) : reject(new Error('no answer'))));
      stream.on('error', reject);
      stream.end(body);
    });
  }

  close() {
    for (const session of this.#sessions) session?.close();
  }
}
