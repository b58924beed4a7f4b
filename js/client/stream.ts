/**
 * A reply that comes bit by bit: what is appended is gathered, and stored a few times a second.
 *
 * Holds: the buffer, when it is sent, the numbers that make a repeated sending harmless, and what
 * becomes of it all when the store cannot take it. Must not know: where the pieces come from, or
 * how the store keeps them.
 */

import { checkArgument, checked, jsonText } from './arguments.js';
import { argumentsOf, checkOptions, only, withoutNulls, type Caller } from './caller.js';
import { ChatStoreError, type ErrorCode } from './errors.js';
import { bodyColumns } from './pack.js';
import { readMessages } from './rows.js';
import * as shapes from './shapes.js';
import type { Body, CallOptions, Message, Ref, StreamDelta, StreamEnd } from './types.js';

const DEFAULT_FLUSH_INTERVAL_MS = 150;
/** As many are kept at most until they are stored. */
const MAX_CHARACTERS = shapes.limits.contentBytes;
/** As many characters are sent at once, without waiting for the interval. */
const FLUSH_CHARACTERS = 64 * 1024;
/** Between two attempts, where the store cannot take it for now: doubled from the first to the second. */
const RETRY_DELAY_MS = 100;
const MAX_RETRY_DELAY_MS = 5_000;
/** After as many failures in a row, the store can take no more. */
const ATTEMPTS = 6;

/** Failures that may pass: what could not be stored is kept and sent again. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'DISK_FULL',
  'OUT_OF_MEMORY',
  'IO_ERROR',
  'BUSY',
  'TIMEOUT',
  'POOL_EXHAUSTED',
  'OWNER_UNRESPONSIVE',
  'LEADER_UNRESPONSIVE',
  // By the caller's own signal.
  'ABORTED',
]);

/** A delta on its way: more text of a part of this type, or, without a type, a whole part as JSON. */
interface Piece {
  type?: string | undefined;
  text: string;
}

/**
 * One reply under way, made by `messages.start` and `messages.regenerate`.
 *
 * `append` takes what a model says and returns at once; it is stored within `flushIntervalMs`
 * (default 150), sooner where there is much of it. `finish` and `abort` end the reply, which is an
 * ordinary message from then on. Until then readers see it with the status `streaming`, as far as it
 * has been stored. When the process dies, what was stored is there, as `incomplete`.
 *
 * @example
 * ```js example
 * import { ChatStore } from 'chatstore'
 *
 * async function* model() {
 *   yield { type: 'reasoning', delta: 'A greeting.' }
 *   yield 'Hel'
 *   yield 'lo!'
 * }
 *
 * const store = await ChatStore.open(':memory:')
 * const { id: sessionId } = await store.sessions.create()
 * const stream = await store.messages.start({ sessionId })
 * for await (const delta of model()) {
 *   if (stream.signal.aborted) break
 *   stream.append(delta)
 * }
 * const reply = await stream.finish({ usage: { outputTokens: 3 }, finishReason: 'stop' })
 * assert.equal(reply.content, 'Hello!')
 * assert.equal(reply.status, 'complete')
 * await store.close()
 * ```
 */
export class MessageStream {
  /** The message that the reply is. */
  readonly ref: Ref;
  readonly #caller: Caller;
  readonly #flushIntervalMs: number;
  readonly #controller = new AbortController();
  #state: 'open' | 'ending' | 'ended' = 'open';
  /** Pieces that are in the store for certain: the number of the next one. */
  #stored = 0;
  /** Sent, but not acknowledged. They stay as they are: their numbers stand for them. */
  #sent: Piece[] = [];
  /** Not sent yet; the last one may grow. */
  #waiting: Piece[] = [];
  /** Characters in `#sent` and `#waiting`. */
  #characters = 0;
  /** The first half of a character whose second half is to come. */
  #half: { type: string; unit: string } | undefined;
  #flight: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  /** Why nothing can be stored any more. */
  #fatal: Error | undefined;

  /** @internal */
  constructor(caller: Caller, ref: Ref, flushIntervalMs: number | undefined) {
    this.#caller = caller;
    this.ref = { sessionId: ref.sessionId, id: ref.id };
    this.#flushIntervalMs = flushIntervalMs ?? DEFAULT_FLUSH_INTERVAL_MS;
  }

