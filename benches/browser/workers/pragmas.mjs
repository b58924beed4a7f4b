/** The settings of a SQLite that has a file for itself. Must not know: the library. */
import { pragmas as shared } from '../../contestants/plain.mjs';

/** Exclusive first: without shared memory there is no other way to write-ahead logging. */
export const pragmas = (durability) => `PRAGMA locking_mode = EXCLUSIVE; ${shared(durability)}`;
