/** The demo page in two tabs: they show the same, and either can go. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { startDemo, watchGrowth } from '../support/demo.mjs';

const { visit } = await startDemo();
const leads = (person) => person.page.getByRole('group', { name: 'Status' }).getByText('this tab leads');

visit('what is written in one tab shows in the other, also while a reply comes', async ({ open }) => {
  const one = await open();
  const two = await open();
  await one.say('hello from the first tab');
  const reply = await one.answered();
  await two.chat('hello from the first tab').click();
  assert.equal(await two.answered(), reply);

  const growth = await watchGrowth(one.page);
  await two.say('What can you do?');
  const long = await two.answered(2);
  assert.equal(await one.answered(2), long);
  const lengths = await growth.grown();
  assert.ok(lengths.length > 3, `the first tab drew it at lengths ${lengths.join()}`);
  assert.deepEqual(await one.texts(), await two.texts());
});

visit('when the tab that leads is closed, the other goes on', async ({ open }) => {
  const one = await open();
  await leads(one).waitFor();
  const two = await open();
  await two.page.getByText('another tab leads').waitFor();
  await one.say('before it is closed');
  await one.answered();
  await two.chat('before it is closed').click();
  await two.answered();
  // In the midst of a reply of the tab that stays.
  await two.say('What can you do?');
  await two.page.locator('article[aria-busy=true] .markdown p').first().waitFor();
  await one.page.close();
  assert.match(await two.answered(2), /OpenAI-compatible server\.$/);
  await leads(two).waitFor();
  await two.say('afterwards');
  await two.answered(3);
  const texts = await two.texts();
  await two.reload();
  await two.answered(3);
  assert.deepEqual(await two.texts(), texts);
});

visit('a reply whose tab is closed keeps what had come, and says so', async ({ open }) => {
  const one = await open();
  await one.say('What can you do?');
  await one.page.locator('article[aria-busy=true] .markdown p').first().waitFor();
  const two = await open();
  await two.chat('What can you do?').click();
  await two.page.locator('article[aria-busy=true] .markdown p').first().waitFor();
  await one.page.close();
  await two.page.getByText('The reply broke off').waitFor();
  assert.match((await two.texts())[1], /^I am the built-in bot/);
});