  /**
   * Aborts when the store can take no more, with the error as its reason: the reply was ended or
   * deleted by somebody else, the store was closed, or storing failed again and again. Also on
   * {@link MessageStream.abort}. Give it to whatever the pieces come from.
   */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Adds a piece: text, more text for a part of some type, or a whole part.
   *
   * It joins the part before it where that has the same type and was not whole. A character that is
   * cut in two between this piece and the next is put together; a half whose other half does not
   * come is stored as U+FFFD. An object with just `type` and `delta` is never a whole part.
   *
   * What is not stored yet stays in memory, 64 Mi characters at most: then this throws `TOO_LARGE`,
   * and takes nothing. `await stream.flush()` now and then keeps a fast source from running ahead.
   *
   * Errors, thrown at once: `STREAM_ENDED` after the end, `INVALID_ARGUMENT`, `TOO_LARGE`; after
   * {@link MessageStream.signal} has aborted, its reason.
   */
  append(delta: StreamDelta): void {
    this.#checkOpen();
    this.signal.throwIfAborted();
    const piece = checked('delta', () => pieceOf(delta));
    if (piece.text === '') return;
    const half = this.#half;
    const joins = half !== undefined && half.type === piece.type && isLow(piece.text, 0);
    if (joins) piece.text = half.unit + piece.text;
    let next: typeof half;
    if (piece.type !== undefined) {
      const end = piece.text.length - 1;
      if (isHigh(piece.text, end)) {
        next = { type: piece.type, unit: piece.text.slice(end) };
        piece.text = piece.text.slice(0, end);
      }
      checkArgument('delta', shapes.deltaText, piece.text);
    }
    if (this.#characters + piece.text.length > MAX_CHARACTERS) {
      throw new ChatStoreError(
        'TOO_LARGE',
        `delta: expected at most ${String(MAX_CHARACTERS)} characters that are not stored yet; await flush`,
        { details: { argument: 'delta' } },
      );
    }
    if (!joins) this.#endHalf();
    this.#half = next;
    this.#add(piece);
    if (this.#characters >= FLUSH_CHARACTERS && this.#failures === 0) this.#send().catch(toldLater);
    else this.#wake();
  }

  /**
   * Resolves when all that was appended so far is as safe as the store's durability says, but for
   * half a character at its end. Rejects where that failed; what may pass (`DISK_FULL`, `TIMEOUT`,
   * …) is then tried again by itself and by the next `flush`, and nothing is lost meanwhile.
   *
   * Errors: `STREAM_ENDED`, `NOT_FOUND` where the message was deleted for good, `TOO_LARGE` where the
   * reply is longer than a message can be, and what writing can fail with.
   */
  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#flight?.catch(toldLater);
    this.#checkAlive();
    await this.#send();
  }

  /**
   * Ends the reply as `complete`, together with all that was appended. `content` or `parts` take
   * the place of it all.
   *
   * Errors: as {@link MessageStream.flush}. Where they may pass, the reply goes on, and `finish` can
   * be called again.
   */
  async finish(end: StreamEnd = {}, options: CallOptions = {}): Promise<Message> {
    checkArgument('end', shapes.streamEnd, end);
    checkOptions(shapes.callOptions, options);
    return this.#end('messages.finish', endArguments(end), options);
  }

  /**
   * Ends the reply as `incomplete`, and keeps what has come. The reason, up to 256 bytes, becomes
   * the message's `finishReason`. The signal aborts at once.
   *
   * Errors: as {@link MessageStream.finish}.
   *
   * @example
   * ```js example
   * import { ChatStore } from 'chatstore'
   *
   * const store = await ChatStore.open(':memory:')
   * const { id: sessionId } = await store.sessions.create()
   * const stream = await store.messages.start({ sessionId })
   * stream.append('The answer is')
   * const partial = await stream.abort('stopped by the user')
   * assert.deepEqual([partial.content, partial.status], ['The answer is', 'incomplete'])
   * assert(stream.signal.aborted)
   * await store.close()
   * ```
   */
  async abort(reason?: string, options: CallOptions = {}): Promise<Message> {
    if (reason !== undefined) checkArgument('reason', shapes.abortReason, reason);
    checkOptions(shapes.callOptions, options);
    this.#checkOpen();
    // An AbortController that has aborted keeps its first reason.
    this.#controller.abort(this.#endedError());
    return this.#end('messages.abort', reason === undefined ? {} : { finishReason: reason }, options);
  }

  async #end(verb: string, fields: object, options: CallOptions): Promise<Message> {
    this.#checkOpen();
    this.#state = 'ending';
    this.#stopTimer();
    try {
      await this.#flight?.catch(toldLater);
      this.#checkAlive();
      this.#endHalf();
      const args = { ...this.#batch(), ...fields };
      const reply = await this.#caller.call({ verb, write: true, args }, options);
      const message = only(readMessages(reply, this.#caller.readText).items);
      this.#state = 'ended';
      this.#sent = [];
      return message;
    } catch (error) {
      this.#state = 'open';
      if (isPassing(error)) this.#wake();
      else this.#die(error);
      throw error;
    }
  }

  #add(piece: Piece): void {
    this.#characters += piece.text.length;
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.type !== undefined && last.type === piece.type) last.text += piece.text;
    else if (piece.text !== '') this.#waiting.push(piece);
  }

