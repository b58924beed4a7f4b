/** Tabs of two builds on one store: the newer one takes over, the older one is told, nobody hangs. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { rejection, root, temporaryFolder } from '../../js/support.mjs';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';
import { until } from '../support/tab.mjs';

const timeout = 90_000;

/** The package as a later version will be, as far as this one can tell. */
async function laterBuild() {
  const folder = temporaryFolder();
  let changed = 0;
  const later_protocol = {
    name: 'later-protocol',
    setup(esbuild) {
      esbuild.onLoad({ filter: /[\\/]js[\\/]host[\\/]protocol\.ts$/ }, ({ path }) => {
        const source = readFileSync(path, 'utf8');
        const contents = source.replace(
          /export const PROTOCOL = (\d+);/,
          (_, n) => `export const PROTOCOL = ${Number(n) + 1};`,
        );
        if (contents !== source) changed++;
        return { contents, loader: 'ts' };
      });
    },
  };
  await build({
    entryPoints: { browser: 'js/browser/index.ts', browser_worker: 'js/browser/worker.ts' },
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'warning',
    plugins: [later_protocol],
  });
  assert.equal(changed, 1, 'there is a number of the protocol to be changed');
  mkdirSync(join(folder, 'wasm'), { recursive: true });
  cpSync(join(root, 'dist/wasm/chatstore_bg.wasm'), join(folder, 'wasm/chatstore_bg.wasm'));
  return { folder };
}

const server = await startServer({ later: await laterBuild() });
const browser = await startChromium();

const openStore = async ({ ChatStore, state }, name) => {
  state.events = [];
  state.store = await ChatStore.open(name, { timeoutMs: 20_000, onEvent: (event) => state.events.push(event.type) });
  await state.store.sessions.create({ id: 's' }, { ifExists: 'return' });
  return state.store.info.role;
};
const add = ({ state }, content) =>
  state.store.messages.add({ sessionId: 's', role: 'user', content }, { timeoutMs: 20_000 });
const texts = async ({ state }) =>
  (await state.store.messages.list({ sessionId: 's' })).items.map((message) => message.content);

test('a newer tab takes over from an older leader, which gets VERSION_MISMATCH and an event', { timeout }, async () => {
  const old = await browser.tab(server.page());
  const old_client = await browser.tab(server.page());
  for (const tab of [old, old_client]) await tab.run(openStore, 'newer takes over');
  await old.run(add, 'by the old');
  const late = await browser.tab(server.page('later'));
  assert.notEqual(await late.run(openStore, 'newer takes over'), 'client');
  await late.run(add, 'by the new');
  for (const tab of [old, old_client]) {
    const error = await rejection(tab.run(add, 'too old'));
    assert.deepEqual([error.is_ours, error.code], [true, 'VERSION_MISMATCH'], error.message);
    await until('the older tab is told', () => tab.run(({ state }) => state.events.includes('version')));
  }
  assert.deepEqual(await late.run(texts), ['by the old', 'by the new']);
  // Loaded anew, it has the newer version as well.
  await old.goto(server.page('later'));
  assert.equal(await old.run(openStore, 'newer takes over'), 'client');
  await old.run(add, 'after a reload');
  assert.deepEqual(await late.run(texts), ['by the old', 'by the new', 'after a reload']);
  for (const tab of [old, old_client, late]) await tab.close();
});

test(
  'an older tab that comes to a newer leader gets VERSION_MISMATCH, and opens when that is gone',
  { timeout },
  async () => {
    const late = await browser.tab(server.page('later'));
    await late.run(openStore, 'older comes');
    await late.run(add, 'by the new');
    const old = await browser.tab(server.page());
    const error = await rejection(old.run(openStore, 'older comes'));
    assert.deepEqual([error.is_ours, error.code], [true, 'VERSION_MISMATCH'], error.message);
    await late.run(add, 'still by the new');
    await late.close();
    await old.run(openStore, 'older comes');
    assert.deepEqual(await old.run(texts), ['by the new', 'still by the new']);
    await old.close();
  },
);

test(
  'calls of an older tab that are under way at the change are done once, or fail and are not done',
  { timeout },
  async () => {
    const old = await browser.tab(server.page());
    await old.run(openStore, 'under way');
    await old.run(({ state }) => {
      state.calls = (async () => {
        const calls = [];
        for (let i = 0; i < 400 && !state.refused; i++) {
          const call = state.store.messages
            .add({ sessionId: 's', role: 'user', content: `call ${i}` }, { timeoutMs: 20_000 })
            .then(
              () => 'done',
              (error) => {
                state.refused = true;
                return `${error.code} ${error.outcome}`;
              },
            );
          calls.push(call);
          if (i % 10 === 9) await Promise.race([call, new Promise((resolve) => setTimeout(resolve, 50))]);
        }
        return Promise.all(calls);
      })();
    });
    const late = await browser.tab(server.page('later'));
    await late.run(openStore, 'under way');
    const settled = await old.run(({ state }) => state.calls);
    const stored = await late.run(async ({ state }) => {
      const found = [];
      for await (const { content } of state.store.messages.iterate({ sessionId: 's' })) found.push(content);
      return found;
    });
    assert.equal(new Set(stored).size, stored.length, 'none is there twice');
    for (const [i, what] of settled.entries()) {
      const is_stored = stored.includes(`call ${i}`);
      if (what === 'done') assert.ok(is_stored, `call ${i} was acknowledged`);
      else if (what.endsWith('not-applied')) assert.ok(!is_stored, `call ${i} is stored: ${what}`);
      else assert.match(what, /^(VERSION_MISMATCH|OUTCOME_UNKNOWN) unknown$/, `call ${i}`);
    }
    await old.close();
    await late.close();
  },
);
