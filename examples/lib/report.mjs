// Shows what is in a store: bots, the newest sessions, a page of one of them, search hits.
// Reads through the public API of chatstore and prints to the terminal.

import {
  blue,
  dim,
  formatDuration,
  formatNumber,
  formatTime,
  green,
  heading,
  highlight,
  labelled,
  table,
} from './terminal.mjs';

export async function showBots(store) {
  heading('Bots');
  for (const bot of (await store.bots.list()).items) {
    const [{ sessions, messages }] = await store.query(
      'SELECT count(*) AS sessions, coalesce(sum(message_count), 0) AS messages FROM sessions ' +
        'WHERE bot = (SELECT key FROM bots WHERE id = ?) AND deleted_at IS NULL',
      { params: [bot.id] },
    );
    console.log(`  ${bot.name}: ${formatNumber(sessions)} sessions, ${formatNumber(messages)} messages`);
  }
}

/** The ten sessions with the newest activity. Returns the longest of them. */
export async function showNewestSessions(store) {
  const { items } = await store.sessions.list({ limit: 10 });
  heading('Sessions, newest activity first');
  table(
    [
      ['Title', 48, 'left'],
      ['Messages', 8, 'right'],
      ['Last activity', 16, 'left'],
    ],
    items.map(({ title, preview, messageCount, lastMessageAt }) => [
      title ?? preview ?? '',
      formatNumber(messageCount),
      lastMessageAt === null ? '' : formatTime(lastMessageAt),
    ]),
  );
  return items.reduce((longest, session) => (session.messageCount > longest.messageCount ? session : longest));
}

/** The newest page of a session, oldest message first. */
export async function showPage(store, session) {
  const page = await store.messages.list({ sessionId: session.id, limit: 10 });
  heading(`The newest page of "${session.title ?? session.preview}"`);
  if (page.prevCursor !== null) {
    console.log(dim(`  … ${formatNumber(session.messageCount - page.items.length)} messages before these`));
  }
  for (const { role, content } of page.items) {
    labelled(`  ${role}`, content, 13, role === 'user' ? blue : green);
  }
}

/** Searches and shows the best hits, with what was found in them set off. */
export async function showSearch(store, query, options = {}) {
  const startedAt_ms = performance.now();
  const { items } = await store.search(query, { limit: 3, ...options });
  const duration_ms = performance.now() - startedAt_ms;
  console.log(`  ${query}${options.prefix ? '…' : ''}  ${dim(formatDuration(duration_ms))}`);
  if (items.length === 0) console.log('    nothing found');
  for (const { role, createdAt, snippet, highlights } of items) {
    console.log(`    ${dim(`${formatTime(createdAt)} ${role}:`)} ${setOff(snippet, highlights)}`);
  }
  return duration_ms;
}

// Marks stand in for colours where the terminal has none.
function setOff(snippet, highlights) {
  const mark = highlight('x') === 'x' ? (text) => `[${text}]` : highlight;
  let end = 0;
  let text = '';
  for (const [from, to] of highlights) {
    text += snippet.slice(end, from) + mark(snippet.slice(from, to));
    end = to;
  }
  return (text + snippet.slice(end)).replaceAll(/\s+/g, ' ');
}
