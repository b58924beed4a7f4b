/**
 * Faults, drawn by chance, and whether a store recovers from each.
 *
 * Holds: the kinds of faults and how each is brought about. Must not know: an environment; one that cannot
 * kill a host injects the other kinds.
 */

import { failureFrom, failureOf } from './findings.js';
import type { Context, Scratch, Store } from './types.js';
import { chat, count, holdSnapshots, pause, said, writeOn } from './work.js';

/** What a fault is done to. */
interface Victim {
  scratch: Scratch;
  sessionId: string;
  /** Texts whose writes were acknowledged. */
  acknowledged: number;
}

type Fault = (victim: Victim, context: Context) => Promise<void>;

/** Writes that are not to be kept; whoever finds them finds an error. */
const never = (sessionId: string) => said(sessionId, 'never', { role: 'never' });

const faults: Record<string, Fault> = {
  'constraint violated': async ({ scratch: { store }, sessionId }) => {
    await failureOf(store.messages.addMany([never(sessionId), said(sessionId, 'twice', { id: 'first' })]));
  },
  'invalid SQL': async ({ scratch: { store } }) => {
    await failureOf(store.query('SELECT nothing FROM nowhere'));
  },
  'exception in a transaction': async ({ scratch: { store }, sessionId }) => {
    const run = store.transaction(async (tx) => {
      await tx.messages.add(never(sessionId));
      throw new Error('thrown on purpose');
    });
    await failureOf(run);
  },
  'transaction left open': async ({ scratch: { store }, sessionId }) => {
    const run = store.transaction(
      async (tx) => {
        await tx.messages.add(never(sessionId));
        await pause(60);
        await tx.messages.add(never(sessionId));
      },
      { leaseMs: 10 },
    );
    await failureOf(run);
  },
  'call aborted': async ({ scratch: { store }, sessionId }) => {
    const controller = new AbortController();
    const run = store.transaction(
      async (tx) => {
        await tx.messages.add(never(sessionId));
        controller.abort();
        await tx.messages.add(never(sessionId));
      },
      { signal: controller.signal },
    );
    await failureOf(run);
  },
  'deadline passed': async ({ scratch: { store }, sessionId }) => {
    await store.transaction(async () => {
      await failureOf(store.messages.add(never(sessionId), { timeoutMs: 5 }));
    });
  },
  'snapshot expired': async ({ scratch: { store } }) => {
    const run = store.snapshot(
      async (view) => {
        await view.sessions.list();
        await pause(50);
        await view.sessions.list();
      },
      { leaseMs: 10 },
    );
    await failureOf(run);
  },
  'pool exhausted': async ({ scratch: { store } }) => {
    const { release } = await holdSnapshots(store, 3);
    await failureOf(store.snapshot((view) => view.sessions.list()));
    await release();
  },
  'result too large': async ({ scratch: { store } }) => {
    await failureOf(store.query('SELECT key FROM messages', { limit: 1 }));
  },
};

const killed: Fault = async (victim, context) => {
  const { scratch, sessionId } = victim;
  const store = (await scratch.rehost?.(options)) ?? scratch.store;
  const writing = writeOn(3, () => store.messages.add(said(sessionId, context.id())));
  await pause(1 + context.chance() * 10);
  await scratch.kill?.();
  const { done, errors } = await writing.stop();
  victim.acknowledged += done.length;
  if (errors[0] !== undefined) throw Object.assign(new Error(errors[0].message), { code: errors[0].code });
};

const options = { pool: { min: 1, max: 3, acquireTimeoutMs: 20 } };
/** A host that has to be made anew each time takes a while: one fault in twenty. */
const SHARE_OF_KILLS = 0.05;

export interface Recovered {
  injected: number;
  recovered: number;
  /** Acknowledged writes that are not there at the end. */
  lost: number;
  kinds: Record<string, number>;
  /** What was wrong after a fault, the first few. */
  failures: string[];
}

/** Injects faults one after the other; recovered from is one after which the store answers, writes, and has lost nothing. */
export async function injectFaults(context: Context): Promise<Recovered> {
  const scratch = await context.scratch({ ...options, killable: true });
  const { sessionId } = await chat(context, scratch.store);
  await scratch.store.messages.add(said(sessionId, 'first', { id: 'first' }));
  const victim: Victim = { scratch, sessionId, acknowledged: 1 };
  const kinds: Record<string, number> = {};
  const failures: string[] = [];
  const names = Object.keys(faults);
  let recovered = 0;
  for (let i = 0; i < context.faults; i++) {
    context.signal?.throwIfAborted();
    const isKill = scratch.kill !== undefined && context.chance() < SHARE_OF_KILLS;
    const name = isKill ? 'host killed' : (names[Math.floor(context.chance() * names.length)] ?? '');
    kinds[name] = (kinds[name] ?? 0) + 1;
    try {
      await (isKill ? killed : faults[name])?.(victim, context);
      await scratch.store.messages.add(said(sessionId, context.id()), { timeoutMs: 10_000 });
      victim.acknowledged++;
      const missing = victim.acknowledged - (await present(scratch.store));
      if (missing === 0) recovered++;
      else failures.push(`${name}: ${String(missing)} acknowledged writes are missing`);
    } catch (error) {
      const { code, message } = failureFrom(error);
      failures.push(`${name}: ${code}: ${message}`);
    }
  }
  const lost = Math.max(0, victim.acknowledged - (await present(scratch.store)));
  return { injected: context.faults, recovered, lost, kinds, failures: failures.slice(0, 5) };
}

/** How many messages are there; none where one is that should not be. */
const present = async (store: Store): Promise<number> =>
  count(store, "SELECT iif(max(role = 'never'), 0, count(*)) FROM messages");
