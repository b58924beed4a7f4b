/**
 * A page's worker, as the page sees it.
 *
 * Holds: the worker, from its start to its end, and the channels into it, which end with it. Must not
 * know: what runs in it; that is worker.ts.
 */

import { introduce } from '../client/connection.js';
import { ChatStoreError, fromPlain, toPlain } from '../client/errors.js';
import { toError } from '../host/core.js';
import type { Connection, ConnectionEvents } from '../host/protocol.js';
import { loadCore } from './load.js';
import type { FromWorker, Salvage, Start, ToWorker } from './messages.js';
import { WorkerPort, addPort } from './ports.js';

/** A worker that closes its files; one that does not come to it is ended all the same. */
const CLOSE_WITHIN_MS = 10_000;

/** Where the assets of the package are, if not beside its script. */
export interface Assets {
  wasmUrl?: string | URL | undefined;
  workerUrl?: string | URL | undefined;
}

async function giveCore(worker: Worker, core: Promise<WebAssembly.Module>): Promise<void> {
  const message = await core.then(
    (module): ToWorker => ({ t: 'core', module }),
    (error: unknown): ToWorker => ({ t: 'core', error: toPlain(toError(error)) }),
  );
  worker.postMessage(message);
}

/** Starts the worker's script and gives it the core, which is loaded meanwhile. */
function startWorker({ wasmUrl, workerUrl }: Assets): Worker {
  const core = loadCore(wasmUrl);
  // Bundlers know this form, and bring the script along.
  const worker =
    workerUrl === undefined
      ? new Worker(new URL('./browser_worker.js', import.meta.url), { type: 'module', name: 'chatstore' })
      : new Worker(workerUrl, { type: 'module', name: 'chatstore' });
  void giveCore(worker, core);
  return worker;
}

const workerError = (event: ErrorEvent): ChatStoreError =>
  new ChatStoreError(
    'INTERNAL',
    `the worker of the store cannot run${event.message ? `: ${event.message}` : ', or its script cannot be loaded'}`,
  );

export class StoreWorker {
  standing: 'starting' | 'leads' | 'follows' | 'ended' = 'starting';
  /** Whether what it leads is kept nowhere, and why, where that was not asked for. */
  ephemeral = false;
  reason: string | undefined;
  readonly #worker: Worker;
  readonly #ports = new Set<WorkerPort>();
  readonly #watch = new AbortController();
  readonly #onChange: () => void;
  #failure: ChatStoreError | undefined;
  #closed: (() => void) | undefined;

  /** `onChange` is called whenever `standing` has changed. */
  constructor(assets: Assets, start: Start, onChange: () => void) {
    this.#onChange = onChange;
    this.#worker = startWorker(assets);
    this.#worker.addEventListener('message', (event: MessageEvent<FromWorker>) => {
      this.#hear(event.data, start.lock);
    });
    this.#worker.addEventListener('error', (event) => {
      if (this.standing === 'starting') this.#end(workerError(event));
    });
    this.#tell(start);
  }

  /** What it has failed with. */
  get failure(): ChatStoreError | undefined {
    return this.#failure;
  }

  /** A channel into it, once it leads; undefined where it does not, or has ended. */
  async connect(events: ConnectionEvents, name: string): Promise<Connection | undefined> {
    if (this.standing === 'follows' || this.standing === 'ended') return undefined;
    const { port1, port2 } = new MessageChannel();
    const port = new WorkerPort(port1);
    this.#tell({ t: 'connect', port: port2 }, [port2]);
    addPort(this.#ports, port);
    try {
      return await introduce(port, { name }, events);
    } catch (error) {
      if (error === undefined) return undefined;
      throw error;
    }
  }

  /** Has it close its files, and ends it. */
  async close(): Promise<void> {
    if (this.standing === 'ended') return;
    if (this.standing !== 'follows') {
      this.#tell({ t: 'close' });
      await new Promise<void>((resolve) => {
        this.#closed = resolve;
        setTimeout(resolve, CLOSE_WITHIN_MS);
      });
    }
    const failure = this.#failure;
    this.terminate();
    if (failure !== undefined) throw failure;
  }

  /** Ends it in the middle of whatever it does. */
  terminate(): void {
    this.#end(undefined);
  }

  #tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #hear(message: FromWorker, lock: string): void {
    switch (message.t) {
      case 'alive':
        void this.#watchLock(lock);
        break;
      case 'leads':
        this.ephemeral = message.ephemeral;
        this.reason = message.reason;
        this.#stand('leads');
        break;
      case 'follows':
        this.#stand('follows');
        break;
      case 'failed':
        this.#end(fromPlain(message.error));
        break;
      case 'closed':
        this.#failure = message.error === undefined ? undefined : fromPlain(message.error);
        this.#closed?.();
        break;
      case 'salvaged':
        break;
    }
  }

  #stand(standing: 'leads' | 'follows'): void {
    this.standing = standing;
    this.#onChange();
  }

  /** A worker that is gone without a word has its lock no more. */
  async #watchLock(lock: string): Promise<void> {
    try {
      await navigator.locks.request(lock, { signal: this.#watch.signal }, () => undefined);
    } catch {
      return;
    }
    this.#end(undefined);
  }

  #end(failure: ChatStoreError | undefined): void {
    if (this.standing === 'ended') return;
    this.standing = 'ended';
    this.#failure = failure;
    this.#watch.abort();
    this.#worker.terminate();
    for (const port of this.#ports) port.end();
    this.#ports.clear();
    this.#closed?.();
    this.#onChange();
  }
}

/** Has a worker save what is left of a damaged store; gives its report. */
export function salvageInWorker(assets: Assets, job: Salvage): Promise<string> {
  const worker = startWorker(assets);
  return new Promise<string>((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      if (data.t === 'salvaged') resolve(data.report);
      else if (data.t === 'failed') reject(fromPlain(data.error));
    });
    worker.addEventListener('error', (event) => {
      reject(workerError(event));
    });
    worker.postMessage(job);
  }).finally(() => {
    worker.terminate();
  });
}
