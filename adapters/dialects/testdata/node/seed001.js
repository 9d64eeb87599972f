// The verifier that seed 001 shows to its receivers, as it stands there, asked
// about each case of the array on standard input. Its payload is what a server
// has after parsing the body.
const crypto = require('crypto');

function verifySignature(payload, signature, secret) {
  const expectedSignature = 'sha256=' +
    crypto.createHmac('sha256', secret)
      .update(JSON.stringify(payload))
      .digest('hex');

  return signature === expectedSignature;
}

const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map(({ body, signature, secret }) => {
  try {
    return String(verifySignature(JSON.parse(Buffer.from(body, 'base64').toString('utf8')), signature, secret));
  } catch (e) {
    return 'threw ' + (e.code || e.name);
  }
})));
