/**
 * `store.sessions`: the verbs of sessions.
 *
 * Holds: one method a verb, which checks, calls and reads the reply. Must not know: the host.
 */

import { checkArgument } from './arguments.js';
import { argumentsOf, checkOptions, only, withoutNulls, type Caller } from './caller.js';
import { jsonFields } from './pack.js';
import { readCount, readSessions } from './rows.js';
import * as shapes from './shapes.js';
import type {
  CallOptions,
  Count,
  CreateSessionOptions,
  DeleteOptions,
  ListSessionsOptions,
  NewSession,
  Page,
  PurgeOptions,
  Ref,
  Session,
  SessionPatch,
  WriteOptions,
} from './types.js';

/** The verbs of sessions (threads, conversations), on a store or in a transaction. */
export class Sessions {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Makes a session; a bot is optional.
   *
   * Errors: `CONSTRAINT_UNIQUE` where the id is taken (unless `ifExists: 'return'`),
   * `CONSTRAINT_FOREIGN_KEY` where there is no such bot.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const session = await store.sessions.create({ id: 'trip', title: 'A trip', tags: ['travel'] })
   * const again = await store.sessions.create({ id: 'trip' }, { ifExists: 'return' })
   * assert.deepEqual(again, session)
   * await store.close()
   * ```
   */
  async create(session: NewSession = {}, options: CreateSessionOptions = {}): Promise<Session> {
    checkArgument('session', shapes.newSession, session);
    checkOptions(shapes.createSessionOptions, options);
    const args = { ...jsonFields('session', withoutNulls(session), ['metadata']), ...argumentsOf(options) };
    return this.#one('sessions.create', args, options);
  }

  /** The session with this id, also when it is in the trash (`deletedAt` set); null where there is none. */
  async get(id: string, options: CallOptions = {}): Promise<Session | null> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.callOptions, options);
    const reply = await this.#caller.call({ verb: 'sessions.get', write: false, args: { id } }, options);
    return readSessions(reply, this.#caller.readText).items[0] ?? null;
  }

  /**
   * A page of sessions, newest activity first. No message bodies are read for it.
   *
   * Errors: `INVALID_CURSOR` where the cursor is not one of this list with these filters.
   */
  async list(options: ListSessionsOptions = {}): Promise<Page<Session>> {
    checkOptions(shapes.listSessions, options);
    const args = withoutNulls(argumentsOf(options));
    const reply = await this.#caller.call({ verb: 'sessions.list', write: false, args }, options);
    return readSessions(reply, this.#caller.readText);
  }

  /**
   * Changes what the patch names; null clears, what is absent stays.
   *
   * Errors: `NOT_FOUND`; `CONSTRAINT_FOREIGN_KEY` where the bot or the head does not exist.
   */
  async update(id: string, patch: SessionPatch, options: WriteOptions = {}): Promise<Session> {
    checkArgument('id', shapes.id, id);
    checkArgument('patch', shapes.sessionPatch, patch);
    checkOptions(shapes.writeOptions, options);
    return this.#one('sessions.update', { id, patch: jsonFields('patch', argumentsOf(patch), ['metadata']) }, options);
  }

  /**
   * Makes a new session out of a message and all that leads to it.
   *
   * Errors: `NOT_FOUND`.
   */
  async fork(from: Ref, options: WriteOptions = {}): Promise<Session> {
    checkArgument('from', shapes.ref, from);
    checkOptions(shapes.writeOptions, options);
    return this.#one('sessions.fork', { sessionId: from.sessionId, id: from.id }, options);
  }

  /**
   * Puts a session into the trash, or removes it and its messages for good with `permanent: true`.
   * Counts what went.
   *
   * Errors: `NOT_FOUND`.
   */
  async delete(id: string, options: DeleteOptions = {}): Promise<Count> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.deleteOptions, options);
    return this.#count('sessions.delete', { id, ...argumentsOf(options) }, options);
  }

  /**
   * Brings a session back from the trash.
   *
   * Errors: `NOT_FOUND`.
   */
  async restore(id: string, options: WriteOptions = {}): Promise<Session> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.writeOptions, options);
    return this.#one('sessions.restore', { id }, options);
  }

  /** Removes for good what went into the trash before a time. Counts what went. */
  async purge(options: PurgeOptions): Promise<Count> {
    checkOptions(shapes.purgeOptions, options);
    return this.#count('sessions.purge', { deletedBefore: options.deletedBefore }, options);
  }

  async #one(verb: string, args: object, options: WriteOptions): Promise<Session> {
    const reply = await this.#caller.call({ verb, write: true, args }, options);
    return only(readSessions(reply, this.#caller.readText).items);
  }

  async #count(verb: string, args: object, options: WriteOptions): Promise<Count> {
    const reply = await this.#caller.call({ verb, write: true, args }, options);
    return readCount(reply, this.#caller.readText);
  }
}
