/** The demo page without a network, and where a browser keeps nothing. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { startDemo } from '../support/demo.mjs';

const insecure_host = 'insecure.test';
const { visit } = await startDemo({ more_switches: [`--host-resolver-rules=MAP ${insecure_host} 127.0.0.1`] });

visit(
  'without a network the page opens with its history, and answers',
  async ({ open, stopServer, context }) => {
    const person = await open();
    await person.say('What can you do?');
    const reply = await person.answered();
    await person.page.waitForFunction('navigator.serviceWorker.controller?.state === "activated"');
    stopServer();
    await context.setOffline(true);
    try {
      await person.reload();
      assert.equal(await person.page.evaluate('navigator.onLine'), false);
      assert.equal(await person.answered(), reply);
      await person.say('still there?');
      await person.answered(2);
      // These are not kept by everybody's browser: they are fetched when they are wanted.
      await person.choose('Load sample chats');
      await person.notes.getByRole('alert').getByText('The sample chats could not be loaded').waitFor();
    } finally {
      await context.setOffline(false);
    }
  },
  { expected: [/Failed to load resource.*chitchat/] },
);

visit(
  'where the browser keeps nothing the page says so plainly, and works',
  async ({ open }) => {
    const person = await open();
    assert.equal(await person.page.evaluate('isSecureContext'), false);
    const warning = person.page.getByRole('alert').filter({ hasText: 'Your chats are in memory only.' });
    await warning.waitFor();
    assert.match(await warning.innerText(), /only over https:\/\/ or on this very device.*Save a copy/s);
    await person.page.getByRole('group', { name: 'Status' }).getByText('In memory only').waitFor();
    assert.equal(await person.page.getByText('kept in a file on this device').count(), 0);
    await person.say('hello');
    await person.answered();
    const path = await person.saveCopy();
    await person.reload();
    assert.deepEqual(await person.titles(), []);
    await person.loadCopy(path);
    await person.chat('hello').click();
    await person.answered();
  },
  { host: insecure_host },
);
