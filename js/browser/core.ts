/**
 * The wasm core in a browser's worker: compiled while it comes, one instance of it a store.
 *
 * Holds: where the wasm file lies, and that an instance which was thrown away reaches no file any more.
 * Must not know: what is called on an instance, or how files come to be open.
 */

import { createBindings, type Bindings } from '../../dist/wasm/bindings.js';
import { ChatStoreError } from '../client/errors.js';
import type { Durability, PoolOptions } from '../client/types.js';
import type { CoreInstance } from '../host/core.js';

/** The files that a core works on; see `OpfsStorage`. */
export interface CoreFiles {
  named: Map<string, unknown>;
  spares: unknown[];
}

export interface CoreOptions {
  durability?: Durability | undefined;
  purgeTrashAfterMs?: number | undefined;
  pool?: PoolOptions | undefined;
  clientsMayReturn?: boolean | undefined;
}

let compiling: Promise<WebAssembly.Module> | undefined;

/** The compiled core, loaded once a worker. A failure is not kept: the next call tries again. */
export function loadCore(wasmUrl: string | undefined): Promise<WebAssembly.Module> {
  compiling ??= compile(wasmUrl).catch((error: unknown) => {
    compiling = undefined;
    throw error;
  });
  return compiling;
}

/** What the browser keeps of compiled code it keeps for the address that it came from, as a stream. */
async function compile(wasmUrl: string | undefined): Promise<WebAssembly.Module> {
  const url = wasmUrl === undefined ? new URL('./wasm/chatstore_bg.wasm', import.meta.url) : new URL(wasmUrl);
  try {
    const response = await fetch(url, { credentials: 'same-origin' });
    if (!response.ok) throw new Error(`the server answered ${String(response.status)}`);
    const streams = response.headers.get('content-type')?.split(';')[0]?.trim() === 'application/wasm';
    return await (streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer()));
  } catch (cause) {
    const told = cause instanceof Error ? cause.message : String(cause);
    throw new ChatStoreError('INTERNAL', `the wasm core of chatstore cannot be loaded from ${url.href}: ${told}`, {
      cause,
    });
  }
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
