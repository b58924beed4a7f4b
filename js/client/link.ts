/**
 * The client's side of a store: the calls that it waits for, and the way to whoever hosts the store.
 *
 * Holds: that every call settles, by its reply, its deadline or its signal; that calls are sent again,
 * in their order, when the host was lost; that a listener or timer lives only while something waits.
 * A call that the host answers at once costs nothing of all this. Must not know: verbs, or how a host
 * is found.
 */

import type { Call, Connection, ConnectionEvents } from '../host/protocol.js';
import { MAX_TIMEOUT_MS, abortedError, patienceOf, type Patience, type Request } from './caller.js';
import { Listeners, anything } from './changes.js';
import { ChatStoreError, withCall } from './errors.js';
import { readCount, readTextAnywhere } from './rows.js';
import { Scope, beginVerb, endVerb, goneError, type ScopeKind } from './scope.js';
import type { Stats, StoreChange, WriteOptions } from './types.js';

/** Finds the host of a store, as often as it is lost. */
export interface Connector {
  /** Tries until there is a way, or until there can be none; `signal` ends the trying. */
  connect(events: ConnectionEvents, name: string, signal: AbortSignal): Connection | Promise<Connection>;
  /** Whether it waits for the answer of an owner elsewhere, and not for work of its own. */
  readonly awaitsOwner: boolean;
  /** The code of errors about an owner that does not answer, or was lost. */
  readonly lostCode: 'OWNER_UNRESPONSIVE' | 'LEADER_UNRESPONSIVE';
  /** Who owns a store here, in words. */
  readonly ownerName: string;
  /** This client is gone; resolves when all that hung on it is. */
  release(): Promise<void>;
}

/** What a link is made with. */
export interface LinkOptions {
  /** The client's name: unique for ever, since its operation ids begin with it. */
  name: string;
  /** How often a call is sent again after its host was lost. */
  retries: number;
  onNotice?: ((notice: string, message: string) => void) | undefined;
}

const COMMIT = 'tx.commit';
/** How long an owner may be silent before it is asked for a sign of life. */
const PING_MS = 1_000;
/** How long the owner may take to say whether an aborted call was still in its queue. */
const ABORT_GRACE_MS = 1_000;

/** A call that was made; one that waits has its promise's ends too. */
interface Pending extends Call {
  deadlineMs: number;
  sentMs: number;
  signal: AbortSignal | undefined;
  begins: ScopeKind | undefined;
  opened: Scope | undefined;
  aborted: boolean;
  settled: (() => void) | undefined;
  resolve: (reply: Uint8Array) => void;
  reject: (error: ChatStoreError) => void;
}

const unset = (): void => undefined;

