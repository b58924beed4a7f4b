/**
 * Hears of every change of a store, whoever made it: this tab or another one.
 *
 * Holds: how often at most something is read again. Must not know: what is read.
 */
import type { ChatStore, StoreChange } from 'chatstore';

interface Watched {
  intervalMs: number;
  /** Whether a change matters; default: each does. */
  concerns?: (change: StoreChange) => boolean;
}

/** Calls back soon after a change, at most once every `intervalMs`; gives what ends it. */
export function onChange(store: ChatStore, { intervalMs, concerns }: Watched, listener: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let calledAtMs = -Infinity;
  const unsubscribe = store.subscribe((change) => {
    if (timer !== undefined || concerns?.(change) === false) return;
    const waitMs = Math.max(0, calledAtMs + intervalMs - performance.now());
    timer = setTimeout(() => {
      timer = undefined;
      calledAtMs = performance.now();
      listener();
    }, waitMs);
  });
  return () => {
    unsubscribe();
    clearTimeout(timer);
  };
}

/** Whether a change touches a session or its messages. */
export const touches =
  (sessionId: string) =>
  ({ sessions, streaming }: StoreChange): boolean =>
    sessions === null || sessions.includes(sessionId) || streaming.includes(sessionId);
