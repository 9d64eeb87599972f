// Runs a PHP snippet that defines verify() over the cases on standard input, in
// PHP compiled to WebAssembly. {code, cases: [{body, headers, secret}]} in, an
// array of true and false out; an exception is its text.
const { PHP, loadPHPRuntime } = require('@php-wasm/universal');
const { getPHPLoaderModule } = require('@php-wasm/node-8-3');

const input = require('fs').readFileSync(0, 'utf8');
const { code } = JSON.parse(input);

(async () => {
  const php = new PHP(await loadPHPRuntime(await getPHPLoaderModule()));
  php.writeFile('/cases.json', input);
  const answer = await php.run({
    code: `<?php
${code}
$out = [];
foreach (json_decode(file_get_contents('/cases.json'), true)['cases'] as $c) {
    try {
        $out[] = verify(base64_decode($c['body']), $c['headers'] ?? [], $c['secret']);
    } catch (Throwable $e) {
        $out[] = $e->getMessage();
    }
}
echo json_encode($out);
`,
  });
  process.stdout.write(answer.text || JSON.stringify([answer.errors]), () => process.exit(answer.exitCode));
})();
