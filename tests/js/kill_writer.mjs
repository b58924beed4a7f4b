/**
 * The victim of the kill test: writes in a loop and tells each acknowledged message on stdout.
 *
 * Each message carries the number of its batch and how many the batch has, so that half a batch can
 * be told from a whole one. Runs until it is killed.
 */
/* oxlint-disable no-await-in-loop -- a writer in a loop */
import { ChatStore } from 'chatstore';
import { seeded } from './support.mjs';

const [path, round] = process.argv.slice(2);
const chance = seeded(Number(round));
const store = await ChatStore.open(path);
await store.sessions.create({ id: 's' }, { ifExists: 'return' });
await store.sessions.create({ id: 't' }, { ifExists: 'return' });
// A line is out before the next write begins: pipes are written to at once.
const tell = (messages) => process.stdout.write(`${messages.map((message) => message.id).join(' ')}\n`);
process.stdout.write('open\n');

for (let batch = 0; batch < 100_000; batch++) {
  const kind = chance();
  const size = kind < 0.4 ? 1 : 2 + Math.floor(chance() * 20);
  const messages = Array.from({ length: size }, (_, i) => ({
    sessionId: chance() < 0.5 ? 's' : 't',
    id: `${round}-${batch}-${i}`,
    role: 'user',
    content: 'text '.repeat(Math.floor(chance() * 400)),
    metadata: { batch: `${round}-${batch}`, size },
  }));
  if (size === 1) {
    tell([await store.messages.add(messages[0])]);
  } else if (kind < 0.7) {
    tell(await store.messages.addMany(messages));
  } else {
    const added = await store.transaction(async (tx) => {
      const kept = [];
      for (const message of messages) {
        kept.push(await tx.messages.add(message));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return kept;
    });
    tell(added);
  }
}
