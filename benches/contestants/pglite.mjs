/** PGlite: PostgreSQL in wasm, on files through node:fs. Must not know: the schema. */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { postgresStore } from './postgres.mjs';

const require = createRequire(new URL('../peers/package.json', import.meta.url));

export const notes = [
  'is built with `fsync = off` and never flushes: what it acknowledges survives the process, not the loss of power',
  'gives no prepared statements to keep; each query goes through the extended protocol',
  'searches by tsvector (`simple`) with a GIN index, and ranks by ts_rank',
];

export async function open(folder, { durability, searchable }) {
  const { PGlite } = require('@electric-sql/pglite');
  const path = `${folder}/pgdata`;
  const fresh = !existsSync(path);
  const db = await PGlite.create(path, { relaxedDurability: durability === 'relaxed' });
  return postgresStore(db, { fresh, searchable });
}
