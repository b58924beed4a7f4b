/**
 * Loading the wasm core, in the page: while its worker starts, and once for all stores of the page.
 *
 * Holds: where the wasm file lies. Must not know: who runs it.
 */

import { ChatStoreError } from '../client/errors.js';

const compiling = new Map<string, Promise<WebAssembly.Module>>();

/** The compiled core. A failure is not kept: the next call tries again. */
export function loadCore(wasmUrl: string | URL | undefined): Promise<WebAssembly.Module> {
  // Bundlers know this form, and bring the file along.
  const url =
    wasmUrl === undefined
      ? new URL('./wasm/chatstore_bg.wasm', import.meta.url)
      : new URL(wasmUrl, globalThis.location.href);
  let core = compiling.get(url.href);
  if (core === undefined) {
    core = compile(url).catch((error: unknown) => {
      compiling.delete(url.href);
      throw error;
    });
    compiling.set(url.href, core);
  }
  return core;
}

/** What the browser keeps of compiled code it keeps for the address that it came from, as a stream. */
async function compile(url: URL): Promise<WebAssembly.Module> {
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
