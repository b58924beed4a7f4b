/** The demo page with a chat of 100,000 messages: it holds a few of them, and stays usable. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { ChatStore } from 'chatstore';
import { temporaryFolder } from '../../js/support.mjs';
import { startDemo } from '../support/demo.mjs';

const { visit } = await startDemo();
const messages = 100_000;
const batch = 10_000;
const most_nodes = 5_000;
const steps = 40;

async function longChat() {
  const path = join(temporaryFolder(), 'long.sqlite');
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 'long', title: 'a long chat' });
  for (let from = 0; from < messages; from += batch) {
    const rows = Array.from({ length: batch }, (_, i) => ({
      sessionId: 'long',
      id: String(from + i),
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `message ${from + i} of **many**`,
    }));
    await store.messages.addMany(rows);
  }
  const copy = `${path}.copy`;
  await store.backup({ path: copy });
  await store.close();
  return copy;
}

/** Scrolls so many times as far as there is; gives the most nodes that there were, and the ids that were shown. */
const scroll = (person, direction) =>
  person.page.getByRole('region', { name: 'Messages' }).evaluate(
    async (box, { times, toTop }) => {
      let nodes = 0;
      const ids = new Set();
      const shown = () => [...box.querySelectorAll('article')].map(({ dataset }) => Number(dataset.id));
      for (let i = 0; i < times; i++) {
        const before = shown();
        box.scrollTop = toTop ? 0 : box.scrollHeight;
        // More comes from the store: for a while, unless this is the end.
        for (let frame = 0; frame < 60 && shown().join() === before.join(); frame++)
          await new Promise((resolve) => requestAnimationFrame(resolve));
        nodes = Math.max(nodes, document.querySelectorAll('*').length);
        for (const id of shown()) ids.add(id);
      }
      return { nodes, ids: [...ids].toSorted((a, b) => a - b) };
    },
    { times: steps, toTop: direction === 'up' },
  );

visit('with 100,000 messages the page stays small while it scrolls, and one can write', async ({ open }) => {
  const person = await open();
  await person.loadCopy(await longChat());
  await person.told(/are here now/);
  await person.chat('a long chat').click();
  await person.page.locator(`article[data-id="${messages - 1}"]`).waitFor();
  const up = await scroll(person, 'up');
  assert.ok(up.nodes < most_nodes, `${up.nodes} nodes on the way up`);
  assert.ok(up.ids.length > 500, `it went through ${up.ids.length} messages`);
  assert.deepEqual(
    up.ids,
    Array.from({ length: up.ids.length }, (_, i) => messages - up.ids.length + i),
    'none was left out',
  );
  const down = await scroll(person, 'down');
  assert.ok(down.nodes < most_nodes, `${down.nodes} nodes on the way down`);
  assert.equal(down.ids.at(-1), messages - 1);

  await person.page.goto(`${person.page.url()}/50000`);
  await person.page.locator('article[data-id="50000"]').waitFor();
  await person.page.getByRole('button', { name: 'Jump to latest' }).click();
  await person.page.locator(`article[data-id="${messages - 1}"]`).waitFor();
  await person.say('message 77777');
  assert.match(await person.answered(), /77777/);
});
