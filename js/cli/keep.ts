/**
 * The commands that keep a store: verify, backup, restore, maintain, and the report.
 *
 * Holds: what each does and prints. Must not know: how arguments are parsed.
 */

import { closeSync, existsSync, lstatSync, openSync, realpathSync, rmSync, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ChatStore, ChatStoreError } from '../index.js';
import {
  categories,
  environmentOf,
  runReport,
  toHtml,
  toMarkdown,
  toText,
  type Report,
  type ReportOptions,
} from '../report/node.js';
import type { JobOptions, MaintainTasks, Progress, VerifyReport } from '../client/types.js';
import { CommandError, UsageError, exitCodes, type Call, type Command } from './command.js';
import { argument, openStore, withStore } from './open.js';
import { printable, sizeOf, toJson } from './terminal.js';

const json = { help: 'print JSON' };

/** A job ends with the person's patience, and shows how far it is. */
const job = ({ terminal }: Call): JobOptions => ({
  signal: terminal.signal,
  onProgress: ({ task, done, expected }: Progress) => {
    terminal.progress(done, expected, task);
  },
});

/** What only looks changes nothing, whatever lies in the file. */
const looking = { readOnly: true } as const;

/** What makes a store one that no check has to look into: it is damaged so that it cannot be read. */
const damageOf = (error: unknown): string | undefined =>
  error instanceof ChatStoreError && (error.code === 'CORRUPT' || error.code === 'CHECKSUM_MISMATCH')
    ? `${error.code}: ${error.message}`
    : undefined;

export const verify: Command = {
  name: 'verify',
  summary: 'check a whole store: structure, checksums, rules, search index; changes nothing',
  details:
    'Where no other process has it open, one that comes meanwhile waits until this is done. Ends with 1 where something is wrong, also where it is so damaged that it cannot be opened; with 3 where the file is no store at all.',
  arguments: [{ name: 'store', help: 'the file; it may be open in another process' }],
  options: { json },
  examples: [
    ['verify chats.sqlite', 'what is wrong, if anything'],
    ['verify chats.sqlite --json | jq .problems', 'the same for programs'],
  ],
  run: async (call) => {
    const { terminal } = call;
    let report: VerifyReport;
    try {
      report = await withStore(call, argument(call, 0), (store) => store.verify(job(call)), looking);
    } catch (error) {
      const damage = damageOf(error);
      if (damage === undefined) throw error;
      if (call.flag('json')) await terminal.json({ ok: false, damage, problems: [] });
      else await terminal.line(`NOT sound: it cannot be read: ${damage}`);
      return exitCodes.failed;
    }
    if (call.flag('json')) await terminal.json(report);
    else {
      const { tables, pages, sessions, messages } = report.checked;
      for (const { kind, table, key, detail } of report.problems) {
        const where = [kind, table, String(key ?? '')].filter((word) => word !== '').join(' ');
        await terminal.line(`${where}: ${detail}`);
      }
      if (report.moreProblems > 0) await terminal.line(`and at least ${String(report.moreProblems)} more`);
      await terminal.line(
        `${report.ok ? 'sound' : 'NOT sound'}: ${String(pages)} pages, ${String(tables)} tables, ${String(sessions)} sessions, ${String(messages)} messages`,
      );
    }
    return report.ok ? exitCodes.ok : exitCodes.failed;
  },
};

