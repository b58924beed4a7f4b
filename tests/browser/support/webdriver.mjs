/**
 * Browsers that are driven by WebDriver: Firefox and WebKitGTK's MiniBrowser.
 *
 * Holds: starting a driver and a browser, and tabs with the same `run` as Chromium's. A session does one
 * thing after the other: a piece that takes long is started, and asked for later. Must not know: what a
 * test is about.
 */
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import { Builder, Capabilities } from 'selenium-webdriver';
import { root, temporaryFolder } from '../../js/support.mjs';
import { startProcess, which } from './processes.mjs';
import { listen } from './server.mjs';
import { pieceText, until, unwrap } from './tab.mjs';

const script_timeout_ms = 120_000;

/** The driver of Firefox: the one that GECKODRIVER names, or the one that the set-up has built. */
const geckodriver = process.env.GECKODRIVER ?? join(root, '.tools/geckodriver/bin/geckodriver');

/** @param {{ profile?: string }} [options] */
export async function startFirefox({ profile = temporaryFolder() } = {}) {
  const driver = await startProcess(geckodriver, ['--host', '127.0.0.1', '--port', '0'], /Listening on (\S+)/);
  const wanted = new Capabilities({
    browserName: 'firefox',
    'moz:firefoxOptions': {
      binary: process.env.FIREFOX ?? which('firefox-esr') ?? which('firefox'),
      args: ['-headless', '-profile', profile],
    },
  });
  return session(driver, `http://${driver.match[1]}`, wanted, profile);
}

/** The parts that WebKitGTK is tested with, or undefined where this machine lacks one. */
export function webkitgtk() {
  const driver = which('WebKitWebDriver');
  const browser = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
    .map((machine) => `/usr/lib/${machine}/webkit2gtk-4.1/MiniBrowser`)
    .find((file) => existsSync(file));
  const display = which('Xvfb');
  return driver && browser && display ? { driver, browser, display } : undefined;
}

export async function startWebKitGtk() {
  const parts = webkitgtk();
  if (parts === undefined) throw new Error('WebKitGTK, its driver or Xvfb is missing');
  // It writes the number of a free display to the descriptor that it is given.
  const display = await startProcess(
    'sh',
    ['-c', 'exec "$1" -displayfd 1 -screen 0 1280x1024x24 -nolisten tcp', 'sh', parts.display],
    /^(\d+)\n/m,
  );
  after(() => display.kill());
  const profile = temporaryFolder();
  const port = await freePort();
  const driver = await startProcess(parts.driver, [`--port=${port}`, '--host=127.0.0.1'], undefined, {
    env: {
      DISPLAY: `:${display.match[1]}`,
      GDK_BACKEND: 'x11',
      HOME: profile,
      XDG_DATA_HOME: join(profile, 'data'),
      XDG_CACHE_HOME: join(profile, 'cache'),
      XDG_CONFIG_HOME: join(profile, 'config'),
      NO_AT_BRIDGE: '1',
      WEBKIT_DISABLE_DMABUF_RENDERER: '1',
      LIBGL_ALWAYS_SOFTWARE: '1',
    },
  });
  // It says nothing when it is ready.
  const status = () =>
    fetch(`http://127.0.0.1:${port}/status`)
      .then(({ ok }) => ok)
      .catch(() => false);
  await until('WebKitWebDriver answers', status);
  const wanted = new Capabilities({
    browserName: 'MiniBrowser',
    'webkitgtk:browserOptions': { binary: parts.browser, args: ['--automation'] },
  });
  return session(driver, `http://127.0.0.1:${port}`, wanted, profile);
}

async function session(process_, server, wanted, profile) {
  let over = false;
  const kill = async () => {
    over = true;
    await process_.kill();
  };
  after(kill);
  const driver = await new Builder().disableEnvironmentOverrides().usingServer(server).withCapabilities(wanted).build();
  await driver.manage().setTimeouts({ script: script_timeout_ms });
  // The browser ends with its last tab, so the one that it came with stays.
  const first = await driver.getWindowHandle();
  // Which tab is meant is a state of the session: what one tab is told to do ends before the next begins.
  let last = Promise.resolve();
  const alone = (handle, run) => {
    const turn = last.then(async () => {
      await driver.switchTo().window(handle);
      return run();
    });
    last = turn.catch(() => undefined);
    return turn;
  };
  return {
    profile,
    driver,
    /** What the driver and the browser have printed so far. */
    output: process_.output,
    /** Kills the browser and its driver at once. */
    kill,
    /** Ends the browser as a user does, with all that it has to write. */
    async close() {
      if (over) return;
      await driver.quit();
      await kill();
    },
    async tab(address) {
      const handle = await alone(first, async () => {
        await driver.switchTo().newWindow('tab');
        await driver.get(address);
        return driver.getWindowHandle();
      });
      const run = async (piece, args) =>
        unwrap(await alone(handle, () => driver.executeAsyncScript(runInPage, pieceText(piece, args))));
      return {
        /** @type {(piece: (tools: import('./tab.mjs').Tools, args: any) => unknown, args?: unknown) => Promise<any>} */
        run,
        reload: () => alone(handle, () => driver.navigate().refresh()),
        goto: (to) => alone(handle, () => driver.get(to)),
        /** Goes back to where it was before. */
        back: () => alone(handle, () => driver.navigate().back()),
        close: () => alone(handle, () => driver.close()),
      };
    },
  };
}

/** Runs a text as a script of the page: a driver's own scripts have objects that are not quite the page's. */
const runInPage = `
  const done = arguments[arguments.length - 1];
  const whenReady = () => {
    if (globalThis.harness === undefined) return setTimeout(whenReady, 10);
    globalThis.harness.done = done;
    const script = document.createElement('script');
    script.nonce = 'import-map';
    script.text =
      '{ const { done } = globalThis.harness; Promise.resolve(' + arguments[0] +
      ').then(done, (error) => done({ error: { message: String(error) } })); }';
    document.head.append(script);
  };
  whenReady();
`;

async function freePort() {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(() => resolve(undefined)));
  return port;
}
