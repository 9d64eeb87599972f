// Asks the npm package standardwebhooks about each case on standard input.
const { Webhook } = require('standardwebhooks');
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map(({ body, headers, secret }) => {
  try {
    new Webhook(secret).verify(Buffer.from(body, 'base64').toString('utf8'), headers);
    return 'true';
  } catch (e) {
    return e.message;
  }
})));
