/** better-sqlite3, native, in the version that the process's Node takes. Must not know: the schema. */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { plainStore, pragmas } from './plain.mjs';

const require = createRequire(new URL('../peers/package.json', import.meta.url));

export const notes = [];

export function open(folder, { durability, searchable, version }) {
  const Database = require(`better-sqlite3-${version}`);
  const path = `${folder}/chats.sqlite`;
  const fresh = !existsSync(path);
  const db = new Database(path);
  db.exec(pragmas(durability));
  const driver = {
    exec: (sql) => db.exec(sql),
    prepare: (sql) => db.prepare(sql),
    transaction: (work) => db.transaction(work).immediate,
    close: () => db.close(),
  };
  return plainStore(driver, { fresh, searchable });
}
