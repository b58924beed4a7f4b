/**
 * The verification report in a browser, whichever it is.
 *
 * Holds: the tests; and where the reports go, which CONTRIBUTING.md names. Must not know: how a browser is started.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../js/support.mjs';
import { until } from './tab.mjs';

/** What no page of any browser can tell, by the ids of the checks. */
const untellable = new Set(['recovery.memory.out', 'resources.cpu']);

/** @param {{ browser: any, server: any, name: string }} harness `name`: what the files are called */
export function reportTests({ browser, server, name }) {
  test('every check passes in a page, and the report is written in each format', async () => {
    const tab = await browser.tab(server.page());
    // The answer of one call has to come soon in some browsers: the page keeps it until it is asked for.
    await tab.run(({ ChatStore, state }) => {
      const run = async () => {
        const { environmentOf, runReport, toHtml, toMarkdown } = await import('chatstore/report');
        const report = await runReport({
          environment: environmentOf(ChatStore),
          seed: 7,
          onProgress: (progress) => (state.progress = progress),
        });
        state.done = { report, markdown: toMarkdown(report), html: toHtml(report) };
      };
      run().catch((error) => (state.failed = String(error.stack ?? error)));
    });
    let progress;
    await until(
      () => `the report is at ${JSON.stringify(progress)}`,
      async () => {
        const { is_done, ...seen } = await tab.run(({ state }) => ({
          progress: state.progress,
          failed: state.failed,
          is_done: state.done !== undefined,
        }));
        progress = seen.progress;
        assert.equal(seen.failed ?? null, null);
        return is_done;
      },
      { times: 1_200, pause_ms: 250 },
    );
    const { report, markdown, html } = await tab.run(({ state }) => state.done);
    const folder = join(root, 'tmp/reports');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${name}.md`), markdown);
    writeFileSync(join(folder, `${name}.html`), html);
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(report, null, 2));
    const items = report.categories.flatMap((category) => category.items);
    assert.deepEqual(
      items
        .filter(({ status, timed }) => status === 'failed' && !timed)
        .map(({ id, expected, seen }) => [id, expected, seen]),
      [],
    );
    const not_measured = items.filter(({ status }) => status === 'not measurable').map(({ id }) => id);
    assert.deepEqual(
      not_measured.filter((id) => !untellable.has(id)),
      [],
    );
    assert.equal(report.store.backend, 'opfs');
  });

  test('a report leaves no store behind, and the page its own workers', async () => {
    const tab = await browser.tab(server.page());
    const left = await tab.run(async ({ ChatStore }) => {
      const worker = globalThis.Worker;
      const { environmentOf, runReport } = await import('chatstore/report');
      await runReport({ environment: environmentOf(ChatStore), only: ['pool', 'persistence.backup'] });
      const stores = await ChatStore.list();
      return [stores.map((store) => store.name), globalThis.Worker === worker];
    });
    assert.deepEqual(left, [[], true]);
  });
}
