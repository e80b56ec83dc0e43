// Tokens with which a party of a call joins its LiveKit room.

import { randomBytes } from 'node:crypto';
import { AccessToken, RoomConfiguration, TrackSource } from 'livekit-server-sdk';

// How long a token can be used to connect, beyond the ring.
const TIME_TO_CONNECT_MS = 60_000;
const SOURCES = {
  audio: [TrackSource.MICROPHONE],
  video: [TrackSource.MICROPHONE, TrackSource.CAMERA, TrackSource.SCREEN_SHARE, TrackSource.SCREEN_SHARE_AUDIO],
};

export const roomName = (id) => `bw_main_${id}_${randomBytes(16).toString('hex')}`;

export function createLiveKit({ url, apiKey, apiSecret }, { connectMs, reconnectMs }) {
  return {
    async access(call, user) {
      const now = Date.now();
      const ringLeft = call.answered_at ? 0 : Math.max(0, call.ring_until - now);
      const ttl = Math.ceil((ringLeft + TIME_TO_CONNECT_MS) / 1000);
      const party = call.caller.id === user ? call.caller : call.callee;
      const token = new AccessToken(apiKey, apiSecret, { identity: user, name: party.name, ttl });
      token.addGrant({
        roomJoin: true,
        room: call.room,
        canPublish: true,
        canSubscribe: true,
        canPublishData: true,
        canPublishSources: SOURCES[call.media],
      });
      token.roomConfig = new RoomConfiguration({
        maxParticipants: 2,
        emptyTimeout: Math.floor((Math.max(0, call.ring_until - now) + connectMs + 60_000) / 1000),
        departureTimeout: (reconnectMs + 10_000) / 1000,
      });
      return { url, room: call.room, token: await token.toJwt(), expires_at: new Date(now + ttl * 1000).toISOString() };
    },
  };
}
