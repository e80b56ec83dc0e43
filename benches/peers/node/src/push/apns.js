// APNs with token authentication, by one of two libraries: @parse/node-apn or apns2.

import apn from '@parse/node-apn';
import { ApnsClient, ApnsError, Notification } from 'apns2';
import { Pool } from 'undici';

const TIMEOUT_MS = 2000;
const CLIENTS = { 'node-apn': nodeApn, apns2 };

export function createApns(config, ca) {
  const create = CLIENTS[config.client];
  if (!create) throw new Error(`APNS_CLIENT must be one of ${Object.keys(CLIENTS)}`);
  return { name: 'apns', ...create(config, ca) };
}

const outcome = (status, reason) => ({
  status,
  reason,
  gone: status === 410,
  retry: reason === 'ExpiredProviderToken',
});

function nodeApn({ endpoint, teamId, keyId, key }, ca) {
  const { hostname, port } = new URL(endpoint);
  const provider = new apn.Provider({
    token: { key, keyId, teamId },
    address: hostname,
    port: Number(port || 443),
    requestTimeout: TIMEOUT_MS,
    // What is retried, and how long, is for the caller to say.
    connectionRetryLimit: 0,
    ...(ca && { ca }),
  });
  return {
    async send({ id, token, topic, pushType, priority, expiration, collapse, aps, fields }) {
      const notification = new apn.Notification({
        id,
        topic,
        pushType,
        priority,
        expiry: expiration,
        collapseId: collapse,
        rawPayload: { aps, ...fields },
      });
      const {
        failed: [failure],
      } = await provider.send(notification, token);
      if (!failure) return { status: 200 };
      const status = Number(failure.status) || undefined;
      return outcome(status, failure.response?.reason ?? failure.error?.message);
    },
    close: () => provider.shutdown(),
  };
}

// It has no apns-id.
function apns2({ endpoint, teamId, keyId, key }, ca) {
  const client = new ApnsClient({ team: teamId, keyId, signingKey: key, requestTimeout: TIMEOUT_MS });
  if (ca) {
    // It knows Apple's port and the system's trust roots only; the options are its own.
    client.client.destroy();
    client.client = new Pool(endpoint, {
      connections: 32,
      pipelining: 1,
      allowH2: true,
      maxConcurrentStreams: 100,
      connect: { ca },
    });
  }
  return {
    async send({ token, topic, pushType, priority, expiration, collapse, aps, fields }) {
      const notification = new Notification(token, {
        topic,
        type: pushType,
        priority,
        expiration,
        collapseId: collapse,
        aps: { ...aps },
        data: fields,
      });
      try {
        await client.send(notification);
        return { status: 200 };
      } catch (error) {
        if (error instanceof ApnsError) return outcome(error.statusCode, error.reason);
        throw error;
      }
    },
    close: () => client.close(),
  };
}