export const backup: Command = {
  name: 'backup',
  summary: 'copy a store as it is now, while others go on writing',
  details:
    'The copy is one plain SQLite file. It appears under its name when it is whole and on the disk. With "-" it goes to standard output.',
  arguments: [
    { name: 'store', help: 'the file; it may be open in another process' },
    { name: 'target', help: 'a file that does not exist, or "-"' },
  ],
  options: { force: { help: 'replace the target where it exists' }, json },
  examples: [
    ['backup chats.sqlite monday.sqlite', 'a copy'],
    ['backup chats.sqlite - | gzip > chats.sqlite.gz', 'compressed on its way'],
    ['backup chats.sqlite - | ssh host "cat > chats.sqlite"', 'to another machine'],
  ],
  run: async (call) => {
    const target = argument(call, 1);
    if (target === '-' && call.flag('json'))
      throw new UsageError('with "-" standard output is the copy: it has no room for --json');
    if (target === '-' && call.terminal.isOutputTerminal)
      throw new UsageError('a terminal shows no copy: send standard output elsewhere');
    return withStore(call, argument(call, 0), async (store) => {
      if (target === '-') {
        await store.backup(call.terminal.output, job(call));
        return;
      }
      if (existsSync(target) && !call.flag('force')) throw new CommandError(`${target} exists: --force replaces it`);
      const { sizeBytes } = await store.backup({ path: target }, { ...job(call), overwrite: call.flag('force') });
      if (call.flag('json')) await call.terminal.json({ path: target, sizeBytes });
      else await call.terminal.line(`${target}: ${sizeOf(sizeBytes)}`);
    });
  },
};

export const restore: Command = {
  name: 'restore',
  summary: 'make a store of a backup',
  details:
    'The backup is checked first. Where the store exists, --force puts the content in the place of what it holds, at once for every process that has it open; what it held is kept in a file beside it.',
  arguments: [
    { name: 'store', help: 'the file to make' },
    { name: 'source', help: 'a backup, or "-" for standard input' },
  ],
  options: {
    force: { help: 'replace the content of a store that exists; the old is kept' },
    keep: { value: 'FILE', help: 'where the old content goes, default <store>.replaced-<time>' },
    json,
  },
  examples: [
    ['restore chats.sqlite monday.sqlite', 'a new store'],
    ['restore chats.sqlite monday.sqlite --force', 'in place of what is there, which is kept'],
    ['restore chats.sqlite - < monday.sqlite', 'from standard input'],
  ],
  run: async (call) => {
    const [path, given] = [argument(call, 0), argument(call, 1)];
    if (existsSync(path)) {
      if (!call.flag('force'))
        throw new CommandError(`${path} exists: --force replaces its content, and keeps the old in a file beside it`);
    } else if (call.text('keep') !== undefined)
      throw new UsageError('--keep is for the content of a store that exists');
    if (given !== '-' && !existsSync(given)) throw new CommandError(`there is no file ${given}`);
    const source = given === '-' ? await call.terminal.input() : { path: given };
    const { keptPath, isNew } = existsSync(path)
      ? await replaceIn(call, path, source)
      : await makeFrom(call, path, source);
    if (call.flag('json')) await call.terminal.json({ path, keptPath });
    else
      await call.terminal.line(isNew ? `${path}: made` : `${path}: replaced; what it held is in ${String(keptPath)}`);
  },
};

type Restored = { keptPath: string | null; isNew: boolean };
type Source = Uint8Array | { path: string };

/** Runs something that makes the content of a store out of a source, and names that where it goes wrong. */
async function naming<T>(file: string, path: string, source: Source, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ChatStoreError)) throw error;
    // Files that are only there for the while are no concern of whoever reads this.
    const message = error.message
      .replaceAll(`${file}-incoming`, 'path' in source ? source.path : 'standard input')
      .replaceAll(file, path);
    throw new ChatStoreError(error.code, message, { cause: error, details: error.details });
  }
}

const replaceIn = (call: Call, path: string, source: Source): Promise<Restored> =>
  withStore(call, path, (store) =>
    naming(store.info.path, path, source, async () => {
      const { keptPath } = await store.replaceWith(source, { ...job(call), keepPath: call.text('keep') });
      return { keptPath, isNew: false };
    }),
  );

