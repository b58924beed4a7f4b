/**
 * Keeps the search index in step while nothing else happens.
 *
 * Holds: when to index, never how. Each slice is short, so that a call that comes meanwhile waits
 * for one slice at most. A failure ends it until the next write: a search catches up by itself.
 */

const IDLE_MS = 50;

/** Node's timers keep a process alive unless told otherwise; browsers give numbers. */
function unreferenced(timer: ReturnType<typeof setTimeout> | number): void {
  if (typeof timer === 'object') timer.unref();
}

export class IdleIndexing {
  readonly #slice: () => number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastWrite = 0;
  #stopped = false;

  /** `slice` indexes some and tells how many still wait; undefined where others are writing. */
  constructor(slice: () => number | undefined) {
    this.#slice = slice;
  }

  /** Something was written. */
  wake(): void {
    this.#lastWrite = Date.now();
    if (this.#timer === undefined) this.#in(IDLE_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #in(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#run();
    }, delayMs);
    unreferenced(this.#timer);
  }

  #run(): void {
    const quietMs = Date.now() - this.#lastWrite;
    if (quietMs >= 0 && quietMs < IDLE_MS) {
      this.#in(IDLE_MS - quietMs);
      return;
    }
    let waiting: number | undefined;
    try {
      waiting = this.#slice();
    } catch {
      return;
    }
    if (waiting === undefined) this.#in(IDLE_MS);
    else if (waiting > 0) this.#in(0);
  }
}
