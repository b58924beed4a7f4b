/**
 * The process that the report in Node has for a host: it opens a store, owns it, locks it when it is told to, and
 * closes it when the report lets go of it or is gone.
 *
 * Holds: nothing else. Must not know: what is in the store.
 */

import { ChatStore } from '../index.js';
import type { NewMessage, OpenOptions } from '../client/types.js';

/** What node.ts tells it. */
interface Told {
  lock?: NewMessage;
  unlock?: true;
}

const [path = '', options = '{}'] = process.argv.slice(2);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- node.ts writes it so
const store = await ChatStore.open(path, JSON.parse(options) as OpenOptions);
let unlock = (): void => undefined;

/** Holds the one transaction that writes. */
async function lock(message: NewMessage): Promise<void> {
  const held = new Promise<void>((resolve) => {
    unlock = resolve;
  });
  await store.transaction(async (tx) => {
    await tx.messages.add(message);
    process.send?.('locked');
    await held;
  });
  process.send?.('unlocked');
}

/** The report learns that this process has ended. */
const fail = (): never => process.exit(1);

process.on('message', (told: Told) => {
  if (told.lock !== undefined) lock(told.lock).catch(fail);
  if (told.unlock === true) unlock();
});
process.once('disconnect', () => {
  unlock();
  store.close().catch(fail);
});
process.send?.('ready');
