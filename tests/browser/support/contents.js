/**
 * Everything that a store holds, for comparing one with another: runs in a page and in Node alike.
 *
 * Holds: which tables there are to compare. Must not know: where a store is open.
 */

const tables = ['bots', 'sessions', 'messages', 'message_streams', 'message_deltas'];

/** All rows of a store, by table, as JSON would have them. */
export async function contentsOf(store) {
  const contents = {};
  for (const table of tables) {
    const rows = await store.query(`SELECT * FROM ${table} ORDER BY 1`, { limit: 100_000 });
    contents[table] = rows.map((row) => JSON.stringify(row, plain));
  }
  return contents;
}

const plain = (_, value) =>
  typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? [...value] : value;

/** Fills an empty store with some of everything: bots, branches, trash, parts, texts of many scripts. */
export async function fill(store, messages = 300) {
  const bot = await store.bots.create({
    name: 'Ada',
    systemPrompt: 'Be brief. \u{1f642}',
    params: { temperature: 0.5 },
  });
  await store.bots.create({ name: 'Grace', model: 'some-model' });
  const sessionId = 's';
  await store.sessions.create({ id: sessionId, botId: bot.id, title: 'Züge nach Turin', tags: ['travel', '旅行'] });
  const texts = ['Which train goes to Turin?', 'Ein Zug um 9:10 \u{1f682}', 'قطار', '列車は九時十分', '', 'a\u0000b'];
  await store.messages.addMany(
    Array.from({ length: messages }, (_, i) => ({
      sessionId,
      id: `m${i}`,
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `${texts[i % texts.length]} ${i} ${'word '.repeat((i * 7) % 400)}`,
      metadata: { i },
      usage: { inputTokens: i, costUsd: i / 1000 },
    })),
  );
  await store.messages.edit({ sessionId, id: 'm4' }, { content: 'asked again' });
  await store.messages.switchTo({ sessionId, id: 'm4' });
  await store.messages.add({ sessionId, role: 'tool', parts: [{ type: 'call', args: { a: [1, null, 'ü'] } }] });
  await store.messages.delete({ sessionId, id: 'm9' });
  const trashed = await store.sessions.create({ title: 'thrown away' });
  await store.messages.add({ sessionId: trashed.id, role: 'user', content: 'gone but not for good' });
  await store.sessions.delete(trashed.id);
  const reply = await store.messages.start({ sessionId, id: 'reply' });
  for (const token of ['It ', 'goes ', 'at \u{1f559}', '.']) reply.append(token);
  await reply.finish({ usage: { outputTokens: 4 }, finishReason: 'stop' });
}
