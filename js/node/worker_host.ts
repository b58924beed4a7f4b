/**
 * A host in a worker thread, as the thread that started it sees it.
 *
 * Holds: the worker, from its start to its end, and the channels into it, which end with it. Must not
 * know: what runs in it; that is worker.ts.
 */

import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { introduce } from '../client/connection.js';
import { ChatStoreError, fromPlain, type PlainError } from '../client/errors.js';
import type { Connection, ConnectionEvents } from '../host/protocol.js';
import { AGAIN } from './claim.js';
import type { CoreOptions } from './core.js';
import { ThreadPort } from './ports.js';
import type { OwnerRecord } from './record.js';

/** What a worker is started with. */
export interface WorkerData {
  path: string;
  options: CoreOptions;
}

/** From the starting thread to the worker. */
export type ToWorker = { t: 'connect'; port: MessagePort } | { t: 'close' };

/** From the worker to the thread that started it. All but `closed` are answers to the start. */
export type FromWorker =
  | { t: 'owns' }
  | { t: 'owner'; owner: OwnerRecord }
  | { t: 'again' }
  | { t: 'failed'; error: PlainError }
  | { t: 'closed'; error?: PlainError };

export class WorkerHost {
  readonly #worker: Worker;
  readonly #channels = new Set<MessagePort>();
  isDead = false;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.once('exit', () => {
      this.isDead = true;
      for (const channel of this.#channels) channel.close();
      this.#channels.clear();
    });
    // What it died of does not matter to those who call: the store is opened again.
    worker.on('error', () => {
      this.isDead = true;
    });
    worker.unref();
  }

  /** Starts a worker that owns the file, where nobody does; else the worker ends again. */
  static async start(path: string, options: CoreOptions): Promise<WorkerHost | OwnerRecord | typeof AGAIN> {
    const data: WorkerData = { path, options };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: data,
      name: 'chatstore',
      // How the program was started is no concern of the worker's, and some of it no worker takes.
      execArgv: [],
    });
    const started = await firstMessage(worker);
    if (started?.t === 'owns') return new WorkerHost(worker);
    await worker.terminate();
    if (started?.t === 'failed') throw fromPlain(started.error);
    return started?.t === 'owner' ? started.owner : AGAIN;
  }

  /** A channel into the worker; undefined where it has ended meanwhile. */
  async connect(events: ConnectionEvents, name: string): Promise<Connection | undefined> {
    if (this.isDead) return undefined;
    const { port1, port2 } = new MessageChannel();
    const message: ToWorker = { t: 'connect', port: port2 };
    this.#worker.postMessage(message, [port2]);
    this.#channels.add(port1);
    port1.once('close', () => this.#channels.delete(port1));
    try {
      return await introduce(new ThreadPort(port1), { name }, events);
    } catch (error) {
      if (error === undefined) return undefined;
      throw error;
    }
  }

  /** Has the host closed in the worker, and ends it. */
  async close(): Promise<void> {
    if (this.isDead) return;
    this.#worker.ref();
    const message: ToWorker = { t: 'close' };
    this.#worker.postMessage(message);
    const closed = await firstMessage(this.#worker);
    await this.#worker.terminate();
    if (closed?.t === 'closed' && closed.error !== undefined) throw fromPlain(closed.error);
  }
}

/** The next message of a worker; undefined where it ends first. */
function firstMessage(worker: Worker): Promise<FromWorker | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      worker.off('message', onMessage);
      worker.off('error', onError);
      worker.off('exit', onExit);
    };
    const onMessage = (message: FromWorker): void => {
      settle();
      resolve(message);
    };
    const onError = (cause: Error): void => {
      settle();
      reject(new ChatStoreError('INTERNAL', `the worker of the store cannot run: ${cause.message}`, { cause }));
    };
    const onExit = (): void => {
      settle();
      resolve(undefined);
    };
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('exit', onExit);
  });
}