/** A new store appears under its name when it is whole: a backup that is none leaves nothing. */
async function makeFrom(call: Call, path: string, source: Source): Promise<Restored> {
  const folder = dirname(path);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new CommandError(`there is no folder ${folder}`);
  const partial = join(realpathSync(folder), `.${basename(path)}.${String(process.pid)}.partial`);
  try {
    await naming(partial, path, source, async () => {
      const store = await openStore(call, partial);
      try {
        const { keptPath } = await store.replaceWith(source, job(call));
        if (keptPath !== null) await rm(keptPath, { force: true });
      } finally {
        await store.close();
      }
    });
    if (existsSync(path)) throw new CommandError(`${path} was made meanwhile, and is left as it is`);
    await rename(partial, path);
    return { keptPath: null, isNew: true };
  } finally {
    if (existsSync(partial)) await rm(partial);
  }
}

/** The tasks of `maintain`, as options. */
const tasks = {
  vacuum: 'give free pages back, in slices, while others go on',
  analyze: 'look at what the query planner goes by',
  optimize: 'the same where much has changed, and merge the search index',
  checkpoint: 'move the log into the file',
  'rebuild-search': 'make the search index anew',
} as const;

const DAY_MS = 86_400_000;

export const maintain: Command = {
  name: 'maintain',
  summary: 'keep a store small and quick',
  details: 'Without tasks: vacuum, optimize and checkpoint. Other processes go on meanwhile, but for --full.',
  arguments: [{ name: 'store', help: 'the file; it may be open in another process' }],
  options: {
    ...Object.fromEntries(Object.entries(tasks).map(([name, help]) => [name, { help }])),
    full: { help: 'write the whole store anew, in order; everybody waits meanwhile' },
    purge: { value: 'DAYS', help: 'remove for good what went to the trash so many days ago or before' },
    json,
  },
  examples: [
    ['maintain chats.sqlite', 'what is cheap and never wrong'],
    ['maintain chats.sqlite --purge 30 --vacuum', 'empty the trash of what is older than a month, and shrink the file'],
    ['maintain chats.sqlite --full', 'as small as it gets'],
  ],
  run: (call) => {
    if (call.flag('vacuum') && call.flag('full')) throw new UsageError('--vacuum and --full exclude each other');
    const days = call.number('purge');
    const chosen: MaintainTasks = {
      ...(call.flag('vacuum') ? { vacuum: 'incremental' } : {}),
      ...(call.flag('full') ? { vacuum: 'full' } : {}),
      ...(call.flag('analyze') ? { analyze: true } : {}),
      ...(call.flag('optimize') ? { optimize: true } : {}),
      ...(call.flag('checkpoint') ? { checkpoint: true } : {}),
      ...(call.flag('rebuild-search') ? { rebuildSearch: true } : {}),
      ...(days === undefined ? {} : { purge: { deletedBefore: Date.now() - days * DAY_MS } }),
    };
    return withStore(call, argument(call, 0), async (store) => {
      if (call.flag('full'))
        call.terminal.note('the whole store is written anew: everybody else who has it open waits until that is done');
      const report = await store.maintain(Object.keys(chosen).length === 0 ? undefined : chosen, job(call));
      if (call.flag('json')) return call.terminal.json(report);
      await call.terminal.table(
        ['task', 'done', 'in', 'size before', 'size after'],
        report.tasks.map(({ task, done, ms, before, after }) => [
          task,
          String(done),
          `${String(Math.round(ms))} ms`,
          sizeOf(before.sizeBytes),
          sizeOf(after.sizeBytes),
        ]),
      );
    });
  },
};

const formats: Record<string, (report: Report) => string> = {
  markdown: toMarkdown,
  json: (report) => `${toJson(report, 2)}\n`,
  html: toHtml,
};

/** What the name of a file says of its format. */
const formatOf = (file: string): string | undefined =>
  ({ md: 'markdown', markdown: 'markdown', json: 'json', html: 'html', htm: 'html' })[
    file.split('.').at(-1)?.toLowerCase() ?? ''
  ];

