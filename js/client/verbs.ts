/**
 * The verbs that a store and a transaction share: the three groups, search and query.
 *
 * Holds: the groups, and the verbs that belong to none of them. Must not know: who runs the calls.
 */

import { checkArgument } from './arguments.js';
import { Bots } from './bots.js';
import { argumentsOf, checkOptions, withoutNulls, type Caller } from './caller.js';
import { Messages } from './messages.js';
import { readHits, readQueryRows } from './rows.js';
import { Sessions } from './sessions.js';
import * as shapes from './shapes.js';
import type { Page, QueryOptions, Row, SearchHit, SearchOptions, SqlValue } from './types.js';

/** Every verb, on a store or in a transaction. */
export abstract class Verbs {
  readonly bots: Bots;
  readonly sessions: Sessions;
  readonly messages: Messages;
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
    this.bots = new Bots(caller);
    this.sessions = new Sessions(caller);
    this.messages = new Messages(caller);
  }

  /**
   * Finds messages by the words in them, best first, without those in the trash. Any text is a
   * query: nothing in it is syntax. The words must all be there; `prefix: true` completes the last.
   *
   * Where messages were written since the last search, they are indexed first; outside of a
   * transaction that waits for one that is open.
   *
   * Errors: `TOO_LARGE` over 10,000 bytes, `INVALID_CURSOR`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * await store.messages.add({ sessionId, role: 'user', content: 'Where is the station?' })
   * const { items } = await store.search('stat', { prefix: true })
   * const [start, end] = items[0].highlights[0]
   * assert.equal(items[0].snippet.slice(start, end), 'station')
   * await store.close()
   * ```
   */
  async search(query: string, options: SearchOptions = {}): Promise<Page<SearchHit>> {
    checkArgument('query', shapes.searchText, query);
    checkOptions(shapes.searchOptions, options);
    const args = { query, ...withoutNulls(argumentsOf(options)) };
    const reply = await this.#caller.call({ verb: 'search', write: false, args }, options);
    return readHits(reply, this.#caller.readText);
  }

  /**
   * Runs SQL that reads. Where two columns have one name, the last one is kept.
   *
   * Errors: `INVALID_SQL` with the offset of the fault, `QUERY_NOT_ALLOWED` for SQL that would do
   * more than read, `TOO_LARGE` where it has more rows than `limit`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * await store.sessions.create({ title: 'A trip' })
   * const rows = await store.query('SELECT title FROM sessions WHERE title LIKE :like', { params: { like: 'A%' } })
   * assert.deepEqual(rows, [{ title: 'A trip' }])
   * await store.close()
   * ```
   */
  async query<R extends Row = Row>(sql: string, options: QueryOptions = {}): Promise<R[]> {
    checkArgument('sql', shapes.sql, sql);
    checkOptions(shapes.queryOptions, options);
    const args: Record<string, unknown> = { sql, ...argumentsOf(options) };
    if (options.params !== undefined) args['params'] = sqlParams(options.params);
    const reply = await this.#caller.call({ verb: 'query', write: false, args }, options);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the caller says what its SQL gives
    return readQueryRows(reply, this.#caller.readText) as R[];
  }
}

/** SQL has no booleans: they are 1 and 0. */
function sqlParams(params: NonNullable<QueryOptions['params']>): unknown {
  if (Array.isArray(params)) return params.map(withoutBoolean);
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, withoutBoolean(value)]));
}

const withoutBoolean = (value: SqlValue): SqlValue => (typeof value === 'boolean' ? Number(value) : value);
