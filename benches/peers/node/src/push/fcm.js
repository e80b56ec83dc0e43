// FCM HTTP v1, with the access token of a service account.

import { createSigner } from 'fast-jwt';

import { Http2Host } from './http2.js';

const SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
const RENEW_BEFORE_MS = 5 * 60_000;
const TIMEOUT_MS = 4000;

class AccessTokens {
  #account;
  #host;
  #path;
  #sign;
  #token;
  #pending;

  constructor(account, ca) {
    const { origin, pathname } = new URL(account.token_uri);
    this.#account = account;
    this.#host = new Http2Host(origin, { ca, connections: 1, timeoutMs: TIMEOUT_MS });
    this.#path = pathname;
    this.#sign = createSigner({ key: account.private_key, algorithm: 'RS256', kid: account.private_key_id });
  }

  // The token in force; a new one is asked for once, however many wait for it.
  async current() {
    if (this.#token && Date.now() < this.#token.renewAt) return this.#token.value;
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    return (await this.#pending).value;
  }

  forget() {
    this.#token = undefined;
  }

  async #fetch() {
    const { client_email: iss, token_uri: aud } = this.#account;
    const iat = Math.floor(Date.now() / 1000);
    const assertion = this.#sign({ iss, aud, scope: SCOPE, iat, exp: iat + 3600 });
    const form = new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const { status, text } = await this.#host.post(this.#path, headers, form.toString());
    if (status !== 200) throw new Error(`no access token: ${status}`);
    const { access_token: value, expires_in: seconds } = JSON.parse(text);
    this.#token = { value, renewAt: Date.now() + seconds * 1000 - RENEW_BEFORE_MS };
    return this.#token;
  }

  close() {
    this.#host.close();
  }
}

export function createFcm({ endpoint, serviceAccount, connections }, ca) {
  const tokens = new AccessTokens(serviceAccount, ca);
  const host = new Http2Host(endpoint, { ca, connections, timeoutMs: TIMEOUT_MS });
  const path = `/v1/projects/${serviceAccount.project_id}/messages:send`;

  return {
    name: 'fcm',

    async send({ token, fields, high, ttlMs, collapse }) {
      const data = {};
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) data[name] = typeof value === 'object' ? JSON.stringify(value) : String(value);
      }
      const ttl = `${Math.max(1, Math.floor(ttlMs / 1000))}s`;
      const android = { priority: high ? 'HIGH' : 'NORMAL', ttl, collapse_key: collapse, direct_boot_ok: true };
      const body = JSON.stringify({ message: { token, data, android } });
      const headers = { authorization: `Bearer ${await tokens.current()}`, 'content-type': 'application/json' };
      const { status, retryAfter, text } = await host.post(path, headers, body);
      if (status === 200) return { status };
      const { error } = JSON.parse(text || '{}');
      const reason = error?.details?.find(({ errorCode }) => errorCode)?.errorCode ?? error?.status;
      if (status === 401) tokens.forget();
      return { status, reason, retryAfter, gone: reason === 'UNREGISTERED', retry: status === 401 };
    },

    close() {
      tokens.close();
      host.close();
    },
  };
}
