/**
 * A library that must run in a worker, as a page uses it: each operation is one message there and one back.
 *
 * Holds: the page's side of the calls, and how a group of rows is sent to be measured in the worker itself. Must not
 * know: which library it is.
 */

function connect() {
  const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  const waiting = new Map();
  let last_id = 0;
  worker.addEventListener('message', ({ data: { id, value, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(value);
    else reject(error);
  });
  worker.addEventListener('error', (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message));
  });
  const call = (method, ...args) =>
    new Promise((resolve, reject) => {
      const id = ++last_id;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, method, args });
    });
  return { worker, call };
}

const methods = [
  'addBots',
  'addSessions',
  'insert',
  'insertMany',
  'pageOfBot',
  'pageOfSession',
  'readSession',
  'listSessions',
  'update',
  'deleteBefore',
  'search',
  'matches',
];

export async function open(folder, options) {
  const { worker, call } = connect();
  const { ranked } = await call('open', folder, options);
  const store = { ranked };
  for (const method of methods) store[method] = (...args) => call(method, ...args);
  store.startReply = async (message) => {
    const key = await call('startReply', message);
    return { append: (token) => call('append', key, token), finish: () => call('finish', key) };
  };
  store.close = async () => {
    await call('close');
    worker.terminate();
  };
  return store;
}

/** Measures a group where the library is. */
export async function runInside(job) {
  const { worker, call } = connect();
  const result = await call('run', job);
  worker.terminate();
  return result;
}
