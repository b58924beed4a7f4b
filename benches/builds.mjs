/**
 * Compares builds of this package on the hot paths: `node benches/builds.mjs DIST DIST...`, each a folder as `dist/`
 * is. The first is the one that the others are compared with; a copy of it among them shows what is chance. With
 * `--json` it prints numbers only: what a call took, path by path and build by build.
 *
 * Holds: that all run in one process, in turns of a seeded order, so that the machine is the same to each. Must not
 * know: other stores; those are the other files here.
 */
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure, main } from '../scripts/process.mjs';
import { randomFrom } from './data.mjs';

const rounds = Number(process.env.ROUNDS ?? 60);
const warm_up_rounds = 10;
const messages = 2_000;

/** What is done `times` times a turn; nothing is flushed, so that the disk does not hide what is compared. */
const paths = {
  'insert, no flush': {
    times: 500,
    run: ({ store }, at) => store.messages.add({ sessionId: 's', role: 'user', content: `message number ${at}` }),
  },
  'inserts of one moment': {
    times: 2_000,
    run: ({ store }, at) => store.messages.add({ sessionId: 's', role: 'user', content: `message number ${at}` }),
    together: true,
  },
  'token append': { times: 500, run: ({ stream }) => (stream.append(' token'), stream.flush()) },
  get: { times: 2_000, run: ({ store }, at) => store.messages.get({ sessionId: 'r', id: `m${at % messages}` }) },
  'page of 50': { times: 300, run: ({ store }) => store.messages.list({ sessionId: 'r', limit: 50 }) },
};

async function open(dist) {
  const { ChatStore } = await import(pathToFileURL(join(resolve(dist), 'index.js')).href);
  const store = await ChatStore.open(':memory:');
  await store.sessions.create({ id: 'r' });
  const many = Array.from({ length: messages }, (_, at) => ({
    sessionId: 'r',
    id: `m${at}`,
    role: 'user',
    content: `message number ${at} of many`,
  }));
  await store.messages.addMany(many);
  return { dist, store, stream: undefined, times: Object.fromEntries(Object.keys(paths).map((name) => [name, []])) };
}

async function turn(build, name) {
  const { times, run, together } = paths[name];
  // Each turn begins with as little as the one before it.
  await build.store.sessions.create({ id: 's' });
  build.stream = await build.store.messages.start({ sessionId: 's' });
  const began_ms = performance.now();
  if (together) await Promise.all(Array.from({ length: times }, (_, at) => run(build, at)));
  else for (let at = 0; at < times; at++) await run(build, at);
  const took_us = ((performance.now() - began_ms) / times) * 1_000;
  await build.stream.abort();
  await build.store.sessions.delete('s', { permanent: true });
  return took_us;
}

/** What else runs on the machine makes turns slower, never faster: the fast ones say most. */
const quartile = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 4)];

/** Runs all paths on all builds. Gives what a call took, µs, for each path in the order of the builds. */
async function measure(dists) {
  const builds = [];
  for (const dist of dists) builds.push(await open(dist));
  const random = randomFrom(1);
  for (let round = 0; round < rounds + warm_up_rounds; round++) {
    for (const name of Object.keys(paths)) {
      const order = builds.map((build) => ({ build, at: random() })).toSorted((one, other) => one.at - other.at);
      for (const { build } of order) {
        const took_us = await turn(build, name);
        if (round >= warm_up_rounds) build.times[name].push(took_us);
      }
    }
  }
  for (const { store } of builds) await store.close();
  return Object.fromEntries(Object.keys(paths).map((name) => [name, builds.map(({ times }) => quartile(times[name]))]));
}

/** How much more one is than the other: `+1.5 %`. */
export const more = (value, than) => `${value >= than ? '+' : ''}${((value / than - 1) * 100).toFixed(1)} %`;

async function compare(dists) {
  const took_us = Object.entries(await measure(dists));
  console.log(`lower quartile of ${rounds} rounds, µs a call`);
  for (const [name, [first, ...others]] of took_us) {
    const shown = others.map((took) => `${took.toFixed(2)} (${more(took, first)})`);
    console.log(`${name.padEnd(24)} ${first.toFixed(2).padStart(8)}  ${shown.join('  ')}`);
  }
}

if (fileURLToPath(import.meta.url) === process.argv[1])
  await main(async () => {
    const { values, positionals: dists } = parseArgs({
      allowPositionals: true,
      options: { json: { type: 'boolean' } },
    });
    if (dists.length < 2) throw new Failure('expected node benches/builds.mjs [--json] DIST DIST...');
    if (values.json) console.log(JSON.stringify(await measure(dists)));
    else await compare(dists);
  });
