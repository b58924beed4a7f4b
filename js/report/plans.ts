/**
 * Whether the store's own statements find their rows by keys and indexes: those that the verbs have just run, with the
 * plans that SQLite has for them.
 *
 * Holds: the calls that bring the statements about, and how a plan is read. Must not know: how a store is opened, or
 * any statement.
 */

import type { StatementFigures } from '../client/types.js';
import { atLeast, failureOf, found } from './findings.js';
import { deepOf } from './figures.js';
import type { Context, Finding, Store } from './types.js';
import { chat, said, texts } from './work.js';

/** Tables that stay small however much is stored: what waits to be done, bots, the store's own notes. */
const small = new Set([
  'bots',
  'message_deltas',
  'message_streams',
  'operations',
  'search_pending',
  'search_stale',
  'store_meta',
]);
/** Fewer than the verbs below bring about: those that read, where there is nothing to be read; and all of them. */
export const minStatements = ({ readsOnly }: Context): number => (readsOnly ? 10 : 50);

/** Calls every verb that reads, and with a store of the report's own those that write, so that their statements are there. */
export async function runVerbs(context: Context, store: Store): Promise<void> {
  if (!context.readsOnly) await write(context, store);
  const [bot] = (await store.bots.list({ limit: 1 })).items;
  const [session] = (await store.sessions.list({ limit: 1 })).items;
  const botId = bot?.id ?? 'nobody';
  const sessionId = session?.id ?? 'nobody';
  const [message] = session === undefined ? [] : (await store.messages.list({ sessionId, limit: 1 })).items;
  const reads: (() => Promise<unknown>)[] = [
    () => store.bots.get(botId),
    () => store.bots.list({ deleted: true }),
    () => store.sessions.get(sessionId),
    () => store.sessions.list({ botId }),
    () => store.sessions.list({ deleted: true }),
    () => store.messages.list({ sessionId }),
    () => store.messages.list({ botId }),
    () => store.messages.get({ sessionId, id: message?.id ?? 'nothing' }),
    () => store.messages.branches({ sessionId, id: message?.id ?? 'nothing' }),
    () => store.messages.tree(sessionId),
    // In a snapshot, so that the search index is taken as it is.
    () => store.snapshot((view) => view.search('word')),
    () => store.snapshot((view) => texts(view, sessionId)),
  ];
  // What is not there is looked for all the same.
  for (const read of reads) await failureOf(read());
}

async function write(context: Context, store: Store): Promise<void> {
  const { botId, sessionId } = await chat(context, store, 500);
  const ref = { sessionId, id: 'm7' };
  await store.search('word', { sessionId });
  await store.messages.update(ref, { content: 'changed' });
  await store.messages.delete(ref);
  await store.messages.restore(ref);
  await store.messages.delete({ sessionId, id: 'm8' }, { permanent: true });
  await store.messages.deleteWhere({ botId, before: 1_000_000 + 3 * 60_000 }, { permanent: true });
  await store.messages.add(said(sessionId, 'once'), { operationId: context.id() });
  const stream = await store.messages.start({ sessionId });
  stream.append('word');
  await stream.flush();
  await stream.abort();
  await store.sessions.update(sessionId, { title: 'new' });
  await store.sessions.delete(sessionId);
  await store.sessions.restore(sessionId);
  await store.sessions.purge({ deletedBefore: 1 });
  await store.search('word');
}

/**
 * What a statement goes through from end to end, of what may be large; a walk along an index that the order asks for
 * and a limit ends is none.
 */
function fullReads({ sql, plan }: StatementFigures): string[] {
  const tables = new Map<string, string>();
  for (const [, table = '', alias = table] of sql.matchAll(
    /\b(?:FROM|JOIN)\s+(\w+)(?:\s+(?:AS\s+)?(?!(?:WHERE|ORDER|LEFT|CROSS|JOIN|ON|GROUP|LIMIT|UNION|NOT|INDEXED)\b)(\w+))?/g,
  ))
    tables.set(alias, table);
  const made = new Set(plan.flatMap((step) => /^(?:MATERIALIZE|CO-ROUTINE) (\S+)/.exec(step)?.[1] ?? []));
  let outermost = sql;
  for (let inner = ''; inner !== outermost;) {
    inner = outermost;
    outermost = inner.replaceAll(/\([^()]*\)/g, '');
  }
  const endsEarly = /\bLIMIT\b/.test(outermost) && !plan.includes('USE TEMP B-TREE FOR ORDER BY');
  return plan.filter((step) => {
    const [, name = '', how = ''] = /^SCAN (\S+)(.*)$/.exec(step) ?? [];
    if (name === '' || how.startsWith(' ROW') || made.has(name) || small.has(tables.get(name) ?? name)) return false;
    // Of a search index, `M` is what is searched for.
    if (how.startsWith(' VIRTUAL TABLE')) return !/INDEX \d+:M/.test(how);
    return !(how.startsWith(' USING') && endsEarly);
  });
}

export async function planFindings(context: Context, store: Store): Promise<Finding> {
  await runVerbs(context, store);
  const { statements, indexes } = await deepOf(store);
  const scans = statements
    .map((one) => ({ sql: one.sql, reads: fullReads(one) }))
    .filter(({ reads }) => reads.length > 0)
    .map(({ sql, reads }) => `${reads.join(', ')}: ${sql.replace(/\s+/g, ' ')}`);
  const share = statements.length === 0 ? 0 : (1 - scans.length / statements.length) * 100;
  const rule = atLeast(95, '%');
  return found(
    {
      'statements explained': [atLeast(minStatements(context)), statements.length],
      'that read one from end to end': [[], scans],
      'by keys and indexes': [rule, share],
    },
    [
      { name: 'by keys and indexes', value: share, unit: '%', target: rule.text },
      { name: 'statements explained', value: statements.length, unit: '' },
      { name: 'indexes that they use', value: indexes.filter(({ usedBy }) => usedBy.length > 0).length, unit: '' },
      { name: 'indexes', value: indexes.length, unit: '' },
    ],
  );
}
