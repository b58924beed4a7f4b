/**
 * Faults, drawn by chance, and whether a store recovers from each.
 *
 * Holds: the kinds of faults and how each is brought about. Must not know: an environment; one that cannot
 * kill a host injects the other kinds.
 */

import { lostOf } from './figures.js';
import { failureFrom, failureOf, type Failure } from './findings.js';
import type { Context, Scratch, Store } from './types.js';
import { chat, count, holdSnapshots, pause, said, writeOn } from './work.js';

/** What a fault is done to. */
interface Victim {
  scratch: Scratch;
  sessionId: string;
  /** How many writes were acknowledged. */
  acknowledged: number;
}

/** A kind of fault: how it is brought about, and the codes of the error that shows that it was. */
interface Fault {
  shows: readonly string[];
  run: (victim: Victim, context: Context) => Promise<Pick<Failure, 'code' | 'message'>>;
}

/** Writes that are not to be kept; whoever finds them finds an error. */
const never = (sessionId: string) => said(sessionId, 'never', { role: 'never' });

const LOST = 'the host was lost';
/** Who waits so shortly may hear nothing of a host that is busy: its own clock tells it then. */
const too_late = ['TIMEOUT', 'OWNER_UNRESPONSIVE', 'LEADER_UNRESPONSIVE'];

const faults: Record<string, Fault> = {
  'constraint violated': {
    shows: ['CONSTRAINT_UNIQUE'],
    run: ({ scratch: { store }, sessionId }) =>
      failureOf(store.messages.addMany([never(sessionId), said(sessionId, 'twice', { id: 'first' })])),
  },
  'invalid SQL': {
    shows: ['INVALID_SQL'],
    run: ({ scratch: { store } }) => failureOf(store.query('SELECT nothing FROM nowhere')),
  },
  'exception in a transaction': {
    shows: ['ON_PURPOSE'],
    run: ({ scratch: { store }, sessionId }) => {
      const run = store.transaction(async (tx) => {
        await tx.messages.add(never(sessionId));
        throw Object.assign(new Error('thrown on purpose'), { code: 'ON_PURPOSE' });
      });
      return failureOf(run);
    },
  },
  'transaction left open': {
    shows: ['TRANSACTION_LOST'],
    run: ({ scratch: { store }, sessionId }) => {
      const run = store.transaction(
        async (tx) => {
          await tx.messages.add(never(sessionId));
          await pause(30);
          await tx.messages.add(never(sessionId));
        },
        { leaseMs: 10 },
      );
      return failureOf(run);
    },
  },
  'call aborted': {
    shows: ['ABORTED'],
    run: ({ scratch: { store }, sessionId }) => {
      const controller = new AbortController();
      const run = store.transaction(
        async (tx) => {
          await tx.messages.add(never(sessionId));
          controller.abort();
          await tx.messages.add(never(sessionId));
        },
        { signal: controller.signal },
      );
      return failureOf(run);
    },
  },
  'deadline passed': {
    shows: too_late,
    run: ({ scratch: { store }, sessionId }) =>
      store.transaction(() => failureOf(store.messages.add(never(sessionId), { timeoutMs: 5 }))),
  },
  'snapshot expired': {
    shows: ['SNAPSHOT_EXPIRED'],
    run: ({ scratch: { store } }) => {
      const run = store.snapshot(
        async (view) => {
          await view.sessions.list();
          await pause(30);
          await view.sessions.list();
        },
        { leaseMs: 10 },
      );
      return failureOf(run);
    },
  },
  'pool exhausted': {
    shows: ['POOL_EXHAUSTED'],
    run: async ({ scratch: { store } }, context) => {
      const { release } = await holdSnapshots(context, store, 3);
      const failure = await failureOf(store.snapshot((view) => view.sessions.list()));
      await release();
      return failure;
    },
  },
  'result too large': {
    shows: ['TOO_LARGE'],
    run: ({ scratch: { store } }) => failureOf(store.query('SELECT 1 UNION ALL SELECT 2', { limit: 1 })),
  },
};

