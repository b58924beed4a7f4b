/** The demo page in Firefox, in short: the first visit, what stays after a reload, and search. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { By, Key, until } from 'selenium-webdriver';
import { temporaryFolder } from '../../js/support.mjs';
import { servePage } from '../support/demo.mjs';
import { until as untilTrue } from '../support/tab.mjs';
import { startFirefox } from '../support/webdriver.mjs';

const timeout = 90_000;
const step_timeout_ms = 30_000;
const profile = temporaryFolder();
// Firefox prints what pages say in their consoles.
writeFileSync(join(profile, 'user.js'), 'user_pref("devtools.console.stdout.content", true);\n');
const page_server = await servePage();
after(page_server.stop);
const firefox = await startFirefox({ profile });
const { driver, output } = firefox;
after(() => firefox.close());

const message = 'textarea[aria-label="Message"]';
const reply = 'article[aria-label^="Offline bot,"][aria-busy=false] .markdown';
const see = (css) => driver.wait(until.elementLocated(By.css(css)), step_timeout_ms, css);

async function say(text) {
  await (await see(message)).sendKeys(text, Key.ENTER);
}

/** The lines of the output that tell of an error in the page. The browser's own parts have errors too. */
const complaints = () =>
  output()
    .split('\n')
    .filter((line) => line.includes('console.error: "') || line.includes(`JavaScript error: ${page_server.address}`));

test('Firefox: a message is answered, the chat is there after a reload, and search finds it', { timeout }, async () => {
  await driver.manage().window().setRect({ width: 1280, height: 900 });
  await driver.get(page_server.address);
  await see('[role=group][aria-label=Status]');
  await say('What can you do?');
  const text = await (await see(reply)).getText();
  assert.match(text, /I need no network and no key/);
  await driver.navigate().refresh();
  assert.equal(await (await see(reply)).getText(), text);

  await driver.actions().keyDown(Key.CONTROL).sendKeys('k').keyUp(Key.CONTROL).perform();
  await (await see('input[role=combobox]')).sendKeys('network');
  const hit = await see('[role=option] mark');
  assert.equal((await hit.getText()).toLowerCase(), 'network');
  await driver.actions().sendKeys(Key.ENTER).perform();
  await untilTrue('the address names the message', async () =>
    /#\/chat\/[^/]+\/[^/]+$/.test(await driver.getCurrentUrl()),
  );
  await see('article.target');
  assert.deepEqual(complaints(), []);
});

test('Firefox: an error in the page would be seen', { timeout }, async () => {
  await driver.executeScript(`
    console.error('said on purpose');
    setTimeout(() => { throw new Error('thrown on purpose'); });
  `);
  await untilTrue('the output has both', () => complaints().length === 2, { times: 100 });
});
