/**
 * Transactions and savepoints: a callback with verbs of its own, and what becomes of its calls.
 *
 * Holds: the rule that every call made through a handle settles before its transaction ends, and
 * that a handle is of use only while its own callback runs and no savepoint within is open. Must
 * not know: how a turn at the writer is had.
 */

import { Fault, checkArgument, checked, describe } from './arguments.js';
import { patienceOf, type Caller, type Request, type View } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { ReadText } from './rows.js';
import type { Scope } from './scope.js';
import * as shapes from './shapes.js';
import type { WriteOptions } from './types.js';
import { Verbs } from './verbs.js';

/** How a transaction or savepoint ends. */
interface End {
  keep(): Promise<void>;
  undo(): Promise<void>;
}

/** One handle: the transaction itself, or a savepoint in it. */
class Handle implements Caller {
  readonly readText: ReadText;
  readonly inTransaction = true;
  readonly scope: Scope;
  readonly #pending = new Set<Promise<unknown>>();
  #ended = false;
  #savepointOpen = false;

  constructor(scope: Scope, readText: ReadText) {
    this.scope = scope;
    this.readText = readText;
  }

  async call(request: Request, options: WriteOptions): Promise<Uint8Array> {
    this.#check();
    checkNoOperationId(options);
    return this.#track(this.scope.call(request, patienceOf(options)));
  }

  /** A transaction sees one state and its own writes: it is a view by itself. */
  view(): Promise<View> {
    this.#check();
    return Promise.resolve({ call: (request, options) => this.call(request, options), end: () => undefined });
  }

  /** Runs a callback between a savepoint and its release, or its being taken back. */
  async savepoint<T>(run: (tx: Transaction) => Promise<T> | T): Promise<T> {
    this.#check();
    this.#savepointOpen = true;
    return this.#track(
      this.#inSavepoint(run).finally(() => {
        this.#savepointOpen = false;
      }),
    );
  }

  async #inSavepoint<T>(run: (tx: Transaction) => Promise<T> | T): Promise<T> {
    await this.scope.savepoint();
    return this.inner(run, { keep: () => this.scope.release(), undo: () => this.scope.rollbackTo() });
  }

  /** Runs a callback with a handle of its own; `keep` or `undo` ends it, once all its calls have settled. */
  async inner<T>(run: (tx: Transaction) => Promise<T> | T, end: End): Promise<T> {
    const handle = new Handle(this.scope, this.readText);
    // A callback that throws before its first await rejects like one that throws later.
    const running = (async () => run(new Transaction(handle)))();
    let result: T;
    try {
      result = await Promise.race([running, this.scope.lost]);
    } catch (error) {
      running.catch(() => undefined);
      await handle.#settle();
      if (!this.scope.isLost) await end.undo();
      throw error;
    }
    await handle.#settle();
    await end.keep();
    return result;
  }

  /** Takes no more calls and waits for those that were made, or for the loss of them all. */
  async #settle(): Promise<void> {
    this.#ended = true;
    while (this.#pending.size > 0 && !this.scope.isLost) {
      // oxlint-disable-next-line no-await-in-loop -- what settles may have made further calls
      await Promise.race([Promise.allSettled(this.#pending), this.scope.lost]).catch(() => undefined);
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
    if (this.scope.isLost) return;
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

/** What takes effect with the others cannot be sent again by itself. */
function checkNoOperationId(options: WriteOptions): void {
  if (options.operationId === undefined) return;
  checked('', () => {
    throw new Fault(
      'nothing here: give it to the transaction, which takes effect as a whole',
      describe(options.operationId),
      {
        path: 'operationId',
      },
    );
  });
}

/** What the callback of a transaction or savepoint gets: every verb, and savepoints within. */
export class Transaction extends Verbs {
  readonly #handle: Handle;

  /** @internal */
  constructor(handle: Handle) {
    super(handle);
    this.#handle = handle;
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
    return this.#handle.savepoint(run);
  }
}

/** Runs the callback of a transaction in its scope, and ends the scope. */
export async function runTransaction<T>(
  scope: Scope,
  readText: ReadText,
  run: (tx: Transaction) => Promise<T> | T,
  options: WriteOptions,
): Promise<T> {
  return new Handle(scope, readText).inner(run, {
    keep: () => scope.commit({ timeoutMs: patienceOf(options).timeoutMs }, options.operationId),
    undo: () => {
      scope.end();
      return Promise.resolve();
    },
  });
}
