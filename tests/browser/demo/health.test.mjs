/** The page Health of the demo: figures of calls, and the verification report. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { startDemo } from '../support/demo.mjs';

const { visit } = await startDemo();
const report_timeout_ms = 240_000;

visit('Health says how long calls have taken, verb by verb', async ({ open }) => {
  const person = await open();
  await person.say('hello');
  await person.answered();
  await person.choose('Health');
  const calls = person.page.getByRole('region', { name: 'Calls', exact: true });
  const added = calls.getByRole('row').filter({ has: person.page.getByRole('rowheader', { name: 'messages.add' }) });
  const [count, median] = await added.getByRole('cell').allInnerTexts();
  assert.equal(count, '1');
  assert.match(median, /^[\d.]+ ms$/);
  await person.page.getByRole('region', { name: 'Failed calls' }).getByText('None has failed.').waitFor();
});

visit(
  'Health runs the verification report, which leaves the chats alone, shows its categories and can be saved',
  async ({ open }) => {
    const person = await open();
    await person.say('hello');
    await person.answered();
    await person.choose('Health');
    const region = person.page.getByRole('region', { name: 'Verification report' });
    await region.getByRole('button', { name: 'Run the verification report' }).click();
    await region.getByText(/^(All is well|Something failed): /).waitFor({ timeout: report_timeout_ms });
    const path = await person.download('.json', () => region.getByRole('button', { name: 'Save as JSON' }).click());
    const report = JSON.parse(readFileSync(path, 'utf8'));
    const shown = await region.locator('summary').allInnerTexts();
    assert.deepEqual(
      shown.map((text) => text.replace(/^. (.*): .*$/, '$1')),
      report.categories.map(({ title }) => title),
    );
    // Tests never go by the clock: a busy machine is no fault of the store.
    const failed = report.categories.flatMap(({ items }) =>
      items.filter((item) => item.status === 'failed' && !item.timed),
    );
    assert.deepEqual(failed, []);
    const stores = await person.page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chatstore');
      return Array.fromAsync(folder.keys());
    });
    assert.deepEqual(stores, ['chats']);
    await person.page.goBack();
    await person.answered();
  },
  { timeout_ms: report_timeout_ms + 30_000 },
);
