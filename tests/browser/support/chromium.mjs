/**
 * Chromium for the tests: a browser with a profile on disk, its tabs, and the ways to treat them badly.
 *
 * Holds: starting and killing, tabs on the test page, and what the DevTools protocol can do to them.
 * Must not know: what a test is about.
 */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { chromium } from 'playwright-core';
import { temporaryFolder } from '../../js/support.mjs';
import { startProcess } from './processes.mjs';
import { pieceText, until, unwrap } from './tab.mjs';

const switches = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-breakpad',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-renderer-backgrounding',
  '--disable-sync',
  '--no-default-browser-check',
  '--no-first-run',
  '--remote-debugging-port=0',
];

/**
 * @typedef {import('playwright-core').Page} Page
 * @typedef {Awaited<ReturnType<typeof startChromium>>} Browser
 * @typedef {Awaited<ReturnType<Browser['tab']>>} Tab
 */

/**
 * Starts a browser; what its origins store is in `profile`, which may be that of a browser that was
 * killed. It ends with the tests of the file at the latest.
 *
 * @param {{ profile?: string, more_switches?: string[] }} [options]
 */
export async function startChromium({ profile = temporaryFolder(), more_switches = [] } = {}) {
  const args = [...switches, ...more_switches, `--user-data-dir=${profile}`, 'about:blank'];
  const program = process.env.CHROMIUM ?? 'chromium';
  const child = await startProcess(program, args, /DevTools listening on (ws:\S+)/);
  // Without the defaults tabs in the background are hidden, as they are for people.
  const browser = await chromium.connectOverCDP(child.match[1], { noDefaults: true });
  const [context] = browser.contexts();
  if (context === undefined) throw new Error('Chromium has no profile to open tabs in');
  /** What no page should do: errors that nobody caught. */
  const problems = [];
  context.on('weberror', (error) => problems.push(String(error.error().stack ?? error.error())));
  const on_told = new WeakMap();
  await context.exposeBinding('tellTest', ({ page }, value) => on_told.get(page)?.(value));
  let over = false;
  const kill = async () => {
    if (over) return;
    over = true;
    await child.kill();
  };
  const close = async () => {
    if (over) return;
    over = true;
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.close').catch(() => undefined);
    await child.ended;
    assert.deepEqual(problems, [], 'no page had an error that nobody caught');
  };
  after(close);

  return {
    profile,
    context,
    problems,
    kill,

    /**
     * Opens a tab on an address of the test page.
     *
     * @param {string} address
     * @param {{ on_told?: (told: any) => void, before?: (page: Page) => unknown }} [options] `before` gets the page
     *   before it has loaded anything
     */
    async tab(address, { on_told: hear = () => undefined, before } = {}) {
      const page = await context.newPage();
      on_told.set(page, hear);
      await before?.(page);
      await open(page, address);
      return tabOf(page);
    },

    /** Ends the browser as a user does, with all that it has to write. */
    close,
  };
}

async function open(page, address) {
  await page.goto(address);
  await ready(page);
}

/** Asks by itself: Playwright would wait for a frame to be painted, and a tab in the background paints none. */
const ready = (page) => until('the test page is there', () => page.evaluate('globalThis.harness !== undefined'));

/** @param {Page} page */
function tabOf(page) {
  const session = page.context().newCDPSession(page);
  const cdp = async (/** @type {any} */ method, /** @type {any} */ params = {}) => (await session).send(method, params);
  /** What each process that shows pages has worked so far, in seconds. */
  const cpuTimes = async () => {
    const all = await page.context().browser()?.newBrowserCDPSession();
    const info = await all?.send('SystemInfo.getProcessInfo');
    await all?.detach();
    const shows = info?.processInfo.filter(({ type }) => type === 'renderer') ?? [];
    return new Map(shows.map(({ id, cpuTime }) => [id, cpuTime]));
  };
  return {
    page,
    cdp,

    /**
     * Runs a function in the page: it sees its arguments and the page only.
     *
     * @param {(tools: import('./tab.mjs').Tools, args: any) => unknown} piece
     * @param {unknown} [args]
     * @returns {Promise<any>}
     */
    run: async (piece, args) => unwrap(await page.evaluate(pieceText(piece, args))),

    async reload() {
      await page.reload();
      await ready(page);
    },

    goto: (address) => open(page, address),

    /** Goes back. A page from the cache of pages is not loaded again, which Playwright would wait for. */
    async goBack() {
      await page.goBack({ waitUntil: 'commit' });
      await ready(page);
    },

    /** Closes it without asking the page. */
    close: () => page.close({ runBeforeUnload: false }),

    /** Ends the process that shows it: the page has no chance to say anything. */
    async crash() {
      const crashed = new Promise((resolve) => page.once('crash', resolve));
      cdp('Page.crash').catch(() => undefined);
      await crashed;
    },

    /** The process that shows it, which may show other tabs too: the one that a moment's work in its page is done by. */
    async processId() {
      const before = await cpuTimes();
      await page.evaluate(() => {
        const end_ms = performance.now() + 500;
        while (performance.now() < end_ms);
      });
      const spent = [...(await cpuTimes())].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) }));
      const [most] = spent.toSorted((one, two) => two.time - one.time);
      if (most === undefined) throw new Error('the browser has no process that shows a page');
      return most.id;
    },

    /** What the browser does to a tab that has been in the background for long; one in front it does not freeze. */
    async freeze() {
      assert.equal(await page.evaluate('document.visibilityState'), 'hidden');
      await cdp('Page.setWebLifecycleState', { state: 'frozen' });
    },
    thaw: () => cdp('Page.setWebLifecycleState', { state: 'active' }),

    /** Lets the tab's origin have so many bytes only; undefined: as many as ever. */
    quota: (bytes) =>
      cdp('Storage.overrideQuotaForOrigin', {
        origin: new URL(page.url()).origin,
        ...(bytes === undefined ? {} : { quotaSize: bytes }),
      }),

    /** Runs a function in the tab's newest worker. */
    async inWorker(piece, args) {
      const worker = page.workers().at(-1);
      if (worker === undefined) throw new Error('the tab has no worker');
      return worker.evaluate(piece, args);
    },
  };
}
