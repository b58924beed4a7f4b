/**
 * The victim of the streaming kill test: replies that come token by token, until it is killed.
 *
 * After each flush that resolved it tells on stdout how many tokens of which reply are safe.
 */
/* oxlint-disable no-await-in-loop -- a writer in a loop */
import { ChatStore } from 'chatstore';

const [path, round] = process.argv.slice(2);
const store = await ChatStore.open(path);
await store.sessions.create({ id: 's' }, { ifExists: 'return' });
const streams = await Promise.all(
  ['a', 'b'].map((name) => store.messages.start({ sessionId: 's', id: `${name}${round}` }, { flushIntervalMs: 5 })),
);
for (let token = 0; token < 100_000; token++) {
  for (const stream of streams) stream.append(`${token} `);
  const stream = streams[token % 2];
  if (token % 7 < 2) {
    await stream.flush();
    // A line is out before the next token comes: pipes are written to at once.
    process.stdout.write(`${stream.ref.id} ${token}\n`);
  } else {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
