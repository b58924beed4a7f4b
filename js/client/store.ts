/**
 * `ChatStore`, the whole of the public interface, on a link that somebody else has made.
 *
 * Holds: transactions, snapshots and close, beside the verbs. Must not know: files, wasm or Node; opening is
 * the part of each environment.
 */

import { checkArgument } from './arguments.js';
import { checkOptions, patienceOf, type Caller } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { Link } from './link.js';
import { maintain } from './maintain.js';
import type { ReadText } from './rows.js';
import * as shapes from './shapes.js';
import { Live } from './live.js';
import { runSnapshot, type ReadApi } from './snapshot.js';
import { runTransaction, type Transaction } from './transaction.js';
import type {
  CallOptions,
  JobOptions,
  LiveQuery,
  MaintainReport,
  MaintainTasks,
  ReplaceReport,
  SnapshotOptions,
  Stats,
  StoreChange,
  StoreInfo,
  TransactionOptions,
  VerifyReport,
} from './types.js';
import { backup, replaceWith, stats, verify, type Piece, type Sink } from './upkeep.js';
import { Verbs } from './verbs.js';

const DEFAULT_LEASE_MS = 30_000;

/** The store's own calls: each by itself, through the link. */
function storeCaller(link: Link, readText: ReadText): Caller {
  return {
    readText,
    call: (request, options) => link.call(request, options),
    view: async (options) => {
      // Whoever iterates may stop without a word: a store that closes does not wait for it.
      const scope = await link.begin('snapshot', DEFAULT_LEASE_MS, patienceOf(options), false);
      return {
        call: (request, wait) => scope.call(request, patienceOf(wait)),
        end: () => {
          scope.end();
        },
      };
    },
  };
}

/** A store of bots, sessions and messages: one SQLite file, or memory. */
export abstract class ChatStore extends Verbs {
  readonly #link: Link;
  readonly #readText: ReadText;

  /** @internal */
  protected constructor(link: Link, readText: ReadText) {
    super(storeCaller(link, readText));
    this.#link = link;
    this.#readText = readText;
  }

  /** What the store is and where it lies. */
  abstract get info(): StoreInfo;

