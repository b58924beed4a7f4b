/**
 * wa-sqlite in its synchronous build, with any of its file systems.
 *
 * Holds: statements by way of the C functions, because the library's own wrappers wait a turn a row. Opening goes
 * through the library, which waits for what a file system does beforehand; once the file is locked for good,
 * nothing is left to wait for. Must not know: the schema, or which file system it is.
 */
import ModuleFactory from '@journeyapps/wa-sqlite/dist/wa-sqlite.mjs';
import { Factory, SQLITE_DONE, SQLITE_OK, SQLITE_ROW } from '@journeyapps/wa-sqlite';
import { plainStore } from '../../contestants/plain.mjs';
import { transactions } from '../../contestants/transactions.mjs';
import { pragmas } from './pragmas.mjs';
import { serve } from './serve.mjs';

const [type_integer, type_float, type_text] = [1, 2, 3];
const transient = -1;
const exec_types = ['number', 'string', 'number', 'number', 'number'];
/** What is called of SQLite's interface for C. */
const functions = [
  'bind_double',
  'bind_null',
  'bind_text',
  'changes',
  'column_bytes',
  'column_count',
  'column_double',
  'column_name',
  'column_text',
  'column_type',
  'errmsg',
  'finalize',
  'free',
  'malloc',
  'prepare_v2',
  'reset',
  'step',
];
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function driverOf(module, db) {
  const c = Object.fromEntries(functions.map((name) => [name, module[`_sqlite3_${name}`]]));
  const text = (address, bytes) => decoder.decode(module.HEAPU8.subarray(address, address + bytes));
  const check = (code) => {
    if (code !== SQLITE_OK && code !== SQLITE_ROW && code !== SQLITE_DONE)
      throw new Error(module.UTF8ToString(c.errmsg(db)));
    return code;
  };
  const copy = (bytes, more) => {
    const address = c.malloc(bytes.length + more);
    module.HEAPU8.set(bytes, address);
    return address;
  };
  const statements = new Set();
  function prepare(sql) {
    const bytes = encoder.encode(sql);
    const address = copy(bytes, 8);
    const out = c.malloc(4);
    try {
      check(c.prepare_v2(db, address, bytes.length, out, 0));
      const statement = module.getValue(out, '*');
      statements.add(statement);
      return statement;
    } finally {
      c.free(address);
      c.free(out);
    }
  }
  function bind(statement, values) {
    for (const [i, value] of values.entries()) {
      if (typeof value === 'string') {
        const bytes = encoder.encode(value);
        const address = copy(bytes, 1);
        check(c.bind_text(statement, i + 1, address, bytes.length, transient));
        c.free(address);
      } else if (typeof value === 'number') check(c.bind_double(statement, i + 1, value));
      else check(c.bind_null(statement, i + 1));
    }
  }
  function column(statement, i) {
    const type = c.column_type(statement, i);
    if (type === type_text) {
      const address = c.column_text(statement, i);
      return text(address, c.column_bytes(statement, i));
    }
    // Whole numbers up to 2^53 come over as they are.
    if (type === type_integer || type === type_float) return c.column_double(statement, i);
    return null;
  }
  function step(statement) {
    const code = c.step(statement);
    if (module.retryOps.length > 0) throw new Error('the file system wants to wait, though the file is locked');
    return check(code);
  }
  return {
    exec: (sql) => void check(module.ccall('sqlite3_exec', 'number', exec_types, [db, sql, 0, 0, 0])),
    prepare(sql) {
      const statement = prepare(sql);
      const names = Array.from({ length: c.column_count(statement) }, (_, i) =>
        module.UTF8ToString(c.column_name(statement, i)),
      );
      return {
        run(...values) {
          bind(statement, values);
          step(statement);
          check(c.reset(statement));
          return { changes: c.changes(db) };
        },
        all(...values) {
          bind(statement, values);
          const rows = [];
          while (step(statement) === SQLITE_ROW) {
            const row = {};
            for (let i = 0; i < names.length; i++) row[names[i]] = column(statement, i);
            rows.push(row);
          }
          check(c.reset(statement));
          return rows;
        },
      };
    },
    transaction: transactions((sql) => {
      const prepared = prepare(sql);
      return () => {
        step(prepared);
        check(c.reset(prepared));
      };
    }),
    finalizeAll() {
      for (const statement of statements) c.finalize(statement);
    },
  };
}

/** `create(module, folder)` makes the file system, `settings(durability)` are the pragmas. */
export function serveWaSqlite(create, settings = pragmas) {
  serve(async (folder, { durability, searchable }) => {
    const module = await ModuleFactory();
    const sqlite3 = Factory(module);
    const vfs = await create(module, folder);
    sqlite3.vfs_register(vfs, true);
    const db = await sqlite3.open_v2(`${folder}.sqlite`);
    await sqlite3.exec(db, settings(durability));
    const count = async (sql) => {
      let found;
      await sqlite3.exec(db, sql, ([value]) => (found = value));
      return found;
    };
    await sqlite3.exec(db, 'BEGIN EXCLUSIVE; COMMIT');
    const fresh = (await count('SELECT count(*) FROM sqlite_schema')) === 0;
    const driver = driverOf(module, db);
    return plainStore(
      {
        ...driver,
        async close() {
          driver.finalizeAll();
          await sqlite3.close(db);
          await vfs.close?.();
        },
      },
      { fresh, searchable },
    );
  });
}
