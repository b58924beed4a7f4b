/**
 * The demo page in Chromium, used as a person uses it: by roles and names (www/README.md).
 *
 * Holds: one test's visit, which has an origin and so a storage of its own; what a person does on the page; what
 * no page should ever say. Must not know: what a test is about.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../../../scripts/serve.mjs';
import { root, temporaryFolder } from '../../js/support.mjs';
import { startChromium } from './chromium.mjs';
import { until } from './tab.mjs';

/** For each test, opening included; what waits longer than this hangs. */
const usual_timeout_ms = 90_000;
const step_timeout_ms = 20_000;

/**
 * @typedef {import('playwright-core').Page} Page
 * @typedef {ReturnType<typeof personAt>} Person
 */

/** Serves the built page on a free port: another origin each time, so nothing is kept from before. */
export async function servePage() {
  const { server, address } = await serve(join(root, 'dist/www'));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { address, stop };
}

/**
 * Starts a browser for the tests of a file, and gives what makes a test.
 *
 * @param {{ more_switches?: string[] }} [options]
 */
export async function startDemo({ more_switches = [] } = {}) {
  // Wide enough for the list of chats to stand beside the chat.
  const { context } = await startChromium({ more_switches: ['--window-size=1280,900', ...more_switches] });
  context.setDefaultTimeout(step_timeout_ms);
  /** Errors in the console and breaches of the page's policy. */
  const complaints = [];
  context.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`);
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      console.error(`against the policy: ${violatedDirective} ${blockedURI}`);
    });
    // A headless browser has nobody who could choose a place: the page gives a download then.
    delete globalThis['showSaveFilePicker'];
  });

  /**
   * A test in an origin of its own. Whatever it does, the page must not complain, except of what is `expected`.
   *
   * @param {string} name
   * @param {(visit: { address: string, open: (path?: string) => Promise<Person>, stopServer: () => void,
   *   context: typeof context }) => Promise<void>} run
   * @param {{ expected?: RegExp[], host?: string, timeout_ms?: number }} [settings] `host`: a name for this machine
   */
  const visit = (name, run, { expected = [], host = '127.0.0.1', timeout_ms = usual_timeout_ms } = {}) =>
    test(name, { timeout: timeout_ms }, async () => {
      const page_server = await servePage();
      const address = page_server.address.replace('127.0.0.1', host);
      const pages = [];
      complaints.length = 0;
      const open = async (path = '') => {
        const page = await context.newPage();
        pages.push(page);
        await page.goto(address + path);
        const person = personAt(page);
        await person.arrived();
        return person;
      };
      try {
        await run({ address, open, stopServer: page_server.stop, context });
        const unexpected = complaints.filter((complaint) => !expected.some((pattern) => pattern.test(complaint)));
        assert.deepEqual(unexpected, [], 'the page has nothing to complain of');
      } finally {
        for (const page of pages) await page.close();
        page_server.stop();
      }
    });
  return { visit };
}

/** @param {Page} page */
export function personAt(page) {
  const role = page.getByRole.bind(page);
  const field = role('textbox', { name: 'Message', exact: true });
  const chats = role('navigation', { name: 'Chats' });
  const notes = role('region', { name: 'Notes' });
  const whole = page.locator('[aria-busy=false]');
  /** @param {string | RegExp} name */
  const replies = (name = /^Offline bot,/) => role('article', { name });

  return {
    page,
    field,
    chats,
    notes,
    replies,
    own: role('article', { name: /^You,/ }),

    /** The store is open. */
    arrived: () => role('group', { name: 'Status' }).waitFor(),

    async reload() {
      await page.reload();
      await this.arrived();
    },

    /** Writes and presses Enter. */
    async say(text) {
      await field.fill(text);
      await field.press('Enter');
    },

    /** Waits until so many replies are whole; gives the text of the last. */
    async answered(count = 1, name = /^Offline bot,/) {
      const reply = replies(name)
        .and(whole)
        .nth(count - 1);
      await reply.waitFor();
      return reply.locator('.markdown').innerText();
    },

    /** The texts of the messages that are shown. */
    texts: () => page.locator('article .bubble').allInnerTexts(),

    /** What the chats in the list are called, in their order. */
    titles: () => chats.locator('.session a').allInnerTexts(),

    /** @param {string | RegExp} title */
    chat: (title) => chats.getByRole('link', { name: title, exact: typeof title === 'string' }),

    /** Chooses from the page's menu. */
    async choose(item) {
      await role('button', { name: 'Menu', exact: true }).click();
      await role('menuitem', { name: item, exact: true }).click();
    },

    /** Chooses from the menu of a chat. */
    async chooseFor(title, item) {
      await chats.getByRole('button', { name: `Options for ${title}`, exact: true }).click();
      await role('menuitem', { name: item, exact: true }).click();
    },

    /** Waits for a note. @param {string | RegExp} text */
    told: (text) => notes.getByText(text).waitFor(),

    /** Saves a copy; gives the path of the file. */
    saveCopy() {
      return this.download('.sqlite', async () => {
        await this.choose('Save a copy');
        await this.told(/^Saved as /);
      });
    },

    /** Does something that gives a file with this end of its name; gives the path of the file. */
    async download(suffix, act) {
      const folder = temporaryFolder();
      const browser = page.context().browser();
      if (browser === null) throw new Error('this page is of no browser');
      const session = await browser.newBrowserCDPSession();
      await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
      await act();
      const saved = () => readdirSync(folder).find((name) => name.endsWith(suffix));
      await until('the file is in the folder of downloads', () => saved() !== undefined);
      await session.detach();
      return join(folder, saved() ?? '');
    },

    /** Loads a file by the page's menu, and says yes. The browser reads it by itself, whatever its size. */
    async loadCopy(path) {
      const session = await page.context().newCDPSession(page);
      await session.send('Page.enable');
      await session.send('Page.setInterceptFileChooserDialog', { enabled: true });
      let backendNodeId;
      session.once('Page.fileChooserOpened', (opened) => ({ backendNodeId } = opened));
      await this.choose('Load a copy');
      await until('the page asks for a file', () => backendNodeId !== undefined);
      await session.send('DOM.setFileInputFiles', { files: [path], backendNodeId });
      await session.detach();
      await role('dialog', { name: 'Load this file?' }).getByRole('button', { name: 'Load it' }).click();
    },

    /** Opens the search by its key and looks for something. */
    async search(words) {
      await page.keyboard.press('Control+k');
      await role('combobox', { name: 'Search all chats' }).fill(words);
      return role('listbox', { name: 'Messages found' }).getByRole('option');
    },
  };
}

/**
 * Notes, from now on, how long the text of a reply was each time that it was drawn while it came. `grown()` gives
 * the lengths that differ.
 *
 * @param {Page} page
 */
export async function watchGrowth(page) {
  await page.evaluate(() => {
    const lengths = new Set();
    globalThis.seen_lengths = lengths;
    const look = () => {
      for (const text of document.querySelectorAll('article[aria-busy=true] .markdown'))
        if (text.textContent !== '') lengths.add(text.textContent.length);
    };
    new MutationObserver(look).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
  return { grown: () => page.evaluate(() => [...globalThis.seen_lengths]) };
}