  /**
   * Runs a callback whose writes take effect together or not at all: committed when it resolves,
   * rolled back when it throws; the error is passed on.
   *
   * Other writes wait until it is over, so use `tx` inside: `store.*` writes that are awaited in the
   * callback wait for the very transaction they are in, and end with `TIMEOUT`. Other reads go on,
   * and see the state before. The callback runs once, unless `retries` allows for more.
   *
   * `timeoutMs` is for the wait before it begins, and again for its commit; `leaseMs` (default 30,000)
   * is how long it may stay open. Errors: `TRANSACTION_LOST` when the lease ends first, the core fails
   * or the process that owns the file is lost; nothing was kept.
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
    const { leaseMs = DEFAULT_LEASE_MS, retries = 0 } = options;
    for (let attempt = 0; ; attempt++) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- once more only where the one before was lost
        const scope = await this.#link.begin('transaction', leaseMs, patienceOf(options), true);
        // oxlint-disable-next-line no-await-in-loop -- as above
        return await runTransaction(scope, this.#readText, run, options);
      } catch (error) {
        const lost = error instanceof ChatStoreError && error.code === 'TRANSACTION_LOST';
        if (!lost || attempt >= retries) throw error;
      }
    }
  }

  /**
   * Runs a callback whose reads all see the state of now, whatever is written meanwhile. It holds up
   * nobody: writes go on.
   *
   * Errors: `SNAPSHOT_EXPIRED` when nothing was read for `leaseMs` (default 30,000), when more was written than can
   * be kept beside the state, or when the process that owns the file is lost; `POOL_EXHAUSTED` where
   * too many snapshots are open.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id } = await store.sessions.create({ title: 'A trip' })
   * const counts = await store.snapshot(async (view) => {
   *   const before = await view.sessions.get(id)
   *   await store.messages.add({ sessionId: id, role: 'user', content: 'Where to?' })
   *   const after = await view.sessions.get(id)
   *   return [before.messageCount, after.messageCount]
   * })
   * assert.deepEqual(counts, [0, 0])
   * await store.close()
   * ```
   */
  async snapshot<T>(run: (view: ReadApi) => Promise<T> | T, options: SnapshotOptions = {}): Promise<T> {
    checkArgument('callback', shapes.callback, run);
    checkOptions(shapes.snapshotOptions, options);
    const leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    const scope = await this.#link.begin('snapshot', leaseMs, patienceOf(options), true);
    return runSnapshot(scope, this.#readText, run);
  }

  /**
   * Calls back after commits, of this handle, of others and of other processes: never before a change is as safe
   * as the store's durability says. The first change is told at once, those that follow it within 16 ms
   * together. One that names nothing (`sessions: null`) comes where too much has changed to be named, and
   * where the process that owns the file was lost, since something may have been missed.
   *
   * What is read after subscribing already shows what was committed before the owner of the file knew of it.
   * Gives a function that ends it. After `close` nothing is told. What a listener throws does not disturb the
   * others: it is thrown again by itself, as an uncaught exception. In Node a subscription does not keep the
   * process alive.
   *
   * Errors, thrown at once: `STORE_CLOSED`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const changes = []
   * const unsubscribe = store.subscribe((change) => changes.push(change))
   * const { id } = await store.sessions.create()
   * assert.deepEqual(changes, [{ sessions: [id], streaming: [], bots: false }])
   * unsubscribe()
   * await store.close()
   * ```
   */
  subscribe(listener: (change: StoreChange) => void): () => void {
    checkArgument('listener', shapes.callback, listener);
    return this.#link.watch(listener);
  }

  /**
   * What a callback reads, kept up to date while anybody subscribes to it: it is run again after each change
   * that touches what it has read, by whomever, one run after the other. A reply under way is seen to grow.
   * `messages.list`, `get` and the like of a session depend on that session, `sessions.list` on the rows
   * of all, `search`, `query` and the messages of a bot on everything. Each read sees the state of its own
   * time; where they do not fit together, the next run is on its way.
   *
   * What the callback rejects with is the query's `error`, until a later run succeeds; it runs again with the
   * next change. After `close` nothing is read any more.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * const messages = store.live((view) => view.messages.list({ sessionId }))
   * const shown = await new Promise((resolve) => {
   *   const unsubscribe = messages.subscribe(() => {
   *     if (messages.value.items.length === 0) return
   *     unsubscribe()
   *     resolve(messages.value.items.map((message) => message.content))
   *   })
   *   void store.messages.add({ sessionId, role: 'user', content: 'Hello!' })
   * })
   * assert.deepEqual(shown, ['Hello!'])
   * await store.close()
   * ```
   *
   * In React: `useSyncExternalStore(messages.subscribe, () => messages.value)`.
   */
  live<T>(read: (view: ReadApi) => Promise<T> | T): LiveQuery<T> {
    checkArgument('callback', shapes.callback, read);
    return new Live(storeCaller(this.#link, this.#readText), (listener) => this.#link.watch(listener), read);
  }

  /**
   * Checks the whole store, and changes nothing: SQLite's own rules and ours, the search index and the
   * checksums of all pages. Other calls run in between. Where the process that owns the file is lost, it
   * begins anew on the next owner, as often as the store's `retries` say.
   *
   * Errors: `TIMEOUT` and `ABORTED` by its options, which govern the whole; `SNAPSHOT_EXPIRED` where too
   * much was written meanwhile.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * await store.sessions.create({ title: 'A trip' })
   * const report = await store.verify()
   * assert.deepEqual([report.ok, report.checked.sessions], [true, 1])
   * await store.close()
   * ```
   */
  async verify(options: JobOptions = {}): Promise<VerifyReport> {
    checkOptions(shapes.jobOptions, options);
    return verify(this.#link, this.#readText, options);
  }

  /**
   * Keeps the store small and quick, and changes nothing of what it holds, `purge` aside. Without tasks it
   * does what is cheap and never wrong: `{ optimize: true, vacuum: true, checkpoint: true }`. Tasks run in
   * the order in which they stand here, one step at a time with other calls in between; where the process
   * that owns the file is lost, the step is done again by the next owner.
   *
   * - `purge` removes for good what went to the trash before a time, a session as a whole.
   * - `rebuildSearch` makes the search index anew. Searches meanwhile wait for it, and find everything; those
   *   in a snapshot that was begun meanwhile end with `INDEX_PENDING`.
   * - `analyze` looks at a sample of each index; `optimize` does so where much has changed since, and merges
   *   the search index.
   * - `vacuum: 'incremental'` moves pages from the end of the file into its free ones and cuts the end off.
   *   The file shrinks; what lies scattered in it stays so. `vacuum: 'full'` writes the store anew in order:
   *   it **blocks every other call** until it is done, about a second for each 50 MB, and needs room for a
   *   copy in memory and for another in the log. It waits for snapshots to end.
   * - `checkpoint` moves the log into the file and cuts it to nothing, as far as no snapshot needs it.
   *
   * What was done stays done where it ends early: by `TIMEOUT` or `ABORTED` of the options, which govern the
   * whole, or by a failure. Errors: `BUSY` where snapshots stay open for 30 s and `full` waits for them,
   * `TOO_LARGE` where what the store holds is over 512 MiB and `full` would not have the memory; `DISK_FULL`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const session = await store.sessions.create()
   * await store.messages.add({ sessionId: session.id, role: 'user', content: 'Forget this. '.repeat(10_000) })
   * await store.sessions.delete(session.id, { permanent: true })
   * const { before, after } = await store.maintain({ vacuum: 'incremental' })
   * assert.ok(after.pages < before.pages)
   * assert.equal(after.freePages, 0)
   * await store.close()
   * ```
   */
  async maintain(tasks: MaintainTasks = {}, options: JobOptions = {}): Promise<MaintainReport> {
    checkArgument('tasks', shapes.maintainTasks, tasks);
    checkOptions(shapes.jobOptions, options);
    return maintain(this.#link, this.#readText, this.info.pageSizeBytes, tasks, options);
  }

  /** What the store has done since its file was opened, in numbers. */
  async stats(options: CallOptions = {}): Promise<Stats> {
    checkOptions(shapes.callOptions, options);
    return stats(this.#link, this.#readText, options);
  }

  /** @internal */
  protected copyTo(options: JobOptions, sink: Sink): Promise<number> {
    return backup(this.#link, this.#readText, options, sink);
  }

  /** @internal */
  protected replaceBy(
    options: JobOptions,
    pieces: AsyncIterable<Piece>,
    keep: string | undefined,
  ): Promise<ReplaceReport> {
    return replaceWith(this.#link, this.#readText, options, pieces, keep);
  }

  /**
   * Closes the store: later calls reject with `STORE_CLOSED`, those already made settle first, an
   * open transaction included. Closing again gives the same promise.
   */
  close(): Promise<void> {
    return this.#link.close();
  }

  /** The same as {@link ChatStore.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