  /** Gives up a half that nothing comes to any more. */
  #endHalf(): void {
    const half = this.#half;
    this.#half = undefined;
    if (half !== undefined) this.#add({ type: half.type, text: '\uFFFD' });
  }

  /** Everything that is not stored, with the number of its first piece. From now on it stays as it is. */
  #batch(): object {
    this.#sent = this.#sent.concat(this.#waiting);
    this.#waiting = [];
    return { sessionId: this.ref.sessionId, id: this.ref.id, firstNumber: this.#stored, deltas: this.#sent };
  }

  /** Sends what there is; while something is in flight, gives that. */
  #send(): Promise<void> {
    this.#flight ??= this.#sendNow().finally(() => {
      this.#flight = undefined;
      this.#wake();
    });
    return this.#flight;
  }

  async #sendNow(): Promise<void> {
    const args = this.#batch();
    const sent = this.#sent;
    if (sent.length === 0) return;
    try {
      await this.#caller.call({ verb: 'messages.append', write: true, args }, {});
    } catch (error) {
      this.#stopTimer();
      this.#failures++;
      if (!isPassing(error) || this.#failures >= ATTEMPTS) this.#die(error);
      throw error;
    }
    this.#failures = 0;
    this.#stored += sent.length;
    for (const { text } of sent) this.#characters -= text.length;
    this.#sent = [];
  }

  /**
   * Sees to it that what waits is sent: after the interval, or after a failure somewhat later. A timer that is
   * set stays set, whatever is sent meanwhile: setting one for each piece costs as much as half of storing it.
   */
  #wake(): void {
    const nothing = this.#waiting.length + this.#sent.length === 0;
    const busy = this.#timer !== undefined || this.#flight !== undefined || this.#state !== 'open';
    if (nothing || busy || this.signal.aborted) return;
    const retryMs = this.#failures === 0 ? 0 : RETRY_DELAY_MS * 2 ** this.#failures;
    const delayMs = Math.max(this.#flushIntervalMs, Math.min(retryMs, MAX_RETRY_DELAY_MS));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#flight === undefined && this.#waiting.length + this.#sent.length > 0) this.#send().catch(toldLater);
    }, delayMs);
    // Node's timers keep a process alive unless told otherwise; browsers give numbers.
    if (typeof this.#timer === 'object') this.#timer.unref();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** No more pieces are taken. What is there is kept where a further call might still store it. */
  #die(error: unknown): void {
    this.#stopTimer();
    if (!isPassing(error)) {
      this.#fatal = error instanceof Error ? error : new ChatStoreError('INTERNAL', String(error));
      this.#sent = [];
      this.#waiting = [];
      this.#characters = 0;
    }
    this.#controller.abort(error);
  }

  #checkAlive(): void {
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw this.#endedError();
    this.#checkAlive();
  }

  #endedError(): ChatStoreError {
    return new ChatStoreError('STREAM_ENDED', `the reply ${JSON.stringify(this.ref.id)} has ended`, {
      details: { sessionId: this.ref.sessionId, id: this.ref.id },
    });
  }
}

/** Whoever asks next is told: by `flush`, `finish` or the signal. */
const toldLater = (): void => undefined;

function isPassing(error: unknown): boolean {
  return error instanceof ChatStoreError && passing.has(error.code);
}

const isHigh = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLow = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** A piece of its own, which later changes of the argument do not reach. */
function pieceOf(delta: StreamDelta): Piece {
  if (typeof delta === 'string') return { type: 'text', text: delta };
  shapes.delta(delta);
  if (shapes.isMoreText(delta)) return { type: delta.type, text: delta.delta };
  return { text: jsonText(delta, shapes.limits.contentBytes) };
}

function endArguments(end: StreamEnd): Record<string, unknown> {
  const { content, parts, ...rest } = end;
  const args = withoutNulls(rest);
  if (rest.usage !== undefined && rest.usage !== null) args['usage'] = argumentsOf(rest.usage);
  const body: Body | undefined = parts !== undefined ? { parts } : content !== undefined ? { content } : undefined;
  if (body === undefined) return args;
  const columns = checked('end', () => bodyColumns(body));
  if (typeof columns.text === 'string') args['text'] = columns.text;
  else args['parts'] = columns.parts;
  return args;
}
