/**
 * The host of one store: owns the wasm instance and runs every call on it.
 *
 * Holds: the one instance, which is thrown away when it traps and replaced at the next call; the
 * order of writes; the open transaction. Calls into the core are synchronous and run no callback of
 * the user's. Must not know: verbs and their data, or which environment it runs in.
 */

import { ChatStoreError, isErrorCode } from '../client/errors.js';
import { readCount, readTextAnywhere } from '../client/rows.js';
import { IdleIndexing } from './indexing.js';
import { Lease, type Transaction } from './lease.js';
import { WritersQueue, abortedError, type Patience } from './queue.js';

/** What `control` of an instance does to the interactive transaction. */
export type ControlAction = 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollbackTo';

/** An open instance of the core. Errors are thrown as plain objects; anything else means that it is dead. */
export interface CoreInstance {
  call(inTransaction: boolean, verb: string, args: object | undefined, rows: Uint8Array | undefined): Uint8Array;
  control(action: ControlAction): void;
  close(): void;
  free(): void;
}

/** What the environment brings. */
export interface HostEnvironment {
  /** Opens a fresh instance of the core on the store's file. */
  openInstance(): CoreInstance;
  /** Closes what a dead instance has left open. */
  discardInstance(): void;
  /** Gives up the ownership of the file, at the very end. */
  releaseOwnership(): Promise<void>;
  /** False where the data lies in the instance itself and dies with it. */
  replaceable: boolean;
}

/** One call of a verb. */
export interface Request {
  verb: string;
  write: boolean;
  args?: object;
  rows?: Uint8Array;
}

const INDEX_SLICE: Request = { verb: 'search.index', write: true, args: { limit: 1_000 } };

/** Longer than any lease and any call that may be running when a store is closed. */
const CLOSE_TIMEOUT_MS = 2_147_483_647;

export class Host {
  readonly #environment: HostEnvironment;
  readonly #queue = new WritersQueue();
  readonly #indexing: IdleIndexing;
  #instance: CoreInstance | undefined;
  #lease: Lease | undefined;
  #closed: Promise<void> | undefined;
  /** Why nothing can be called any more, where a trap took the data with it. */
  #ended: ChatStoreError | undefined;

