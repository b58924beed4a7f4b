/** The demo page for everybody: what axe finds, in light and in dark. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import axe from 'axe-core';
import { startDemo } from '../support/demo.mjs';

const { visit } = await startDemo();

/** What breaks a rule: the rule, and where. */
async function violations({ page }) {
  // Colours are compared as they are in the end.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const found = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  });
}

for (const colorScheme of ['light', 'dark']) {
  visit(`axe finds nothing in ${colorScheme}: a new chat, a chat, settings, search, health`, async ({ open }) => {
    const person = await open();
    await person.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    assert.equal(await person.page.evaluate(`matchMedia('(prefers-color-scheme: ${colorScheme})').matches`), true);
    assert.deepEqual(await violations(person), [], 'the first visit');
    await person.choose('Load sample chats');
    await person.told(/363 chats are here now/);
    assert.deepEqual(await violations(person), [], 'a new chat among others, with a note');
    await person.say('aliens');
    await person.answered();
    assert.deepEqual(await violations(person), [], 'a chat');
    await person.choose('Settings');
    await person.page.getByRole('radio', { name: /^A model/ }).check();
    assert.deepEqual(await violations(person), [], 'settings');
    await person.page.keyboard.press('Escape');
    const options = await person.search('aliens');
    await options.first().waitFor();
    assert.deepEqual(await violations(person), [], 'search');
    await person.page.keyboard.press('Escape');
    await person.choose('Health');
    await person.page.getByRole('heading', { name: 'Figures since the file was opened' }).waitFor();
    assert.deepEqual(await violations(person), [], 'health');
  });
}
