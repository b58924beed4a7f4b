/**
 * Stores with something in them, for tests about whole stores. Holds no test.
 */
import { ChatStore } from 'chatstore';

/** A store with some messages, open. */
export async function filled(path, messages = 500, options = {}) {
  const store = await ChatStore.open(path, options);
  await store.sessions.create({ id: 's' });
  const content = (i) => `message ${i} ${'with some words '.repeat(10)}`;
  await store.messages.addMany(
    Array.from({ length: messages }, (_, i) => ({ sessionId: 's', id: `m${i}`, role: 'user', content: content(i) })),
  );
  return store;
}

/** The ids of its messages, in their order. */
export async function ids(store, sessionId = 's') {
  const found = [];
  for await (const message of store.messages.iterate({ sessionId })) found.push(message.id);
  return found;
}
