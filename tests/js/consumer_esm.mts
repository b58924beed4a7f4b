/** A program that uses the types of the package by import; it is compiled, never run. */
import { ChatStore, ChatStoreError } from 'chatstore';
import type { ErrorCode, Message, MessageStream, NewMessage, Page, SearchHit, Session, Transaction } from 'chatstore';

export async function uses(path: string): Promise<ErrorCode | undefined> {
  // oxlint-disable-next-line typescript/await-thenable -- a compiler that knows Symbol.asyncDispose knows better
  await using store = await ChatStore.open(path, { durability: 'relaxed', timeoutMs: 1000 });
  const session: Session = await store.sessions.create({ title: 'A trip', tags: ['x'] }, { ifExists: 'return' });
  const text: NewMessage = { sessionId: session.id, role: 'user', content: 'hello' };
  const rich: NewMessage = { sessionId: session.id, role: 'tool', parts: [{ type: 'x', anything: 1 }], parentId: null };
  const added: Message[] = await store.messages.addMany([text, rich]);
  // @ts-expect-error -- both content and parts
  await store.messages.add({ sessionId: session.id, role: 'user', content: 'a', parts: [] });
  // @ts-expect-error -- a misspelt option
  await store.messages.list({ sessionId: session.id, limt: 5 });
  // @ts-expect-error -- neither a session nor a bot
  await store.messages.list({ limit: 5 });
  // @ts-expect-error -- stores are opened, never constructed
  void new ChatStore();
  const stream: MessageStream = await store.messages.start({ sessionId: session.id }, { flushIntervalMs: 50 });
  for (const delta of ['a', { type: 'reasoning', delta: 'b' }, { type: 'file', name: 'c' }]) stream.append(delta);
  const reply: Message = await stream.finish({ usage: { outputTokens: 1 }, finishReason: 'stop' });
  // @ts-expect-error -- a part without a type
  (await store.messages.regenerate(reply, { signal: stream.signal })).append({ text: 'x' });
  const page: Page<SearchHit> = await store.search('hello', { prefix: true });
  const prompt: Message[] = await store.context(session.id, { maxTokens: 8_000, countTokens: (m) => m.content.length });
  const { keptPath } = await store.replaceWith(new Blob([]), { timeoutMs: 60_000 });
  const rows = await store.query<{ n: number }>('SELECT count(*) AS n FROM messages');
  const n: number | undefined = rows[0]?.n;
  const kept: number = await store.transaction(async (tx: Transaction) => {
    await tx.savepoint((inner) => inner.messages.delete(added[0] ?? { sessionId: 's', id: 'm' }));
    return n ?? page.items.length + prompt.length + (keptPath ?? '').length;
  });
  for await (const message of store.messages.iterate({ sessionId: session.id })) void message.usage?.inputTokens;
  try {
    await store.bots.get('x', { signal: AbortSignal.timeout(5) });
  } catch (error) {
    if (error instanceof ChatStoreError && error.outcome !== 'unknown') return error.code;
  }
  return kept > 0 ? undefined : 'INTERNAL';
}
