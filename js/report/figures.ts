/**
 * What the checks read out of `stats()`, in one place.
 *
 * Holds: the names of figures. Must not know: what they should be.
 */

import type { Store } from './types.js';
import { count } from './work.js';

/** The part of the figures that checks go by. */
export interface Figures {
  pool: { inUse: number; idle: number; mostInUse: number; checkouts: number; created: number };
  storage: { reads: number; writes: number; flushes: number };
  memory: { perConnectionBytes: number };
}

export async function figuresOf(store: Store): Promise<Figures> {
  const stats: object = await store.stats();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- all of them are there, or none
  if ('pool' in stats) return stats as Figures;
  const flat = new Map<string, number>(Object.entries(stats));
  const of = (name: string): number => flat.get(name) ?? Number.NaN;
  return {
    pool: {
      inUse: of('poolInUse'),
      idle: of('poolIdle'),
      mostInUse: of('poolMaxInUse'),
      checkouts: of('poolCheckouts'),
      created: of('poolOpened'),
    },
    storage: { reads: of('storageReads'), writes: of('storageWrites'), flushes: of('storageFlushes') },
    memory: { perConnectionBytes: of('connectionBytes') / of('connections') },
  };
}

export const poolOf = async (store: Store): Promise<Figures['pool']> => (await figuresOf(store)).pool;

/** Share of check-outs that were given a connection which was there already, in percent. */
export const reuseOf = ({ checkouts, created }: Figures['pool']): number =>
  checkouts === 0 ? Number.NaN : (1 - created / checkouts) * 100;

/** Reads, writes and flushes of the file so far. */
export const diskOperations = async (store: Store): Promise<number> => {
  const { reads, writes, flushes } = (await figuresOf(store)).storage;
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

/** Does the tasks of `maintain`; gives false where this version has none. */
export async function maintained(store: Store, tasks: { vacuum: 'incremental' | 'full' }): Promise<boolean> {
  if (!('maintain' in store)) return false;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is there
  await (store as unknown as { maintain: (given: object) => Promise<unknown> }).maintain(tasks);
  return true;
}
