/**
 * `store.messages`: the verbs of messages.
 *
 * Holds: one method a verb, which checks, calls and reads the reply. Must not know: the host.
 */

import { checkArgument, checked } from './arguments.js';
import { argumentsOf, checkOptions, only, withoutNulls, type Caller } from './caller.js';
import { ChatStoreError } from './errors.js';
import { bodyColumns, columnsOf, columnsOfOne, jsonFields, packBody, packColumns, type NewColumns } from './pack.js';
import { readAdded, readCount, readMessages, readNextCursor, readSessions, readTree } from './rows.js';
import * as shapes from './shapes.js';
import { MessageStream } from './stream.js';
import type {
  Body,
  CallOptions,
  Count,
  DeleteOptions,
  IterateOptions,
  ListMessagesOptions,
  Message,
  MessageFilter,
  MessagePatch,
  NewMessage,
  NewStream,
  Page,
  Ref,
  RegenerateOptions,
  Session,
  StartOptions,
  TreeNode,
  WriteOptions,
} from './types.js';

/** Messages that `iterate` reads at a time. */
const ITERATE_ROWS = 500;
const sent = Promise.resolve();

/** The verbs of messages, on a store or in a transaction. */
export class Messages {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Adds a message to a session and makes it the head. When the call resolves, the message is as
   * safe as the store's durability says.
   *
   * Errors: `CONSTRAINT_FOREIGN_KEY` where the session, bot or parent does not exist,
   * `CONSTRAINT_UNIQUE` where the session has this id already.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const session = await store.sessions.create()
   * await store.messages.add({ sessionId: session.id, role: 'user', content: 'Hello?' })
   * const reply = await store.messages.add({
   *   sessionId: session.id,
   *   role: 'assistant',
   *   parts: [{ type: 'reasoning', text: 'A greeting.' }, { type: 'text', text: 'Hello!' }],
   *   usage: { inputTokens: 3, outputTokens: 2 },
   * })
   * assert.equal(reply.content, 'Hello!')
   * await store.close()
   * ```
   */
  async add(message: NewMessage, options: WriteOptions = {}): Promise<Message> {
    checkArgument('message', shapes.newMessage, message);
    checkOptions(shapes.writeOptions, options);
    return only(await this.#add('message', () => columnsOfOne(message), options));
  }

  /**
   * Adds up to 100,000 messages in their order, all or none. The fast way to store many.
   *
   * Errors: as {@link Messages.add}.
   */
  async addMany(messages: NewMessage[], options: WriteOptions = {}): Promise<Message[]> {
    checkArgument('messages', shapes.newMessages, messages);
    checkOptions(shapes.writeOptions, options);
    if (messages.length === 0) return [];
    return this.#add('messages', () => columnsOf(messages), options);
  }

  /**
   * Stores messages under their ids: those that exist are replaced, others added. They are chained
   * in their order, and the last one becomes the head. All or none.
   *
   * Errors: as {@link Messages.add}, without `CONSTRAINT_UNIQUE`.
   */
  async put(messages: NewMessage[], options: WriteOptions = {}): Promise<Message[]> {
    checkArgument('messages', shapes.newMessages, messages);
    checkOptions(shapes.writeOptions, options);
    if (messages.length === 0) return [];
    const rows = checked('messages', () => packColumns(columnsOf(messages)));
    return this.#messages('messages.put', { rows }, options);
  }

  /**
   * Begins a reply that comes bit by bit: a message with the status `streaming`, which becomes the
   * head. See {@link MessageStream} for what follows. A reply whose process dies before its end is
   * `incomplete` from then on, and keeps what was stored of it.
   *
   * Not in a transaction, which a reply would outlive. `signal` and `timeoutMs` concern the start alone.
   *
   * Errors: as {@link Messages.add}; `TRANSACTION_STATE` in a transaction.
   */
  async start(message: NewStream, options: StartOptions = {}): Promise<MessageStream> {
    checkArgument('message', shapes.newStream, message);
    checkOptions(shapes.startOptions, options);
    const fields = jsonFields('message', argumentsOf(message), ['metadata']);
    return this.#start('messages.start', fields, options);
  }

  /**
   * Begins another version of a reply: a sibling with the same role, bot and parent, which becomes
   * the head. It calls no model; append what yours says.
   *
   * Errors: `NOT_FOUND`; `TRANSACTION_STATE` in a transaction.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * await store.messages.add({ sessionId, role: 'user', content: 'A number, please.' })
   * const first = await store.messages.add({ sessionId, role: 'assistant', content: '4' })
   * const stream = await store.messages.regenerate(first)
   * stream.append('7')
   * const second = await stream.finish()
   * assert.equal(second.parentId, first.parentId)
   * assert.equal((await store.messages.branches(first)).length, 2)
   * await store.close()
   * ```
   */
  async regenerate(ref: Ref, options: RegenerateOptions = {}): Promise<MessageStream> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.regenerateOptions, options);
    const { id, model } = options;
    return this.#start('messages.regenerate', { ...refArguments(ref), ...argumentsOf({ newId: id, model }) }, options);
  }

  /** The message, also when it is in the trash (`deletedAt` set); null where there is none. */
  async get(ref: Ref, options: CallOptions = {}): Promise<Message | null> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.callOptions, options);
    const found = await this.#messages('messages.get', { args: refArguments(ref), write: false }, options);
    return found[0] ?? null;
  }

  /**
   * A page of a session, in the order of `seq`: without a cursor the newest page, with `around` the
   * page about a message. Or a page of a bot, by time.
   *
   * Errors: `NOT_FOUND` where `around` names no message, `INVALID_CURSOR` where the cursor is not
   * one of this list with these filters.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * await store.messages.addMany(['a', 'b', 'c'].map((content) => ({ sessionId, role: 'user', content })))
   * const newest = await store.messages.list({ sessionId, limit: 2 })
   * assert.deepEqual(newest.items.map((message) => message.content), ['b', 'c'])
   * const before = await store.messages.list({ sessionId, limit: 2, cursor: newest.prevCursor })
   * assert.deepEqual(before.items.map((message) => message.content), ['a'])
   * await store.close()
   * ```
   */
  async list(options: ListMessagesOptions): Promise<Page<Message>> {
    checkOptions(shapes.listMessages, options);
    return this.#page(argumentsOf(options), options);
  }

  /**
   * Every message of a session's active path from the first on, or of a bot from the oldest on, as
   * they were when the first was asked for: what is written meanwhile is not seen. It reads a chunk at
   * a time; the state it reads from is given back at the end, by `return` and by `throw`.
   *
   * Errors: `SNAPSHOT_EXPIRED` where so much was written meanwhile, or so much time has passed, that
   * the state could not be kept.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * await store.messages.add({ sessionId, role: 'user', content: 'Hello?' })
   * for await (const message of store.messages.iterate({ sessionId })) {
   *   assert.equal(message.content, 'Hello?')
   * }
   * await store.close()
   * ```
   */
  async *iterate(options: IterateOptions): AsyncGenerator<Message, void, undefined> {
    checkOptions(shapes.iterateMessages, options);
    const { sessionId, botId, ...wait } = options;
    const which = sessionId === undefined ? { botId, order: 'asc' } : { sessionId, fromStart: true };
    const { readText, inTransaction } = this.#caller;
    const view = await this.#caller.view(wait);
    let limit = ITERATE_ROWS;
    const ask = (cursor: string | undefined): Promise<Uint8Array> =>
      view.call({ verb: 'messages.list', write: false, args: withoutNulls({ ...which, limit, cursor }) }, wait);
    try {
      let cursor: string | null | undefined;
      let ahead: Promise<Uint8Array> | undefined;
      while (cursor !== null) {
        let reply: Uint8Array;
        try {
          // oxlint-disable-next-line no-await-in-loop -- a page names the one after it
          reply = await (ahead ?? ask(cursor));
        } catch (error) {
          // Messages of many megabytes: fewer of them fit into one reply.
          if (limit === 1 || !(error instanceof ChatStoreError && error.code === 'TOO_LARGE')) throw error;
          limit = Math.ceil(limit / 8);
          ahead = undefined;
          continue;
        }
        const isFirst = cursor === undefined;
        cursor = readNextCursor(reply, readText);
        ahead = undefined;
        // While this page is read, the host makes the next. Who looks at one page only has no need of it, and
        // what a transaction writes meanwhile is to be seen.
        if (cursor !== null && !isFirst && inTransaction !== true) {
          ahead = ask(cursor);
          ahead.catch(() => undefined);
          // oxlint-disable-next-line no-await-in-loop -- it is sent at the end of this turn
          await sent;
        }
        yield* readMessages(reply, readText).items;
      }
    } finally {
      view.end();
    }
  }

  /**
   * The versions of a message: its siblings (same parent), itself included, in the order of `seq`.
   *
   * Errors: `NOT_FOUND`.
   */
  async branches(ref: Ref, options: CallOptions = {}): Promise<Message[]> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.callOptions, options);
    return this.#messages('messages.branches', { args: refArguments(ref), write: false }, options);
  }

  /**
   * Every message of a session, without its body, in the order of `seq`: parents before children.
   *
   * Errors: `NOT_FOUND`.
   */
  async tree(sessionId: string, options: CallOptions = {}): Promise<TreeNode[]> {
    checkArgument('sessionId', shapes.id, sessionId);
    checkOptions(shapes.callOptions, options);
    const reply = await this.#caller.call({ verb: 'messages.tree', write: false, args: { sessionId } }, options);
    return readTree(reply, this.#caller.readText);
  }

  /**
   * Changes a message in place; null clears, what is absent stays. For a new version beside the old
   * one, see {@link Messages.edit}.
   *
   * Errors: `NOT_FOUND`.
   */
  async update(ref: Ref, patch: MessagePatch, options: WriteOptions = {}): Promise<Message> {
    checkArgument('ref', shapes.ref, ref);
    checkArgument('patch', shapes.messagePatch, patch);
    checkOptions(shapes.writeOptions, options);
    const args = { ...refArguments(ref), patch: patchArguments(patch) };
    return only(await this.#messages('messages.update', { args }, options));
  }

  /**
   * Adds a new version of a message: a sibling with the same role, which becomes the head.
   *
   * Errors: `NOT_FOUND`.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * const first = await store.messages.add({ sessionId, role: 'user', content: 'Helo' })
   * const second = await store.messages.edit(first, { content: 'Hello' })
   * assert.equal((await store.messages.branches(second)).length, 2)
   * await store.messages.switchTo(first)
   * await store.close()
   * ```
   */
  async edit(ref: Ref, body: Body, options: WriteOptions = {}): Promise<Message> {
    checkArgument('ref', shapes.ref, ref);
    checkArgument('body', shapes.messageBody, body);
    checkOptions(shapes.writeOptions, options);
    const rows = checked('body', () => packBody(body));
    return only(await this.#messages('messages.edit', { args: refArguments(ref), rows }, options));
  }

  /**
   * Makes the path through this message the active one, down to its newest descendant.
   *
   * Errors: `NOT_FOUND`.
   */
  async switchTo(ref: Ref, options: WriteOptions = {}): Promise<Session> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.writeOptions, options);
    const reply = await this.#caller.call({ verb: 'messages.switchTo', write: true, args: refArguments(ref) }, options);
    return only(readSessions(reply, this.#caller.readText).items);
  }

  /**
   * Puts a message into the trash, or removes it for good with `permanent: true`. Its children stay.
   * Counts what went.
   *
   * Errors: `NOT_FOUND`.
   */
  async delete(ref: Ref, options: DeleteOptions = {}): Promise<Count> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.deleteOptions, options);
    return this.#count('messages.delete', { ...refArguments(ref), ...argumentsOf(options) }, options);
  }

  /**
   * Brings a message back from the trash.
   *
   * Errors: `NOT_FOUND`.
   */
  async restore(ref: Ref, options: WriteOptions = {}): Promise<Message> {
    checkArgument('ref', shapes.ref, ref);
    checkOptions(shapes.writeOptions, options);
    return only(await this.#messages('messages.restore', { args: refArguments(ref) }, options));
  }

  /**
   * Deletes every message that matches all of the filters, into the trash or with `permanent: true`
   * for good. An empty filter is an error, so that nobody empties a store by a slip.
   */
  async deleteWhere(filter: MessageFilter, options: DeleteOptions = {}): Promise<Count> {
    checkArgument('filter', shapes.messageFilter, filter);
    checkOptions(shapes.deleteOptions, options);
    return this.#count('messages.deleteWhere', { ...argumentsOf(filter), ...argumentsOf(options) }, options);
  }

  async #start(verb: string, args: object, options: StartOptions): Promise<MessageStream> {
    if (this.#caller.inTransaction === true) {
      throw new ChatStoreError(
        'TRANSACTION_STATE',
        'a reply that comes bit by bit would outlive the transaction: begin it with store.messages',
      );
    }
    const message = only(await this.#messages(verb, { args }, options));
    return new MessageStream(this.#caller, message, options.flushIntervalMs);
  }

  async #add(argument: string, given: () => NewColumns, options: WriteOptions): Promise<Message[]> {
    const columns = checked(argument, given);
    const rows = checked(argument, () => packColumns(columns));
    const reply = await this.#caller.call({ verb: 'messages.add', write: true, rows }, options);
    return readAdded(reply, columns, this.#caller.readText);
  }

  async #page(args: object, options: CallOptions): Promise<Page<Message>> {
    const request = { verb: 'messages.list', write: false, args: withoutNulls(args) };
    return readMessages(await this.#caller.call(request, options), this.#caller.readText);
  }

  async #messages(
    verb: string,
    request: { args?: object; rows?: Uint8Array; write?: boolean },
    options: WriteOptions,
  ): Promise<Message[]> {
    const reply = await this.#caller.call({ verb, write: true, ...request }, options);
    return readMessages(reply, this.#caller.readText).items;
  }

  async #count(verb: string, args: object, options: WriteOptions): Promise<Count> {
    const reply = await this.#caller.call({ verb, write: true, args }, options);
    return readCount(reply, this.#caller.readText);
  }
}

/** A whole message may be given as a reference: only these two fields cross. */
function refArguments(ref: Ref): Record<string, unknown> {
  return { sessionId: ref.sessionId, id: ref.id };
}

function patchArguments(patch: MessagePatch): Record<string, unknown> {
  const { content, parts, ...rest } = patch;
  const body: Body | undefined = parts !== undefined ? { parts } : content !== undefined ? { content } : undefined;
  const args = jsonFields('patch', argumentsOf(rest), ['error', 'metadata']);
  if (rest.usage !== undefined && rest.usage !== null) args['usage'] = argumentsOf(rest.usage);
  if (body === undefined) return args;
  const columns = checked('patch', () => bodyColumns(body));
  if (typeof columns.text === 'string') args['text'] = columns.text;
  else args['parts'] = columns.parts;
  return args;
}
