/** wa-sqlite on a pool of sync access handles. */
import { AccessHandlePoolVFS } from '@journeyapps/wa-sqlite/src/examples/AccessHandlePoolVFS.js';
import { serveWaSqlite } from './wa-sqlite.mjs';

serveWaSqlite((module, folder) => AccessHandlePoolVFS.create(folder, module));
