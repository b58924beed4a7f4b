// Imports conversations into a store: a bot, a session for each conversation, its messages.
// Knows the API of chatstore and the plain shape of a conversation; prints nothing.

import { countMessages } from './conversations.mjs';

export const BOT_ID = 'chitchat';

// One transaction, one flush to disk. Larger batches cost memory, smaller ones flushes.
const BATCH_MESSAGES = 2000;

/**
 * Imports what is not in the store yet, calls `onProgress(messagesInStore)` after each batch and
 * returns how many messages it imported.
 * A conversation is committed as a whole, so an import that was interrupted goes on where it stopped.
 */
export async function importConversations(store, conversations, onProgress) {
  if ((await store.bots.get(BOT_ID)) === null) {
    await store.bots.create({ id: BOT_ID, name: 'ChitChat', metadata: { source: 'chitchat-dataset 0.9.0' } });
  }
  const present = await sessionIds(store);
  const missing = conversations.filter(({ id }) => !present.has(id));
  const presentMessages = countMessages(conversations) - countMessages(missing);
  let imported = 0;
  for (const batch of batches(missing)) {
    await store.transaction(async (tx) => {
      for (const { id, title, messages } of batch) {
        await tx.sessions.create({ id, botId: BOT_ID, title, createdAt: messages[0]?.at_ms });
      }
      await tx.messages.addMany(batch.flatMap(newMessages));
    });
    imported += countMessages(batch);
    onProgress(presentMessages + imported);
  }
  return imported;
}

/** The id that a message has in the store. Ids are unique per session, so its place in the conversation will do. */
export function messageId(index) {
  return String(index + 1);
}

function newMessages({ id: sessionId, messages }) {
  return messages.map(({ role, text, at_ms }, index) => ({
    sessionId,
    id: messageId(index),
    role,
    content: text,
    createdAt: at_ms,
  }));
}

function* batches(conversations) {
  let batch = [];
  let messageCount = 0;
  for (const conversation of conversations) {
    if (batch.length > 0 && messageCount + conversation.messages.length > BATCH_MESSAGES) {
      yield batch;
      batch = [];
      messageCount = 0;
    }
    batch.push(conversation);
    messageCount += conversation.messages.length;
  }
  if (batch.length > 0) yield batch;
}

async function sessionIds(store) {
  const ids = new Set();
  let cursor = null;
  do {
    const page = await store.sessions.list({ botId: BOT_ID, limit: 1000, cursor });
    for (const { id } of page.items) ids.add(id);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}
