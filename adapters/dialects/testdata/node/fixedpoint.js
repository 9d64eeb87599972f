// Reads a JSON array of base64 bodies and answers with those that are no fixed
// point of JSON.stringify(JSON.parse(body)), with what JavaScript makes of them.
const bodies = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const wrong = [];
bodies.forEach((b64, index) => {
  const body = Buffer.from(b64, 'base64').toString('utf8');
  let again;
  try {
    again = JSON.stringify(JSON.parse(body));
  } catch (e) {
    again = String(e);
  }
  if (again !== body) wrong.push({ index, body, again });
});
process.stdout.write(JSON.stringify(wrong));
