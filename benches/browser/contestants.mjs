/**
 * Who is measured in a browser: chatstore, and what a user would pick instead.
 *
 * Holds: one entry a contestant: what its page imports, what runs in its worker, whose prepared store it can open,
 * and where its version is read. Must not know: how any of them is called.
 */

/**
 * `page` is a module of `contestants/`, `worker` one of `workers/`, or a package's own file; with `inside` the rows are measured in that
 * worker, where no call crosses threads. `isolated` pages are served with the two headers that shared memory needs.
 * `assets` are folders of packages with the binary files that a bundle asks for beside itself.
 */
export const contestants = [
  { name: 'chatstore', title: 'chatstore', page: 'chatstore', base: 'chatstore' },
  {
    name: 'sahpool',
    title: 'sqlite-wasm, SAH pool',
    page: 'remote',
    worker: 'sahpool',
    base: 'sahpool',
    package: '@sqlite.org/sqlite-wasm',
    assets: ['@sqlite.org/sqlite-wasm/dist'],
  },
  {
    name: 'sahpool-inside',
    title: 'sqlite-wasm, SAH pool, inside its worker',
    page: 'remote',
    worker: 'sahpool',
    inside: true,
    base: 'sahpool',
    package: '@sqlite.org/sqlite-wasm',
    assets: ['@sqlite.org/sqlite-wasm/dist'],
  },
  {
    name: 'handle-pool',
    title: 'wa-sqlite, AccessHandlePoolVFS',
    page: 'remote',
    worker: 'handle-pool',
    base: 'handle-pool',
    package: '@journeyapps/wa-sqlite',
    assets: ['@journeyapps/wa-sqlite/dist'],
  },
  {
    name: 'handle-pool-inside',
    title: 'wa-sqlite, AccessHandlePoolVFS, inside its worker',
    page: 'remote',
    worker: 'handle-pool',
    inside: true,
    base: 'handle-pool',
    package: '@journeyapps/wa-sqlite',
    assets: ['@journeyapps/wa-sqlite/dist'],
  },
  {
    name: 'coop-sync',
    title: 'wa-sqlite, OPFSCoopSyncVFS',
    page: 'remote',
    worker: 'coop-sync',
    base: 'coop-sync',
    package: '@journeyapps/wa-sqlite',
    assets: ['@journeyapps/wa-sqlite/dist'],
  },
  {
    name: 'write-ahead',
    title: 'wa-sqlite, OPFSWriteAheadVFS',
    page: 'remote',
    worker: 'write-ahead',
    base: 'write-ahead',
    package: '@journeyapps/wa-sqlite',
    assets: ['@journeyapps/wa-sqlite/dist'],
  },
  {
    name: 'sqlocal',
    title: 'SQLocal',
    page: 'sqlocal',
    worker: 'sqlocal/dist/worker.js',
    isolated: true,
    base: 'sqlocal',
    package: 'sqlocal',
    assets: ['sqlocal/node_modules/@sqlite.org/sqlite-wasm/dist'],
  },
  {
    name: 'dexie',
    title: 'Dexie',
    page: 'dexie',
    base: 'dexie',
    package: 'dexie',
    lacks: {
      groups: ['searching', 'bulk_searchable', 'bulk_many_searchable'],
      rows: ['search_rare', 'search_common', 'search_two'].concat(
        ['1000', '10000', '100000'].map((count) => `bulk_${count}_searchable`),
      ),
      why: 'IndexedDB has no search by words',
    },
  },
  {
    name: 'pglite',
    title: 'PGlite',
    page: 'remote',
    worker: 'pglite',
    base: 'pglite',
    package: '@electric-sql/pglite',
    assets: ['@electric-sql/pglite/dist'],
  },
];

export const subject = 'chatstore';
export const reference = 'sahpool';
/** What sync access handles give at their best, without a call that crosses threads. */
export const yardsticks = ['sahpool-inside', 'handle-pool-inside'];
/** Peers that a page can use, with the same way of searching. */
export const searching_peers = ['sahpool', 'handle-pool', 'coop-sync', 'write-ahead', 'sqlocal'];
export const peers = [...searching_peers, 'dexie', 'pglite'];
