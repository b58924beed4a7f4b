/**
 * Leading a store: its files, the core on them, and the host that serves this page and the other tabs.
 *
 * Holds: the order files, core, host, and back again when one fails; who of the other tabs is there,
 * which their locks tell; that a newer version is let through. It runs in the worker that has the
 * store's lock. Must not know: how the lock is won.
 */

import { Host } from '../host/host.js';
import { isNewer, type Call } from '../host/protocol.js';
import { serve, type Around } from '../host/serve.js';
import { CoreFile, type CoreOptions } from './core.js';
import { SPARES, StoreFiles, removeEmptyFolder } from './files.js';
import type { Meeting } from './messages.js';
import { clientChannel, folderOfPath, meetingChannel, pageLock } from './names.js';
import { TabPort, WorkerPort } from './ports.js';

/** What a leader is made of. */
export interface LeaderOptions {
  path: string;
  core: Promise<WebAssembly.Module>;
  host: CoreOptions;
}

/** A host that clients of this page and of others reach. */
export interface Leader {
  /** Takes in a client of the page that has started this worker. */
  connect(port: MessagePort): void;
  /** Lets what was called settle, closes the files and tells the clients. */
  close(): Promise<void>;
}

/** A host on memory of its own, for one page. */
export async function leadInMemory(options: LeaderOptions): Promise<Leader> {
  const core = new CoreFile(await options.core, options.path, undefined, { ...options.host, durability: 'memory' });
  const host = new Host({
    openInstance: () => core.open(),
    discardInstance: () => {
      core.discard();
    },
    releaseOwnership: () => Promise.resolve(),
    nextTurn,
    replaceable: false,
    slowQueryMs: options.host.slowQueryMs,
  });
  return {
    connect: (port) => {
      serve(host, new WorkerPort(port), () => true);
    },
    close: () => host.close(),
  };
}

/** Opens the files of a store and serves it. `onNewer` is called when a newer version wants to lead. */
export async function lead(folder: string, options: LeaderOptions, onNewer: () => void): Promise<Leader> {
  const [files, host] = await openHost(folder, options);
  const around = aroundReplacement(files);
  const tabs = new Tabs(folder, (port) => {
    serve(host, port, () => true, around);
  });
  tabs.listen(onNewer);
  void files.tidy().catch(() => undefined);
  return {
    connect: (port) => {
      serve(host, new WorkerPort(port), () => true, around);
    },
    close: async () => {
      try {
        await host.close();
      } finally {
        tabs.close();
      }
    },
  };
}

async function openHost(folder: string, options: LeaderOptions): Promise<[StoreFiles, Host]> {
  const files = await StoreFiles.open(folder);
  try {
    const core = new CoreFile(await options.core, options.path, files, options.host);
    const host = new Host({
      openInstance: () => {
        files.freeSpares();
        return core.open();
      },
      discardInstance: () => {
        core.discard();
      },
      releaseOwnership: () => {
        files.close();
        return Promise.resolve();
      },
      nextTurn,
      replaceable: true,
      slowQueryMs: options.host.slowQueryMs,
    });
    return [files, host];
  } catch (error) {
    files.close();
    throw error;
  }
}

const isLast = (call: Call): boolean => call.verb === 'replace.finish' || call.verb === 'replace.end';

/** A replacement makes files, which only JavaScript can open: before the core asks for them. */
function aroundReplacement(files: StoreFiles): Around {
  const kept = new Set<string>();
  const openKept = async (call: Call): Promise<void> => {
    const keep = call.args !== undefined && 'keep' in call.args ? call.args.keep : undefined;
    const folder = typeof keep === 'string' ? folderOfPath(keep) : undefined;
    if (folder === undefined || kept.has(folder)) return;
    kept.add(folder);
    await files.openOther(folder);
  };
  return {
    before: (call) => {
      if (call.verb === 'replace.begin') return files.openSpares();
      // Until then the new content is looked at: where it is not fit, no store is begun for the old.
      if (call.verb === 'replace.finish') return openKept(call);
      return undefined;
    },
    after: (call) => {
      if (!isLast(call)) return;
      for (const folder of kept) {
        files.closeOther(folder);
        // Where nothing was replaced it has stayed empty. One that stays is no store, and in nobody's way.
        removeEmptyFolder(folder).catch(() => undefined);
      }
      kept.clear();
      // The core may still have some in use where a replacement has failed.
      if (files.spares.length === SPARES) files.closeSpares();
    },
  };
}

/** The pages that are clients of this leader. */
class Tabs {
  readonly #folder: string;
  readonly #serve: (port: TabPort) => void;
  readonly #meeting: BroadcastChannel;
  /** By page, and by channel: one that has asked twice is let in once. */
  readonly #pages = new Map<string, Map<string, TabPort>>();
  readonly #over = new AbortController();

  constructor(folder: string, serveTab: (port: TabPort) => void) {
    this.#folder = folder;
    this.#serve = serveTab;
    this.#meeting = new BroadcastChannel(meetingChannel(folder));
  }

  listen(onNewer: () => void): void {
    this.#meeting.addEventListener('message', (event) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- pages of this origin send nothing else
      const message = event.data as Meeting;
      if (message.t !== 'knock' || this.#pages.get(message.page)?.has(message.channel)) return;
      if (isNewer(message.hello)) onNewer();
      else this.#welcome(message);
    });
    this.#meeting.postMessage({ t: 'leader' } satisfies Meeting);
  }

  close(): void {
    this.#over.abort();
    this.#meeting.close();
  }

  #welcome({ channel, page, hello }: Meeting & { t: 'knock' }): void {
    const port = new TabPort(clientChannel(this.#folder, channel), hello);
    let ports = this.#pages.get(page);
    if (ports === undefined) {
      ports = new Map();
      this.#pages.set(page, ports);
      void this.#watch(page, ports);
    }
    // What a page says here comes in its order: of channels that it has closed it asks no more.
    for (const [other, { isClosed }] of ports) if (isClosed) ports.delete(other);
    ports.set(channel, port);
    this.#serve(port);
  }

  /** A page that is gone has its lock no more. */
  async #watch(page: string, ports: Map<string, TabPort>): Promise<void> {
    try {
      await navigator.locks.request(pageLock(this.#folder, page), { signal: this.#over.signal }, () => undefined);
    } catch {
      // This leader is over.
      return;
    }
    this.#pages.delete(page);
    for (const port of ports.values()) port.end();
  }
}

const { port1: bell, port2: clapper } = new MessageChannel();
const rung: (() => void)[] = [];
bell.addEventListener('message', () => {
  rung.shift()?.();
});
bell.start();

/** Runs something after the messages that have come already: browsers have no `setImmediate`. */
function nextTurn(run: () => void): void {
  rung.push(run);
  clapper.postMessage(null);
}
