// Errors as `application/problem+json`, with Bellwire's codes.

export class Problem extends Error {
  constructor(statusCode, code, detail, more = {}) {
    super(detail);
    this.statusCode = statusCode;
    this.code = code;
    this.more = more;
  }

  static field(pointer, detail) {
    return new Problem(400, 'invalid-field', `${pointer}: ${detail}`, { errors: [{ pointer, detail }] });
  }

  static ended(reason) {
    return new Problem(409, 'call-ended', `the call has ended: ${reason}`, { end_reason: reason });
  }

  body() {
    const { statusCode: status, code, message: detail, more } = this;
    return { type: `https://bellwire.invalid/errors/${code}`, title: code, status, code, detail, ...more };
  }
}

// What Fastify refuses by itself.
const FASTIFY = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'body-too-large'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'unsupported-media-type'],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'bad-json'],
};

export function problemOf(error) {
  if (error instanceof Problem) return error;
  if (error.validation) {
    const [{ instancePath, params, message }] = error.validation;
    const name = params?.missingProperty ?? params?.additionalProperty;
    if (error.validationContext !== 'body') return new Problem(400, 'invalid-path', message);
    return Problem.field(name ? `${instancePath}/${name}` : instancePath, message);
  }
  if (error.name === 'MaxRetriesPerRequestError' || error.message === 'Command timed out') {
    return new Problem(503, 'unavailable', 'try again in a moment');
  }
  const known = FASTIFY[error.code] ?? (error instanceof SyntaxError ? [400, 'bad-json'] : undefined);
  return known && new Problem(...known, error.message);
}
