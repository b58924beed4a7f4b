/** The demo page: all chats as a file, out of it and into it. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ChatStore } from 'chatstore';
import { root, temporaryFolder } from '../../js/support.mjs';
import { startDemo } from '../support/demo.mjs';
import { until } from '../support/tab.mjs';

const { visit } = await startDemo();

/** Every message in a file: its chat, its place, who said it and what. */
async function messagesIn(path) {
  const store = await ChatStore.open(path);
  const { ok, problems } = await store.verify();
  assert.deepEqual(problems, []);
  assert.equal(ok, true);
  const rows = await store.query(
    'SELECT s.id AS chat, m.role, m.text FROM messages m JOIN sessions s ON s.key = m.session ORDER BY s.id, m.key',
    { limit: 100_000 },
  );
  await store.close();
  return rows.map(({ chat, role, text }) => JSON.stringify([chat, role, text]));
}

function sampleMessages() {
  const file = gunzipSync(readFileSync(join(root, 'www/sample/chitchat.json.gz'))).toString('utf8');
  return JSON.parse(file)
    .conversations.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap(({ id, messages }) => messages.map(({ role, text }) => JSON.stringify([id, role, text])));
}

visit('a saved copy opens in Node with every message, and loads into another browser', async ({ open }) => {
  const person = await open();
  await person.say('this one is mine');
  await person.answered();
  const texts = await person.texts();
  await person.choose('Load sample chats');
  await person.told(/363 chats are here now/);
  const path = await person.saveCopy();
  assert.equal(readFileSync(path).subarray(0, 15).toString('latin1'), 'SQLite format 3');
  const messages = await messagesIn(path);
  const sample = sampleMessages();
  const of_sample = new Set(sample);
  assert.deepEqual(
    messages.filter((message) => of_sample.has(message)),
    sample,
  );
  assert.deepEqual(
    messages.filter((message) => !of_sample.has(message)).map((message) => JSON.parse(message)[1]),
    ['user', 'assistant'],
  );

  // The second way in: dropped on the page.
  await person.chooseFor('this one is mine', 'Delete');
  await person.chat('this one is mine').waitFor({ state: 'detached' });
  await person.say('not in the copy');
  await person.answered();
  const bytes = readFileSync(path).toString('base64');
  await person.page.evaluate((base64) => {
    const file = new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], 'copy.sqlite');
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(file);
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  }, bytes);
  await person.page.getByRole('dialog', { name: 'Load this file?' }).getByRole('button', { name: 'Load it' }).click();
  await person.told(/^The chats of copy\.sqlite are here now/);
  await person.chat('this one is mine').click();
  await person.answered();
  assert.deepEqual(await person.texts(), texts);
  assert.equal(await person.chat('not in the copy').count(), 0);
  assert.deepEqual(await messagesIn(await person.saveCopy()), messages);
});

/** What a page without a person does where it asks for a file to save to: it takes one of its own origin. */
const pickFile = (page) =>
  page.evaluate(() => {
    globalThis.showSaveFilePicker = async ({ suggestedName }) => {
      const folder = await navigator.storage.getDirectory();
      return folder.getFileHandle(suggestedName, { create: true });
    };
  });

/** Picks nothing, as somebody who presses Escape; counts how often it was asked, and the downloads that began. */
const pickNothing = (page) =>
  page.evaluate(() => {
    globalThis.times_asked = 0;
    globalThis.downloads = 0;
    const makeAddress = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (blob) => {
      globalThis.downloads++;
      return makeAddress(blob);
    };
    globalThis.showSaveFilePicker = () => {
      globalThis.times_asked++;
      return Promise.reject(new DOMException('The user aborted a request.', 'AbortError'));
    };
  });

visit('a copy saved to a file that was chosen opens in Node with every message', async ({ open }) => {
  const person = await open();
  await person.say('to be kept in a file');
  await person.answered();
  await pickFile(person.page);
  await person.choose('Save a copy');
  await person.told(/^Saved as chats-[-0-9]+\.sqlite, /);
  const base64 = await person.page.evaluate(async () => {
    const folder = await navigator.storage.getDirectory();
    for await (const [name, entry] of folder.entries()) {
      if (!name.startsWith('chats-')) continue;
      const bytes = new Uint8Array(await (await entry.getFile()).arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    }
    return '';
  });
  const path = join(temporaryFolder(), 'chosen.sqlite');
  writeFileSync(path, Buffer.from(base64, 'base64'));
  const messages = (await messagesIn(path)).map((message) => JSON.parse(message));
  assert.deepEqual(
    messages.map(([, role]) => role),
    ['user', 'assistant'],
  );
  assert.equal(messages[0][2], 'to be kept in a file');
});

visit('who chooses no file to save to is told nothing, and nothing is saved', async ({ open }) => {
  const person = await open();
  await person.say('not to be saved');
  await person.answered();
  await pickNothing(person.page);
  await person.choose('Save a copy');
  await until('the page has asked', () => person.page.evaluate(() => globalThis.times_asked === 1));
  assert.equal(await person.notes.getByRole('alert').count(), 0);
  await person.say('and it goes on');
  await person.answered(2);
  assert.equal(await person.notes.getByRole('alert').count(), 0);
  assert.equal(await person.page.evaluate(() => globalThis.downloads), 0);
  // Asked again, it saves.
  await pickFile(person.page);
  await person.choose('Save a copy');
  await person.told(/^Saved as /);
});

visit('a file of Node loads through the menu, and is there after a reload', async ({ open }) => {
  const person = await open();
  await person.say('to be replaced');
  await person.answered();
  const path = await person.saveCopy();
  const store = await ChatStore.open(path);
  await store.sessions.create({ id: 'of node', title: 'written in Node' });
  await store.messages.add({ sessionId: 'of node', role: 'user', content: 'greetings' });
  // All of it into one file, without a log beside it.
  await store.backup({ path: `${path}.whole.sqlite` });
  await store.close();
  await person.loadCopy(`${path}.whole.sqlite`);
  await person.told(/are here now/);
  await person.reload();
  await until(
    'both are listed',
    async () => (await person.titles()).toSorted().join() === 'to be replaced,written in Node',
  );
  await person.chat('written in Node').click();
  await person.own.getByText('greetings').waitFor();
});

visit('a file of something else is refused in words, and changes nothing', async ({ open }) => {
  const person = await open();
  await person.say('still here');
  await person.answered();
  const texts = await person.texts();
  const path = join(temporaryFolder(), 'notes.sqlite');
  writeFileSync(path, 'Dear diary, these are no chats. '.repeat(500));
  await person.loadCopy(path);
  await person.notes.getByRole('alert').getByText('This file holds no chats of this kind').waitFor();
  assert.deepEqual(await person.texts(), texts);
  await person.reload();
  await person.answered();
  assert.deepEqual(await person.texts(), texts);
  assert.deepEqual(await person.titles(), ['still here']);
  await person.say('and it goes on');
  await person.answered(2);
});
