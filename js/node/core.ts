/**
 * The wasm core in Node: loaded and compiled once a process, one instance of it a store.
 *
 * Holds: where the wasm file lies, and the files that an instance has open, so that those of a dead
 * one can be closed. Must not know: what is called on an instance.
 */

import * as nodeFs from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createBindings } from '../../dist/wasm/bindings.js';
import { ChatStoreError } from '../client/errors.js';
import type { SalvageReport } from '../client/types.js';
import { toError, type CoreInstance, type HostOptions } from '../host/core.js';

let compiling: Promise<WebAssembly.Module> | undefined;

/** The compiled core. A failure is not kept: the next call tries again. */
export function loadCore(): Promise<WebAssembly.Module> {
  compiling ??= compile().catch((error: unknown) => {
    compiling = undefined;
    throw error;
  });
  return compiling;
}

async function compile(): Promise<WebAssembly.Module> {
  const url = new URL('./wasm/chatstore_bg.wasm', import.meta.url);
  try {
    return await WebAssembly.compile(await readFile(url));
  } catch (cause) {
    throw new ChatStoreError('INTERNAL', `the wasm core of chatstore cannot be loaded from ${url.href}`, { cause });
  }
}

/** Copies what can be read of a damaged file into a new one, which goes again where that fails. */
export async function salvageFile(damaged: string, to: string): Promise<Omit<SalvageReport, 'path'>> {
  const bindings = createBindings();
  bindings.initSync({ module: await loadCore() });
  if (nodeFs.existsSync(to)) {
    throw new ChatStoreError('INVALID_ARGUMENT', `to: expected the path of no file yet, received ${to}`, {
      details: { argument: 'to', expected: 'the path of no file yet', received: to },
    });
  }
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the core writes it so
    return JSON.parse(bindings.salvage({ node: nodeFs }, damaged, to)) as Omit<SalvageReport, 'path'>;
  } catch (thrown) {
    for (const suffix of ['-wal', '-journal', '']) nodeFs.rmSync(to + suffix, { force: true });
    throw toError(thrown);
  }
}

/** What a core is opened with; it crosses to a worker as it is. */
export interface CoreOptions extends HostOptions {
  inMemory: boolean;
  /** The host before was lost, and its clients may be on their way to this one. */
  clientsMayReturn?: boolean | undefined;
}

/** Opens instances on one file, one after the other. */
export class CoreFile {
  readonly #module: WebAssembly.Module;
  readonly #path: string;
  readonly #options: CoreOptions;
  readonly #descriptors = new Map<number, string>();
  #opened = false;
  #instance: CoreInstance | undefined;
  /** Whether the present instance may reach its files. */
  #reach = { open: true };

  constructor(module: WebAssembly.Module, path: string, options: CoreOptions) {
    this.#module = module;
    this.#path = path;
    this.#options = options;
  }

  /** The files that the present instance has open, by their descriptors. */
  get descriptors(): ReadonlyMap<number, string> {
    return this.#descriptors;
  }

  /** A fresh instance: it shares nothing with those before it but their clients. */
  open(): CoreInstance {
    const { inMemory, clientsMayReturn = false, ...usual } = this.#options;
    const options = { ...usual, clientsMayReturn: clientsMayReturn || this.#opened };
    this.#opened = true;
    const bindings = createBindings();
    bindings.initSync({ module: this.#module });
    const instance = new bindings.Instance(inMemory ? null : { node: this.#trackedFs() }, this.#path, options);
    this.#instance = instance;
    return instance;
  }

  /** Closes what the last instance has left open, and lets it reach no file any more. */
  discard(): void {
    this.#reach.open = false;
    forget(this.#instance);
    this.#instance = undefined;
    for (const descriptor of this.#descriptors.keys()) {
      try {
        nodeFs.closeSync(descriptor);
      } catch {
        // It is closed already, or as closed as it will ever be.
      }
    }
    this.#descriptors.clear();
  }

  /**
   * `node:fs`, with a note of the files that are open. An instance that was thrown away closes its
   * connections when it is collected as garbage: by then its descriptors are those of other files, and
   * the log beside its file is the next owner's.
   */
  #trackedFs(): typeof nodeFs {
    const descriptors = this.#descriptors;
    const reach = { open: true };
    this.#reach = reach;
    const tracked = {
      ...nodeFs,
      openSync(...args: Parameters<typeof nodeFs.openSync>): number {
        const descriptor = nodeFs.openSync(...args);
        descriptors.set(descriptor, String(args[0]));
        return descriptor;
      },
      closeSync(descriptor: number): void {
        descriptors.delete(descriptor);
        nodeFs.closeSync(descriptor);
      },
    };
    return new Proxy(tracked, {
      get(target, name, receiver): unknown {
        if (!reach.open) throw Object.assign(new Error('the core was thrown away'), { code: 'EBADF' });
        return Reflect.get(target, name, receiver);
      },
    });
  }
}

/**
 * Keeps the glue from freeing an instance when it is collected: one that has trapped would trap again,
 * where nobody could catch it. Its memory goes as a whole.
 */
function forget(instance: (CoreInstance & { __destroy_into_raw?: () => unknown }) | undefined): void {
  // oxlint-disable-next-line no-underscore-dangle -- the glue's own name
  instance?.__destroy_into_raw?.();
}
