/**
 * An open transaction or snapshot: a lease at the host, and the calls that go through it.
 *
 * Holds: the rule that a scope always ends, by its own call, its lease, its signal or the loss of its
 * host, and that nothing goes through it afterwards. Must not know: callbacks, or what verbs mean.
 */

import type { Patience, Request } from './caller.js';
import { patienceOf } from './caller.js';
import { ChatStoreError } from './errors.js';

export type ScopeKind = 'transaction' | 'snapshot';

export const beginVerb = { transaction: 'tx.begin', snapshot: 'snapshot.begin' } as const;
export const endVerb = { transaction: 'tx.rollback', snapshot: 'snapshot.end' } as const;

/** The error of what was in a scope that ended with its host. */
export function goneError(kind: ScopeKind, cause: ChatStoreError): ChatStoreError {
  return kind === 'transaction'
    ? new ChatStoreError('TRANSACTION_LOST', `the transaction was rolled back: ${cause.message}`, {
        cause,
        outcome: 'not-applied',
      })
    : new ChatStoreError('SNAPSHOT_EXPIRED', `the snapshot has ended: ${cause.message}`, { cause });
}

/** What a scope does its work on. */
interface ScopeLink {
  run(request: Request, patience: Patience, operationId: string | undefined): Promise<Uint8Array>;
  /** Called once, when the scope has ended. */
  onEnd(): void;
}

export class Scope {
  readonly kind: ScopeKind;
  /** Rejects when the scope ends before its time; never resolves. */
  readonly lost: Promise<never>;
  /** Whether a store that closes waits for its end. */
  waitedFor = true;
  readonly #link: ScopeLink;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #rejectLost!: (error: ChatStoreError) => void;
  #ended = false;
  #error: ChatStoreError | undefined;

  constructor(kind: ScopeKind, signal: AbortSignal | undefined, link: ScopeLink) {
    this.kind = kind;
    this.#link = link;
    this.#signal = signal;
    this.lost = new Promise((_, reject) => {
      this.#rejectLost = reject;
    });
    // Nobody may be listening when it happens; those who do get the error all the same.
    this.lost.catch(() => undefined);
    this.#onAbort = () => {
      this.#takeBack(
        new ChatStoreError(
          'ABORTED',
          `the ${kind} was aborted by its signal${kind === 'transaction' ? ' and rolled back' : ''}`,
          {
            cause: signal?.reason,
            outcome: 'not-applied',
          },
        ),
      );
    };
  }

  /** Follows its signal from now on, which may have aborted already. */
  listen(): void {
    if (this.#signal?.aborted === true) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get isLost(): boolean {
    return this.#error !== undefined;
  }

  async call(request: Request, patience: Patience): Promise<Uint8Array> {
    this.#check();
    try {
      return await this.#link.run(request, patience, undefined);
    } catch (error) {
      // A full disk or the like makes SQLite end the transaction by itself.
      if (error instanceof ChatStoreError && (error.code === 'TRANSACTION_LOST' || error.code === 'SNAPSHOT_EXPIRED')) {
        this.lose(error);
      }
      // What it was lost for says more than what its host says of it afterwards.
      else if (this.isLost) this.#check();
      throw error;
    }
  }

  async savepoint(): Promise<void> {
    await this.#control('tx.savepoint');
  }

  /** Keeps what was done since the innermost savepoint. */
  async release(): Promise<void> {
    await this.#control('tx.release');
  }

  /** Takes back what was done since the innermost savepoint, which is over then. */
  async rollbackTo(): Promise<void> {
    try {
      await this.#control('tx.rollbackTo');
    } catch (error) {
      // What should have been taken back would be committed with the rest.
      this.#takeBack(
        new ChatStoreError('TRANSACTION_LOST', 'a savepoint could not be taken back, so the transaction was', {
          cause: error,
          outcome: 'not-applied',
        }),
      );
      throw error;
    }
  }

  async commit(patience: Patience, operationId: string | undefined): Promise<void> {
    this.#check();
    // From here on the transaction is the host's: nothing that happens on this side takes it back.
    this.#stopListening();
    try {
      await this.#link.run({ verb: 'tx.commit', write: true }, patience, operationId);
    } finally {
      this.#end();
    }
  }

  /** Ends the scope and keeps nothing of it. A host that cannot be reached has done so already. */
  end(): void {
    if (this.#ended) return;
    this.#link.run({ verb: endVerb[this.kind], write: false }, patienceOf({}), undefined).catch(() => undefined);
    this.#end();
  }

  /** The host has ended it already: only what waits for it is told. */
  lose(error: ChatStoreError): void {
    if (this.#ended) return;
    this.#error = error;
    this.#end();
    this.#rejectLost(error);
  }

  #takeBack(error: ChatStoreError): void {
    if (this.#ended) return;
    this.#link.run({ verb: endVerb[this.kind], write: false }, patienceOf({}), undefined).catch(() => undefined);
    this.lose(error);
  }

  async #control(verb: string): Promise<void> {
    await this.call({ verb, write: false }, patienceOf({}));
  }

  #check(): void {
    if (this.#error !== undefined) {
      const { kind } = this;
      throw new ChatStoreError(
        kind === 'transaction' ? 'TRANSACTION_LOST' : 'SNAPSHOT_EXPIRED',
        `the ${kind} is lost: ${this.#error.message}`,
        { cause: this.#error, ...(kind === 'transaction' ? { outcome: 'not-applied' as const } : {}) },
      );
    }
    if (this.#ended) throw new ChatStoreError('TRANSACTION_STATE', `the ${this.kind} has ended`);
  }

  #stopListening(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopListening();
    this.#link.onEnd();
  }
}
