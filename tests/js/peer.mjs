/**
 * A process that does what a test tells it to: pieces of JavaScript come by messages, and what they
 * give goes back. Ends when the test does.
 *
 * A piece sees `ChatStore`, `state` (an object of its own that stays from piece to piece) and `tell`,
 * which sends something to the test at any time.
 */
import { ChatStore } from 'chatstore';

const AsyncFunction = Object.getPrototypeOf(async () => undefined).constructor;
const state = {};
const tell = (told) => process.send?.({ told });

process.on('disconnect', () => process.exit());
process.on('message', async (/** @type {any} */ { id, code, args }) => {
  try {
    const value = await new AsyncFunction('ChatStore', 'state', 'tell', 'args', code)(ChatStore, state, tell, args);
    process.send?.({ id, value });
  } catch (error) {
    const { name, code: error_code, message, outcome, operationId, details } = error;
    process.send?.({ id, error: { name, code: error_code, message, outcome, operationId, details } });
  }
});
process.send?.({ told: 'ready' });
