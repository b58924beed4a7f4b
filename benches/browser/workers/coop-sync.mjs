/** wa-sqlite on the file system that lets tabs take turns. */
import { OPFSCoopSyncVFS } from '@journeyapps/wa-sqlite/src/examples/OPFSCoopSyncVFS.js';
import { serveWaSqlite } from './wa-sqlite.mjs';

serveWaSqlite((module, folder) => OPFSCoopSyncVFS.create(folder, module));
