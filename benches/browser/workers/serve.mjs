/**
 * The worker's side of a library that must run in a worker.
 *
 * Holds: calls by name on the one open store, in the order in which they came, and the replies under way. Must not
 * know: which library it is.
 */

const answer = (id, value) => postMessage({ id, value });
const fail = (id, error) => postMessage({ id, error });

/** Answers calls. `openStore(folder, options)` opens the library's store. */
export function serve(openStore) {
  let store;
  let last_key = 0;
  const replies = new Map();
  const own = {
    async open(folder, options) {
      store = await openStore(folder, options);
      return { ranked: store.ranked };
    },
    async startReply(message) {
      replies.set(++last_key, await store.startReply(message));
      return last_key;
    },
    append: (key, token) => replies.get(key).append(token),
    finish: (key) => replies.get(key).finish(),
    async run(job) {
      const { runGroup } = await import('../groups.mjs');
      return runGroup(job, openStore);
    },
  };
  // What a library answers at once is posted at once: no turn of the loop is lost.
  addEventListener('message', ({ data: { id, method, args } }) => {
    try {
      const value = method in own ? own[method](...args) : store[method](...args);
      if (typeof value?.then === 'function')
        value.then(
          (settled) => answer(id, settled),
          (error) => fail(id, error),
        );
      else answer(id, value);
    } catch (error) {
      fail(id, error);
    }
  });
}
