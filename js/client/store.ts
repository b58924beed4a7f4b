/**
 * `ChatStore`, the whole of the public interface, on a host that somebody else has opened.
 *
 * Holds: transactions and close, beside the verbs. Must not know: files, wasm or Node; opening is
 * the part of each environment.
 */

import type { Host, Request } from '../host/host.js';
import { checkArgument } from './arguments.js';
import { checkOptions, patienceOf } from './caller.js';
import type { ReadText } from './rows.js';
import * as shapes from './shapes.js';
import { runTransaction, type Transaction } from './transaction.js';
import type { CallOptions, StoreInfo, TransactionOptions } from './types.js';
import { Verbs } from './verbs.js';

const DEFAULT_LEASE_MS = 30_000;

/** A store of bots, sessions and messages: one SQLite file, or memory. */
export abstract class ChatStore extends Verbs {
  /** What the store is and where it lies, as of its opening. */
  readonly info: StoreInfo;
  readonly #host: Host;
  readonly #readText: ReadText;

  /** @internal */
  protected constructor(host: Host, readText: ReadText, info: StoreInfo) {
    super({
      readText,
      call: (request: Request, options: CallOptions) => host.call(request, patienceOf(options)),
    });
    this.#host = host;
    this.#readText = readText;
    this.info = info;
  }

  /**
   * Runs a callback whose writes take effect together or not at all: committed when it resolves,
   * rolled back when it throws; the error is passed on.
   *
   * Other writes wait until it is over, so use `tx` inside: `store.*` writes that are awaited in the
   * callback wait for the very transaction they are in, and end with `TIMEOUT`. Other reads go on,
   * and see the state before. The callback runs once.
   *
   * `timeoutMs` is for the wait before it begins; `leaseMs` (default 30,000) is how long it may stay
   * open. Errors: `TRANSACTION_LOST` when the lease ends first or the core fails; nothing was kept.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const session = await store.transaction(async (tx) => {
   *   const made = await tx.sessions.create({ title: 'A trip' })
   *   await tx.messages.add({ sessionId: made.id, role: 'user', content: 'Where to?' })
   *   await tx.savepoint(async (inner) => {
   *     await inner.messages.add({ sessionId: made.id, role: 'assistant', content: 'Nowhere.' })
   *     throw new Error('on second thoughts')
   *   }).catch(() => undefined)
   *   return made
   * })
   * assert.equal((await store.sessions.get(session.id)).messageCount, 1)
   * await store.close()
   * ```
   */
  async transaction<T>(run: (tx: Transaction) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    checkArgument('callback', shapes.callback, run);
    checkOptions(shapes.transactionOptions, options);
    const lease = await this.#host.begin(options.leaseMs ?? DEFAULT_LEASE_MS, patienceOf(options));
    return runTransaction(lease, this.#readText, run);
  }

  /**
   * Closes the store: later calls reject with `STORE_CLOSED`, those already made settle first, an
   * open transaction included. Closing again gives the same promise.
   */
  close(): Promise<void> {
    return this.#host.close();
  }

  /** The same as {@link ChatStore.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
