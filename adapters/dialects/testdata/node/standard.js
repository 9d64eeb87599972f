// Asks an npm package, standardwebhooks or svix, about each case on standard
// input.
const { Webhook } = require('standardwebhooks');
const svix = require('svix');
const packages = { standardwebhooks: Webhook, svix: svix.Webhook };
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map(({ package: name, body, headers, secret }) => {
  try {
    new packages[name || 'standardwebhooks'](secret).verify(Buffer.from(body, 'base64').toString('utf8'), headers);
    return 'true';
  } catch (e) {
    return e.message;
  }
})));
