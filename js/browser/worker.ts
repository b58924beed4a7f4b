/**
 * What runs in the worker of a page: it stands in line for the lock of the store and leads it when its
 * turn comes.
 *
 * Holds: who leads when, and that the lock is given back whatever happens. Must not know: how a store is
 * served.
 */

import { fromPlain, toPlain, type PlainError } from '../client/errors.js';
import { toError } from '../host/core.js';
import { bindCore } from './core.js';
import { StoreFiles, whyNoFiles } from './files.js';
import { lead, leadInMemory, type Leader, type LeaderOptions } from './leader.js';
import type { FromWorker, Salvage, Start, ToWorker } from './messages.js';
import { leaderLock, pathOf } from './names.js';

/** What is used of a dedicated worker's global scope, which the types of a page do not know. */
interface WorkerScope {
  postMessage(message: FromWorker): void;
  addEventListener(type: 'message', listen: (event: MessageEvent<ToWorker>) => void): void;
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this script runs in a worker only
const scope = globalThis as unknown as WorkerScope;
/** Aborted when the page wants no more of this worker. */
const over = new AbortController();
let haveCore: (core: WebAssembly.Module | Promise<never>) => void;
/** The compiled core, which the page loads meanwhile. */
const core = new Promise<WebAssembly.Module>((resolve) => {
  haveCore = resolve;
});
// Whoever needs it hears of a failure.
core.catch(() => undefined);
/** Null: another page's worker leads; undefined: that is not known yet. */
let leader: Leader | null | undefined;
/** Resolves when this worker has no hold on the lock any more, and will have none. */
let started: Promise<void> | undefined;
/** Clients that have come before it is known who leads. */
const early: MessagePort[] = [];
/** Ends the time of the leader, and with it its hold on the lock. */
let stepDown: (() => void) | undefined;

const tell = (message: FromWorker): void => {
  scope.postMessage(message);
};

const failed = (error: unknown): void => {
  tell({ t: 'failed', error: toPlain(toError(error)) });
};

async function start(options: Start): Promise<void> {
  if (typeof navigator.locks !== 'undefined') {
    // The page has it granted when this worker is no more.
    void navigator.locks.request(options.lock, () => {
      tell({ t: 'alive' });
      return new Promise(() => undefined);
    });
  }
  const { folder, path, host } = options;
  const reason = folder === undefined ? undefined : await whyNoFiles();
  if (folder === undefined || reason !== undefined) {
    leads(await leadInMemory({ path, host, core }));
    tell({ t: 'leads', ephemeral: true, ...(reason === undefined ? {} : { reason }) });
    return;
  }
  const lock = leaderLock(folder);
  const led = await navigator.locks.request(lock, { ifAvailable: true }, async (granted) => {
    if (granted === null) return false;
    await leadFor(folder, { path, host, core });
    return true;
  });
  let clientsMayReturn = !led;
  while (!over.signal.aborted) {
    tell({ t: 'follows' });
    follows();
    // oxlint-disable-next-line no-await-in-loop, no-loop-func -- one term after the other
    await navigator.locks.request(lock, { signal: over.signal }, () =>
      leadFor(folder, { path, host: { ...host, clientsMayReturn }, core }),
    );
    clientsMayReturn = true;
  }
}

/** Leads until the store is closed or given up to a newer version. */
async function leadFor(folder: string, options: LeaderOptions): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    stepDown = resolve;
  });
  const current = await lead(folder, options, () => {
    void current
      .close()
      .catch(() => undefined)
      .finally(() => stepDown?.());
    follows();
  });
  tell({ t: 'leads', ephemeral: false });
  leads(current);
  await ended;
}

function leads(current: Leader): void {
  leader = current;
  for (const port of early.splice(0)) current.connect(port);
}

function follows(): void {
  leader = null;
  for (const port of early.splice(0)) sendElsewhere(port);
}

/** The client's page is told who leads, or is told soon. */
const sendElsewhere = (port: MessagePort): void => {
  port.postMessage({ t: 'bye' });
};

async function close(): Promise<void> {
  over.abort();
  const led = leader;
  let failure: PlainError | undefined;
  try {
    await led?.close();
  } catch (error) {
    failure = toPlain(toError(error));
  }
  stepDown?.();
  // Whoever closes a store may remove it next: the lock has to be free by then.
  if (led) await started;
  tell({ t: 'closed', ...(failure === undefined ? {} : { error: failure }) });
}

async function salvage({ from, to }: Salvage): Promise<void> {
  const module = await core;
  const files = await StoreFiles.open(from);
  try {
    await files.openOther(to);
    tell({ t: 'salvaged', report: bindCore(module).salvage(files, pathOf(from), pathOf(to)) });
  } finally {
    files.close();
  }
}

scope.addEventListener('message', ({ data }) => {
  switch (data.t) {
    case 'start':
      started = start(data).catch((error: unknown) => {
        if (!over.signal.aborted) failed(error);
      });
      break;
    case 'connect':
      if (leader === undefined) early.push(data.port);
      else if (leader === null) sendElsewhere(data.port);
      else leader.connect(data.port);
      break;
    case 'close':
      void close();
      break;
    case 'salvage':
      salvage(data).catch(failed);
      break;
    case 'core':
      haveCore('module' in data ? data.module : Promise.reject(fromPlain(data.error)));
      break;
  }
});
