/**
 * Hears of every change of a store, whoever made it: this tab, another one, another process.
 *
 * Holds: a listener that is called at most once an interval. Must not know: what is read again.
 */
import type { ChatStore } from 'chatstore';

/** What `store.subscribe` is, until every build of the package has it. */
type Subscribable = { subscribe?: (listener: () => void) => () => void };

const POLL_INTERVAL_MS = 400;

/** Calls back soon after a change, at most once every `intervalMs`; gives what ends it. */
export function onChange(store: ChatStore, intervalMs: number, listener: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let calledAtMs = -Infinity;
  const heard = () => {
    if (timer !== undefined) return;
    const waitMs = Math.max(0, calledAtMs + intervalMs - performance.now());
    timer = setTimeout(() => {
      timer = undefined;
      calledAtMs = performance.now();
      listener();
    }, waitMs);
  };
  const end = subscribe(store, heard);
  return () => {
    end();
    clearTimeout(timer);
  };
}

function subscribe(store: ChatStore & Subscribable, heard: () => void): () => void {
  if (store.subscribe !== undefined) return store.subscribe(heard);
  let last = '';
  const timer = setInterval(() => {
    store.query('SELECT count(*), sum(revision), max(updated_at) FROM sessions').then(
      ([row]) => {
        const now = JSON.stringify(Object.values(row ?? {}).map(String));
        if (now !== last) heard();
        last = now;
      },
      () => undefined,
    );
  }, POLL_INTERVAL_MS);
  return () => {
    clearInterval(timer);
  };
}
