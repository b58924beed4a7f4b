/**
 * How the rows are measured: each group runs in a fresh process, or a fresh page, of its contestant.
 *
 * Holds: warm-up, samples and checks of each row. What an answer was is given as a digest beside its
 * time, so that all contestants can be compared; digests are made outside of the timed part. What differs
 * between places comes with the context: `newFolder(name)`, `mark(name)`, `wasmBytes()`, `peakMib()`, and
 * `clock_ms`, the step of the clock. Must not know: who is measured, or where.
 */
import { long_session, makeChats, searched } from './data.mjs';

/** Awaits only what is a promise, so that libraries that answer at once are not made to wait a turn. */
const settled = (value) => (typeof value?.then === 'function' ? value : undefined);

async function timed(work) {
  const start_ms = performance.now();
  const result = work();
  const waiting = settled(result);
  const value = waiting === undefined ? result : await waiting;
  return { value, ms: performance.now() - start_ms };
}

/**
 * Times `work(i)` again and again: `count` times, or until `budget_ms` is used up. `batch` calls in a row make one
 * sample, their mean.
 */
async function sample(count, work, { budget_ms = 2_000, batch = 1 } = {}) {
  const samples = [];
  let used_ms = 0;
  for (let first = 0; first < count && used_ms < budget_ms; first += batch) {
    const calls = Math.min(batch, count - first);
    const several = async () => {
      for (let i = first; i < first + calls; i++) {
        const waiting = settled(work(i));
        if (waiting !== undefined) await waiting;
      }
    };
    const { ms } = await timed(calls === 1 ? () => work(first) : several);
    samples.push(ms / calls);
    used_ms += ms;
  }
  return samples;
}

/** A sample takes this many steps of the clock at least, where it is so coarse that a call may take less than one. */
const steps_a_sample = 30;
const batchFor = ({ clock_ms }, call_ms) =>
  clock_ms === 0 ? 1 : Math.max(1, Math.ceil((clock_ms * steps_a_sample) / Math.max(call_ms, clock_ms / 20)));

/** The mean of these calls, made before what is measured: what a call takes, by and by. */
async function tryOut(count, work) {
  const samples = await sample(count, work);
  return samples.reduce((sum, ms) => sum + ms, 0) / samples.length;
}

/**
 * Calls until a quarter of a second is over, so that what is measured is compiled by then, at least once. Gives what
 * a call took in the end.
 */
async function warmUp(work) {
  const start_ms = performance.now();
  let half_ms = start_ms;
  let calls = 0;
  let now_ms = start_ms;
  for (let i = 0; i === 0 || now_ms < start_ms + 250; i++) {
    await work(i);
    now_ms = performance.now();
    if (now_ms < start_ms + 125) half_ms = now_ms;
    else calls++;
  }
  return (now_ms - half_ms) / Math.max(1, calls);
}

async function digest(value) {
  const bytes = await crypto.subtle.digest('SHA-1', new TextEncoder().encode(JSON.stringify(value)));
  return [...new Uint8Array(bytes)]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .slice(0, 12);
}

const messageFacts = (message) => [
  message.id,
  message.sessionId,
  message.botId,
  message.role,
  message.content,
  message.createdAt,
  message.model ?? null,
  message.usage?.inputTokens ?? message.inputTokens ?? null,
  message.usage?.outputTokens ?? message.outputTokens ?? null,
];
const messagesDigest = (messages) => digest(messages.map(messageFacts));

/** Messages that go on where the prepared store ends, spread over its latest sessions. */
function newMessages({ seed, facts }, count) {
  return makeChats(seed + 1, count, { long: 0 }).messages.map((message, i) => {
    const session = facts.latest[i % facts.latest.length];
    return Object.assign(message, {
      sessionId: session.id,
      botId: session.botId,
      id: `2${message.id.slice(1)}`,
      createdAt: facts.last_ms + 1 + i,
    });
  });
}

const tokens = ['The ', 'answer ', 'is ', 'naïve', ', ', 'but ', 'right', '. '];

/** Makes the store that the other groups get copies of, and says that it can be searched. */
async function prepare({ open, folder, seed, size, chunk = 10_000 }) {
  const store = await open(folder, { searchable: true });
  const { bots, sessions, messages } = makeChats(seed, size);
  await store.addBots(bots);
  await store.addSessions(sessions);
  for (let i = 0; i < messages.length; i += chunk) await store.insertMany(messages.slice(i, i + chunk));
  await store.search?.(searched.rare, 20);
  await store.close();
  return {};
}

