// The main job: imports real chats into a file, shows them, and proves in a second process that all are there.
// The steps stand here; how each is done stands in lib/.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ChatStore } from 'chatstore';
import { countMessages, readDataset, readSample } from './lib/conversations.mjs';
import { importConversations } from './lib/import.mjs';
import { showBots, showNewestSessions, showPage, showSearch } from './lib/report.mjs';
import {
  bold,
  dim,
  formatDuration,
  formatMegabytes,
  formatNumber,
  green,
  heading,
  progress,
  red,
} from './lib/terminal.mjs';
import { verify } from './lib/verify.mjs';

const HELP = `Imports real chats into a SQLite file, shows what is in it, closes it, and opens
it again in a second process to prove that every message is there.

  node examples/chats.mjs                 the sample that ships with the project
  node examples/chats.mjs --full FILE     the whole dataset.json of chitchat-dataset 0.9.0

  --keep           keep the file of the last run and import only what it lacks
                   (otherwise each run starts with a fresh file)
  --verify FILE    only verify FILE against the sample, or against --full FILE
  --help           this text

The file is examples/out/chats.sqlite, with --full examples/out/chats-full.sqlite.
Exit code 0: all is there; 1: something is missing or failed.
`;

const SAMPLE_FILE = fileURLToPath(new URL('../www/sample/chitchat.json.gz', import.meta.url));
const OUT_DIR = new URL('./out/', import.meta.url);

function readSource(fullPath) {
  return fullPath === undefined ? readSample(SAMPLE_FILE) : readDataset(fullPath);
}

async function importAndShow(file, fullPath, keep) {
  const conversations = readSource(fullPath);
  const total = countMessages(conversations);
  const sourceMemory_bytes = peakMemory_bytes();

  mkdirSync(dirname(file), { recursive: true });
  if (!keep) for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(file + suffix, { force: true });

  heading(`Importing ${formatNumber(total)} messages into ${relative(process.cwd(), file)}`);
  const store = await ChatStore.open(file);
  const startedAt_ms = performance.now();
  const bar = progress(total, 'messages');
  const imported = await importConversations(store, conversations, (done) => bar.update(done));
  const import_ms = performance.now() - startedAt_ms;
  bar.finish(total);

  await showBots(store);
  await showPage(store, await showNewestSessions(store));
  heading('Search');
  const firstSearch_ms = await showSearch(store, 'ice cream');
  await showSearch(store, 'computer science');
  await showSearch(store, 'superp', { prefix: true });
  await store.close();

  heading('Figures');
  if (imported > 0) {
    const perSecond = bold(`${formatNumber(Math.round(imported / (import_ms / 1000)))} a second`);
    console.log(`  imported      ${formatNumber(imported)} messages in ${formatDuration(import_ms)}: ${perSecond}`);
  }
  console.log(`  first search  ${formatDuration(firstSearch_ms)}, indexing what was imported included`);
  const memory = [peakMemory_bytes(), sourceMemory_bytes].map(formatMegabytes);
  console.log(`  peak memory   ${memory[0]}, of which ${memory[1]} for Node and the source`);
  console.log(`  file          ${formatMegabytes(statSync(file).size)}`);
}

async function verifyFile(file, fullPath) {
  heading(`Verifying in process ${process.pid}`);
  const conversations = readSource(fullPath);
  // Opening would create a file that is not there.
  if (statSync(file, { throwIfNoEntry: false }) === undefined) throw new Error(`There is no file ${file}.`);
  const store = await ChatStore.open(file);
  const checks = await verify(store, conversations);
  await store.close();
  for (const { name, ok, found, expected } of checks) {
    const [foundText, expectedText] = [found, expected].map((it) => (typeof it === 'number' ? formatNumber(it) : it));
    if (ok) console.log(`  ${green('✓')} ${name}: ${foundText}`);
    else console.log(`  ${red('✗')} ${name}: ${foundText} ${dim('instead of')} ${expectedText}`);
  }
  const allThere = checks.every(({ ok }) => ok);
  if (allThere)
    console.log(`\n${green('All is there.')} Open ${relative(process.cwd(), file)} with any SQLite tool.\n`);
  else console.error(`\n${red('Not all is there:')} ${file} differs from what was imported.\n`);
  return allThere;
}

/** The same script in a process of its own, so that nothing can come from memory. */
async function verifyInSecondProcess(file, fullPath) {
  const source = fullPath === undefined ? [] : ['--full', fullPath];
  const child = fork(fileURLToPath(import.meta.url), ['--verify', file, ...source]);
  const [exitCode] = await once(child, 'exit');
  return exitCode === 0;
}

function peakMemory_bytes() {
  return process.resourceUsage().maxRSS * 1024;
}

async function main() {
  const { values } = parseArgs({
    options: {
      full: { type: 'string' },
      keep: { type: 'boolean', default: false },
      verify: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return true;
  }
  if (values.verify !== undefined) return verifyFile(values.verify, values.full);
  const file = fileURLToPath(new URL(values.full === undefined ? 'chats.sqlite' : 'chats-full.sqlite', OUT_DIR));
  await importAndShow(file, values.full, values.keep);
  return verifyInSecondProcess(file, values.full);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  const code = error.code ?? error.name;
  console.error(`\n${red(code)}: ${error.message.replace(`${code}: `, '')}`);
  if (code.startsWith('ERR_PARSE_ARGS')) console.error('See node examples/chats.mjs --help.');
  process.exitCode = 1;
}
