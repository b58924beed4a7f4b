/**
 * The writers' queue: one holder at a time, the others wait their turn in the order they came.
 *
 * Holds: turns, deadlines and AbortSignals. Every wait ends: by its turn, its deadline or its signal.
 * Must not know: what a holder does with its turn, or for how long.
 */

import { ChatStoreError } from '../client/errors.js';

/** How long a call may wait, and what ends the wait early. */
export interface Patience {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** A turn at the writer. Whoever holds it gives it back, once. */
export type Release = () => void;

interface Waiter {
  holder: string;
  resolve: (release: Release) => void;
}

/** The error of a call whose signal aborted before anything of it was done. */
export function abortedError(signal: AbortSignal): ChatStoreError {
  return new ChatStoreError('ABORTED', 'the call was aborted by its signal before it ran; nothing of it was applied', {
    cause: signal.reason,
    outcome: 'not-applied',
  });
}

/** Turns at the one writer. */
export class WritersQueue {
  #held = false;
  /** What the holder of the turn is, for the message of those who waited for it in vain. */
  #holder = '';
  readonly #waiting: Waiter[] = [];

  /** Takes the turn at once where that is possible. */
  tryTake(holder: string): Release | undefined {
    if (this.#held) return undefined;
    return this.#hold(holder);
  }

  /** Waits for the turn; rejects with `TIMEOUT` or `ABORTED`, and then leaves the queue. */
  take(holder: string, patience: Patience): Promise<Release> {
    const { signal, timeoutMs } = patience;
    if (signal?.aborted === true) return Promise.reject(abortedError(signal));
    const release = this.tryTake(holder);
    if (release !== undefined) return Promise.resolve(release);
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const leave = (error: ChatStoreError): void => {
        settle();
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(error);
      };
      const onAbort = (): void => {
        if (signal !== undefined) leave(abortedError(signal));
      };
      const timer = setTimeout(() => {
        leave(this.#timeoutError(holder, timeoutMs));
      }, timeoutMs);
      const waiter: Waiter = {
        holder,
        resolve: (turn) => {
          settle();
          resolve(turn);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  #hold(holder: string): Release {
    this.#held = true;
    this.#holder = holder;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const next = this.#waiting.shift();
      // Handed on without a gap, so that nobody who comes now gets ahead of those who wait.
      if (next === undefined) this.#held = false;
      else next.resolve(this.#hold(next.holder));
    };
  }

  #timeoutError(waiting: string, timeoutMs: number): ChatStoreError {
    const behind = this.#holder === 'transaction';
    const advice = behind
      ? 'a transaction is still open; inside its callback use tx.* instead of store.*, which waits for the transaction to end'
      : `${this.#holder} is still running`;
    return new ChatStoreError('TIMEOUT', `${waiting} waited ${String(timeoutMs)} ms for its turn to write: ${advice}`, {
      details: { timeoutMs, waitedFor: this.#holder },
      outcome: 'not-applied',
    });
  }
}