const host_killed = 'host killed';
const killed: Fault = {
  shows: [LOST],
  run: async (victim, context) => {
    const { scratch, sessionId } = victim;
    const store = await scratch.restart(options);
    const before = await lostOf(store);
    const writing = writeOn(3, () => store.messages.add(said(sessionId, context.id())));
    // It is in the middle of its work for certain.
    await writing.until(({ done }) => done.length >= 3);
    await pause(context.chance() * 10);
    await scratch.kill?.();
    const after = await lostOf(store);
    const { done, errors } = await writing.stop();
    victim.acknowledged += done.length;
    if (errors[0] !== undefined) throw Object.assign(new Error(errors[0].message), { code: errors[0].code });
    const isLost = after.reconnects > before.reconnects;
    return { code: isLost ? LOST : 'none', message: isLost ? '' : 'the host is still there' };
  },
};

const options = { pool: { min: 1, max: 3, acquireTimeoutMs: 20 } };
/** A host that has to be made anew each time takes a while: one fault in twenty. */
const SHARE_OF_KILLS = 0.05;
/** How many failures are told of. */
const MAX_TOLD = 5;

export interface Recovered {
  /** How many were to be injected. Those that failed to happen are none that was recovered from. */
  injected: number;
  recovered: number;
  /** Faults that did not show, and what did instead, the first few. */
  failedToHappen: string[];
  /** Acknowledged writes that are not there at the end. */
  lost: number;
  /** How often each kind happened. */
  kinds: Record<string, number>;
  /** What was wrong after a fault, the first few. */
  failures: string[];
}

/**
 * Injects faults one after the other, each kind once and then what chance draws; recovered from is one that showed, and
 * after which the store answers, writes, and has lost nothing.
 */
export async function injectFaults(context: Context): Promise<Recovered> {
  const scratch = await context.scratch({ ...options, killable: true });
  const { sessionId } = await chat(context, scratch.store);
  await scratch.store.messages.add(said(sessionId, 'first', { id: 'first' }));
  const victim: Victim = { scratch, sessionId, acknowledged: 1 };
  const kinds: Record<string, number> = {};
  const failures: string[] = [];
  const failedToHappen: string[] = [];
  const drawn = Object.entries(faults);
  const can_kill = scratch.kill !== undefined;
  const each: [string, Fault][] = can_kill ? [[host_killed, killed], ...drawn] : drawn;
  const draw = (): [string, Fault] | undefined =>
    can_kill && context.chance() < SHARE_OF_KILLS ? each[0] : drawn[Math.floor(context.chance() * drawn.length)];
  let recovered = 0;
  for (let i = 0; i < context.faults; i++) {
    context.signal?.throwIfAborted();
    const [name, fault] = each[i] ?? draw() ?? [];
    if (name === undefined || fault === undefined) break;
    try {
      const { code, message } = await fault.run(victim, context);
      const hasHappened = fault.shows.includes(code);
      if (hasHappened) kinds[name] = (kinds[name] ?? 0) + 1;
      else failedToHappen.push(`${name}: ${code}: ${message}`);
      await scratch.store.messages.add(said(sessionId, context.id()), { timeoutMs: 10_000 });
      victim.acknowledged++;
      const missing = victim.acknowledged - (await present(scratch.store));
      if (missing !== 0) failures.push(`${name}: ${String(missing)} acknowledged writes are missing`);
      else if (hasHappened) recovered++;
    } catch (error) {
      const { code, message } = failureFrom(error);
      failures.push(`${name}: ${code}: ${message}`);
    }
  }
  const lost = Math.max(0, victim.acknowledged - (await present(scratch.store)));
  return {
    injected: context.faults,
    recovered,
    failedToHappen: failedToHappen.slice(0, MAX_TOLD),
    lost,
    kinds,
    failures: failures.slice(0, MAX_TOLD),
  };
}

/** How many messages are there; none where one is that should not be. */
const present = async (store: Store): Promise<number> =>
  count(store, "SELECT iif(max(role = 'never'), 0, count(*)) FROM messages");
