/**
 * What the checks read out of `stats()`, in one place.
 *
 * Holds: the names of figures. Must not know: what they should be.
 */

import type { Stats } from '../client/types.js';
import type { Store } from './types.js';

export interface PoolFigures {
  inUse: number;
  idle: number;
  maxInUse: number;
  checkouts: number;
  opened: number;
}

export async function poolOf(store: Store): Promise<PoolFigures> {
  const stats = await store.stats();
  return {
    inUse: stats.poolInUse,
    idle: stats.poolIdle,
    maxInUse: stats.poolMaxInUse,
    checkouts: stats.poolCheckouts,
    opened: stats.poolOpened,
  };
}

/** Share of check-outs that were given a connection which was there already, in percent. */
export const reuseOf = ({ checkouts, opened }: PoolFigures): number =>
  checkouts === 0 ? Number.NaN : (1 - opened / checkouts) * 100;

/** Reads, writes and flushes of the file so far. */
export const diskOperations = (stats: Stats): number =>
  stats.storageReads + stats.storageWrites + stats.storageFlushes;

/** Memory of a connection on average, in bytes. */
export const connectionBytes = (stats: Stats): number => stats.connectionBytes / stats.connections;
