// Runs a JavaScript snippet that defines verify() over the cases on standard
// input: {code, cases: [{body, headers, secret}]} in, an array of true and false
// out; an exception is its text.
const { code, cases } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const verify = new Function('require', `${code}\nreturn verify;`)(require);
process.stdout.write(JSON.stringify(cases.map(({ body, headers, secret }) => {
  const lower = Object.fromEntries(Object.entries(headers || {}).map(([name, value]) => [name.toLowerCase(), value]));
  try {
    return verify(Buffer.from(body, 'base64'), lower, secret);
  } catch (e) {
    return String(e);
  }
})));
