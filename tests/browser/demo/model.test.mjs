/** The demo page with a model behind an address: its answers, its failures, and where the key goes. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { after } from 'node:test';
import { startDemo, watchGrowth } from '../support/demo.mjs';
import { listen } from '../support/server.mjs';
import { until } from '../support/tab.mjs';

const { visit } = await startDemo();
const key = 'sk-only-for-this-test-4711';
const model_name = 'parrot-1';
const by_model = /^parrot-1,/;

/** A server that stops with the tests of the file. */
async function serveWith(answer) {
  const server = createServer(answer);
  const port = await listen(server);
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

/**
 * A model that says what the test lets it say: `asked(n)` waits for the nth question, and gives the ways to answer
 * it and what was sent.
 */
async function startModel({ cors = true } = {}) {
  const questions = [];
  const origin = await serveWith(async (request, response) => {
    const allowed = {
      'access-control-allow-origin': '*',
      'access-control-allow-headers': 'authorization, content-type',
    };
    const headers = cors ? allowed : {};
    if (request.method === 'OPTIONS') {
      response.writeHead(204, headers).end();
      return;
    }
    if (request.url === '/v1/models') {
      response.writeHead(200, { ...headers, 'content-type': 'application/json' });
      response.end(JSON.stringify({ data: [{ id: model_name }] }));
      return;
    }
    const question = { headers: request.headers, body: JSON.parse(await text(request)), is_closed: false };
    response.once('close', () => (question.is_closed = true));
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' });
    question.say = (content) =>
      response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`);
    question.end = () => response.end('data: [DONE]\n\n');
    questions.push(question);
  });
  const asked = async (count = 1) => {
    await until(`the model is asked ${count} times`, () => questions.length >= count);
    return questions[count - 1];
  };
  return { origin, address: `${origin}/v1`, asked };
}

/** Settings, open. */
async function settingsOf(person) {
  await person.choose('Settings');
  const dialog = person.page.getByRole('dialog', { name: 'Settings' });
  return {
    dialog,
    key: dialog.getByLabel('Key', { exact: true }),
    remember: dialog.getByRole('checkbox', { name: 'Remember the key in this browser' }),
    forget: dialog.getByRole('button', { name: 'Forget key' }),
    close: () => dialog.getByRole('button', { name: 'Close', exact: true }).click(),
  };
}

async function useModel(person, address) {
  const settings = await settingsOf(person);
  await settings.dialog.getByRole('radio', { name: /^A model/ }).check();
  await settings.dialog.getByLabel('Address', { exact: true }).fill(address);
  await settings.dialog.getByLabel('Model', { exact: true }).fill(model_name);
  await settings.key.fill(key);
  return settings;
}

const localStorageOf = (person) => person.page.evaluate('JSON.stringify({ ...localStorage })');

visit('the answer of a model streams into the chat, and Stop keeps what had come', async ({ open }) => {
  const model = await startModel();
  const person = await open();
  const settings = await useModel(person, model.address);
  await settings.dialog.getByRole('button', { name: 'Test the connection' }).click();
  await settings.dialog.getByText('It answers, with one model.').waitFor();
  await settings.close();

  const growth = await watchGrowth(person.page);
  await person.say('say something');
  const question = await model.asked();
  assert.equal(question.headers.authorization, `Bearer ${key}`);
  assert.equal(question.headers.cookie, undefined);
  assert.equal(question.headers.referer, undefined);
  assert.deepEqual(question.body, {
    model: model_name,
    messages: [{ role: 'user', content: 'say something' }],
    stream: true,
  });
  for (const word of ['Polly ', 'wants ', 'a cracker']) {
    question.say(word);
    await person.replies(by_model).getByText(word.trim()).waitFor();
  }
  question.end();
  assert.equal(await person.answered(1, by_model), 'Polly wants a cracker');
  assert.deepEqual(await growth.grown(), [5, 11, 21]);

  await person.say('once more');
  const second = await model.asked(2);
  assert.deepEqual(
    second.body.messages.map(({ role, content }) => `${role}: ${content}`),
    ['user: say something', 'assistant: Polly wants a cracker', 'user: once more'],
  );
  second.say('Polly wants');
  await person.replies(by_model).nth(1).getByText('Polly wants').waitFor();
  await person.page.getByRole('button', { name: 'Stop' }).click();
  await person.replies(by_model).nth(1).getByText('Stopped.').waitFor();
  await until('the server is told', () => second.is_closed);
  await person.reload();
  assert.equal(await person.answered(2, by_model), 'Polly wants');
  await person.replies(by_model).nth(1).getByText('Stopped.').waitFor();
});

visit('the key is in no copy, and in local storage only while it is to be remembered', async ({ open }) => {
  const model = await startModel();
  const person = await open();
  let settings = await useModel(person, model.address);
  await settings.close();
  await person.say('keep a secret');
  const question = await model.asked();
  question.say('I will');
  question.end();
  await person.answered(1, by_model);
  assert.equal(question.headers.authorization, `Bearer ${key}`);
  assert.ok(!(await localStorageOf(person)).includes(key), 'not remembered, so not in local storage');

  settings = await settingsOf(person);
  await settings.remember.check();
  await settings.close();
  assert.ok((await localStorageOf(person)).includes(key), 'remembered');
  const copy = readFileSync(await person.saveCopy());
  assert.ok(copy.includes('keep a secret'));
  assert.ok(!copy.includes(key), 'no key in the copy');
  await person.reload();
  settings = await settingsOf(person);
  assert.equal(await settings.key.inputValue(), key);

  await settings.forget.click();
  assert.equal(await settings.key.inputValue(), '');
  assert.equal(await settings.remember.isChecked(), false);
  assert.ok(!(await localStorageOf(person)).includes(key), 'forgotten');
  await settings.key.fill(key);
  await settings.close();
  await person.reload();
  settings = await settingsOf(person);
  assert.equal(await settings.key.inputValue(), '', 'not remembered, so gone with a reload');
});

visit(
  'a server that does not let pages read, and one that is not there, are explained in words',
  async ({ open }) => {
    const closed = await startModel({ cors: false });
    const person = await open();
    const settings = await useModel(person, closed.address);
    await settings.dialog.getByRole('button', { name: 'Test the connection' }).click();
    await settings.dialog.getByText('(its CORS setting').waitFor();
    await settings.close();
    await person.say('anybody there?');
    const words = person.page.getByRole('alert').filter({ hasText: 'No answer came from' });
    await words.waitFor();
    const own_origin = new URL(person.page.url()).origin;
    assert.match(await words.innerText(), /Is the server running at 127\.0\.0\.1:\d+\?/);
    assert.ok((await words.innerText()).includes(`allow pages of ${own_origin} to read from it (its CORS setting`));
    await words.getByRole('button', { name: 'Try again' }).waitFor();
    assert.deepEqual(await person.own.locator('.bubble').allInnerTexts(), ['anybody there?']);
  },
  { expected: [/blocked by CORS policy/, /Failed to load resource/] },
);

visit('images of other servers in a reply are not loaded, but shown as links', async ({ open }) => {
  const requests = [];
  const elsewhere = await serveWith((request, response) => {
    requests.push(request.url);
    response.writeHead(200, { 'content-type': 'image/svg+xml', 'access-control-allow-origin': '*' });
    response.end('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  });
  const model = await startModel();
  const person = await open();
  await (await useModel(person, model.address)).close();
  await person.say('show me a cat');
  const question = await model.asked();
  question.say(
    `![a cat](${elsewhere}/markdown.svg)\n\n<img src="${elsewhere}/html.svg">\n\n` +
      `[![inside](${elsewhere}/inside.svg)](${elsewhere}/page)\n\n![by reference][1]\n\n[1]: ${elsewhere}/reference.svg\n`,
  );
  question.end();
  await person.answered(1, by_model);
  await person.page.getByRole('link', { name: /^Image: a cat/ }).waitFor();
  await person.page.getByText('<img src=').first().waitFor();
  await person.reload();
  await person.answered(1, by_model);
  await person.page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
  assert.equal(await person.page.locator('article img').count(), 0);
  assert.deepEqual(requests, []);
});
