/**
 * Whether the store's own queries find their rows by an index.
 *
 * Holds: the shapes of those queries, and how a plan of SQLite's is read. Must not know: how a store is opened.
 */

import { atLeast, found } from './findings.js';
import type { Finding, Store } from './types.js';

/** What the verbs ask of the file, in the shape that decides the plan; a `?` stands for what they are given. */
const own_queries: Record<string, string> = {
  'a session by its id': 'SELECT * FROM sessions WHERE id = ?',
  'a bot by its id': 'SELECT * FROM bots WHERE id = ?',
  'a bot by its name': 'SELECT * FROM bots WHERE name = ? AND deleted_at IS NULL',
  'a message by its id': 'SELECT * FROM messages WHERE session = ? AND id = ?',
  'the newest page of a session': 'SELECT * FROM messages WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 50',
  'the branches of a message': 'SELECT key FROM messages WHERE parent = ? AND parent <> key - 1',
  'the messages of a bot by time': 'SELECT * FROM messages WHERE bot = ? ORDER BY created_at LIMIT 100',
  'the sessions by activity': 'SELECT * FROM sessions WHERE deleted_at IS NULL ORDER BY last_active_at DESC LIMIT 50',
  'the sessions of a bot':
    'SELECT * FROM sessions WHERE bot = ? AND deleted_at IS NULL ORDER BY last_active_at DESC LIMIT 50',
  'the sessions in the trash': 'SELECT * FROM sessions WHERE deleted_at IS NOT NULL AND deleted_at < ?',
  'the messages in the trash': 'SELECT key FROM messages WHERE deleted_at IS NOT NULL AND deleted_at < ?',
  'the attachments of a message': 'SELECT * FROM attachments WHERE message = ?',
  'a reply under way': 'SELECT * FROM message_streams WHERE message = ?',
  'a repeated write': 'SELECT * FROM operations WHERE id = ?',
  'a search': 'SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?',
};

/** Whether a plan reads a table from end to end, or sorts what it has read. */
const isScan = (detail: string): boolean =>
  (/^SCAN (?!.*(USING|VIRTUAL))/.test(detail) || /USE TEMP B-TREE/.test(detail)) && !detail.startsWith('SCAN CONSTANT');

/** The queries whose plan uses no index, with that plan, and the share of those that do, in percent. */
async function plans(store: Store): Promise<{ efficiency: number; scans: string[] }> {
  const scans: string[] = [];
  for (const [name, sql] of Object.entries(own_queries)) {
    const params = (sql.match(/\?/g) ?? []).map(() => 1);
    const steps = await store.query(`EXPLAIN QUERY PLAN ${sql}`, { params });
    const details = steps.map((step) => String(step['detail']));
    if (details.length === 0 || details.some(isScan)) scans.push(`${name} (${details.join('; ')})`);
  }
  const all = Object.keys(own_queries).length;
  return { efficiency: ((all - scans.length) / all) * 100, scans };
}

export async function planFindings(store: Store): Promise<Finding> {
  const { efficiency, scans } = await plans(store);
  const rule = atLeast(95, '%');
  return found({ 'queries that read a whole table': [[], scans], 'by an index': [rule, efficiency] }, [
    { name: 'by an index', value: efficiency, unit: '%', target: rule.text },
    { name: 'queries explained', value: Object.keys(own_queries).length, unit: '' },
  ]);
}
