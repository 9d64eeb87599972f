// The comparison that seed 004 shows to its receivers, asked about each case of
// the array on standard input. The seed has it as loose lines; they stand here
// in their order.
const crypto = require("crypto")

const verified = (signature, requestBodyString, secret) => {
  const hash = crypto.createHmac("sha256", secret)
    .update(requestBodyString).digest("hex")
  return hash === signature
}

const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map(({ body, signature, secret }) =>
  String(verified(signature, Buffer.from(body, 'base64').toString('utf8'), secret)))));
