/** The bots' names, for the messages that they wrote. */
import { signal } from '@preact/signals';
import type { ChatStore } from 'chatstore';

const MOST_BOTS = 1_000;

export const botNames = signal<ReadonlyMap<string, string>>(new Map());

export function watchBots(store: ChatStore): () => void {
  const query = store.live((view) => view.bots.list({ limit: MOST_BOTS }));
  return query.subscribe(() => {
    botNames.value = new Map(query.value?.items.map(({ id, name }) => [id, name]));
  });
}
