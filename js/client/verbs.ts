/**
 * The verbs that a store and a transaction share: the three groups, search, context and query.
 *
 * Holds: the groups, and the verbs that belong to none of them. Must not know: who runs the calls.
 */

import { checkArgument } from './arguments.js';
import { Bots } from './bots.js';
import { argumentsOf, checkOptions, withoutNulls, type Caller } from './caller.js';
import { context } from './context.js';
import { Messages } from './messages.js';
import { readHits, readQueryRows } from './rows.js';
import { Sessions } from './sessions.js';
import * as shapes from './shapes.js';
import type { ContextOptions, Message, Page, QueryOptions, Row, SearchHit, SearchOptions, SqlValue } from './types.js';

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
   * Errors: `TOO_LARGE` over 10,000 bytes, `INVALID_CURSOR`; `DISK_FULL`, and in a snapshot `INDEX_PENDING`,
   * where the index lacks something and could not be written to. A damaged file, or one for reading
   * only, gives what is indexed.
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
   * The newest messages of a session's active path that a model has room for, in the order of `seq`: as
   * many as fit into `maxTokens` together, without a gap. A first message with the role `system` is
   * always among them, and is counted first. Results of tools (role `tool`) whose call did not fit are
   * left out at the beginning. Empty where not even the newest message fits, or there is no such session.
   *
   * Without `countTokens` a message counts 4 tokens, and one for every 4 ASCII characters and for every
   * other UTF-16 unit of its text, or of its parts as JSON: a rule of thumb that errs upwards. Give the
   * tokenizer of your model where it has to be exact. Messages come with any status; an empty reply that
   * is just being streamed is one of them.
   *
   * Errors: `TOO_LARGE` where the system message alone takes more than `maxTokens`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * for (const [role, content] of [['system', 'Be brief.'], ['user', 'Hello!'], ['assistant', 'Hi.'], ['user', 'Why?']]) {
   *   await store.messages.add({ sessionId, role, content })
   * }
   * const countTokens = (message) => message.content.length
   * const messages = await store.context(sessionId, { maxTokens: 16, countTokens })
   * const prompt = messages.map(({ role, content }) => ({ role, content }))
   * assert.deepEqual(prompt, [
   *   { role: 'system', content: 'Be brief.' },
   *   { role: 'assistant', content: 'Hi.' },
   *   { role: 'user', content: 'Why?' },
   * ])
   * await store.close()
   * ```
   */
  async context(sessionId: string, options: ContextOptions): Promise<Message[]> {
    checkArgument('sessionId', shapes.id, sessionId);
    checkOptions(shapes.contextOptions, options);
    return context(this.#caller, sessionId, options);
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
