// The verifier that seed 002 shows to its receivers, as it stands there, asked
// about each case of the array on standard input.
const crypto = require('crypto');
function verifyWebhook(body, signature, secret) {
const computed = crypto
.createHmac('sha256', secret)
.update(body)
.digest('hex');
return crypto.timingSafeEqual(
Buffer.from(computed),
Buffer.from(signature)
);
}

const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map(({ body, signature, secret }) => {
  try {
    return String(verifyWebhook(Buffer.from(body, 'base64'), signature, secret));
  } catch (e) {
    return 'threw ' + e.code;
  }
})));
