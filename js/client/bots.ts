/**
 * `store.bots`: the verbs of bots.
 *
 * Holds: one method a verb, which checks, calls and reads the reply. Must not know: the host.
 */

import { checkArgument } from './arguments.js';
import { argumentsOf, checkOptions, only, withoutNulls, type Caller } from './caller.js';
import { jsonFields } from './pack.js';
import { readBots, readCount } from './rows.js';
import * as shapes from './shapes.js';
import type {
  Bot,
  BotPatch,
  CallOptions,
  Count,
  DeleteOptions,
  ListBotsOptions,
  NewBot,
  Page,
  WriteOptions,
} from './types.js';

/** The verbs of bots, on a store or in a transaction. */
export class Bots {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Makes a bot.
   *
   * Errors: `CONSTRAINT_UNIQUE` where the id or the name is taken.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const bot = await store.bots.create({ name: 'Ada', model: 'small-1', params: { temperature: 0.2 } })
   * assert.equal((await store.bots.get(bot.id)).name, 'Ada')
   * await store.close()
   * ```
   */
  async create(bot: NewBot, options: WriteOptions = {}): Promise<Bot> {
    checkArgument('bot', shapes.newBot, bot);
    checkOptions(shapes.writeOptions, options);
    const args = jsonFields('bot', withoutNulls(bot), ['params', 'metadata']);
    const reply = await this.#caller.call({ verb: 'bots.create', write: true, args }, options);
    return only(readBots(reply, this.#caller.readText).items);
  }

  /** The bot with this id, also when it is in the trash (`deletedAt` set); null where there is none. */
  async get(id: string, options: CallOptions = {}): Promise<Bot | null> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.callOptions, options);
    const reply = await this.#caller.call({ verb: 'bots.get', write: false, args: { id } }, options);
    return readBots(reply, this.#caller.readText).items[0] ?? null;
  }

  /**
   * A page of bots.
   *
   * Errors: `INVALID_CURSOR` where the cursor is not one of this list.
   */
  async list(options: ListBotsOptions = {}): Promise<Page<Bot>> {
    checkOptions(shapes.listBots, options);
    const args = withoutNulls(argumentsOf(options));
    const reply = await this.#caller.call({ verb: 'bots.list', write: false, args }, options);
    return readBots(reply, this.#caller.readText);
  }

  /**
   * Changes what the patch names; null clears, what is absent stays.
   *
   * Errors: `NOT_FOUND`; `CONSTRAINT_UNIQUE` where the name is taken.
   */
  async update(id: string, patch: BotPatch, options: WriteOptions = {}): Promise<Bot> {
    checkArgument('id', shapes.id, id);
    checkArgument('patch', shapes.botPatch, patch);
    checkOptions(shapes.writeOptions, options);
    const args = { id, patch: jsonFields('patch', argumentsOf(patch), ['params', 'metadata']) };
    const reply = await this.#caller.call({ verb: 'bots.update', write: true, args }, options);
    return only(readBots(reply, this.#caller.readText).items);
  }

  /**
   * Puts a bot and its sessions into the trash, or removes them for good with `permanent: true`.
   * Counts what went.
   *
   * Errors: `NOT_FOUND`.
   */
  async delete(id: string, options: DeleteOptions = {}): Promise<Count> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.deleteOptions, options);
    const args = { id, ...argumentsOf(options) };
    const reply = await this.#caller.call({ verb: 'bots.delete', write: true, args }, options);
    return readCount(reply, this.#caller.readText);
  }

  /**
   * Brings a bot back from the trash, with the sessions that went there with it.
   *
   * Errors: `NOT_FOUND`; `CONSTRAINT_UNIQUE` where its name is in use again.
   */
  async restore(id: string, options: WriteOptions = {}): Promise<Bot> {
    checkArgument('id', shapes.id, id);
    checkOptions(shapes.writeOptions, options);
    const reply = await this.#caller.call({ verb: 'bots.restore', write: true, args: { id } }, options);
    return only(readBots(reply, this.#caller.readText).items);
  }
}
