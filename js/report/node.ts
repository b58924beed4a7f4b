/**
 * The report in Node: scratch stores are files in a folder for temporary ones, and a host that is killed is a
 * process of its own, ended by SIGKILL.
 *
 * Holds: what `Environment` asks for. Must not know: any check.
 */

import { fork, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { ChatStore } from '../client/store.js';
import type { NewMessage, OpenOptions } from '../client/types.js';
import type { Environment, Scratch, ScratchOptions, Store, StoreOptions } from './types.js';

export * from './index.js';

/** The class that opens stores. */
interface Opens {
  open(path: string, options?: OpenOptions): Promise<ChatStore>;
}

/** What a report needs of Node. `ChatStore` is the package's own; tests give one that misbehaves. */
export function environmentOf(stores: Opens): Environment {
  const folder = mkdtempSync(join(tmpdir(), 'chatstore-report-'));
  const cleanUp = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', cleanUp);
  const scratches = new Set<FileScratch>();
  let made = 0;
  return {
    name: `Node ${process.versions.node}, ${process.platform} ${process.arch}, ${String(cpus().length)} processors`,
    openScratch: async (options = {}) => {
      const path = join(folder, `scratch-${String(++made)}.sqlite`);
      const scratch = new FileScratch(stores, path, options);
      scratches.add(scratch);
      await scratch.open();
      return scratch;
    },
    remove: async (scratch) => {
      if (!(scratch instanceof FileScratch)) return;
      scratches.delete(scratch);
      await scratch.remove();
    },
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    },
    now: () => performance.now(),
    close: async () => {
      await Promise.allSettled([...scratches].map((scratch) => scratch.remove()));
      process.off('exit', cleanUp);
      cleanUp();
    },
  };
}

class FileScratch implements Scratch {
  readonly kill?: () => Promise<void>;
  readonly lock?: (message: NewMessage) => Promise<() => Promise<void>>;
  readonly memoryBytes?: number;
  readonly #stores: Opens;
  readonly #path: string;
  readonly #options: StoreOptions;
  #host: HostProcess | undefined;
  #handles: Store[] = [];

  constructor(stores: Opens, path: string, { killable = false, memoryBytes, ...options }: ScratchOptions) {
    this.#stores = stores;
    this.#path = path;
    this.#options = options;
    if (memoryBytes !== undefined) this.memoryBytes = memoryBytes;
    else if (!killable) return;
    this.kill = async () => {
      if (this.#host === undefined) throw new Error('no other process hosts the store, so none can be killed');
      await this.#host.kill();
      this.#host = undefined;
    };
    this.lock = async (message) => {
      if (this.#host === undefined) throw new Error('no other process hosts the store, so none can lock it');
      return this.#host.lock(message);
    };
  }

  get host(): string | undefined {
    return this.#host && `process ${String(this.#host.pid)}`;
  }

  get store(): Store {
    const [store] = this.#handles;
    if (store === undefined) throw new Error('the scratch store is not open');
    return store;
  }

  async open(options: StoreOptions = this.#options): Promise<Store> {
    // Whoever opens a file first owns it: so the other process does, and this one is its client.
    if (this.kill !== undefined) this.#host = await HostProcess.start(this.#path, options, this.memoryBytes);
    return this.another(options);
  }

  async another(options: StoreOptions = this.#options): Promise<Store> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a store of Node takes more than that
    const store = (await this.#stores.open(this.#path, options)) as Store;
    this.#handles.push(store);
    return store;
  }

  async restart(options: StoreOptions = this.#options): Promise<Store> {
    await this.#close();
    return this.open(options);
  }

  readonly damage = async (text: string): Promise<Store> => {
    await this.#close();
    // A disk that changes bytes does so behind the system's back: the time of change stays.
    const { atime, mtime } = statSync(this.#path);
    const at = readFileSync(this.#path).indexOf(text);
    if (at < 0) throw new Error('the text that was to be damaged is not in the file');
    const file = openSync(this.#path, 'r+');
    writeSync(file, text.startsWith('#') ? '+' : '#', at);
    closeSync(file);
    utimesSync(this.#path, atime, mtime);
    return this.open();
  };

  readonly leftovers = async (): Promise<string[]> => {
    await this.#close();
    const [folder, name] = [join(this.#path, '..'), this.#path.slice(this.#path.lastIndexOf('scratch-'))];
    return readdirSync(folder).filter((file) => file.startsWith(name) && file !== name);
  };

  sizeBytes(): Promise<number | null> {
    return Promise.resolve(statSync(this.#path).size);
  }

  async remove(): Promise<void> {
    await this.#close();
    for (const suffix of ['', '-wal', '-journal', '.lock']) rmSync(this.#path + suffix, { force: true });
  }

  async #close(): Promise<void> {
    const handles = this.#handles;
    this.#handles = [];
    // What waits for its lock would be waited for.
    this.#host?.letGo();
    await Promise.all(handles.map((store) => store.close()));
    await this.#host?.close();
    this.#host = undefined;
  }
}

/** V8 counts the memory of WebAssembly in pages. */
const WASM_PAGE_BYTES = 65_536;

/** A process that owns a file, and does nothing else but to lock it when it is told to. */
class HostProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
      });
    });
  }

  /** With `memoryBytes`, the core in it gets no more memory than that. */
  static async start(path: string, options: StoreOptions, memoryBytes?: number): Promise<HostProcess> {
    const { onEvent: _, ...plain } = options;
    const child = fork(fileURLToPath(new URL('./report_host.js', import.meta.url)), [path, JSON.stringify(plain)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // How the program was started is no concern of this process.
      execArgv:
        memoryBytes === undefined ? [] : [`--wasm-max-mem-pages=${String(Math.ceil(memoryBytes / WASM_PAGE_BYTES))}`],
    });
    const host = new HostProcess(child);
    await host.#says('ready');
    return host;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async kill(): Promise<void> {
    if (!this.#child.kill('SIGKILL')) throw new Error('the process that hosts the store is there no more');
    await this.#ended;
  }

  async lock(message: NewMessage): Promise<() => Promise<void>> {
    this.#child.send({ lock: message });
    await this.#says('locked');
    return async () => {
      this.#child.send({ unlock: true });
      await this.#says('unlocked');
    };
  }

  /** Ends its transaction, if it has one. */
  letGo(): void {
    // Where it was killed there is nothing to end.
    if (this.#child.connected) this.#child.send({ unlock: true }, () => undefined);
  }

  /** It closes the store when nobody is connected to it any more. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended;
  }

  #says(what: string): Promise<void> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const hear = (said: unknown): void => {
        if (said === what) settle(resolve);
      };
      const fail = (reason: unknown): void => {
        settle(() => {
          reject(
            reason instanceof Error ? reason : new Error(`the process that hosts the store ended: ${String(reason)}`),
          );
        });
      };
      const settle = (how: () => void): void => {
        child.off('message', hear).off('error', fail).off('exit', fail);
        how();
      };
      child.on('message', hear).on('error', fail).on('exit', fail);
    });
  }
}