async function reads(context) {
  const { open, folder, facts, samples } = context;
  const store = await open(folder, {});
  const { bots, sessions } = facts;
  const result = { rows: {}, checks: {} };
  const row = async (id, count, work) => {
    const call_ms = await warmUp(work);
    result.rows[id] = await sample(count, work, { batch: batchFor(context, call_ms) });
  };
  await row('page_of_bot', samples, (i) => store.pageOfBot(bots[i % bots.length], 100));
  await row('page_of_session', samples, (i) => store.pageOfSession(sessions[i % sessions.length], 50));
  await row('list_sessions', samples, () => store.listSessions(50));
  await row('read_10000', 7, () => store.readSession(long_session.id));
  result.checks.page_of_bot = await messagesDigest(
    (await Promise.all(bots.map((id) => store.pageOfBot(id, 100)))).flat(),
  );
  result.checks.page_of_session = await messagesDigest(
    (await Promise.all(sessions.map((id) => store.pageOfSession(id, 50)))).flat(),
  );
  const listed = await store.listSessions(50);
  result.checks.list_sessions = await digest(
    listed.map(({ id, messageCount, lastMessageAt }) => [id, messageCount, lastMessageAt]),
  );
  result.checks.read_10000 = await messagesDigest(await store.readSession(long_session.id));
  await store.close();
  return result;
}

async function searching(context) {
  const { open, folder, samples } = context;
  const store = await open(folder, {});
  const result = { rows: {}, checks: {} };
  for (const [name, words] of Object.entries(searched)) {
    const id = `search_${name}`;
    const count = name === 'rare' ? samples : Math.ceil(samples / 8);
    const call_ms = await warmUp(() => store.search(words, 20));
    result.rows[id] = await sample(count, () => store.search(words, 20), { batch: batchFor(context, call_ms) });
    result.checks[id] = await digest((await store.matches(words)).toSorted());
    const page = await store.search(words, 20);
    if (page.some((hit) => !/\S/.test(hit.snippet))) throw new Error(`a hit of ${words} has no snippet`);
    // Libraries with the same ranking must agree on the ranks of the first page too.
    if (store.ranked !== undefined)
      result.checks[`${id}:${store.ranked}`] = await digest(page.map((hit) => hit.rank.toFixed(6)));
  }
  await store.close();
  return result;
}

async function writes(context) {
  const { open, folder, facts, samples } = context;
  const store = await open(folder, {});
  const result = { rows: {}, checks: {} };
  const messages = newMessages(context, 20 + samples + 1_000);
  let next = 0;
  const insert_ms = await tryOut(20, () => store.insert(messages[next++]));
  result.rows.insert = await sample(samples, () => store.insert(messages[next++]), {
    batch: batchFor(context, insert_ms),
  });
  next = 20 + samples;
  result.rows.writers = await sample(10, () =>
    Promise.all(Array.from({ length: 100 }, () => Promise.resolve(store.insert(messages[next++])))),
  );
  const refs = facts.updates;
  result.rows.update = await sample(Math.min(refs.length, samples), (i) => store.update(refs[i], `Changed: ${i}.`), {
    batch: batchFor(context, insert_ms),
  });
  await appendTokens(store, context, 'token', samples, result);
  await appendToStreams(store, context, result);
  // Budgets may have cut the samples short, so only what all have stored is compared.
  const page = await store.pageOfSession(messages[0].sessionId, 1_000);
  result.checks.insert = await messagesDigest(
    messages.slice(0, 2).filter((message) => page.some((stored) => stored.id === message.id)),
  );
  await store.close();
  return result;
}

async function relaxedWrites(context) {
  const store = await context.open(context.folder, { durability: 'relaxed' });
  const result = { rows: {}, checks: {} };
  await appendTokens(store, context, 'token_relaxed', context.samples, result);
  await store.close();
  return result;
}

async function appendTokens(store, context, id, samples, result) {
  const [message] = newMessages(context, 1);
  const reply = await store.startReply({ ...message, id: `3${message.id.slice(1)}`, role: 'assistant' });
  if (reply === undefined) {
    result.missing = { ...result.missing, [id]: 'the verb does not exist yet' };
    return;
  }
  let expected = '';
  const append = (i) => {
    const token = tokens[i % tokens.length];
    expected += token;
    return reply.append(token);
  };
  const batch = context.clock_ms === 0 ? 1 : batchFor(context, await tryOut(20, append));
  result.rows[id] = await sample(samples, append, { batch });
  const stored = await reply.finish();
  if (stored !== expected) throw new Error(`a reply of ${expected.length} characters came back with ${stored.length}`);
}

/** Ten replies that grow at the same time, a token each. */
async function appendToStreams(store, context, result) {
  const messages = newMessages(context, 10);
  const replies = [];
  for (const message of messages)
    replies.push(await store.startReply({ ...message, id: `4${message.id.slice(1)}`, role: 'assistant' }));
  if (replies.includes(undefined)) return;
  const append = (i) => Promise.all(replies.map((reply) => reply.append(tokens[i % tokens.length])));
  const batch = batchFor(context, await tryOut(5, append));
  result.rows.streams = await sample(Math.ceil(context.samples / 2), append, { batch });
  for (const reply of replies) await reply.finish();
}

async function deleting({ open, folder, facts }) {
  const store = await open(folder, {});
  const { value, ms } = await timed(() => store.deleteBefore(facts.before_ms));
  const rest = await store.readSession(long_session.id);
  await store.close();
  return { rows: { delete: [ms] }, checks: { delete: await digest([value, rest.length, rest[0].id]) } };
}

