/**
 * The process that the report in Node has for a host: it opens a store, owns it, and closes it when the report
 * lets go of it or is gone.
 *
 * Holds: nothing else. Must not know: what is in the store.
 */

import { ChatStore } from '../index.js';
import type { OpenOptions } from '../client/types.js';

const [path = '', options = '{}'] = process.argv.slice(2);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- node.ts writes it so
const store = await ChatStore.open(path, JSON.parse(options) as OpenOptions);
process.once('disconnect', () => {
  void store.close();
});
process.send?.('ready');
