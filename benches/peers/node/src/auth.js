// Who asks: a user by the JWT of the app's identity provider, or a device by the ticket of its push.

import { createSigner, createVerifier, TOKEN_ERROR_CODES } from 'fast-jwt';

import { Problem } from './problem.js';

const TICKET_HEADER = { alg: 'HS256', typ: 'bw-ticket' };
const TICKET_AUDIENCE = 'bw';

const CODES = {
  [TOKEN_ERROR_CODES.expired]: 'token-expired',
  [TOKEN_ERROR_CODES.inactive]: 'token-not-yet-valid',
  [TOKEN_ERROR_CODES.invalidSignature]: 'token-bad-signature',
  [TOKEN_ERROR_CODES.invalidAlgorithm]: 'token-wrong-algorithm',
  [TOKEN_ERROR_CODES.missingRequiredClaim]: 'token-missing-claim',
};

export function createAuth({ issuer, audience, secret, leewayMs, ticketSecret }) {
  const verifyUser = createVerifier({
    key: secret,
    algorithms: ['HS256'],
    allowedIss: issuer,
    allowedAud: audience,
    requiredClaims: ['iss', 'aud', 'exp', 'sub'],
    clockTolerance: leewayMs,
  });
  const signTicket = createSigner({ key: ticketSecret, header: TICKET_HEADER, algorithm: 'HS256', noTimestamp: true });
  const verifyTicket = createVerifier({
    key: ticketSecret,
    algorithms: ['HS256'],
    checkTyp: TICKET_HEADER.typ,
    allowedAud: TICKET_AUDIENCE,
    requiredClaims: ['exp', 'c', 'u', 'd'],
  });

  const isTicket = (token) => {
    try {
      return JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url')).typ === TICKET_HEADER.typ;
    } catch {
      return false;
    }
  };

  return {
    // Good for this call and this device only, in whole seconds, rounded up.
    ticket({ call, user, device, expiresAt }) {
      return signTicket({ aud: TICKET_AUDIENCE, c: call, u: user, d: device, exp: Math.ceil(expiresAt / 1000) });
    },

    authenticate(header) {
      if (!header?.startsWith('Bearer ')) throw new Problem(401, 'token-missing', 'a token is needed');
      const token = header.slice('Bearer '.length);
      if (token.length > 8192) throw new Problem(401, 'token-too-long', 'the token is too long');
      if (isTicket(token)) {
        try {
          const { c, u, d, exp } = verifyTicket(token);
          return { user: u, device: d, call: c, expiresAt: exp * 1000 };
        } catch (error) {
          const expired = error.code === TOKEN_ERROR_CODES.expired;
          throw new Problem(401, expired ? 'ticket-expired' : 'ticket-invalid', 'the ticket is not accepted');
        }
      }
      try {
        const { sub, name, exp } = verifyUser(token);
        if (!/^[^\s\p{Cc}]{1,128}$/u.test(sub)) throw new Problem(401, 'token-bad-user-id', 'sub is no user id');
        return { user: sub, name: shownName(name), expiresAt: exp * 1000 + leewayMs };
      } catch (error) {
        if (error instanceof Problem) throw error;
        throw new Problem(401, CODES[error.code] ?? 'token-malformed', 'the token is not accepted');
      }
    },
  };
}

function shownName(name) {
  if (typeof name !== 'string') return undefined;
  return (
    name
      .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '')
      .trim()
      .slice(0, 128) || undefined
  );
}
