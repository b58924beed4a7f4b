/**
 * wa-sqlite on the file system that keeps a log of its own beneath SQLite, which is told of no WAL. It holds its locks
 * until somebody else asks for them, so an exclusive mode is not needed.
 */
import { OPFSWriteAheadVFS } from '@journeyapps/wa-sqlite/src/examples/OPFSWriteAheadVFS.js';
import { pragmas } from '../../contestants/plain.mjs';
import { serveWaSqlite } from './wa-sqlite.mjs';

serveWaSqlite(
  (module, folder) => OPFSWriteAheadVFS.create(folder, module),
  (durability) => pragmas(durability).replace('PRAGMA journal_mode = WAL;', ''),
);
