// Proves that a store holds exactly the conversations of a source: counts, every message, a sound file.
// Reads through the public API only and prints nothing.

import { createHash } from 'node:crypto';
import { BOT_ID, messageId } from './import.mjs';
import { countMessages } from './conversations.mjs';

/** Returns the checks as [{ name, ok, found, expected }], in the order to show them. */
export async function verify(store, conversations) {
  const stored = await readStore(store);
  const expectedHash = hashMessages(
    conversations.map(({ id, messages }) => [
      id,
      messages.map(({ role, text, at_ms }, index) => [messageId(index), role, text, at_ms]),
    ]),
  );
  const integrity = (await store.query('PRAGMA integrity_check')).map((row) => row.integrity_check).join('; ');
  const danglingRows = (await store.query('PRAGMA foreign_key_check')).length;
  return [
    check('sessions', stored.length, conversations.length),
    check(
      'messages',
      stored.reduce((sum, [, messages]) => sum + messages.length, 0),
      countMessages(conversations),
    ),
    check('sessions that lack messages', describeGaps(stored, conversations), 'none'),
    check('SHA-256 of all messages', hashMessages(stored), expectedHash),
    check('integrity_check', integrity, 'ok'),
    check('rows without their parent (foreign_key_check)', danglingRows, 0),
  ];
}

function check(name, found, expected) {
  return { name, ok: found === expected, found, expected };
}

/** All sessions of the bot as [session id, [[id, role, content, createdAt], …]]. */
async function readStore(store) {
  const sessions = [];
  let cursor = null;
  do {
    const page = await store.sessions.list({ botId: BOT_ID, limit: 1000, cursor });
    for (const { id } of page.items) sessions.push([id, await readMessages(store, id)]);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return sessions;
}

// A session opens at its newest page; the older pages lie before it.
async function readMessages(store, sessionId) {
  const pages = [];
  let cursor = null;
  do {
    const page = await store.messages.list({ sessionId, limit: 1000, cursor });
    pages.unshift(page.items.map(({ id, role, content, createdAt }) => [id, role, content, createdAt]));
    cursor = page.prevCursor;
  } while (cursor !== null);
  return pages.flat();
}

function hashMessages(sessions) {
  const hash = createHash('sha256');
  for (const session of sessions.toSorted(([a], [b]) => (a < b ? -1 : 1))) hash.update(JSON.stringify(session));
  return hash.digest('hex');
}

function describeGaps(stored, conversations) {
  const storedCounts = new Map(stored.map(([id, messages]) => [id, messages.length]));
  const gaps = conversations.filter(({ id, messages }) => storedCounts.get(id) !== messages.length);
  if (gaps.length === 0) return 'none';
  const shown = gaps
    .slice(0, 3)
    .map(({ id, messages }) => `${id} has ${storedCounts.get(id) ?? 0} of ${messages.length}`);
  return shown.join(', ') + (gaps.length > shown.length ? `, and ${gaps.length - shown.length} more` : '');
}