  /** Opens the first instance at once, so that a file that cannot be opened fails here. */
  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#indexing = new IdleIndexing(() => this.#indexSlice());
    this.#open();
  }

  /** Runs a call: a write in its turn, a read at once. */
  async call(request: Request, patience: Patience): Promise<Uint8Array> {
    this.#checkOpen();
    if (patience.signal?.aborted === true) throw abortedError(patience.signal);
    if (request.write) {
      const release = this.#queue.tryTake(request.verb) ?? (await this.#queue.take(request.verb, patience));
      try {
        return this.#run(false, request);
      } finally {
        release();
        this.#indexing.wake();
      }
    }
    try {
      return this.#run(false, request);
    } catch (error) {
      if (!(error instanceof ChatStoreError && error.code === 'INDEX_PENDING')) throw error;
    }
    return this.#callWithFullIndex(request, patience);
  }

  /** Waits for the turn to write and begins a transaction in it. */
  async begin(leaseMs: number, patience: Patience): Promise<Transaction> {
    this.#checkOpen();
    const release = await this.#queue.take('transaction', patience);
    try {
      this.#control('begin');
    } catch (error) {
      release();
      throw error;
    }
    const core = {
      call: (request: Request) => this.#run(true, request),
      control: (action: ControlAction) => {
        this.#control(action);
      },
    };
    const lease = new Lease(core, leaseMs, patience.signal, () => {
      this.#lease = undefined;
      release();
      this.#indexing.wake();
    });
    this.#lease = lease;
    return lease;
  }

  /** Rejects calls from now on, lets those that were made settle, closes the file, gives it up. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#indexing.stop();
    const release = await this.#queue.take('close', { timeoutMs: CLOSE_TIMEOUT_MS });
    try {
      const instance = this.#instance;
      this.#instance = undefined;
      if (instance === undefined) return;
      try {
        instance.close();
        instance.free();
      } catch (thrown) {
        if (!isCoreError(thrown)) this.#environment.discardInstance();
        throw toError(thrown);
      }
    } finally {
      await this.#environment.releaseOwnership();
      release();
    }
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw new ChatStoreError('STORE_CLOSED', 'the store was closed');
    if (this.#ended !== undefined) throw this.#ended;
  }

  #open(): CoreInstance {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#instance === undefined) {
      try {
        this.#instance = this.#environment.openInstance();
      } catch (thrown) {
        this.#environment.discardInstance();
        throw toError(thrown);
      }
    }
    return this.#instance;
  }

  #run(inTransaction: boolean, request: Request): Uint8Array {
    const instance = this.#open();
    try {
      return instance.call(inTransaction, request.verb, request.args, request.rows);
    } catch (thrown) {
      throw this.#failure(thrown, request.write);
    }
  }

  #control(action: ControlAction): void {
    const instance = this.#open();
    try {
      instance.control(action);
    } catch (thrown) {
      // A writer that cannot even roll back is of no more use than one that trapped.
      throw action === 'rollback' ? this.#replace(thrown, true) : this.#failure(thrown, true);
    }
  }

  /** Turns what the core threw into an error; where it trapped, the instance is replaced. */
  #failure(thrown: unknown, write: boolean): ChatStoreError {
    return isCoreError(thrown) ? toError(thrown) : this.#replace(thrown, write);
  }

  /** Throws the instance away, and with it the open transaction; the next call opens a fresh one. */
  #replace(thrown: unknown, write: boolean): ChatStoreError {
    const error = new ChatStoreError('INTERNAL', `the core failed: ${messageOf(thrown)}`, {
      cause: thrown,
      outcome: write ? 'unknown' : undefined,
    });
    this.#instance = undefined;
    this.#environment.discardInstance();
    if (!this.#environment.replaceable) {
      this.#ended = new ChatStoreError('INTERNAL', 'the core failed, and the data that was in its memory is gone', {
        cause: thrown,
      });
    }
    this.#lease?.lose(
      new ChatStoreError('TRANSACTION_LOST', 'the core failed during the transaction, which was rolled back', {
        cause: error,
        outcome: 'not-applied',
      }),
    );
    return error;
  }

  /** Takes the writers' turn, indexes what waits in slices and runs the search with nothing in between. */
  async #callWithFullIndex(request: Request, patience: Patience): Promise<Uint8Array> {
    const started = Date.now();
    const release = await this.#queue.take(request.verb, patience);
    try {
      while (this.#indexOnce() > 0) {
        // Others of this thread get a word in between two slices.
        // oxlint-disable-next-line no-await-in-loop -- one slice after the other
        await new Promise((resolve) => setTimeout(resolve));
        if (patience.signal?.aborted === true) throw abortedError(patience.signal);
        if (Date.now() - started > patience.timeoutMs) {
          throw new ChatStoreError(
            'TIMEOUT',
            `indexing for the search took longer than ${String(patience.timeoutMs)} ms; what is done is kept`,
            { details: { timeoutMs: patience.timeoutMs } },
          );
        }
      }
      return this.#run(false, request);
    } finally {
      release();
    }
  }

  #indexOnce(): number {
    return readCount(this.#run(false, INDEX_SLICE), readTextAnywhere).messages;
  }

  /** One slice when nobody writes; tells how many messages still wait, undefined where it was not its turn. */
  #indexSlice(): number | undefined {
    const release = this.#queue.tryTake('search.index');
    if (release === undefined) return undefined;
    try {
      return this.#indexOnce();
    } finally {
      release();
    }
  }
}

interface CoreError {
  code: string;
  message: string;
  details?: Record<string, unknown>;
}

/** The core throws plain objects. An Error, or anything else, comes from a trap or from the glue. */
function isCoreError(thrown: unknown): thrown is CoreError {
  if (typeof thrown !== 'object' || thrown === null || thrown instanceof Error) return false;
  const { code, message } = thrown as Partial<CoreError>;
  return isErrorCode(code) && typeof message === 'string';
}

function toError(thrown: unknown): ChatStoreError {
  if (thrown instanceof ChatStoreError) return thrown;
  if (isCoreError(thrown)) {
    const { code, message, details } = thrown;
    return new ChatStoreError(isErrorCode(code) ? code : 'INTERNAL', message, { details });
  }
  return new ChatStoreError('INTERNAL', `the core failed: ${messageOf(thrown)}`, { cause: thrown });
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error || isCoreError(thrown) ? thrown.message : String(thrown);
}
