/**
 * How the rows are measured: each group runs in a fresh process of its contestant.
 *
 * Holds: warm-up, samples and checks of each row. What an answer was is given as a digest beside its
 * time, so that all contestants can be compared; digests are made outside of the timed part. Must
 * not know: who is measured.
 */
import { createHash } from 'node:crypto';
import { accessSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
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

/** Times `work(i)` again and again: `count` times, or until `budget_ms` is used up. */
async function sample(count, work, budget_ms = 2_000) {
  const samples = [];
  let used_ms = 0;
  for (let i = 0; i < count && used_ms < budget_ms; i++) {
    const { ms } = await timed(() => work(i));
    samples.push(ms);
    used_ms += ms;
  }
  return samples;
}

/** Calls until a quarter of a second is over, so that what is measured is compiled by then, at least once. */
async function warmUp(work) {
  const end_ms = performance.now() + 250;
  for (let i = 0; i === 0 || performance.now() < end_ms; i++) await work(i);
}

const digest = (value) => createHash('sha1').update(JSON.stringify(value)).digest('hex').slice(0, 12);

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

/** Marks in a system call trace where a row begins and ends: a look at a file that is not there. */
function mark(name) {
  try {
    accessSync(`/chatstore-bench/${name}`);
  } catch {
    // It is never there.
  }
}

/** Makes the store that the other groups get copies of, and says that it can be searched. */
async function prepare({ open, folder, seed, size, chunk = 10_000 }) {
  const store = await open(folder, { searchable: true });
  const { bots, sessions, messages } = makeChats(seed, size);
  await store.addBots(bots);
  await store.addSessions(sessions);
  for (let i = 0; i < messages.length; i += chunk) await store.insertMany(messages.slice(i, i + chunk));
  await store.search(searched.rare, 20);
  await store.close();
  return {};
}

async function reads({ open, folder, facts, samples }) {
  const store = await open(folder, {});
  const { bots, sessions } = facts;
  const result = { rows: {}, checks: {} };
  const row = async (id, count, work) => {
    await warmUp(work);
    result.rows[id] = await sample(count, work);
  };
  await row('page_of_bot', samples, (i) => store.pageOfBot(bots[i % bots.length], 100));
  await row('page_of_session', samples, (i) => store.pageOfSession(sessions[i % sessions.length], 50));
  await row('list_sessions', samples, () => store.listSessions(50));
  await row('read_10000', 7, () => store.readSession(long_session.id));
  result.checks.page_of_bot = messagesDigest((await Promise.all(bots.map((id) => store.pageOfBot(id, 100)))).flat());
  result.checks.page_of_session = messagesDigest(
    (await Promise.all(sessions.map((id) => store.pageOfSession(id, 50)))).flat(),
  );
  const listed = await store.listSessions(50);
  result.checks.list_sessions = digest(
    listed.map(({ id, messageCount, lastMessageAt }) => [id, messageCount, lastMessageAt]),
  );
  result.checks.read_10000 = messagesDigest(await store.readSession(long_session.id));
  await store.close();
  return result;
}

async function searching({ open, folder, samples }) {
  const store = await open(folder, {});
  const result = { rows: {}, checks: {} };
  for (const [name, words] of Object.entries(searched)) {
    const id = `search_${name}`;
    const count = name === 'rare' ? samples : Math.ceil(samples / 8);
    await warmUp(() => store.search(words, 20));
    result.rows[id] = await sample(count, () => store.search(words, 20));
    result.checks[id] = digest((await store.matches(words)).toSorted());
    const page = await store.search(words, 20);
    if (page.some((hit) => !/\S/.test(hit.snippet))) throw new Error(`a hit of ${words} has no snippet`);
    // Libraries with the same ranking must agree on the ranks of the first page too.
    if (store.ranked !== undefined)
      result.checks[`${id}:${store.ranked}`] = digest(page.map((hit) => hit.rank.toFixed(6)));
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
  await sample(20, () => store.insert(messages[next++]));
  result.rows.insert = await sample(samples, () => store.insert(messages[next++]));
  next = 20 + samples;
  result.rows.writers = await sample(10, () =>
    Promise.all(Array.from({ length: 100 }, () => Promise.resolve(store.insert(messages[next++])))),
  );
  const refs = facts.updates;
  result.rows.update = await sample(Math.min(refs.length, samples), (i) => store.update(refs[i], `Changed: ${i}.`));
  await appendTokens(store, context, 'token', samples, result);
  // Budgets may have cut the samples short, so only what all have stored is compared.
  const page = await store.pageOfSession(messages[0].sessionId, 1_000);
  result.checks.insert = messagesDigest(
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
  result.rows[id] = await sample(samples, (i) => {
    const token = tokens[i % tokens.length];
    expected += token;
    return reply.append(token);
  });
  const stored = await reply.finish();
  if (stored !== expected) throw new Error(`a reply of ${expected.length} characters came back with ${stored.length}`);
}

async function deleting({ open, folder, facts }) {
  const store = await open(folder, {});
  const { value, ms } = await timed(() => store.deleteBefore(facts.before_ms));
  const rest = await store.readSession(long_session.id);
  await store.close();
  return { rows: { delete: [ms] }, checks: { delete: digest([value, rest.length, rest[0].id]) } };
}

/** Stores `counts` in new stores; with `searchable` until a search has found the last message. */
async function bulk({ open, folder, seed }, counts, searchable) {
  const result = { rows: {}, checks: {} };
  const run = async (count, name) => {
    const { bots, sessions, messages } = makeChats(seed + 2, count, { long: 0 });
    const last = messages.at(-1);
    last.content += ' endmost';
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    const store = await open(path, { searchable });
    await store.addBots(bots);
    await store.addSessions(sessions);
    const { ms } = await timed(async () => {
      await store.insertMany(messages);
      if (!searchable) return;
      const hits = await store.search('endmost', 20);
      if (hits[0]?.id !== last.id) throw new Error('the last message of a bulk was not found');
    });
    const page = await store.pageOfSession(last.sessionId, 100);
    await store.close();
    return { ms, check: messagesDigest(page) };
  };
  for (let i = 0; i < 2; i++) await run(1_000, `warm-up-${i}`);
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
const peak_mib = () => process.resourceUsage().maxRSS / 1024;

async function bulkMany(context, searchable) {
  const result = await bulk(context, many, searchable);
  if (!searchable) result.rows.rss_bulk = [peak_mib()];
  return result;
}

async function memory({ open, folder, facts, wasmBytes }) {
  const store = await open(folder, {});
  await store.pageOfSession(facts.sessions[0], 50);
  const messages = await store.readSession(long_session.id);
  const rows = { rss_read: [peak_mib()] };
  const wasm_bytes = wasmBytes();
  if (wasm_bytes > 0) rows.wasm_read = [wasm_bytes / 1024 / 1024];
  await store.close();
  return { rows, checks: { read_10000: messagesDigest(messages) } };
}

/** A few writes between marks, for the trace of system calls that the process runs under. */
async function traced(context) {
  const { open, folder } = context;
  const store = await open(folder, {});
  const messages = newMessages(context, 130);
  let next = 0;
  await sample(10, () => store.insert(messages[next++]));
  const counted = async (name, count, work) => {
    mark(`${name}/${count}/begin`);
    for (let i = 0; i < count; i++) await work(i);
    mark(`${name}/${count}/end`);
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

/** `copy`: whether the group changes the store that it is given, and so gets one of its own. */
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
};
