/**
 * What is measured: the rows of the table, and the most that chatstore may take of each.
 *
 * Holds: for each row its words, its unit and its target, a ratio to better-sqlite3 12 in the same run.
 * In all of them less is better. Must not know: how a row is measured (groups.mjs).
 */
import { reference, subject } from './contestants.mjs';

const ms = 'ms';

export const rows = [
  { id: 'open', title: 'open: library loaded and store open', unit: ms },
  { id: 'open_again', title: 'open again in the same process', unit: ms },
  { id: 'cold', title: 'cold start: process started to first page of 50', unit: ms, target: 3 },
  { id: 'insert', title: 'insert, flushed', unit: ms, target: 1, spread: true },
  { id: 'writers', title: '100 writers waiting, all flushed', unit: ms, target: 0.2, spread: true },
  { id: 'update', title: 'update of a text, flushed', unit: ms, spread: true },
  { id: 'token', title: 'token appended to a reply, flushed', unit: ms, target: 1, spread: true },
  { id: 'streams', title: 'a token to each of 10 replies at once, flushed', unit: ms, spread: true },
  { id: 'token_relaxed', title: 'token appended to a reply, relaxed', unit: ms, spread: true },
  { id: 'bulk_1000', title: 'bulk of 1,000: stored', unit: ms, target: 1 },
  { id: 'bulk_10000', title: 'bulk of 10,000: stored', unit: ms, target: 1 },
  { id: 'bulk_100000', title: 'bulk of 100,000: stored', unit: ms, target: 1 },
  { id: 'bulk_1000_searchable', title: 'bulk of 1,000: until searched', unit: ms },
  { id: 'bulk_10000_searchable', title: 'bulk of 10,000: until searched', unit: ms },
  { id: 'bulk_100000_searchable', title: 'bulk of 100,000: until searched', unit: ms },
  { id: 'page_of_bot', title: 'newest 100 of a bot', unit: ms, target: 0.8 },
  { id: 'page_of_session', title: 'newest page of 50 of a session', unit: ms, target: 0.8 },
  { id: 'read_10000', title: 'read 10,000 into objects', unit: ms, target: 0.5 },
  { id: 'list_sessions', title: 'list of 50 sessions, with count and last message', unit: ms, target: 0.1 },
  { id: 'search_rare', title: 'search: a rare word, page of 20', unit: ms, target: 2.2 },
  { id: 'search_common', title: 'search: a common word, page of 20', unit: ms, target: 2.2 },
  { id: 'search_two', title: 'search: two words, page of 20', unit: ms, target: 2.2 },
  { id: 'delete', title: 'delete of the oldest hundredth', unit: ms },
  { id: 'rss_read', title: 'memory: peak of a process that read 10,000', unit: 'MiB' },
  { id: 'wasm_read', title: 'memory: wasm, the same process', unit: 'MiB' },
  { id: 'rss_bulk', title: 'memory: peak of a process that stored 100,000', unit: 'MiB' },
  { id: 'file', title: 'files, closed', unit: 'MiB' },
  { id: 'flushes_insert', title: 'flushes an insert', unit: '' },
  { id: 'writes_insert', title: 'writes an insert', unit: '' },
  { id: 'flushes_writers', title: 'flushes of 100 waiting writers', unit: '' },
  { id: 'writes_writers', title: 'writes of 100 waiting writers', unit: '' },
  { id: 'flushes_token', title: 'flushes a token', unit: '' },
  { id: 'writes_token', title: 'writes a token', unit: '' },
];

/** Each row's goal against better-sqlite3 12, and further ones. */
export const goals = [
  ...rows
    .filter(({ target }) => target !== undefined)
    .map(({ id, target }) => ({ id, contestant: subject, against: [reference], target })),
  { id: 'read_10000', contestant: 'chatstore-24', against: ['better-sqlite3-13'], target: 1.25 },
];

/** The rows that are measured at several sizes. */
export const growing = [
  'open_again',
  'insert',
  'page_of_bot',
  'page_of_session',
  'list_sessions',
  'search_rare',
  'search_common',
  'search_two',
];
