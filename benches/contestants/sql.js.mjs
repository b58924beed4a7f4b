/** sql.js: SQLite in wasm, in memory; kept by writing the whole image. Must not know: the schema. */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { plainStore } from './plain.mjs';
import { transactions } from './transactions.mjs';

const require = createRequire(new URL('../peers/package.json', import.meta.url));

export const notes = [
  'has no durability: each acknowledged write exports the whole database and writes it to a new file, flushed and renamed (relaxed: not flushed)',
  'its statements end with each export and are prepared again',
  'has FTS4 in place of FTS5: no rank, so the newest matches come first',
];

export async function open(folder, { durability, searchable }) {
  const SQL = await require('sql.js')();
  const path = `${folder}/chats.sqlite`;
  const fresh = !existsSync(path);
  const db = fresh ? new SQL.Database() : new SQL.Database(readFileSync(path));
  const configure = () => db.exec('PRAGMA foreign_keys = ON; PRAGMA cache_size = -16000;');
  configure();
  const driver = {
    exec: (sql) => db.exec(sql),
    prepare(sql) {
      const statement = db.prepare(sql);
      return {
        run(...values) {
          statement.run(values);
          return { changes: db.getRowsModified() };
        },
        all(...values) {
          statement.bind(values);
          const rows = [];
          while (statement.step()) rows.push(statement.getAsObject());
          statement.reset();
          return rows;
        },
      };
    },
    transaction: transactions((sql) => () => db.exec(sql)),
    acknowledge() {
      const image = db.export();
      configure();
      const file = openSync(`${path}.new`, 'w');
      for (let written = 0; written < image.length;) written += writeSync(file, image, written);
      if (durability !== 'relaxed') fdatasyncSync(file);
      closeSync(file);
      renameSync(`${path}.new`, path);
    },
    close: () => db.close(),
  };
  return plainStore(driver, { fresh, searchable, engine: 'fts4' });
}
