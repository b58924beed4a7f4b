/**
 * The host of one store: owns the wasm instance and runs the calls of every client on it.
 *
 * Holds: the one instance, which is replaced when it traps; which call belongs to which client; when
 * the core is stepped. Order, leases, deadlines and indexing are the core's. Calls into the core are
 * synchronous and run no callback of the user's. Must not know: verbs and their data, or which
 * environment it runs in.
 */

import { MAX_TIMEOUT_MS } from '../client/caller.js';
import { ChatStoreError, isPlainError, withCall } from '../client/errors.js';
import { readCount, readQueryRows, readTextAnywhere } from '../client/rows.js';
import { anything } from '../client/changes.js';
import type { StoreChange } from '../client/types.js';
import { CoreEvents, toError, trapError, type CoreEvent, type CoreInstance } from './core.js';
import {
  Figures,
  HOST_FIGURES,
  LOOK,
  STATEMENTS,
  planOfSearch,
  planWithoutNames,
  sqlOf,
  statementOf,
} from './figures.js';
import type { Call, Connection, ConnectionEvents } from './protocol.js';

/** What the environment brings. */
export interface HostEnvironment {
  /** Opens a fresh instance of the core on the store's file. */
  openInstance(): CoreInstance;
  /** Closes what an instance that is of no more use has left open. */
  discardInstance(): void;
  /** Gives up the ownership of the file, at the very end. */
  releaseOwnership(): Promise<void>;
  /** Runs something when the event loop has had its turn. */
  nextTurn(run: () => void): void;
  /** False where the data lies in the instance itself and dies with it. */
  replaceable: boolean;
  /** From when on a call is slow; see `OpenOptions`. */
  slowQueryMs?: number | undefined;
  /** Says what another program has done to the file, where that can be seen. Cheap: it runs for every write. */
  strangerSeen?(): ChatStoreError | undefined;
}

/** Whose call it is, and how it is known to the core. */
interface Waiting {
  id: number;
  seat: Seat;
  call: Call;
  sentMs: number;
  /** It has been given to a second instance already, after the first one trapped. */
  again: boolean;
}

/** How long the transactions of other processes may go on when a host closes. */
const CLOSE_GRACE_MS = 1_000;
/** When a fresh instance is asked what is due, though nothing was called that waits. */
const FIRST_STEP_MS = 100;
/** How long calls of this thread may follow each other before others get their turn. */
const TURN_MS = 10;
/** How close changes may follow each other: no screen shows more of them. */
const BETWEEN_CHANGES_MS = 16;
/** How long the plan of a slow query may take. */
const PLAN_MS = 1_000;
const soon = Promise.resolve();
const encoder = new TextEncoder();
/** A number that the core gives to no scope. */
const NO_SCOPE = 0xffff_ffff;

const SCOPE_OPENED_BY: Record<string, 'transaction' | 'snapshot'> = {
  'tx.begin': 'transaction',
  'snapshot.begin': 'snapshot',
  'verify.begin': 'snapshot',
  'backup.begin': 'snapshot',
};
const SCOPE_ENDED_BY = new Set(['tx.commit', 'tx.rollback', 'snapshot.end']);

export class Host {
  readonly #environment: HostEnvironment;
  readonly #seats = new Map<number, Seat>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #events = new CoreEvents();
  readonly #figures: Figures;
  #instance: CoreInstance | undefined;
  #lastCall = 0;
  #lastSeat = 0;
  /** A step is on its way: `soon` at the end of this turn of the event loop, `now` before anything else runs. */
  #planned: 'soon' | 'now' | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerMs = Infinity;
  #isWatched = false;
  #changeTimer: ReturnType<typeof setTimeout> | undefined;
  #toldMs = -Infinity;
  /** When the event loop was known to have turned. */
  #turnedMs = performance.now();
  #turn: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #settled: (() => void) | undefined;
  /** Why nothing can be called any more. */
  #ended: ChatStoreError | undefined;