export const verifyReport: Command = {
  name: 'verify-report',
  summary: 'check that everything works on this machine, with numbers measured now',
  details: `Makes stores in a folder for temporary files, does to them what the report says, and removes them. With --store it reads a store of yours instead and writes nothing to it; a process that comes meanwhile waits, where no other has it open. Ends with 1 where a check failed, or such a store is so damaged that it cannot be opened. Categories: ${categories.map(({ id }) => id).join(', ')}.`,
  arguments: [],
  options: {
    store: { value: 'FILE', help: 'check this store, without writing to it' },
    format: { value: 'FORMAT', help: 'markdown, json or html; default what --output says, else markdown' },
    json: { help: 'the same as --format json' },
    output: {
      value: 'FILE',
      multiple: true,
      help: 'write there instead of to standard output; again for another format',
    },
    only: { value: 'CHECKS', multiple: true, help: 'only checks whose id begins so, as pool or queries.select' },
    faults: { value: 'N', help: 'faults to inject, default 200' },
    seed: { value: 'N', help: 'draw the same faults as the report with this seed' },
  },
  examples: [
    ['verify-report', 'the report, as Markdown'],
    ['verify-report --output report.html --output report.json', 'as a page, and for programs'],
    ['verify-report --store chats.sqlite', 'a store of yours, which is only read'],
    ['verify-report --only recovery --faults 2000', 'one category, more thoroughly'],
  ],
  run: async (call) => {
    const { terminal } = call;
    if (call.flag('json') && call.text('format') !== undefined)
      throw new UsageError('--json and --format exclude each other');
    const format = call.flag('json') ? 'json' : call.text('format');
    if (format !== undefined && !Object.hasOwn(formats, format)) {
      throw new UsageError(`--format: expected ${Object.keys(formats).join(', ')}, received ${format}`);
    }
    const path = call.text('store');
    const options = optionsOf(call, path !== undefined);
    const outputs = call.texts('output') ?? ['-'];
    for (const file of outputs) if (file !== '-') checkWritable(file);
    let report: Report;
    try {
      report =
        path === undefined
          ? await runReport(options())
          : await withStore(call, path, (store) => runReport({ ...options(), store }), looking);
    } catch (error) {
      const damage = damageOf(error);
      if (damage === undefined || path === undefined) throw error;
      terminal.note(`chatstore: failed: ${path} is NOT sound, and no report can be made of it: ${damage}`);
      return exitCodes.failed;
    }
    for (const file of outputs) {
      const text = (formats[format ?? formatOf(file) ?? 'markdown'] ?? toMarkdown)(report);
      if (file === '-') await terminal.write(text);
      else await writeFile(file, printable(text));
    }
    if (!outputs.includes('-')) await terminal.write(toText(report));
    return report.passed ? exitCodes.ok : exitCodes.failed;
  },
};

/** A report takes its time: that it cannot be written is told before. */
function checkWritable(file: string): void {
  try {
    const isThere = lstatSync(file, { throwIfNoEntry: false }) !== undefined;
    // A pipe would take the end of this for that of the report.
    const found = statSync(file, { throwIfNoEntry: false });
    if (found !== undefined && !found.isFile() && !found.isDirectory()) return;
    closeSync(openSync(file, 'a'));
    if (!isThere) rmSync(file);
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What the report is to do; a check that nobody knows is refused before anything is done. */
function optionsOf(call: Call, readsOnly: boolean): () => ReportOptions {
  const only = call.texts('only');
  const known = categories.flatMap(({ items }) =>
    items.filter(({ readOnly }) => !readsOnly || readOnly === true).map(({ id }) => `${id}.`),
  );
  const unknown = only?.find((start) => known.every((id) => !id.startsWith(`${start}.`)));
  if (unknown !== undefined) {
    const which = readsOnly ? 'check that only reads' : 'check';
    throw new UsageError(`--only: no ${which} has an id that begins with ${unknown}`);
  }
  const faults = call.number('faults', 1);
  const seed = call.number('seed');
  return () => ({
    environment: environmentOf(ChatStore),
    only,
    faults,
    seed,
    signal: call.terminal.signal,
    onProgress: ({ done, expected, title }) => {
      call.terminal.progress(done, expected, title);
    },
  });
}
