// Reads conversations from files into one plain shape:
//   { id, title, messages: [{ role, text, at_ms }] }
// Holds the two formats that the example knows. It knows nothing of chatstore.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Reads the sample that ships with the project (see www/sample/README.md). */
export function readSample(path) {
  return JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')).conversations;
}

/**
 * Reads dataset.json of the package chitchat-dataset: conversations by id, each with its messages
 * grouped into turns. The first sender of a conversation becomes "user", any other "assistant".
 */
export function readDataset(path) {
  return Object.entries(JSON.parse(readFileSync(path, 'utf8'))).map(([id, { prompt, messages: turns }]) => {
    const messages = turns.flat();
    return {
      id,
      title: prompt || null,
      messages: messages.map(({ sender, text, timestamp }) => ({
        role: sender === messages[0].sender ? 'user' : 'assistant',
        text,
        at_ms: Date.parse(timestamp),
      })),
    };
  });
}

export function countMessages(conversations) {
  return conversations.reduce((sum, { messages }) => sum + messages.length, 0);
}