  /** Opens the first instance at once, so that a file that cannot be opened fails here. */
  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#figures = new Figures(environment.slowQueryMs);
    this.#open();
  }

  /**
   * Takes a client in. `remote` is one that can be lost, or can lose this host, without the other:
   * its calls are gathered for the whole turn of the event loop, since each comes by itself; unless they
   * are `gathered` already.
   */
  connect(events: ConnectionEvents, name: string, options: { remote?: boolean; gathered?: boolean } = {}): Connection {
    this.#checkOpen();
    const number = ++this.#lastSeat;
    const seat: Seat = {
      number,
      name,
      events,
      here: options.remote !== true,
      gathered: options.gathered === true,
      held: false,
      watches: false,
      scopes: new Map(),
    };
    this.#open().connect(number, name);
    this.#seats.set(number, seat);
    return {
      remote: false,
      send: (call) => this.#send(seat, call),
      pause: () => this.#pause(),
      cancel: (call) => {
        this.#cancel(seat, call);
      },
      ping: () => {
        events.alive();
      },
      watch: (on) => {
        this.#watch(seat, on);
      },
      hold: (held) => {
        seat.held = held;
        this.#refTimer();
      },
      close: () => {
        this.#disconnect(seat);
      },
    };
  }

  /** Where nobody but the host itself would notice: ends the store, and never writes again. */
  stop(error: ChatStoreError): void {
    if (this.#ended !== undefined || this.#closed !== undefined) return;
    this.#ended = error;
    this.#throwAway();
    this.#endScopes(error, [...this.#seats.values()]);
    for (const waiting of this.#takeWaiting())
      this.#answer(waiting, undefined, unknownWhereWritten(error, waiting.call));
  }

  /** Lets what was called settle, closes the file, gives it up and tells the clients that are left. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#settle();
    clearTimeout(this.#timer);
    clearTimeout(this.#changeTimer);
    const instance = this.#instance;
    this.#instance = undefined;
    try {
      instance?.close();
      instance?.free();
    } catch (thrown) {
      if (!isPlainError(thrown)) this.#environment.discardInstance();
      throw toError(thrown);
    } finally {
      await this.#environment.releaseOwnership();
      for (const seat of this.#seats.values()) seat.events.gone(true);
      this.#seats.clear();
    }
  }

  /** Waits for what is called and for open transactions; clients elsewhere begin nothing new meanwhile. */
  async #settle(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_GRACE_MS);
      this.#settled = () => {
        if (!this.#isSettled()) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #isSettled(): boolean {
    if (this.#waiting.size > 0) return false;
    for (const seat of this.#seats.values()) {
      for (const kind of seat.scopes.values()) if (kind === 'transaction') return false;
    }
    return true;
  }

  #checkOpen(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#closed !== undefined) throw new ChatStoreError('STORE_CLOSED', 'the store was closed');
  }

  #open(): CoreInstance {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#instance !== undefined) return this.#instance;
    try {
      const instance = this.#environment.openInstance();
      this.#instance = instance;
      for (const seat of this.#seats.values()) instance.connect(seat.number, seat.name);
      if (this.#isWatched) instance.watch(true);
      // What clients of a former host have left may be waiting for its time.
      this.#wakeAt(performance.now() + FIRST_STEP_MS);
      return instance;
    } catch (thrown) {
      this.#throwAway();
      throw toError(thrown);
    }
  }

  #throwAway(): void {
    this.#instance = undefined;
    this.#environment.discardInstance();
  }

  #send(seat: Seat, call: Call): Uint8Array | undefined {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#closed !== undefined && call.scope === 0) {
      // A client elsewhere sends it again, to whoever has the file next.
      if (!seat.here) return undefined;
      this.#checkOpen();
    }
    if (call.verb === HOST_FIGURES) return encoder.encode(JSON.stringify(this.#figures.take()));
    const sentMs = performance.now();
    const waiting = { id: ++this.#lastCall, seat, call, sentMs, again: false };
    if (call.scope === 0 || seat.scopes.has(call.scope)) return this.#submit(waiting, sentMs);
    return this.#submitLate(waiting);
  }

  /** A call in a scope that is not this client's: another may have its number since an owner was lost. */
  #submitLate(waiting: Waiting): Uint8Array | undefined {
    const { call } = waiting;
    const isCommit = call.verb === 'tx.commit' && call.operationId !== undefined;
    if (!isCommit)
      throw new ChatStoreError('TRANSACTION_STATE', 'this transaction or snapshot is not open: it has ended');
    try {
      return this.#submit({ ...waiting, call: { ...call, scope: NO_SCOPE } });
    } catch (error) {
      if (!(error instanceof ChatStoreError && error.code === 'TRANSACTION_STATE')) throw error;
      throw new ChatStoreError('TRANSACTION_LOST', 'the transaction was lost before it was committed, with its owner', {
        cause: error,
        outcome: 'not-applied',
      });
    }
  }

  #submit(waiting: Waiting, nowMs = performance.now()): Uint8Array | undefined {
    const { id, seat, call, sentMs } = waiting;
    const instance = this.#open();
    let reply: Uint8Array | undefined;
    try {
      reply = instance.submit(
        nowMs,
        id,
        seat.number,
        call.scope,
        call.verb === LOOK ? 'query' : call.verb,
        sentMs + call.timeoutMs,
        call.args,
        call.rows,
        call.operationId,
        call.attempt,
        call.firstSentMs,
      );
    } catch (thrown) {
      if (!isPlainError(thrown)) return this.#trappedIn(waiting, thrown);
      if (call.scope !== 0 || call.write) this.#plan(seat);
      const error = toError(thrown);
      this.#noteAtOnce(call, performance.now() - nowMs, error);
      throw error;
    }
    if (reply === undefined) {
      this.#waiting.set(id, waiting);
      this.#plan(seat);
      return undefined;
    }
    this.#noteAtOnce(call, performance.now() - nowMs, undefined);
    // A read of the store changes nothing that a step would have to look at.
    if (call.scope === 0 && !call.write && SCOPE_OPENED_BY[call.verb] === undefined) return reply;
    this.#plan(seat);
    return this.#checkStranger(call) ?? this.#noteScope(seat, call, reply);
  }

  /** Where a commit may have gone into a file that is not the store's any more, it is not acknowledged. */
  #checkStranger(call: Call): undefined {
    if (call.verb !== 'tx.commit') return undefined;
    const error = this.#environment.strangerSeen?.();
    if (error === undefined) return undefined;
    this.stop(error);
    throw unknownWhereWritten(error, call);
  }

  #noteScope(seat: Seat, call: Call, reply: Uint8Array): Uint8Array {
    const opened = SCOPE_OPENED_BY[call.verb];
    if (opened !== undefined) seat.scopes.set(readCount(reply, readTextAnywhere).messages, opened);
    else if (SCOPE_ENDED_BY.has(call.verb)) seat.scopes.delete(call.scope);
    this.#settled?.();
    return reply;
  }

  #cancel(seat: Seat, call: number): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.seat !== seat || waiting.call.call !== call) continue;
      this.#guarded((instance) => {
        instance.cancel(waiting.id);
      });
      this.#plan(seat);
      return;
    }
  }

  #disconnect(seat: Seat): void {
    if (!this.#seats.delete(seat.number)) return;
    for (const [id, waiting] of this.#waiting) if (waiting.seat === seat) this.#waiting.delete(id);
    this.#watch(seat, false);
    seat.scopes.clear();
    if (this.#ended === undefined && this.#instance !== undefined) {
      this.#guarded((instance) => {
        instance.disconnect(performance.now(), seat.number);
      });
      this.#plan(seat);
    }
    this.#settled?.();
    this.#refTimer();
  }

  #watch(seat: Seat, on: boolean): void {
    seat.watches = on;
    const isWatched = on || [...this.#seats.values()].some(({ watches }) => watches);
    if (isWatched === this.#isWatched) return;
    this.#isWatched = isWatched;
    this.#guarded((instance) => {
      instance.watch(isWatched);
    });
  }

  /** Has the core stepped once for all that is submitted until then. */
  #plan(seat: Seat): void {
    if (seat.gathered || (seat.here && !this.#isTurnDue())) {
      if (this.#planned === 'now') return;
      this.#planned = 'now';
      // Cheaper than queueMicrotask, which makes a resource for each in Node.
      void soon.then(this.#stepPlanned);
    } else if (this.#planned === undefined) {
      this.#planned = 'soon';
      this.#environment.nextTurn(this.#stepInTurn);
    }
  }

  readonly #stepPlanned = (): void => {
    if (this.#planned === undefined) return;
    this.#planned = undefined;
    this.#step();
  };

  readonly #stepInTurn = (): void => {
    this.#turnedMs = performance.now();
    this.#stepPlanned();
  };

  /**
   * Calls that are answered without the event loop, one after the other, would keep everything else of
   * this thread from running: timers, and the clients elsewhere.
   */
  #isTurnDue(): boolean {
    return performance.now() - this.#turnedMs >= TURN_MS;
  }

  #pause(): Promise<void> | undefined {
    if (!this.#isTurnDue()) return undefined;
    this.#turn ??= new Promise((resolve) => {
      this.#environment.nextTurn(() => {
        this.#turnedMs = performance.now();
        this.#turn = undefined;
        resolve();
      });
    });
    return this.#turn;
  }

  #step(): void {
    if (this.#instance === undefined) return;
    const writes = this.#waiting.size > 0;
    let nextMs: number | undefined;
    const beganMs = performance.now();
    this.#guarded((instance) => {
      nextMs = instance.step(beganMs);
      this.#takeChanges(instance);
      instance.take(this.#events);
    });
    const events = this.#events.take();
    const endedMs = events.length > 0 ? performance.now() : beganMs;
    if (writes && events.length > 0) {
      const error = this.#environment.strangerSeen?.();
      if (error !== undefined) {
        this.stop(error);
        return;
      }
    }
    for (const event of events) this.#deliver(event, beganMs, endedMs);
    this.#wakeAt(nextMs);
  }

  /** What a step has told, which began and ended at these times. */
  #deliver(event: CoreEvent, beganMs: number, endedMs: number): void {
    if ('notice' in event) {
      this.#tell(event.notice, event.message);
    } else if ('change' in event) {
      this.#tellChange(event.change);
    } else if ('lost' in event) {
      const seat = this.#seats.get(event.client);
      seat?.scopes.delete(event.scope);
      seat?.events.lost(event.scope, toError(event.lost));
      this.#settled?.();
    } else {
      const waiting = this.#waiting.get(event.call);
      // Its client may be gone.
      if (waiting === undefined) return;
      this.#waiting.delete(event.call);
      const error = event.error === undefined ? undefined : toError(event.error);
      const { call, sentMs } = waiting;
      const waitedMs = Math.max(0, beganMs - sentMs);
      if (!isForPool(call)) this.#figures.queueWaits.add(waitedMs);
      this.#note(call, endedMs - sentMs, event.runMs ?? endedMs - beganMs, waitedMs, error);
      this.#answer(waiting, event.reply, error);
    }
  }

  #tell(notice: string, message: string): void {
    for (const seat of this.#seats.values()) seat.events.notice(notice, message);
  }

  /** A call has failed with the core that it was in. */
  #failed({ call, sentMs }: Waiting, error: ChatStoreError): ChatStoreError {
    this.#note(call, performance.now() - sentMs, 0, 0, error);
    return error;
  }

  #noteAtOnce(call: Call, ms: number, error: ChatStoreError | undefined): void {
    this.#note(call, ms, ms, 0, error);
  }

  /** A call was answered: counts it, and tells where it was slow or where we are to blame. */
  #note(call: Call, ms: number, runMs: number, waitedMs: number, error: ChatStoreError | undefined): void {
    if (error?.code === 'BUSY' && isTriedAgain(call)) return;
    this.#figures.answered(call.verb, ms, error?.code);
    if (error === undefined && isForPool(call)) this.#figures.poolWaits.add(ms);
    if (this.#figures.isSlow(runMs)) this.#noteSlow(call, runMs, waitedMs, error);
    if (error !== undefined) this.#noteFailure(call, error);
  }

  /** Tells of SQL that failed, and of our own faults; what else fails is the caller's to tell. */
  #noteFailure(call: Call, error: ChatStoreError): void {
    const { code } = error;
    if (code === 'ABORTED') return;
    this.#figures.keepFailed(call, error);
    const statement = spoken(call, error);
    // No message of an error: it may quote what was in the core's hands.
    if (code === 'INTERNAL') this.#tell('internal_error', `${call.verb} failed${statement}`);
    else if (call.verb === 'query') this.#tell('query_failed', `query failed with ${code}${statement}`);
  }

  #noteSlow(call: Call, runMs: number, waitedMs: number, error: ChatStoreError | undefined): void {
    if (call.verb === LOOK) return;
    this.#figures.keepSlow(call, runMs, waitedMs, error, () => this.#planOf(call));
    const [ran, waited] = [runMs, waitedMs].map((ms) => String(Math.round(ms)));
    this.#tell('slow_query', `${call.verb} ran ${ran} ms, after it had waited ${waited} ms${spoken(call, error)}`);
  }

  /** SQLite's plan of a query, or that of the statement that searches have worked most in. */
  #planOf(call: Call): string[] {
    const { verb, args } = call;
    const sql = sqlOf(call);
    if (sql === undefined && verb !== 'search') return [];
    const explain = sql === undefined ? {} : { ...args, sql: `EXPLAIN QUERY PLAN ${sql}`, limit: undefined };
    let reply: Uint8Array | undefined;
    this.#guarded((instance) => {
      const nowMs = performance.now();
      const untilMs = nowMs + PLAN_MS;
      const asked = sql === undefined ? STATEMENTS : verb;
      try {
        reply = instance.submit(nowMs, ++this.#lastCall, 0, 0, asked, untilMs, explain, undefined, undefined, 1, 0);
      } catch (thrown) {
        if (!isPlainError(thrown)) throw thrown;
      }
    });
    if (reply === undefined) return [];
    const rows = readQueryRows(reply, readTextAnywhere);
    if (sql === undefined) return planOfSearch(rows);
    return planWithoutNames(
      rows.map(({ detail }) => String(detail)),
      sql,
    );
  }

  /** Asks for changes at once where the last one is some time ago, else later, for all that come until then. */
  #takeChanges(instance: CoreInstance): void {
    if (!this.#isWatched || this.#changeTimer !== undefined) return;
    const waitMs = this.#toldMs + BETWEEN_CHANGES_MS - performance.now();
    if (waitMs <= 0) {
      instance.takeChanges(this.#events);
      return;
    }
    this.#changeTimer = setTimeout(() => {
      this.#changeTimer = undefined;
      this.#step();
    }, waitMs);
    // Whoever waits for a change keeps the process alive by something else.
    if (typeof this.#changeTimer === 'object') this.#changeTimer.unref();
  }

  #tellChange(change: StoreChange): void {
    this.#toldMs = performance.now();
    for (const seat of this.#seats.values()) if (seat.watches) seat.events.changed(change);
  }

  #answer(waiting: Waiting, reply: Uint8Array | undefined, error: ChatStoreError | undefined): void {
    const { seat, call } = waiting;
    if (reply !== undefined) this.#noteScope(seat, call, reply);
    seat.events.reply(call.call, reply, error ?? (reply === undefined ? trapError('no reply came') : undefined));
    this.#settled?.();
  }

  #wakeAt(atMs: number | undefined): void {
    // A timer that is set for earlier finds nothing due and is set again: cheaper than one for every step.
    if (atMs === undefined || atMs >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = atMs;
    const delayMs = Math.min(Math.max(0, atMs - performance.now()), MAX_TIMEOUT_MS);
    this.#timer = setTimeout(() => {
      this.#timerMs = Infinity;
      this.#step();
    }, delayMs);
    this.#refTimer();
  }

  /** The timer keeps the process alive only while a client of this thread waits for something. */
  #refTimer(): void {
    const timer = this.#timer;
    if (typeof timer !== 'object') return;
    for (const seat of this.#seats.values()) {
      if (!seat.held) continue;
      timer.ref();
      return;
    }
    timer.unref();
  }

  /** Runs something on the instance; a trap replaces it. */
  #guarded(run: (instance: CoreInstance) => void): void {
    const instance = this.#instance;
    if (instance === undefined) return;
    try {
      run(instance);
    } catch (thrown) {
      this.#replace(thrown, true);
    }
  }

  /** A call that trapped as it was submitted is sent once more, and after those that waited before it. */
  #trappedIn(waiting: Waiting, thrown: unknown): Uint8Array | undefined {
    const { call } = waiting;
    this.#replace(thrown, false);
    if (call.scope !== 0 && !(call.verb === 'tx.commit' && call.operationId !== undefined)) {
      if (call.verb === 'tx.commit') throw this.#failed(waiting, withCall(trapError(thrown), { outcome: 'unknown' }));
      throw this.#failed(waiting, this.#ended ?? lostWithCore(call.verb, thrown));
    }
    if (waiting.again) throw this.#failed(waiting, unknownWhereWritten(trapError(thrown), call));
    waiting.again = true;
    this.#figures.reruns++;
    return call.scope === 0 ? this.#submit(waiting) : this.#submitLate(waiting);
  }

  /** Throws the instance away and gives what waited in it to a fresh one, call by call. */
  #replace(thrown: unknown, mayHaveRun: boolean): void {
    const error = trapError(thrown);
    this.#figures.restarts++;
    this.#throwAway();
    if (!this.#environment.replaceable) {
      this.#ended = new ChatStoreError('INTERNAL', 'the core failed, and the data that was in its memory is gone', {
        cause: thrown,
      });
    }
    const waiting = this.#takeWaiting();
    this.#endScopes(error, [...this.#seats.values()]);
    for (const each of waiting) this.#sendAgain(each, error, mayHaveRun);
    // It may have committed what it did not tell any more.
    if (this.#isWatched) this.#tellChange(anything());
  }

  #sendAgain(waiting: Waiting, error: ChatStoreError, mayHaveRun: boolean): void {
    const { call } = waiting;
    // Without an operation id nobody could tell that it had taken effect before.
    const twice = mayHaveRun && call.write && call.operationId === undefined;
    if (waiting.again || twice || this.#ended !== undefined) {
      this.#answer(waiting, undefined, this.#failed(waiting, unknownWhereWritten(error, call)));
      return;
    }
    waiting.again = true;
    this.#figures.reruns++;
    waiting.call = { ...call, attempt: call.attempt + 1 };
    let reply: Uint8Array | undefined;
    try {
      reply = this.#submit(waiting);
    } catch (thrown) {
      this.#answer(waiting, undefined, toError(thrown));
      return;
    }
    if (reply === undefined) this.#step();
    else this.#answer(waiting, reply, undefined);
  }

  #takeWaiting(): Waiting[] {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    return all;
  }

  #endScopes(error: ChatStoreError, seats: Seat[]): void {
    for (const seat of seats) {
      if (seat.scopes.size === 0) continue;
      seat.scopes.clear();
      seat.events.lost(0, error);
    }
    this.#settled?.();
  }
}

