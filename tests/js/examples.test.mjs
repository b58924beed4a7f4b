/** The examples of the documentation, run as they stand: blocks that open with ```js example. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, runModule, temporaryFolder } from './support.mjs';

const sources = readdirSync(join(root, 'js'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `js/${name}`)
  .toSorted();
const files = [...sources, 'README.md'].filter((name) => existsSync(join(root, name)));

/** The examples of a file; in TypeScript they stand in comments, each line after an asterisk. */
function examplesOf(file) {
  const text = readFileSync(join(root, file), 'utf8');
  const plain = file.endsWith('.ts') ? text.replaceAll(/^ *\* ?/gm, '') : text;
  return [...plain.matchAll(/^```js example\n([^]*?)^```$/gm)].map(([, code]) => code);
}

let count = 0;
for (const file of files) {
  for (const [i, code] of examplesOf(file).entries()) {
    count++;
    test(`example ${i + 1} of ${file} runs`, async () => {
      // Paths in an example are relative: it runs in a folder of its own.
      const start = "import assert from 'node:assert/strict'; process.chdir(process.argv[1]);\n";
      const { code: status, errors } = await runModule(start + code, temporaryFolder());
      assert.equal(status, 0, `${errors}\n${code}`);
    });
  }
}

test('there are examples to run', () => assert.ok(count >= 10, String(count)));
