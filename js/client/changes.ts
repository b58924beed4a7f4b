/**
 * Changes of a store: what is told of commits, put together, and passed on to whoever listens.
 *
 * Holds: that a change which is told says at least what has changed, and that one listener does not
 * disturb another. Must not know: how a change comes to be known, or what is done about it.
 */

import type { StoreChange } from './types.js';

/** The change of which nobody can tell the extent. */
export const anything = (): StoreChange => ({ sessions: null, streaming: [], bots: true });

/** Two changes, the one after the other, as one. */
export function merged(one: StoreChange, two: StoreChange): StoreChange {
  const bots = one.bots || two.bots;
  if (one.sessions === null || two.sessions === null) return { sessions: null, streaming: [], bots };
  const sessions = new Set([...one.sessions, ...two.sessions]);
  const streaming = new Set([...one.streaming, ...two.streaming].filter((id) => !sessions.has(id)));
  return { sessions: [...sessions], streaming: [...streaming], bots };
}

/** Functions that are called when something happens. */
export class Listeners<A extends unknown[]> {
  readonly #all = new Set<{ call: (...args: A) => void }>();

  get size(): number {
    return this.#all.size;
  }

  /** Gives what takes it out again, and says whether it was in; the same function twice is two. */
  add(listener: (...args: A) => void): () => boolean {
    const one = { call: listener };
    this.#all.add(one);
    return () => this.#all.delete(one);
  }

  tell(...args: A): void {
    // Whoever is called may add others, and take others out.
    for (const one of Array.from(this.#all)) {
      if (!this.#all.has(one)) continue;
      try {
        one.call(...args);
      } catch (error) {
        // As an error of any other event handler: nobody's answer, and told by the environment.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  clear(): void {
    this.#all.clear();
  }
}
