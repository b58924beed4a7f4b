/**
 * Asking and answering: puts a question into the store, lets a bot answer, and streams the answer into it.
 *
 * Holds: the replies that are under way in this tab. Must not know: what bots say, or how it looks.
 */
import { signal as state } from '@preact/signals';
import { ChatStoreError, type ChatStore, type Message, type MessageStream, type Ref } from 'chatstore';
import * as endpointBot from '../bots/endpoint';
import * as offlineBot from '../bots/offline';
import type { Answer, Question } from '../bots/types';
import { chatAddress, replace } from './route';
import { apiKey, endpoint } from './settings';
import { theStore } from './store';
import { shorten } from './sessions';
import { tellError } from './toasts';
import { inWords } from './words';

/** A reply under way: what there is of it, ahead of what the store has flushed. */
export interface Reply {
  ref: Ref;
  text: string;
  reasoning: string;
}

/** By session. */
export const replies = state<ReadonlyMap<string, Reply>>(new Map());
/** What a screen reader is told, once for each reply. */
export const announcement = state('');

const stops = new Map<string, () => void>();
const TITLE_CHARACTERS = 60;
/** A whole reply may be long: this much of it is read out. The rest is in the page. */
const ANNOUNCED_CHARACTERS = 300;

/** Stores what the reader wrote, in a new chat where there is none, and has it answered. Resolves once it is stored. */
export async function send(sessionId: string | null, text: string): Promise<void> {
  const store = theStore();
  if (sessionId !== null) {
    await answer(store, await store.messages.add({ sessionId, role: 'user', content: text }));
    return;
  }
  const botId = await ensureBot(store);
  const title = shorten(text.trim().replaceAll(/\s+/g, ' '), TITLE_CHARACTERS);
  const question = await store.transaction(async (tx) => {
    const session = await tx.sessions.create({ botId, title });
    return tx.messages.add({ sessionId: session.id, role: 'user', content: text });
  });
  replace(chatAddress(question.sessionId));
  await answer(store, question);
}

/** A question in other words: a version beside the old one, answered anew. */
export async function resend(message: Message, text: string): Promise<void> {
  const store = theStore();
  await answer(store, await store.messages.edit(message, { content: text }));
}

/** Another answer to the same question. */
export async function regenerate(reply: Message): Promise<void> {
  const store = theStore();
  stop(reply.sessionId);
  const question =
    reply.parentId === null ? null : await store.messages.get({ sessionId: reply.sessionId, id: reply.parentId });
  const { model } = who();
  const stream = await store.messages.regenerate(reply, model === null ? {} : { model });
  void run(store, stream, question);
}

export function stop(sessionId: string): void {
  stops.get(sessionId)?.();
}

async function answer(store: ChatStore, question: Message): Promise<void> {
  const { sessionId, id: parentId } = question;
  try {
    const botId = await ensureBot(store);
    const { model } = who();
    const stream = await store.messages.start({ sessionId, parentId, botId, ...(model !== null && { model }) });
    void run(store, stream, question);
  } catch (error) {
    // The question is stored; only its answer is not.
    tellError(error, () => answer(store, question));
  }
}

async function run(store: ChatStore, stream: MessageStream, question: Message | null): Promise<void> {
  const { sessionId } = stream.ref;
  const controller = new AbortController();
  const signal = AbortSignal.any([controller.signal, stream.signal]);
  stops.set(sessionId, () => {
    controller.abort();
  });
  const reply: Reply = { ref: stream.ref, text: '', reasoning: '' };
  show(sessionId, reply);
  announcement.value = 'The reply is being written.';
  try {
    const text = question?.content ?? '';
    for await (const delta of ask({ store, sessionId, messageId: question?.id ?? '', text, signal })) {
      if (signal.aborted) break;
      stream.append(delta);
      if (typeof delta === 'string') reply.text += delta;
      else if (delta.type === 'reasoning' && typeof delta['delta'] === 'string') reply.reasoning += delta['delta'];
      showSoon(sessionId, reply);
    }
    if (controller.signal.aborted) await stream.abort('stopped');
    else await stream.finish({ finishReason: 'stop' });
    announcement.value = controller.signal.aborted ? 'Stopped.' : `Reply: ${shorten(reply.text, ANNOUNCED_CHARACTERS)}`;
  } catch (error) {
    if (controller.signal.aborted) await stream.abort('stopped').catch(tellError);
    else await fail(store, stream, error);
  } finally {
    stops.delete(sessionId);
    show(sessionId, null);
  }
}

/** Keeps what there is of the reply, and says beside it what went wrong. */
async function fail(store: ChatStore, stream: MessageStream, error: unknown): Promise<void> {
  // Of the store's own errors the message would be the wrong place: it may not take any more.
  if (error instanceof ChatStoreError) tellError(error);
  const text = inWords(error).text;
  announcement.value = `The reply broke off. ${text}`;
  try {
    if (!(error instanceof ChatStoreError)) {
      await stream.abort('error');
      await store.messages.update(stream.ref, { status: 'error', error: { message: text } });
    }
  } catch (reason) {
    tellError(reason);
  }
}

function ask(question: Question): Answer {
  const { answerer, address, model } = endpoint.value;
  if (answerer === 'offline') return offlineBot.answer(question);
  return endpointBot.answer(question, { address, model, key: apiKey.value });
}

function who(): { id: string; name: string; model: string | null } {
  const { answerer, model } = endpoint.value;
  if (answerer === 'offline' || model === '') return { ...offlineBot.OFFLINE_BOT, model: null };
  return { id: `model:${model}`.slice(0, 200), name: model, model };
}

/** Bots are rows of the store: each reply says whose it is. */
async function ensureBot(store: ChatStore): Promise<string> {
  const { id, name, model } = who();
  if ((await store.bots.get(id)) !== null) return id;
  try {
    await store.bots.create({ id, name, model });
  } catch (error) {
    // Another tab was faster; or the name is taken by a bot of a file that was loaded.
    if (!(error instanceof ChatStoreError && error.code === 'CONSTRAINT_UNIQUE')) throw error;
    if ((await store.bots.get(id)) === null) await store.bots.create({ id, name: `${name} (${id})`, model });
  }
  return id;
}

let frame: number | undefined;

/** At most once a frame. */
function showSoon(sessionId: string, reply: Reply): void {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    if (stops.has(sessionId)) show(sessionId, reply);
  });
}

function show(sessionId: string, reply: Reply | null): void {
  const next = new Map(replies.value);
  if (reply === null) next.delete(sessionId);
  else next.set(sessionId, { ...reply });
  replies.value = next;
}
