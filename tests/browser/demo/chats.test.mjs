/** The demo page: writing, finding and putting away chats. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { startDemo, watchGrowth } from '../support/demo.mjs';
import { until } from '../support/tab.mjs';

const { visit } = await startDemo();

visit(
  'on the first visit a message is answered word by word, and after a reload the chat is there',
  async ({ open }) => {
    const person = await open();
    const growth = await watchGrowth(person.page);
    await person.say('What can you do?');
    const reply = await person.answered();
    assert.match(reply, /I need no network and no key/);
    const lengths = await growth.grown();
    assert.ok(lengths.length > 3, `it was drawn at lengths ${lengths.join()}`);
    assert.deepEqual(
      lengths.toSorted((a, b) => a - b),
      lengths,
      'it only ever grew',
    );

    await person.reload();
    assert.equal(await person.answered(), reply);
    assert.deepEqual(await person.own.locator('.bubble').allInnerTexts(), ['What can you do?']);
    assert.deepEqual(await person.titles(), ['What can you do?']);
    await person.page.goto(`${new URL(person.page.url()).origin}/`);
    await person.chat('What can you do?').click();
    assert.equal(await person.answered(), reply);
  },
);

visit('what was typed is sent also when Enter comes before it is drawn', async ({ open }) => {
  const person = await open();
  const inOneGo = (text) =>
    person.field.evaluate((field, typed) => {
      field.focus();
      document.execCommand('insertText', false, typed);
      field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    }, text);
  await inOneGo('one breath');
  await person.answered();
  await inOneGo('and another');
  await person.answered(2);
  assert.deepEqual(await person.own.locator('.bubble').allInnerTexts(), ['one breath', 'and another']);
  assert.equal(await person.field.inputValue(), '');
});

visit('sample chats come with one click, and a search jumps to what it found', async ({ open }) => {
  const person = await open();
  await person.page.getByRole('button', { name: 'Load sample chats' }).first().click();
  await person.told(/messages in 363 chats are here now/);
  const options = await person.search('aliens');
  await options.first().waitFor();
  assert.match(await options.first().locator('mark').first().innerText(), /aliens/i);
  await person.page.keyboard.press('Enter');
  await person.page.waitForURL(/#\/chat\/[^/]+\/[^/]+$/);
  const id = decodeURIComponent(person.page.url().split('/').at(-1));
  const hit = person.page.locator(`article[data-id="${id}"]`);
  await hit.waitFor();
  assert.match(await hit.innerText(), /aliens/i);
  await until('the message is in sight', () =>
    hit.evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    }),
  );
  await person.choose('Load sample chats');
  await person.told('The sample chats are here already.');
});

visit('a deleted chat comes back with Undo; without, it is in the trash, and can be restored', async ({ open }) => {
  const person = await open();
  const title = 'where are my keys';
  await person.say(title);
  await person.answered();
  await person.chooseFor(title, 'Delete');
  await person.chat(title).waitFor({ state: 'detached' });
  await person.notes.getByRole('button', { name: 'Undo' }).click();
  await person.chat(title).waitFor();

  await person.chooseFor(title, 'Delete');
  await person.chat(title).waitFor({ state: 'detached' });
  await person.reload();
  assert.deepEqual(await person.titles(), []);
  await person.choose('Trash');
  await person.chat(title).click();
  await person.page.getByText('This chat is in the trash.').waitFor();
  await person.chooseFor(title, 'Restore');
  await person.page.getByText('The trash is empty.').waitFor();
  await person.page.getByRole('button', { name: 'Back to chats' }).click();
  await person.chat(title).waitFor();
  assert.equal(await person.own.count(), 1);
});

visit('a chat is renamed, pinned and archived, and stays so', async ({ open }) => {
  const person = await open();
  for (const text of ['first chat', 'second chat']) {
    await person.page.getByRole('link', { name: 'New chat', exact: true }).first().click();
    await person.say(text);
    await person.answered();
  }
  await person.chooseFor('first chat', 'Rename');
  await person.page.getByRole('textbox', { name: 'Title' }).fill('another name');
  await person.page.keyboard.press('Enter');
  await person.chat('another name').waitFor();
  await person.chooseFor('another name', 'Pin');
  await person.chats.getByRole('heading', { name: 'Pinned' }).waitFor();
  await until('the pinned one is the first', async () => (await person.titles()).join() === 'another name,second chat');
  await person.reload();
  await until('it still is', async () => (await person.titles()).join() === 'another name,second chat');

  await person.chooseFor('second chat', 'Archive');
  await until('it is put away', async () => (await person.titles()).join() === 'another name');
  await person.choose('Archived chats');
  await person.chats.getByRole('region', { name: 'Archived' }).getByRole('link', { name: 'second chat' }).waitFor();
  await person.chooseFor('second chat', 'Unarchive');
  await person.page.getByRole('button', { name: 'Back to chats' }).click();
  await person.chat('second chat').waitFor();
  await person.chooseFor('another name', 'Unpin');
  await person.chats.getByRole('heading', { name: 'Pinned' }).waitFor({ state: 'detached' });
});
