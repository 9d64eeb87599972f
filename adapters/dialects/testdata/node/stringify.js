// Answers JSON.stringify(JSON.parse(text)) for each base64 text on standard input.
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const out = texts.map((b64) => JSON.stringify(JSON.parse(Buffer.from(b64, 'base64').toString('utf8'))));
process.stdout.write(JSON.stringify(out));
