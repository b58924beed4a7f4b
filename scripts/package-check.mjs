/**
 * The package as its users get it: packed, checked, installed into an empty project, and loaded both
 * as an ES module and by `require`.
 *
 * Must not know: the sources. Whatever is tried here comes out of the packed file.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, stream } from './process.mjs';

/** What a user's first program does: opens a file, writes, closes, opens it again and reads. */
const program = `
  const { mkdtempSync, rmSync } = await import('node:fs');
  const { join } = await import('node:path');
  const folder = mkdtempSync(join(process.cwd(), 'store-'));
  const path = join(folder, 'chats.db');
  const first = await ChatStore.open(path);
  const { id } = await first.bots.create({ name: 'Ada' });
  await first.close();
  const second = await ChatStore.open(path);
  const bot = await second.bots.get(id);
  await second.close();
  rmSync(folder, { recursive: true });
  if (bot?.name !== 'Ada') throw new Error('the bot did not come back');
`;
/** The report, in few checks, with a host in a process of its own. */
const report = `
  const { passed } = await runReport({ environment: environmentOf(ChatStore), only: ['schema.version', 'pool.lost'] });
  if (!passed) throw new Error('the report found something wrong');
`;
const programs = {
  'import.mjs': `import { ChatStore } from 'chatstore';\n${program}`,
  'require.cjs': `const { ChatStore } = require('chatstore');\n(async () => {${program}})();\n`,
  'report.mjs': `import { ChatStore } from 'chatstore';\nimport { environmentOf, runReport } from 'chatstore/report';\n${report}`,
  'report.cjs': `const { ChatStore } = require('chatstore');\nconst { environmentOf, runReport } = require('chatstore/report');\n(async () => {${report}})();\n`,
};

const bin = (name, args) => stream(join(root, 'node_modules/.bin', name), args);

/** Resolves to whether the packed package holds what its users need. */
export async function checkPackage() {
  const folder = mkdtempSync(join(tmpdir(), 'chatstore-package-'));
  try {
    const packed = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]);
    const [{ filename, files, size }] = JSON.parse(packed);
    console.log(
      `${filename}: ${files.length} files, ${(size / 1024).toFixed(0)} KiB\n${files.map((file) => `  ${file.path}`).join('\n')}`,
    );
    const tarball = join(folder, filename);
    let passed = (await bin('publint', ['run', tarball, '--strict'])) === 0;
    // The old resolution knows no export conditions and is not supported; the others must all agree.
    passed = (await bin('attw', [tarball, '--profile', 'node16', '--no-emoji'])) === 0 && passed;

    writeFileSync(join(folder, 'package.json'), '{ "private": true }');
    await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball], { cwd: folder });
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(folder, name), text);
      const worked = (await stream(process.execPath, [name], { cwd: folder })) === 0;
      console.log(`${name}: ${worked ? 'loads the package and does its work' : 'FAILED'}`);
      passed = worked && passed;
    }
    const ran =
      (await stream('npx', ['--no', 'chatstore', 'verify-report', '--only', 'schema.version'], { cwd: folder })) === 0;
    console.log(`npx chatstore: ${ran ? 'runs' : 'FAILED'}`);
    passed = ran && passed;
    return passed;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