const isForPool = ({ verb, args }: Call): boolean =>
  SCOPE_OPENED_BY[verb] === 'snapshot' && !(args !== undefined && 'indexed' in args && args.indexed === true);

/** Whoever made it waits until it can be done: that it cannot be yet is no failure. */
const isTriedAgain = ({ args }: Call): boolean =>
  args !== undefined && 'triedAgain' in args && args.triedAgain === true;

/** What of a call's SQL may be told. */
function spoken(call: Call, error: ChatStoreError | undefined): string {
  const statement = statementOf(call, error);
  return statement === null ? '' : `: ${statement}`;
}

/** One client's place at the host. */
interface Seat {
  number: number;
  name: string;
  events: ConnectionEvents;
  /** In this thread: it neither loses the host nor is lost by it. */
  here: boolean;
  /** Its calls come together: nothing is won by waiting for more. */
  gathered: boolean;
  held: boolean;
  /** It wants to be told of changes. */
  watches: boolean;
  scopes: Map<number, 'transaction' | 'snapshot'>;
}

function unknownWhereWritten(error: ChatStoreError, call: Call): ChatStoreError {
  return call.write ? withCall(error, { outcome: 'unknown', operationId: call.operationId }) : error;
}

function lostWithCore(verb: string, thrown: unknown): ChatStoreError {
  return new ChatStoreError(
    'TRANSACTION_LOST',
    `the core failed in ${verb}; what its transaction did was rolled back`,
    {
      cause: trapError(thrown),
      outcome: 'not-applied',
    },
  );
}
