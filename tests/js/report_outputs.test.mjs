/** What a report looks like in each format, and what running one refuses. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { categories, environmentOf, runReport, toHtml, toMarkdown, toText } from 'chatstore/report';
import MarkdownIt from 'markdown-it';
import { importSource, rejection } from './support.mjs';

const { found } = await importSource('js/report/findings.ts');

const hostile = '<b>&amp; _a_ ~~b~~ *c* `d` | [e](f) \\';

/** A report with a check that passed, one that failed, and one that was timed. */
function reportOf({ id = 'health.fragmentation', seen = hostile } = {}) {
  const item = { durationMs: 1, timed: false, figures: [], status: 'passed', expected: 'a: 1', seen: 'a: 1' };
  return {
    format: 'chatstore-report',
    formatVersion: 1,
    passed: false,
    startedAt: 0,
    durationMs: 10,
    seed: 1,
    environment: hostile,
    subject: { kind: 'store', path: hostile },
    store: { backend: 'node', durability: 'strict', schemaVersion: 1, sqliteVersion: '3', pageSizeBytes: 4096 },
    counts: { passed: 2, failed: 1, notMeasurable: 0 },
    categories: [
      {
        id: 'health',
        title: 'Health',
        status: 'failed',
        items: [
          { ...item, id: 'health.size', title: 'It fits' },
          { ...item, id, title: 'Little is free', status: 'failed', expected: 'pages: under 5 %', seen },
        ],
      },
      {
        id: 'benchmarks',
        title: 'Benchmarks',
        status: 'passed',
        items: [
          {
            ...item,
            id: 'benchmarks.insert',
            title: 'Single insert',
            figures: [
              { name: 'median', value: 0.3, unit: 'ms', target: 'under 10 ms' },
              { name: 'max', value: 2, unit: 'ms' },
            ],
          },
        ],
      },
    ],
  };
}

/** What the Markdown shows, as text. */
const rendered = (markdown) =>
  new MarkdownIt({ html: true })
    .render(markdown)
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

test('Markdown shows every letter of what was seen, and none is markup', () => {
  const text = rendered(toMarkdown(reportOf()));
  for (const place of [`seen: ${hostile}`, `\n${hostile}\n`, `${hostile}, read only`])
    assert.ok(text.includes(place), text);
});

test('a figure says which it is of those that were measured', () => {
  assert.match(toMarkdown(reportOf()), /\| Single insert \| median 0\.3 ms \| under 10 ms \| max 2 ms \|/);
  assert.match(toHtml(reportOf()), /<td>median 0\.3 ms<\/td><td>under 10 ms<\/td>/);
});

test('the page names each check by what --only takes, and its tables have heads', () => {
  const page = toHtml(reportOf());
  assert.match(page, /<tr id="health\.size">.*<code[^>]*>health\.size<\/code>/);
  const heads = page.match(/<th\b[^>]*>/g);
  assert.equal(heads.length, 3 + 4 + 4);
  for (const head of heads) assert.equal(head, '<th scope="col">');
  assert.doesNotMatch(page, /\bth\b[^{}]*\{[^}]*overflow-wrap: anywhere/);
  assert.ok(!page.includes('<b>'));
});

test('what failed is told with what was expected, what was seen, and what helps', () => {
  for (const text of [toText(reportOf()), rendered(toMarkdown(reportOf()))]) {
    assert.match(text, /expected: pages: under 5 %/);
    assert.ok(text.includes(`seen: ${hostile}`));
    assert.match(text, /what helps: .*maintain/);
    assert.match(text, /health\.fragmentation/);
  }
  assert.match(toHtml(reportOf()), /what helps: .*maintain/);
  assert.match(toText(reportOf()), /\nFailed: 2 of 3 checks passed; failed in 1 of 2 categories\.\n$/);
  const helped = categories
    .flatMap(({ items }) => items.map(({ id }) => id))
    .filter((id) => toText(reportOf({ id })).includes('what helps'));
  assert.deepEqual(helped, ['health.fragmentation', 'health.verify']);
});

test('a time is told in the same words as what was expected of it', async () => {
  const report = await runReport({ environment: environmentOf(ChatStore), only: ['benchmarks.insert'] });
  const [{ items }] = report.categories;
  assert.match(items[0].expected, /^median: under 10 ms$/);
  assert.match(items[0].seen, /^median: [\d.]+ ms$/);
});

test('a long list is told by as many of its items as there is room for, each of them whole', () => {
  const problems = Array.from({ length: 50 }, (_, i) => ({
    kind: 'checksum',
    table: '',
    key: i,
    detail: 'x'.repeat(40),
  }));
  const { seen } = found({ problems: [[], problems] });
  const [, items, rest] = /^problems: (\[.*\]) and (\d+) more$/.exec(seen);
  const told = JSON.parse(items);
  assert.ok(told.length > 0 && seen.length < 300, seen);
  assert.deepEqual(told, problems.slice(0, told.length));
  assert.equal(Number(rest), 50 - told.length);
  // Where two lists differ late, the place is shown.
  const numbers = Array.from({ length: 500 }, (_, i) => i);
  const late = found({ numbers: [numbers, numbers.with(400, 7)] });
  assert.match(late.seen, /^numbers: ….*399,7,401/);
  const pair = found({
    items: [
      ['a'.repeat(150), 'b'.repeat(150), 1],
      ['a'.repeat(150), `${'b'.repeat(20)}c`, 1],
    ],
  });
  assert.match(pair.seen, /bc"/);
  assert.match(pair.expected, /bbb/);
  assert.match(found({ texts: [[], ['y'.repeat(1_000)]] }).seen, /^texts: \["y+…$/);
});

test('a check that throws is told as one that did not run to its end', async () => {
  const environment = environmentOf({
    open: async (...given) => {
      const store = await ChatStore.open(...given);
      store.query = () => Promise.reject(new Error('broken on purpose'));
      return store;
    },
  });
  const report = await runReport({ environment, only: ['schema.version'] });
  const [{ items }] = report.categories;
  assert.deepEqual(
    [items[0].status, items[0].expected, items[0].seen],
    ['failed', 'a check that runs to its end', 'an error without a code: broken on purpose'],
  );
});

test('a report of no faults, or of no checks, is refused, and its folder is removed', async () => {
  for (const [wanted, message] of [
    [{ faults: 0, only: ['schema.version'] }, /^faults: expected a whole number from 1 on, received 0$/],
    [{ faults: Number.NaN, only: ['schema.version'] }, /^faults: /],
    [{ only: ['nonsense'] }, /^no check /],
  ]) {
    let closed = 0;
    const environment = environmentOf(ChatStore);
    const counted = {
      ...environment,
      close: () => {
        closed++;
        return environment.close();
      },
    };
    const error = await rejection(runReport(Object.assign({ environment: counted }, wanted)));
    assert.ok(error instanceof RangeError && message.test(error.message), String(error));
    assert.equal(closed, 1);
  }
});

test('a report that is aborted ends in the midst of a check', async () => {
  const controller = new AbortController();
  const environment = environmentOf(ChatStore);
  const reason = new Error('enough');
  const running = runReport({
    environment: {
      ...environment,
      // A check that gets nowhere.
      openScratch: async (options) => {
        const scratch = await environment.openScratch(options);
        scratch.store.snapshot = () => new Promise(() => undefined);
        return scratch;
      },
    },
    only: ['pool'],
    signal: controller.signal,
    onProgress: () => setTimeout(() => controller.abort(reason), 100),
  });
  assert.equal(await rejection(running), reason);
});
