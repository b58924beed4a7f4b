/**
 * Stores that do not keep a promise, for the test of the report: each call can be replaced, on a store, in its
 * transactions and in its snapshots.
 *
 * Holds: how a call is replaced. Holds no test.
 */

/**
 * In the place of a verb: gets the real one, its arguments, and where it was called.
 *
 * @typedef {(call: (...args: any[]) => any, args: any[], where: { place: string, store: any }) => any} Substitute
 */

const groups = new Set(['bots', 'sessions', 'messages']);
const scopes = { transaction: 'transaction', snapshot: 'snapshot', savepoint: 'savepoint' };

/**
 * The same store, or handle of a transaction or snapshot, with some verbs replaced: `messages.add`, `query`, …
 *
 * @param {any} api
 * @param {Record<string, Substitute>} verbs
 */
export function misbehaving(api, verbs, place = 'store', store = api) {
  const substitute = (target, name, path) => {
    const value = Reflect.get(target, name, target);
    if (groups.has(path)) return proxy(value, `${path}.`);
    if (typeof value !== 'function') return value;
    const scope = scopes[path];
    const real = (...args) => {
      if (scope === undefined) return value.apply(target, args);
      const [run, ...rest] = args;
      return value.apply(target, [(inner) => run(misbehaving(inner, verbs, scope, store)), ...rest]);
    };
    const replaced = verbs[path];
    return replaced === undefined ? real : (...args) => replaced(real, args, { place, store });
  };
  const proxy = (target, prefix) =>
    new Proxy(target, {
      get: (held, name) =>
        typeof name === 'symbol' ? Reflect.get(held, name, held) : substitute(held, name, prefix + name),
    });
  return proxy(api, '');
}

/** A store whose transactions are none: each call takes effect by itself, and stays. */
export const without_transactions = {
  transaction: (_, [run], { store }) => {
    const handle = new Proxy(store, {
      get: (held, name) => {
        if (name === 'savepoint') return (inner) => inner(handle);
        const value = Reflect.get(held, name, held);
        return typeof value === 'function' ? value.bind(held) : value;
      },
    });
    return (async () => run(handle))();
  },
};

/** Snapshots that are none: they show what is there now. */
export const without_snapshots = { snapshot: (_, [run], { store }) => (async () => run(store))() };
