/**
 * The time of a job: a call that is made of many steps, each a call of its own.
 *
 * Holds: that the caller's `timeoutMs` and signal govern the whole of it, what it waits for beyond the
 * store included; and that one which only reads begins anew where its owner was lost. Must not know:
 * what the steps do.
 */

import { MAX_TIMEOUT_MS, abortedError, type Patience } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { JobOptions } from './types.js';

export class JobTime {
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  readonly #endMs: number;

  constructor({ signal, timeoutMs = Infinity }: JobOptions) {
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
    this.#endMs = performance.now() + timeoutMs;
  }

  /** What the next step may take; throws where there is nothing left. */
  left(): Patience {
    if (this.#signal?.aborted === true) throw abortedError(this.#signal);
    const leftMs = this.#endMs - performance.now();
    if (leftMs <= 0) throw this.#overError();
    return { timeoutMs: Math.min(leftMs, MAX_TIMEOUT_MS), signal: this.#signal };
  }

  /** Waits for something beyond the store, which has no deadline of its own. */
  async wait<T>(work: Promise<T> | T): Promise<T> {
    const { timeoutMs, signal } = this.left();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settled = new AbortController();
    const over = new Promise<never>((_, reject) => {
      if (Number.isFinite(this.#timeoutMs)) {
        timer = setTimeout(() => {
          reject(this.#overError());
        }, timeoutMs);
      }
      const onAbort = (): void => {
        if (signal !== undefined) reject(abortedError(signal));
      };
      signal?.addEventListener('abort', onAbort, { signal: settled.signal });
    });
    try {
      return await Promise.race([work, over]);
    } finally {
      clearTimeout(timer);
      settled.abort();
    }
  }

  /** Runs what only reads; where its owner is lost, once more on the next, `retries` times at most. */
  async reading<T>(retries: number, run: () => Promise<T>, mayRunAgain: () => Promise<boolean>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- once more only where the one before was lost
        return await run();
      } catch (error) {
        // What its signal has ended is not lost.
        if (this.#signal?.aborted === true) throw abortedError(this.#signal);
        // oxlint-disable-next-line no-await-in-loop -- as above
        if (attempt >= retries || !isLostWithOwner(error) || !(await mayRunAgain())) throw error;
      }
    }
  }

  #overError(): ChatStoreError {
    const timeoutMs = this.#timeoutMs;
    return new ChatStoreError(
      'TIMEOUT',
      `the job did not end within its timeoutMs of ${String(timeoutMs)}; nothing of it was applied`,
      { details: { timeoutMs }, outcome: 'not-applied' },
    );
  }
}

function isLostWithOwner(error: unknown): boolean {
  for (let cause = error; cause instanceof ChatStoreError; cause = cause.cause) {
    if (cause.code === 'OWNER_UNRESPONSIVE' || cause.code === 'LEADER_UNRESPONSIVE') return cause !== error;
  }
  return false;
}
