/**
 * Chromium as the place where contestants run: each job in a browser that is started for it, in a profile of its own.
 *
 * Holds: how a browser is started, traced where the group counts system calls, what a cold start is, and what came of
 * a job. Must not know: how a row is measured, or in which order jobs run.
 */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { Failure, probe } from '../../scripts/process.mjs';
import { job_limit_ms } from '../host.mjs';
import { readTrace, tracing } from '../trace.mjs';
import { scrollDemo } from './demo.mjs';
import { startServer } from './server.mjs';

const require = createRequire(new URL('../peers/package.json', import.meta.url));

/** The files of the origin's private file system and of IndexedDB, without the browser's own notes of them. */
const store_files = /\/Default\/(File System\/\d+\/t\/\d+\/|IndexedDB\/)/;
/** What a browser keeps of pages that it has loaded: responses, and what was compiled of scripts and wasm. */
const caches = ['Cache', 'Code Cache', 'GPUCache', 'Shared Dictionary'];
const warming_loads = 3;

export class PageHost {
  #folder;
  #server;
  #program;
  about;

  static async start(folder, contestants) {
    const program = probe('sh', ['-c', 'command -v chromium']).stdout.trim();
    if (program === '') throw new Failure('chromium is not installed');
    const host = new PageHost();
    host.#folder = folder;
    host.#program = program;
    host.about = { browser: probe(program, ['--version']).stdout.trim().split(' built ')[0] };
    host.#server = await startServer(contestants, { bundles: join(folder, 'bundles'), facts: folder });
    return host;
  }

  isStore(file) {
    return store_files.test(file);
  }

  async run(contestant, job) {
    try {
      if (job.group === 'cold') return await this.#cold(contestant, job);
      if (job.group === 'demo')
        return await this.#browse(job.folder, this.#program, (context) => scrollDemo(context, job));
      if (job.group === 'traced') return await this.#traced(contestant, job);
      return await this.#browse(job.folder, this.#program, (context) => this.#load(context, contestant, job));
    } catch (error) {
      return { error: error.message.split('\n')[0], said: error.stack };
    }
  }

  async #browse(profile, program, work) {
    const { chromium } = require('playwright-core');
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: program,
      headless: true,
      chromiumSandbox: false,
    });
    try {
      return await work(context);
    } finally {
      await context.close();
    }
  }

  /** One page, one job. The page is closed by the end, so that no two have the store open. */
  async #load(context, contestant, job) {
    const page = await context.newPage();
    const said = [];
    page.on('console', (message) => message.type() === 'error' && said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    page.setDefaultTimeout(job_limit_ms);
    const { group, size, seed, samples, session } = job;
    const facts = `/${basename(job.facts)}`;
    const sent = { group, size, seed, samples, session, facts, folder: 'store', inside: contestant.inside };
    try {
      await page.goto(`${this.#server.origin}/${contestant.name}/#${encodeURIComponent(JSON.stringify(sent))}`);
      const timeout = new Promise((_, reject) => {
        setTimeout(() => reject(new Error('the page did not finish in time')), job_limit_ms).unref();
      });
      const result = await Promise.race([page.evaluate(() => window.result), timeout]);
      if (result === undefined) throw new Error(`the page has no result: ${said.join('; ').slice(0, 500)}`);
      return result.error === undefined ? result : { ...result, said: [result.said, ...said].join('\n') };
    } finally {
      await page.close();
    }
  }

  /** First without any cache, then in a new browser with what some loads have left in the caches. */
  async #cold(contestant, job) {
    const inPage = { ...contestant, inside: false };
    for (const cache of caches) rmSync(join(job.folder, 'Default', cache), { recursive: true, force: true });
    const first = await this.#browse(job.folder, this.#program, async (context) => {
      const result = await this.#load(context, inPage, job);
      for (let i = 0; i < warming_loads && result.error === undefined; i++) await this.#load(context, inPage, job);
      return result;
    });
    if (first.error !== undefined) return first;
    const warm = await this.#browse(job.folder, this.#program, (context) => this.#load(context, inPage, job));
    if (warm.error !== undefined) return warm;
    return { rows: { ...first.rows, cold_warm: warm.rows.cold } };
  }

  async #traced(contestant, job) {
    const trace = join(this.#folder, 'trace');
    const before = tracing(trace);
    if (before === undefined) return { error: 'strace is not installed' };
    const script = join(this.#folder, 'traced-browser');
    writeFileSync(script, `#!/bin/sh\nexec ${before.map((word) => `'${word}'`).join(' ')} '${this.#program}' "$@"\n`);
    chmodSync(script, 0o755);
    this.#server.takeMarks();
    const result = await this.#browse(job.folder, script, (context) => this.#load(context, contestant, job));
    if (result.error === undefined)
      result.rows = readTrace(trace, store_files.test.bind(store_files), this.#server.takeMarks());
    return result;
  }

  async close() {
    this.#server.close();
  }
}
