/** The bots' names, for the messages that they wrote. */
import { signal } from '@preact/signals';
import type { ChatStore } from 'chatstore';
import { onChange } from './changes';

const REFRESH_INTERVAL_MS = 1_000;
const MOST_BOTS = 1_000;

export const botNames = signal<ReadonlyMap<string, string>>(new Map());

export function watchBots(store: ChatStore): () => void {
  const read = () => {
    store.bots.list({ limit: MOST_BOTS }).then(
      ({ items }) => {
        const now = botNames.peek();
        if (items.length !== now.size || items.some(({ id, name }) => now.get(id) !== name))
          botNames.value = new Map(items.map(({ id, name }) => [id, name]));
      },
      // The lists say what is wrong.
      () => undefined,
    );
  };
  read();
  return onChange(store, REFRESH_INTERVAL_MS, read);
}