export class Link implements ConnectionEvents {
  readonly #connector: Connector;
  readonly #options: LinkOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #scopes = new Map<number, Scope>();
  /** Begins that nobody waits for any more: what they open is ended at once. */
  readonly #abandoned = new Map<number, ScopeKind>();
  readonly #changes = new Listeners<[StoreChange]>();
  #connection: Connection | undefined;
  #connecting: AbortController | undefined;
  /** The way that was found has ended before this link had taken it. */
  #goneEarly = false;
  #lastCall = 0;
  #lastOperation = 0;
  #connections = 0;
  #resent = 0;
  #held = false;
  #heardMs = 0;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #watchMs = Infinity;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(connector: Connector, options: LinkOptions) {
    this.#connector = connector;
    this.#options = options;
  }

  /** How often something is sent again after its host was lost. */
  get retries(): number {
    return this.#options.retries;
  }

  /** What this client had to do again. */
  get figures(): Stats['link'] {
    return { retries: this.retries, resent: this.#resent, reconnects: Math.max(0, this.#connections - 1) };
  }

  /** Runs a call of the store. */
  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown becomes a rejection
  async call(request: Request, options: WriteOptions): Promise<Uint8Array> {
    this.#checkOpen();
    return this.#run(this.#make(request, 0, patienceOf(options), options.operationId));
  }

  /** Begins a transaction or a snapshot. `waitedFor` ones are let end before the link closes. */
  async begin(kind: ScopeKind, leaseMs: number, patience: Patience, waitedFor: boolean): Promise<Scope> {
    this.#checkOpen();
    const request = { verb: beginVerb[kind], write: false, args: { leaseMs } };
    const call = this.#make(request, 0, patience, undefined);
    call.begins = kind;
    await this.#run(call);
    if (call.opened === undefined) throw new ChatStoreError('INTERNAL', `${request.verb} opened nothing`);
    call.opened.waitedFor = waitedFor;
    return call.opened;
  }

  /** Tells of every change from now on, by whomever, until the function that it gives is called. */
  watch(listener: (change: StoreChange) => void): () => void {
    this.#checkOpen();
    const remove = this.#changes.add(listener);
    if (this.#connection === undefined) this.#reconnect();
    else if (this.#changes.size === 1) this.#connection.watch(true);
    return () => {
      if (remove() && this.#changes.size === 0) this.#connection?.watch(false);
    };
  }

  /** Rejects calls from now on, lets those that were made settle, and leaves the host. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#changes.clear();
    if (!this.#isDrained()) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    this.#connecting?.abort();
    clearTimeout(this.#watch);
    const connection = this.#connection;
    this.#connection = undefined;
    for (const scope of this.#scopes.values()) {
      scope.lose(goneError(scope.kind, new ChatStoreError('STORE_CLOSED', 'the store was closed')));
    }
    this.#updateHold();
    connection?.close();
    await this.#connector.release();
  }

  #isDrained(): boolean {
    if (this.#pending.size > 0) return false;
    for (const scope of this.#scopes.values()) if (scope.waitedFor) return false;
    return true;
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw new ChatStoreError('STORE_CLOSED', 'the store was closed');
  }

  #make(request: Request, scope: number, patience: Patience, operationId: string | undefined): Pending {
    if (patience.signal?.aborted === true) throw abortedError(patience.signal);
    return {
      call: ++this.#lastCall,
      scope,
      verb: request.verb,
      write: request.write,
      timeoutMs: patience.timeoutMs,
      args: request.args,
      rows: request.rows,
      operationId,
      attempt: 0,
      firstSentMs: 0,
      deadlineMs: 0,
      sentMs: 0,
      signal: patience.signal,
      begins: undefined,
      opened: undefined,
      aborted: false,
      settled: undefined,
      resolve: unset,
      reject: unset,
    };
  }

  /** Gives the reply where it came at once; else the call waits. */
  #run(call: Pending): Uint8Array | Promise<Uint8Array> {
    const connection = this.#connection;
    if (connection !== undefined && !connection.remote) {
      const reply = this.#transmit(connection, call);
      if (reply !== undefined) {
        if (call.begins !== undefined) this.#open(call, reply);
        const pause = connection.pause();
        return pause === undefined ? reply : pause.then(() => reply);
      }
      call.deadlineMs = performance.now() + call.timeoutMs;
      return this.#wait(call);
    }
    call.deadlineMs = performance.now() + call.timeoutMs;
    const waiting = this.#wait(call);
    if (connection === undefined) this.#reconnect();
    else this.#sendWaiting(connection, call);
    return waiting;
  }

  #wait(call: Pending): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      call.resolve = resolve;
      call.reject = reject;
      const { signal } = call;
      if (signal !== undefined) {
        const onAbort = (): void => {
          this.#abort(call);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        call.settled = () => {
          signal.removeEventListener('abort', onAbort);
        };
      }
      this.#pending.set(call.call, call);
      this.#updateHold();
      // In this thread the host itself keeps the deadline.
      if (this.#connection?.remote !== false) this.#watchAt(performance.now() + Math.min(call.timeoutMs / 2, PING_MS));
    });
  }

  /** Hands a call to the host, for the first time or again. */
  #transmit(connection: Connection, call: Pending): Uint8Array | undefined {
    if (call.attempt > this.#options.retries) {
      throw new ChatStoreError(
        call.write ? 'OUTCOME_UNKNOWN' : this.#connector.lostCode,
        `${this.#connector.ownerName} was lost ${String(call.attempt)} times while ${call.verb} ran; it is not sent again`,
        { details: { attempts: call.attempt } },
      );
    }
    // Within a transaction only its commit takes effect by itself.
    if (connection.remote && call.write && (call.scope === 0 || call.verb === COMMIT)) {
      call.operationId ??= `${this.#options.name}:${String(++this.#lastOperation)}`;
    }
    if (call.operationId !== undefined && call.firstSentMs === 0) call.firstSentMs = Date.now();
    if (++call.attempt > 1) this.#resent++;
    try {
      return connection.send(call);
    } catch (error) {
      throw error instanceof ChatStoreError ? told(error, call) : error;
    }
  }

  /** The same for a call that waits: what comes of it at once settles it. */
  #sendWaiting(connection: Connection, call: Pending): void {
    call.sentMs = performance.now();
    call.timeoutMs = Math.max(1, call.deadlineMs - call.sentMs);
    let reply: Uint8Array | undefined;
    try {
      reply = this.#transmit(connection, call);
    } catch (error) {
      this.#settle(call);
      call.reject(error instanceof ChatStoreError ? told(error, call) : new ChatStoreError('INTERNAL', String(error)));
      return;
    }
    if (reply !== undefined) this.reply(call.call, reply, undefined);
  }

  #reconnect(): void {
    if (this.#connecting !== undefined) return;
    const trying = new AbortController();
    this.#connecting = trying;
    void this.#seek(trying);
  }

  async #seek(trying: AbortController): Promise<void> {
    let connection: Connection;
    try {
      connection = await this.#connector.connect(this, this.#options.name, trying.signal);
    } catch (error) {
      this.#connecting = undefined;
      const nobodyWaited = this.#pending.size === 0;
      this.#rejectAll(error instanceof ChatStoreError ? error : new ChatStoreError('INTERNAL', String(error)));
      // Whoever looks, on being told, learns why nothing more would be told.
      if (nobodyWaited) this.#changes.tell(anything());
      return;
    }
    this.#connecting = undefined;
    if (trying.signal.aborted) connection.close();
    else this.#connected(connection);
  }

  #connected(connection: Connection): void {
    if (this.#goneEarly) {
      this.#goneEarly = false;
      this.#reconnect();
      return;
    }
    this.#connection = connection;
    this.#connections++;
    this.#heardMs = performance.now();
    this.#held = false;
    this.#updateHold();
    // Before anything is read, so that what is read and what is told leave no gap between them.
    if (this.#changes.size > 0) connection.watch(true);
    for (const call of this.#pending.values()) {
      if (this.#connection !== connection) return;
      this.#sendWaiting(connection, call);
    }
    // What others did while there was no way may never be told.
    this.#changes.tell(anything());
  }

  #rejectAll(error: ChatStoreError): void {
    for (const call of this.#pending.values()) {
      this.#settle(call);
      call.reject(told(error, call));
    }
  }

  /** @internal An event of the connection. */
  reply(number: number, reply: Uint8Array | undefined, error: ChatStoreError | undefined): void {
    const call = this.#pending.get(number);
    if (call === undefined) {
      this.#endAbandoned(number, reply);
      return;
    }
    if (reply !== undefined) {
      if (call.begins !== undefined) this.#open(call, reply);
      this.#settle(call);
      call.resolve(reply);
      return;
    }
    this.#settle(call);
    if (error?.code === 'ABORTED' && call.signal !== undefined) call.reject(this.#abortedError(call, error.outcome));
    else call.reject(told(error ?? new ChatStoreError('INTERNAL', `${call.verb} got no reply`), call));
  }

  /** @internal An event of the connection. */
  lost(number: number, error: ChatStoreError): void {
    if (number !== 0) {
      this.#scopes.get(number)?.lose(error);
      return;
    }
    for (const scope of this.#scopes.values()) scope.lose(goneError(scope.kind, error));
  }

  /** @internal An event of the connection. */
  notice(notice: string, message: string): void {
    // Not within the host's work, which an error would end: it is nobody's answer, and told by the environment.
    queueMicrotask(() => this.#options.onNotice?.(notice, message));
  }

  /** @internal An event of the connection. */
  changed(change: StoreChange): void {
    this.#changes.tell(change);
  }

  /** @internal An event of the connection. */
  alive(): void {
    this.#heardMs = performance.now();
  }

  /** @internal An event of the connection. */
  gone(closed: boolean): void {
    this.#goneEarly = this.#connecting !== undefined;
    this.#connection = undefined;
    this.#abandoned.clear();
    const error = new ChatStoreError(this.#connector.lostCode, `${this.#connector.ownerName} is gone`);
    const scopes = new Map(this.#scopes);
    for (const scope of scopes.values()) scope.lose(goneError(scope.kind, error));
    for (const call of this.#pending.values()) {
      if (call.aborted) {
        this.#settle(call);
        call.reject(this.#abortedError(call, undefined));
      } else if (call.scope !== 0 && !isCommit(call)) {
        this.#settle(call);
        call.reject(goneError(scopes.get(call.scope)?.kind ?? 'transaction', error));
      } else if (closed && call.scope === 0 && call.attempt > 0) {
        // It was not done: sending it to the next owner is the first time again.
        call.attempt--;
      }
    }
    if (this.#closed === undefined || this.#pending.size > 0) this.#reconnect();
  }

  #open(call: Pending, reply: Uint8Array): void {
    const number = readCount(reply, readTextAnywhere).messages;
    const kind = call.begins ?? 'transaction';
    const scope = new Scope(kind, call.signal, {
      run: async (request, patience, operationId) => this.#run(this.#make(request, number, patience, operationId)),
      onEnd: () => {
        this.#scopes.delete(number);
        this.#changed();
      },
    });
    call.opened = scope;
    this.#scopes.set(number, scope);
    this.#updateHold();
    scope.listen();
  }

  #endAbandoned(number: number, reply: Uint8Array | undefined): void {
    const kind = this.#abandoned.get(number);
    this.#abandoned.delete(number);
    if (kind === undefined || reply === undefined || this.#connection === undefined) return;
    const scope = readCount(reply, readTextAnywhere).messages;
    const request = { verb: endVerb[kind], write: false };
    void (async () => this.#run(this.#make(request, scope, patienceOf({}), undefined)))().catch(unset);
  }

  #settle(call: Pending): void {
    this.#pending.delete(call.call);
    call.settled?.();
    this.#changed();
  }

  #changed(): void {
    this.#updateHold();
    if (this.#drained !== undefined && this.#isDrained()) this.#drained();
  }

  #updateHold(): void {
    const held = this.#pending.size > 0 || this.#scopes.size > 0;
    if (held === this.#held) return;
    this.#held = held;
    this.#connection?.hold(held);
    this.#refWatch();
  }

  #abort(call: Pending): void {
    if (this.#connection === undefined || call.attempt === 0) {
      this.#settle(call);
      call.reject(this.#abortedError(call, undefined));
      return;
    }
    call.aborted = true;
    this.#connection.cancel(call.call);
    if (!this.#connection.remote) return;
    call.deadlineMs = Math.min(call.deadlineMs, performance.now() + ABORT_GRACE_MS);
    this.#watchAt(call.deadlineMs);
  }

  #abortedError(call: Pending, outcome: ChatStoreError['outcome']): ChatStoreError {
    const known = outcome ?? (call.attempt === 0 || !call.write ? 'not-applied' : 'unknown');
    const ending = known === 'unknown' ? '; whether it was applied is not known' : '; nothing of it was applied';
    return new ChatStoreError('ABORTED', `the call was aborted by its signal${ending}`, {
      cause: call.signal?.reason,
      outcome: known,
      operationId: call.operationId,
    });
  }

  #watchAt(atMs: number): void {
    if (atMs >= this.#watchMs) return;
    clearTimeout(this.#watch);
    this.#watchMs = atMs;
    const delayMs = Math.min(Math.max(0, atMs - performance.now()), MAX_TIMEOUT_MS);
    this.#watch = setTimeout(() => {
      this.#watchMs = Infinity;
      this.#look();
    }, delayMs);
    this.#refWatch();
  }

  #refWatch(): void {
    if (typeof this.#watch !== 'object') return;
    if (this.#pending.size > 0) this.#watch.ref();
    else this.#watch.unref();
  }

  /** Ends the calls whose time is over, and asks a silent owner for a sign of life. */
  #look(): void {
    const nowMs = performance.now();
    for (const call of this.#pending.values()) if (call.deadlineMs <= nowMs) this.#expire(call);
    const connection = this.#connection;
    if (this.#pending.size === 0 || connection?.remote === false) return;
    let nextMs = nowMs + PING_MS;
    let newest = 0;
    for (const call of this.#pending.values()) {
      nextMs = Math.min(nextMs, call.deadlineMs);
      newest = Math.max(newest, call.sentMs);
    }
    if (this.#heardMs <= newest || nowMs - this.#heardMs >= PING_MS) connection?.ping();
    this.#watchAt(nextMs);
  }

  #expire(call: Pending): void {
    this.#settle(call);
    if (call.begins !== undefined) this.#abandoned.set(call.call, call.begins);
    this.#connection?.cancel(call.call);
    if (call.aborted) {
      call.reject(this.#abortedError(call, undefined));
      return;
    }
    const silent = this.#connection === undefined ? this.#connector.awaitsOwner : this.#heardMs <= call.sentMs;
    const error = silent
      ? new ChatStoreError(
          this.#connector.lostCode,
          `${call.verb} got no answer: ${this.#connector.ownerName} gives no sign of life; it is stopped, busy without a pause, or open for reading only`,
        )
      : new ChatStoreError('TIMEOUT', `${call.verb} did not settle in time`);
    call.reject(told(error, call));
  }
}

/** What leaves it open whether a write that was sent took effect. */
const unclear = new Set<string>([
  'OUTCOME_UNKNOWN',
  'OWNER_UNRESPONSIVE',
  'LEADER_UNRESPONSIVE',
  'TIMEOUT',
  'INTERNAL',
  'FOREIGN_ACCESS',
]);

const isCommit = (call: Call): boolean => call.verb === COMMIT && call.operationId !== undefined;

/** An error with what is known of its call: a write that was sent may have been applied. */
function told(error: ChatStoreError, call: Pending): ChatStoreError {
  const lost = unclear.has(error.code);
  if (!call.write) return error;
  if (!lost) return withCall(error, { operationId: call.operationId });
  return withCall(error, { outcome: call.attempt === 0 ? 'not-applied' : 'unknown', operationId: call.operationId });
}
