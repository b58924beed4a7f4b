/**
 * The lease of an interactive transaction: the writer's turn, held while a callback runs.
 *
 * Holds: the rule that a lease always ends, by commit, rollback, its time, its signal or a failure
 * of the core, and that nothing goes through it afterwards. Must not know: the callback, or verbs.
 */

import { ChatStoreError } from '../client/errors.js';
import type { ControlAction, Request } from './host.js';

/** What a lease does its work on. */
interface Core {
  call(request: Request): Uint8Array;
  control(action: ControlAction): void;
}

/** An open transaction as the client sees it. */
export interface Transaction {
  /** Rejects when the transaction is rolled back before its end; never resolves. */
  readonly lost: Promise<never>;
  /** Whether it was rolled back before its end. */
  readonly isLost: boolean;
  call(request: Request): Promise<Uint8Array>;
  savepoint(): void;
  /** Keeps what was done since the innermost savepoint. */
  release(): void;
  /** Takes back what was done since the innermost savepoint, which is over then. */
  rollbackTo(): void;
  commit(): void;
  rollback(): void;
}

export class Lease implements Transaction {
  readonly lost: Promise<never>;
  readonly #core: Core;
  readonly #onEnd: () => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #rejectLost!: (error: ChatStoreError) => void;
  #ended = false;
  #error: ChatStoreError | undefined;

  /** `onEnd` is called once, when the writer's turn is free again. */
  constructor(core: Core, leaseMs: number, signal: AbortSignal | undefined, onEnd: () => void) {
    this.#core = core;
    this.#onEnd = onEnd;
    this.#signal = signal;
    this.lost = new Promise((_, reject) => {
      this.#rejectLost = reject;
    });
    // Nobody may be listening when it happens; those who do get the error all the same.
    this.lost.catch(() => undefined);
    this.#timer = setTimeout(() => {
      this.#takeBack(
        new ChatStoreError(
          'TRANSACTION_LOST',
          `the transaction was still open after its lease of ${String(leaseMs)} ms and was rolled back`,
          { details: { leaseMs }, outcome: 'not-applied' },
        ),
      );
    }, leaseMs);
    this.#onAbort = () => {
      this.#takeBack(
        new ChatStoreError('ABORTED', 'the transaction was aborted by its signal and rolled back', {
          cause: signal?.reason,
          outcome: 'not-applied',
        }),
      );
    };
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get isLost(): boolean {
    return this.#error !== undefined;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown becomes a rejection
  async call(request: Request): Promise<Uint8Array> {
    this.#checkOpen();
    return this.#guard(() => this.#core.call(request));
  }

  savepoint(): void {
    this.#controlOpen('savepoint');
  }

  release(): void {
    this.#controlOpen('release');
  }

  rollbackTo(): void {
    try {
      this.#controlOpen('rollbackTo');
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

  commit(): void {
    this.#checkOpen();
    try {
      this.#guard(() => {
        this.#core.control('commit');
      });
    } finally {
      this.#end();
    }
  }

  rollback(): void {
    if (this.#ended) return;
    try {
      this.#core.control('rollback');
    } catch {
      // The host has thrown the instance away then, which rolls back as well.
    }
    this.#end();
  }

  /** The core has rolled back already: only what waits for this transaction is told. */
  lose(error: ChatStoreError): void {
    if (this.#ended) return;
    this.#error = error;
    this.#end();
    this.#rejectLost(error);
  }

  #takeBack(error: ChatStoreError): void {
    if (this.#ended) return;
    try {
      this.#core.control('rollback');
    } catch {
      // The host has thrown the instance away then, and told this lease.
    }
    this.lose(error);
  }

  #controlOpen(action: ControlAction): void {
    this.#checkOpen();
    this.#guard(() => {
      this.#core.control(action);
    });
  }

  /** A full disk or the like makes SQLite end the transaction by itself; the core then says so. */
  #guard<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof ChatStoreError && error.code === 'TRANSACTION_LOST') this.lose(error);
      throw error;
    }
  }

  #checkOpen(): void {
    if (this.#error !== undefined) {
      throw new ChatStoreError('TRANSACTION_LOST', `the transaction is lost: ${this.#error.message}`, {
        cause: this.#error,
        outcome: 'not-applied',
      });
    }
    if (this.#ended) throw new ChatStoreError('TRANSACTION_STATE', 'the transaction has ended');
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#onEnd();
  }
}