/** Where each store has a thread of its own, what is measured is only compiled by work in that very store. */
async function warmStore(store, seed, searchable) {
  for (let i = 0; i < 2; i++) {
    const { sessions, messages } = makeChats(seed + 3 + i, 1_000, { long: 0 });
    await store.addSessions(sessions);
    await store.insertMany(messages);
  }
  // What is timed begins with an index that has all of that.
  if (searchable) await store.search('endmost', 20);
}

/** Stores `counts` in new stores; with `searchable` until a search has found the last message. */
async function bulk({ open, newFolder, seed, warms_store }, counts, searchable) {
  const result = { rows: {}, checks: {} };
  const run = async (count, name) => {
    const { bots, sessions, messages } = makeChats(seed + 2, count, { long: 0 });
    const last = messages.at(-1);
    last.content += ' endmost';
    const store = await open(newFolder(name), { searchable });
    await store.addBots(bots);
    await store.addSessions(sessions);
    if (warms_store) await warmStore(store, seed, searchable);
    const { ms } = await timed(async () => {
      await store.insertMany(messages);
      if (!searchable) return;
      const hits = await store.search('endmost', 20);
      if (hits[0]?.id !== last.id) throw new Error('the last message of a bulk was not found');
    });
    const page = await store.pageOfSession(last.sessionId, 100);
    await store.close();
    return { ms, check: await messagesDigest(page) };
  };
  if (!warms_store) for (let i = 0; i < 2; i++) await run(1_000, `warm-up-${i}`);
  for (const { count, times } of counts) {
    const id = `bulk_${count}${searchable ? '_searchable' : ''}`;
    result.rows[id] = [];
    for (let i = 0; i < times; i++) {
      const { ms, check } = await run(count, `${id}-${i}`);
      result.rows[id].push(ms);
      result.checks[id] = check;
    }
  }
  return result;
}

const few = [
  { count: 1_000, times: 5 },
  { count: 10_000, times: 2 },
];
const many = [{ count: 100_000, times: 1 }];
async function bulkMany(context, searchable) {
  const result = await bulk(context, many, searchable);
  if (!searchable && context.peakMib !== undefined) result.rows.rss_bulk = [context.peakMib()];
  return result;
}

async function memory({ open, folder, facts, wasmBytes, peakMib }) {
  const store = await open(folder, {});
  await store.pageOfSession(facts.sessions[0], 50);
  const messages = await store.readSession(long_session.id);
  const rows = { rss_read: [peakMib()] };
  const wasm_bytes = wasmBytes();
  if (wasm_bytes > 0) rows.wasm_read = [wasm_bytes / 1024 / 1024];
  await store.close();
  return { rows, checks: { read_10000: await messagesDigest(messages) } };
}

/** A few writes between marks, for the trace of system calls that the process runs under. */
async function traced(context) {
  const { open, folder, mark } = context;
  const store = await open(folder, {});
  const messages = newMessages(context, 130);
  let next = 0;
  await sample(10, () => store.insert(messages[next++]));
  const counted = async (name, count, work) => {
    await mark(`${name}/${count}/begin`);
    for (let i = 0; i < count; i++) await work(i);
    await mark(`${name}/${count}/end`);
  };
  await counted('insert', 20, () => store.insert(messages[next++]));
  await counted('writers', 1, () =>
    Promise.all(Array.from({ length: 100 }, () => Promise.resolve(store.insert(messages[next++])))),
  );
  const reply = await store.startReply({ ...messages[0], id: `3${messages[0].id.slice(1)}`, role: 'assistant' });
  if (reply !== undefined) await counted('token', 20, (i) => reply.append(tokens[i % tokens.length]));
  await store.close();
  return {};
}

async function disk({ open, folder, samples }) {
  const store = open(folder);
  const rows = { insert: await sample(samples, () => store.insert()) };
  store.close();
  return { rows };
}

/**
 * `copy`: whether the group changes the store that it is given, and so gets one of its own. `own`: it makes its
 * store. `only`: whom it concerns, where the others have nothing like it.
 */
export const groups = {
  prepare: { run: prepare },
  reads: { run: reads, grows: true },
  searching: { run: searching, grows: true },
  writes: { run: writes, copy: true, grows: true },
  relaxed: { run: relaxedWrites, copy: true },
  deleting: { run: deleting, copy: true },
  bulk: { run: (context) => bulk(context, few, false), own: true },
  bulk_searchable: { run: (context) => bulk(context, few, true), own: true },
  bulk_many: { run: (context) => bulkMany(context, false), own: true, heavy: true },
  bulk_many_searchable: { run: (context) => bulkMany(context, true), own: true, heavy: true },
  memory: { run: memory },
  traced: { run: traced, copy: true, once: true },
  disk: { run: disk, own: true },
  demo: { own: true, only: 'chatstore' },
};
