/**
 * Who is measured: chatstore, and what a user would pick instead.
 *
 * Holds: one entry a contestant: its module, the Node it runs on, whose prepared store it can open, and
 * how its version is found. Must not know: how any of them is called.
 */

/**
 * `node24` runs on the Node 24 beside this one. `base` names the store that is copied for each process:
 * contestants with the same file format share one. `package` says where the version is read.
 */
export const contestants = [
  { name: 'chatstore', title: 'chatstore', module: 'chatstore', base: 'chatstore' },
  {
    name: 'better-sqlite3-12',
    title: 'better-sqlite3 12',
    module: 'better-sqlite3',
    base: 'plain',
    package: 'better-sqlite3-12',
    options: { version: 12 },
  },
  { name: 'chatstore-24', title: 'chatstore, Node 24', module: 'chatstore', base: 'chatstore', node24: true },
  {
    name: 'better-sqlite3-13',
    title: 'better-sqlite3 13, Node 24',
    module: 'better-sqlite3',
    base: 'plain',
    package: 'better-sqlite3-13',
    options: { version: 13 },
    node24: true,
  },
  { name: 'node-sqlite', title: 'node:sqlite, Node 24', module: 'node-sqlite', base: 'plain', node24: true },
  {
    name: 'node-sqlite3-wasm',
    title: 'node-sqlite3-wasm',
    module: 'node-sqlite3-wasm',
    base: 'plain',
    package: 'node-sqlite3-wasm',
  },
  { name: 'sql.js', title: 'sql.js', module: 'sql.js', base: 'sql.js', package: 'sql.js' },
  { name: 'pglite', title: 'PGlite', module: 'pglite', base: 'pglite', package: '@electric-sql/pglite' },
  { name: 'disk', title: 'the disk alone', module: 'disk', base: undefined },
];

export const subject = 'chatstore';
export const reference = 'better-sqlite3-12';
