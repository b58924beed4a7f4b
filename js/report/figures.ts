/**
 * What the checks read out of `stats()`, in one place.
 *
 * Holds: the names of figures. Must not know: what they should be.
 */

import type { Stats } from '../client/types.js';
import { failureOf } from './findings.js';
import type { Store } from './types.js';
import { count } from './work.js';

export const poolOf = async (store: Store): Promise<Stats['pool']> => (await store.stats()).pool;

/** Share of check-outs that were given a connection which was there already, in percent. */
export const reuseOf = ({ checkouts, created }: Stats['pool']): number =>
  checkouts === 0 ? Number.NaN : (1 - created / checkouts) * 100;

/** Hosts that this handle has lost, and calls that it sent again. Right after a host was lost too. */
export const lostOf = async (store: Store): Promise<Stats['link']> => {
  // It may go to the host that is there no more.
  await failureOf(store.stats());
  return (await store.stats()).link;
};

/** Reads, writes and flushes of the file so far. */
export const diskOperations = async (store: Store): Promise<number> => {
  const { reads, writes, flushes } = (await store.stats()).storage;
  return reads + writes + flushes;
};

/**
 * Of all leaf pages that have one before them in the order of their table or index, the share that does not lie
 * directly behind it in the file, in percent.
 */
export const outOfOrder = (store: Store): Promise<number> =>
  count(
    store,
    `SELECT 100.0 * total(pageno <> before + 1) / max(count(before), 1) FROM (
      SELECT pageno, lag(pageno) OVER (PARTITION BY name ORDER BY path) AS before FROM dbstat WHERE pagetype = 'leaf'
    ) WHERE before IS NOT NULL`,
  );
