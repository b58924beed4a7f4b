/** node-sqlite3-wasm: SQLite in wasm on node:fs. Must not know: the schema. */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { plainStore, pragmas } from './plain.mjs';
import { transactions } from './transactions.mjs';

const require = createRequire(new URL('../peers/package.json', import.meta.url));

export const notes = [
  'has no shared memory, so WAL only with `locking_mode = EXCLUSIVE`, which it is given: one connection a file',
];

export function open(folder, { durability, searchable }) {
  const { Database } = require('node-sqlite3-wasm');
  const path = `${folder}/chats.sqlite`;
  const fresh = !existsSync(path);
  const db = new Database(path);
  db.exec(`PRAGMA locking_mode = EXCLUSIVE; ${pragmas(durability)}`);
  // Closing with statements left over would leave its lock behind, for ever.
  const statements = [];
  const prepare = (sql) => {
    statements.push(db.prepare(sql));
    return statements.at(-1);
  };
  const driver = {
    exec: (sql) => db.exec(sql),
    prepare(sql) {
      const statement = prepare(sql);
      return { run: (...values) => statement.run(values), all: (...values) => statement.all(values) };
    },
    transaction: transactions((sql) => {
      const prepared = prepare(sql);
      return () => prepared.run();
    }),
    close() {
      for (const statement of statements) statement.finalize();
      db.close();
    },
  };
  return plainStore(driver, { fresh, searchable });
}
