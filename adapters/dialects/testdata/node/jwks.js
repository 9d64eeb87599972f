// Verifies "v1a" signatures as a receiver does that has the JWKS and nothing
// else: with Node's own crypto, by the keys that trunkline-key-id names.
const crypto = require('crypto');
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));

function verify({ jwks, headers, body }) {
  const raw = Buffer.from(body, 'base64');
  const signed = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), raw]);
  const signatures = headers['webhook-signature'].split(' ').filter((s) => s.startsWith('v1a,')).map((s) => Buffer.from(s.slice(4), 'base64'));
  const named = (headers['trunkline-key-id'] || '').split(' ');
  const trusted = jwks.keys.filter((k) => named.includes(k.kid) && k.kty === 'OKP' && k.use === 'sig' && k.alg === 'EdDSA');
  return trusted.some((jwk) => {
    const key = crypto.createPublicKey({ key: jwk, format: 'jwk' });
    return signatures.some((s) => crypto.verify(null, signed, key, s));
  });
}

process.stdout.write(JSON.stringify(cases.map(verify)));
