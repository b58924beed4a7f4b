/**
 * The wasm core in a browser's worker: one instance of it a store.
 *
 * Holds: that an instance which was thrown away reaches no file any more. Must not know: what is called on
 * an instance, or how the core and its files come here.
 */

import { createBindings, type Bindings } from '../../dist/wasm/bindings.js';
import type { CoreInstance, HostOptions } from '../host/core.js';

/** The files that a core works on; see `OpfsStorage`. */
export interface CoreFiles {
  named: Map<string, unknown>;
  spares: unknown[];
  /** Room that is kept back for when there is no other. */
  reserve: { bytes: number; hold(): boolean; release(): void };
}

export interface CoreOptions extends HostOptions {
  /** The leader before was lost, and its clients may be on their way to this one. */
  clientsMayReturn?: boolean | undefined;
}

/** A fresh set of bindings over an instance of its own. */
export function bindCore(module: WebAssembly.Module): Bindings {
  const bindings = createBindings();
  bindings.initSync({ module });
  return bindings;
}

/** Opens instances on one file, one after the other. */
export class CoreFile {
  readonly #module: WebAssembly.Module;
  readonly #path: string;
  readonly #files: CoreFiles | undefined;
  readonly #options: CoreOptions;
  #opened = false;
  #instance: (CoreInstance & { __destroy_into_raw?: () => unknown }) | undefined;

  constructor(module: WebAssembly.Module, path: string, files: CoreFiles | undefined, options: CoreOptions) {
    this.#module = module;
    this.#path = path;
    this.#files = files;
    this.#options = options;
  }

  /** A fresh instance: it shares nothing with those before it but their files and clients. */
  open(): CoreInstance {
    const { clientsMayReturn = false, ...usual } = this.#options;
    const options = { ...usual, clientsMayReturn: clientsMayReturn || this.#opened };
    this.#opened = true;
    const { Instance } = bindCore(this.#module);
    this.#instance = new Instance(this.#files ?? null, this.#path, options);
    return this.#instance;
  }

  /** Keeps the glue from freeing an instance that has trapped when it is collected: it would write again. */
  discard(): void {
    // oxlint-disable-next-line no-underscore-dangle -- the glue's own name
    this.#instance?.__destroy_into_raw?.();
    this.#instance = undefined;
  }
}
