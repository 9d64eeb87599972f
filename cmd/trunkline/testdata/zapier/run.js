// Runs one step of the app in Zapier's own test harness. Standard input has
// {step, trigger, bundle}; the answer is {result} or {error}.
console.log = console.error; // the harness talks; the answer stands alone
const zapier = require('zapier-platform-core');
const handler = require('zapier-platform-core/src/tools/create-lambda-handler');
const app = require('./index.js');

const { step, trigger, bundle } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const say = (answer) => process.stdout.write(JSON.stringify(answer));

(async () => {
  try {
    if (step === 'validate') {
      say({ result: (await handler(app)({ command: 'validate' })).results });
      return;
    }
    const run = zapier.createAppTester(app);
    const part = step === 'test' ? app.authentication.test : app.triggers[trigger].operation[step];
    say({ result: await run(part, bundle) });
  } catch (e) {
    say({ error: `${e.name}: ${e.message}` });
  }
})();
