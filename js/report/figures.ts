/**
 * What the checks read out of `stats()`, in one place.
 *
 * Holds: the names of figures. Must not know: what they should be.
 */

import type { DeepStats, Stats } from '../client/types.js';
import { failureOf } from './findings.js';
import type { Store } from './types.js';

export const MIB = 1024 * 1024;

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

/** What `stats` reads out of the file itself. */
export async function deepOf(store: Store): Promise<DeepStats> {
  const { deep } = await store.stats({ deep: true });
  if (deep === null) throw new Error('the figures that were asked for are not there');
  return deep;
}

/** What SQLite holds in memory, and the whole memory of the core, in MiB. */
export async function memoryOf(store: Store): Promise<{ sqlite: number; core: number }> {
  const { sqliteBytes, wasmBytes } = (await store.stats()).memory;
  return { sqlite: sqliteBytes / MIB, core: wasmBytes / MIB };
}
