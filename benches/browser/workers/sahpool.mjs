/** sqlite-wasm on a pool of sync access handles. Must not know: the schema. */
import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { plainStore } from '../../contestants/plain.mjs';
import { transactions } from '../../contestants/transactions.mjs';
import { pragmas } from './pragmas.mjs';
import { serve } from './serve.mjs';

let loading;

serve(async (folder, { durability, searchable }) => {
  loading ??= sqlite3InitModule({ print() {}, printErr: console.error });
  const sqlite3 = await loading;
  const pool = await sqlite3.installOpfsSAHPoolVfs({ name: folder, directory: `/${folder}`, initialCapacity: 6 });
  const fresh = !pool.getFileNames().includes('/chats.sqlite');
  const db = new pool.OpfsSAHPoolDb('/chats.sqlite');
  db.exec(pragmas(durability));
  const statements = [];
  const prepare = (sql) => {
    statements.push(db.prepare(sql));
    return statements.at(-1);
  };
  return plainStore(
    {
      exec: (sql) => db.exec(sql),
      prepare(sql) {
        const statement = prepare(sql);
        const names = statement.columnCount > 0 ? statement.getColumnNames() : [];
        const run = (...values) => {
          if (values.length > 0) statement.bind(values);
          statement.stepReset();
          return { changes: sqlite3.capi.sqlite3_changes(db) };
        };
        const all = (...values) => {
          if (values.length > 0) statement.bind(values);
          const rows = [];
          while (statement.step()) {
            const row = {};
            for (let i = 0; i < names.length; i++) row[names[i]] = statement.get(i);
            rows.push(row);
          }
          statement.reset();
          return rows;
        };
        return { run, all };
      },
      transaction: transactions((sql) => {
        const prepared = prepare(sql);
        return () => prepared.stepReset();
      }),
      close() {
        for (const statement of statements) statement.finalize();
        db.close();
        pool.pauseVfs();
      },
    },
    { fresh, searchable },
  );
});
