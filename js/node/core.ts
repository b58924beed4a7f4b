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
import type { CoreInstance } from '../host/host.js';
import type { Durability } from '../client/types.js';

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

/** Opens instances on one file, one after the other. */
export class CoreFile {
  readonly #module: WebAssembly.Module;
  readonly #path: string;
  readonly #durability: Durability | undefined;
  readonly #inMemory: boolean;
  readonly #descriptors = new Set<number>();

  constructor(
    module: WebAssembly.Module,
    path: string,
    options: { inMemory: boolean; durability: Durability | undefined },
  ) {
    this.#module = module;
    this.#path = path;
    this.#inMemory = options.inMemory;
    this.#durability = options.durability;
  }

  /** A fresh instance: it shares nothing with those before it. */
  open(): CoreInstance {
    const bindings = createBindings();
    bindings.initSync({ module: this.#module });
    const options = this.#durability === undefined ? {} : { durability: this.#durability };
    return new bindings.Instance(this.#inMemory ? null : this.#trackedFs(), this.#path, options);
  }

  /** Closes what the last instance has left open. */
  discard(): void {
    for (const descriptor of this.#descriptors) {
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
        descriptors.add(descriptor);
        return descriptor;
      },
      closeSync(descriptor: number): void {
        descriptors.delete(descriptor);
        nodeFs.closeSync(descriptor);
      },
    };
  }
}
