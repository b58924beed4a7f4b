/** node:sqlite, the module that newer versions of Node bring. Must not know: the schema. */
import { existsSync } from 'node:fs';
import { plainStore, pragmas } from './plain.mjs';
import { transactions } from './transactions.mjs';

export const notes = [];

export async function open(folder, { durability, searchable }) {
  const { DatabaseSync } = await import('node:sqlite');
  const path = `${folder}/chats.sqlite`;
  const fresh = !existsSync(path);
  const db = new DatabaseSync(path);
  db.exec(pragmas(durability));
  const driver = {
    exec: (sql) => db.exec(sql),
    prepare: (sql) => db.prepare(sql),
    transaction: transactions((sql) => {
      const prepared = db.prepare(sql);
      return () => prepared.run();
    }),
    close: () => db.close(),
  };
  return plainStore(driver, { fresh, searchable });
}
