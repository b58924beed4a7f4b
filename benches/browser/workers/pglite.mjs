/** PGlite: PostgreSQL in wasm, on a pool of sync access handles. Must not know: the schema. */
import { PGlite } from '@electric-sql/pglite';
import { postgresStore } from '../../contestants/postgres.mjs';
import { serve } from './serve.mjs';

serve(async (folder, { durability, searchable }) => {
  const db = await PGlite.create(`opfs-ahp://${folder}`, { relaxedDurability: durability === 'relaxed' });
  const { rows } = await db.query(`SELECT to_regclass('messages') IS NULL AS fresh`);
  return postgresStore(db, { fresh: rows[0].fresh, searchable });
});
