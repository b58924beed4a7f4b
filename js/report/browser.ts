/**
 * The report in a browser: scratch stores are stores of this origin with names drawn by chance, and a host that is
 * killed is the worker of this page that has the files, ended without a word.
 *
 * Holds: what `Environment` asks for. Must not know: any check.
 */

import type { ChatStore } from '../client/store.js';
import type { OpenOptions } from '../client/types.js';
import { DATABASE, ROOT_FOLDER, folderOf } from '../browser/names.js';
import type { Environment, Scratch, Store, StoreOptions } from './types.js';

export * from './index.js';

/** The class that opens stores. */
interface Opens {
  open(name: string, options?: OpenOptions): Promise<ChatStore>;
  destroy(name: string): Promise<void>;
  list(): Promise<{ name: string; sizeBytes: number }[]>;
}

/** Where the package's assets lie, where that is not beside its script. */
export type AssetOptions = Pick<OpenOptions, 'wasmUrl' | 'workerUrl'>;

/** What a report needs of a browser. `ChatStore` is the package's own; tests give one that misbehaves. */
export function environmentOf(stores: Opens, assets: AssetOptions = {}): Environment {
  const workers = new Workers();
  const scratches = new Set<OriginScratch>();
  const run = `chatstore-report-${String(Math.floor(Math.random() * 2 ** 40))}`;
  let made = 0;
  let workerUrl: Promise<string> | undefined;
  return {
    name: navigator.userAgent,
    openScratch: async (given = {}) => {
      const { pool, retries, durability, onEvent } = given;
      const options = { pool, retries, durability, onEvent };
      // The script of the workers is the same for every store; a name at its end tells them apart.
      workerUrl ??=
        assets.workerUrl === undefined
          ? findWorkerUrl(stores, workers, assets)
          : Promise.resolve(absolute(assets.workerUrl));
      const name = `${run}-${String(++made)}`;
      const own = { ...assets, workerUrl: `${await workerUrl}#${name}` };
      const scratch = new OriginScratch(stores, name, own, workers, options);
      scratches.add(scratch);
      await scratch.another(options);
      return scratch;
    },
    remove: async (scratch) => {
      if (!(scratch instanceof OriginScratch)) return;
      scratches.delete(scratch);
      await scratch.remove();
    },
    now: () => performance.now(),
    close: async () => {
      await Promise.allSettled([...scratches].map((scratch) => scratch.remove()));
      workers.close();
    },
  };
}

const absolute = (url: string | URL): string => new URL(url, globalThis.location.href).href;

/** The address that the package finds its worker's script under by itself. */
async function findWorkerUrl(stores: Opens, workers: Workers, assets: AssetOptions): Promise<string> {
  const before = workers.addresses.length;
  const store = await stores.open(':memory:', assets);
  await store.close();
  const address = workers.addresses[before];
  if (address === undefined) throw new Error('opening a store started no worker');
  return absolute(address);
}

/** Every worker that this page starts while a report runs: that is how one of them can be ended from outside. */
class Workers {
  readonly addresses: string[] = [];
  readonly #real = globalThis.Worker;
  readonly #running = new Map<string, { worker: Worker; number: number }>();

  constructor() {
    const { addresses } = this;
    const running = this.#running;
    globalThis.Worker = class extends this.#real {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        const number = addresses.push(String(url));
        running.set(new URL(url, globalThis.location.href).hash.slice(1), { worker: this, number });
      }
    };
  }

  /** Ends the newest worker of a store. */
  end(name: string): void {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error('no worker of the store runs, so none can be ended');
    running.worker.terminate();
    this.#running.delete(name);
  }

  /** Names the newest worker of a store. */
  nameOf(name: string): string | undefined {
    const running = this.#running.get(name);
    return running && `worker ${String(running.number)}`;
  }

  forget(name: string): void {
    this.#running.delete(name);
  }

  close(): void {
    globalThis.Worker = this.#real;
  }
}

/** Where some bytes stand among others. */
function placeOf(wanted: Uint8Array, bytes: Uint8Array): number {
  const at = bytes.findIndex((_, from) => wanted.every((byte, i) => bytes[from + i] === byte));
  if (at < 0) throw new Error('the text that was to be damaged is not in the file');
  return at;
}

class OriginScratch implements Scratch {
  readonly kill?: () => Promise<void>;
  readonly damage?: (text: string) => Promise<Store>;
  readonly #stores: Opens;
  readonly #name: string;
  readonly #assets: AssetOptions;
  readonly #workers: Workers;
  readonly #options: StoreOptions;
  #handles: Store[] = [];

  constructor(stores: Opens, name: string, assets: AssetOptions, workers: Workers, options: StoreOptions) {
    this.#stores = stores;
    this.#name = name;
    this.#assets = assets;
    this.#workers = workers;
    this.#options = options;
    // What is in the memory of a worker goes with it.
    if (typeof navigator.storage?.getDirectory !== 'function') return;
    this.kill = async () => {
      this.#workers.end(this.#name);
    };
    if (typeof globalThis.FileSystemFileHandle?.prototype.createWritable !== 'function') return;
    this.damage = (text) => this.#damage(text);
  }

  get host(): string | undefined {
    return this.#workers.nameOf(this.#name);
  }

  get store(): Store {
    const [store] = this.#handles;
    if (store === undefined) throw new Error('the scratch store is not open');
    return store;
  }

  async another(options: StoreOptions = this.#options): Promise<Store> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a store of a browser takes more than that
    const store = (await this.#stores.open(this.#name, { ...options, ...this.#assets })) as Store;
    this.#handles.push(store);
    return store;
  }

  async restart(options: StoreOptions = this.#options): Promise<Store> {
    await this.#close();
    return this.another(options);
  }

  async #damage(text: string): Promise<Store> {
    const options = this.#options;
    await this.#close();
    let folder = await navigator.storage.getDirectory();
    for (const name of [ROOT_FOLDER, folderOf(this.#name)]) folder = await folder.getDirectoryHandle(name);
    const file = await folder.getFileHandle(DATABASE);
    const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
    const position = placeOf(new TextEncoder().encode(text), bytes);
    const writable = await file.createWritable({ keepExistingData: true });
    await writable.write({ type: 'write', position, data: new TextEncoder().encode(text.startsWith('#') ? '+' : '#') });
    await writable.close();
    return this.another(options);
  }

  async sizeBytes(): Promise<number | null> {
    const stores = await this.#stores.list();
    return stores.find(({ name }) => name === this.#name)?.sizeBytes ?? null;
  }

  async remove(): Promise<void> {
    await this.#close();
    this.#workers.forget(this.#name);
    await this.#stores.destroy(this.#name);
    // What a replacement has put aside.
    for (const { name } of await this.#stores.list()) {
      if (name.startsWith(`${this.#name}.`)) await this.#stores.destroy(name);
    }
  }

  async #close(): Promise<void> {
    const handles = this.#handles;
    this.#handles = [];
    await Promise.all(handles.map((store) => store.close()));
  }
}
