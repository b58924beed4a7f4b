/**
 * Transactions and savepoints: a callback with verbs of its own, and what becomes of its calls.
 *
 * Holds: the rule that every call made through a handle settles before its transaction ends, and
 * that a handle is of use only while its own callback runs and no savepoint within is open. Must
 * not know: how a turn at the writer is had.
 */

import type { Request } from '../host/host.js';
import type { Transaction as Lease } from '../host/lease.js';
import { abortedError } from '../host/queue.js';
import { checkArgument } from './arguments.js';
import type { Caller } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { ReadText } from './rows.js';
import * as shapes from './shapes.js';
import type { CallOptions } from './types.js';
import { Verbs } from './verbs.js';

/** One handle: the transaction itself, or a savepoint in it. */
class Scope implements Caller {
  readonly readText: ReadText;
  readonly inTransaction = true;
  readonly lease: Lease;
  readonly #pending = new Set<Promise<unknown>>();
  #ended = false;
  #savepointOpen = false;

  constructor(lease: Lease, readText: ReadText) {
    this.lease = lease;
    this.readText = readText;
  }

  async call(request: Request, options: CallOptions): Promise<Uint8Array> {
    this.#check();
    if (options.signal?.aborted === true) throw abortedError(options.signal);
    return this.#track(this.lease.call(request));
  }

  /** Runs a callback between a savepoint and its release, or its being taken back. */
  async savepoint<T>(run: (tx: Transaction) => Promise<T> | T): Promise<T> {
    this.#check();
    this.lease.savepoint();
    this.#savepointOpen = true;
    return this.#track(
      this.inner(run, {
        keep: () => {
          this.lease.release();
        },
        undo: () => {
          this.lease.rollbackTo();
        },
      }).finally(() => {
        this.#savepointOpen = false;
      }),
    );
  }

  /** Runs a callback with a handle of its own; `keep` or `undo` ends it, once all its calls have settled. */
  async inner<T>(run: (tx: Transaction) => Promise<T> | T, end: { keep: () => void; undo: () => void }): Promise<T> {
    const scope = new Scope(this.lease, this.readText);
    // A callback that throws before its first await rejects like one that throws later.
    const running = (async () => run(new Transaction(scope)))();
    let result: T;
    try {
      result = await Promise.race([running, this.lease.lost]);
    } catch (error) {
      running.catch(() => undefined);
      await scope.#settle();
      if (!this.lease.isLost) end.undo();
      throw error;
    }
    await scope.#settle();
    end.keep();
    return result;
  }

  /** Takes no more calls and waits for those that were made, or for the loss of them all. */
  async #settle(): Promise<void> {
    this.#ended = true;
    while (this.#pending.size > 0 && !this.lease.isLost) {
      // oxlint-disable-next-line no-await-in-loop -- what settles may have made further calls
      await Promise.race([Promise.allSettled(this.#pending), this.lease.lost]).catch(() => undefined);
    }
  }

  #track<T>(call: Promise<T>): Promise<T> {
    this.#pending.add(call);
    const settled = (): void => {
      this.#pending.delete(call);
    };
    call.then(settled, settled);
    return call;
  }

  #check(): void {
    // A lost transaction says so itself.
    if (this.lease.isLost) return;
    if (this.#ended) {
      throw new ChatStoreError(
        'TRANSACTION_STATE',
        'this transaction or savepoint has ended: its handle is of use only while its callback runs',
      );
    }
    if (this.#savepointOpen) {
      throw new ChatStoreError(
        'TRANSACTION_STATE',
        'a savepoint of this transaction is open: use the handle that its callback gets, or await the savepoint first',
      );
    }
  }
}

/** What the callback of a transaction or savepoint gets: every verb, and savepoints within. */
export class Transaction extends Verbs {
  readonly #scope: Scope;

  /** @internal */
  constructor(scope: Scope) {
    super(scope);
    this.#scope = scope;
  }

  /**
   * Runs a callback whose changes can be taken back alone: when it throws, they are, the error is
   * passed on, and the transaction around it can go on. Savepoints nest.
   *
   * While it runs, use the handle that its callback gets: calls on the outer one reject with
   * `TRANSACTION_STATE`.
   */
  async savepoint<T>(run: (tx: Transaction) => Promise<T> | T): Promise<T> {
    checkArgument('callback', shapes.callback, run);
    return this.#scope.savepoint(run);
  }
}

/** Runs the callback of a transaction on its lease, and ends the lease. */
export async function runTransaction<T>(
  lease: Lease,
  readText: ReadText,
  run: (tx: Transaction) => Promise<T> | T,
): Promise<T> {
  return new Scope(lease, readText).inner(run, {
    keep: () => {
      lease.commit();
    },
    undo: () => {
      lease.rollback();
    },
  });
}
