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
import type { Durability, PoolOptions } from '../client/types.js';
import type { CoreInstance } from '../host/core.js';

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

/** What a core is opened with; it crosses to a worker as it is. */
export interface CoreOptions {
  inMemory: boolean;
  durability?: Durability | undefined;
  pool?: PoolOptions | undefined;
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
    return new bindings.Instance(inMemory ? null : this.#trackedFs(), this.#path, options);
  }

  /** Closes what the last instance has left open. */
  discard(): void {
    for (const descriptor of this.#descriptors.keys()) {
      try {
        nodeFs.closeSync(descriptor);
      } catch {
        // It is closed already, or as closed as it will ever be.
      }
    }
    this.#descriptors.clear();
  }

  /** `node:fs`, with a note of the files that are open. */
  #trackedFs(): typeof nodeFs {
    const descriptors = this.#descriptors;
    return {
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
  }
}
