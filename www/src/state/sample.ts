/**
 * The sample: real chats, loaded when the reader asks for them.
 *
 * Holds: the way from the file to the store. A conversation is stored whole, and one that is there already is
 * left alone; so it can be loaded again, also after it was cut short. Must not know: how it is shown.
 */
import type { ChatStore, NewMessage } from 'chatstore';
import sampleUrl from '../../sample/chitchat.json.gz?url';
import { theStore } from './store';
import { attempt, dismiss, tell, update } from './toasts';

interface Sample {
  conversations: {
    id: string;
    title: string | null;
    messages: { role: string; text: string; at_ms: number }[];
  }[];
}

const BOT = { id: 'chitchat', name: 'ChitChat', metadata: { source: 'chitchat-dataset 0.9.0, MIT licence' } };
/** One transaction. */
const BATCH_MESSAGES = 2_000;

let isLoading = false;

export function loadSample(): void {
  if (isLoading) return;
  isLoading = true;
  attempt(async () => {
    const toast = tell('Loading the sample chats…', { progress: 0 });
    try {
      const { chats, messages } = await load(theStore(), (progress) => {
        update(toast, { progress });
      });
      tell(
        chats === 0
          ? 'The sample chats are here already.'
          : `${messages.toLocaleString('en')} messages in ${String(chats)} chats are here now. They are real conversations of 2018.`,
      );
    } finally {
      dismiss(toast);
      isLoading = false;
    }
  });
}

async function load(
  store: ChatStore,
  onProgress: (share: number) => void,
): Promise<{ chats: number; messages: number }> {
  const { conversations } = await read();
  if ((await store.bots.get(BOT.id)) === null) await store.bots.create(BOT);
  const present = await presentIds(store, conversations);
  const missing = conversations.filter(({ id }) => !present.has(id));
  let messages = 0;
  for (let from = 0; from < missing.length;) {
    const batch: typeof missing = [];
    for (let count = 0; from < missing.length && count < BATCH_MESSAGES; from++) {
      const conversation = missing[from];
      if (conversation === undefined) break;
      batch.push(conversation);
      count += conversation.messages.length;
    }
    const rows = batch.flatMap(({ id: sessionId, messages: said }) =>
      said.map(({ role, text, at_ms }, i): NewMessage => ({
        sessionId,
        id: String(i + 1),
        role,
        content: text,
        createdAt: at_ms,
      })),
    );
    await store.transaction(async (tx) => {
      for (const { id, title, messages: said } of batch)
        await tx.sessions.create({ id, botId: BOT.id, title, createdAt: said[0]?.at_ms });
      await tx.messages.addMany(rows);
    });
    messages += rows.length;
    onProgress(from / missing.length);
  }
  return { chats: missing.length, messages };
}

async function read(): Promise<Sample> {
  const response = await fetch(sampleUrl).catch(() => undefined);
  if (response?.ok !== true || response.body === null)
    throw new Error('The sample chats could not be loaded: the server that this page comes from does not answer.');
  const text = await new Response(response.body.pipeThrough(new DecompressionStream('gzip'))).text();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it comes with the page, and www/sample/README.md says its form
  return JSON.parse(text) as Sample;
}

/** Also those in the trash: their ids are taken. */
async function presentIds(store: ChatStore, conversations: Sample['conversations']): Promise<Set<string>> {
  const ids = JSON.stringify(conversations.map(({ id }) => id));
  const rows = await store.query<{ id: string }>(
    'SELECT id FROM sessions WHERE id IN (SELECT value FROM json_each(?))',
    {
      params: [ids],
    },
  );
  return new Set(rows.map(({ id }) => id));
}
