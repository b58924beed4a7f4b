/**
 * What is measured in a browser: rows of the Node bench and a few of its own, with the goals of chatstore.
 *
 * Holds: for each goal whom it is measured against; of several, the best in each round. Must not know: how a row is
 * measured.
 */
import { rows as shared } from '../rows.mjs';
import { peers, reference, searching_peers, subject, yardsticks } from './contestants.mjs';

const row = (id, more) => {
  const { target: _, ...found } = shared.find((each) => each.id === id) ?? {};
  return { id, ...found, ...more };
};

export const rows = [
  row('open', { title: 'open: from the call to an open store' }),
  row('cold', { title: 'cold start, no caches: navigation to first page of 50 shown' }),
  row('cold_warm', { title: 'cold start, warm caches: navigation to first page of 50 shown', unit: 'ms' }),
  row('insert'),
  row('writers'),
  row('update'),
  row('token'),
  row('streams'),
  row('token_relaxed'),
  row('bulk_1000'),
  row('bulk_10000'),
  row('bulk_100000'),
  row('bulk_1000_searchable'),
  row('bulk_10000_searchable'),
  row('bulk_100000_searchable'),
  row('page_of_session'),
  row('page_of_bot'),
  row('read_10000'),
  row('list_sessions'),
  row('search_rare'),
  row('search_common'),
  row('search_two'),
  row('frame_p95', { title: 'demo page, a chat of all messages scrolled: 95 of 100 frames within', unit: 'ms' }),
  row('frame_longest', { title: 'demo page, the same: longest frame', unit: 'ms' }),
  row('file'),
  row('flushes_insert'),
  row('writes_insert'),
  row('flushes_writers'),
  row('writes_writers'),
  row('flushes_token'),
  row('writes_token'),
];

const goal = (ids, target, against) => ids.map((id) => ({ id, contestant: subject, against, target }));

export const goals = [
  ...goal(['insert', 'token'], 1, yardsticks),
  ...goal(['writers'], 0.1, yardsticks),
  ...goal(['streams'], 0.125, yardsticks),
  ...goal(['bulk_1000', 'bulk_1000_searchable'], 0.35, peers),
  ...goal(['bulk_100000', 'bulk_100000_searchable'], 0.45, peers),
  ...goal(['page_of_session', 'page_of_bot'], 0.3, [reference]),
  ...goal(['read_10000'], 0.2, [reference]),
  ...goal(['list_sessions'], 0.1, [reference]),
  ...goal(['search_rare', 'search_common', 'search_two'], 1, searching_peers),
  ...goal(['cold', 'cold_warm'], 0.7, [reference]),
];
