/**
 * The built-in bot: it needs no network and no key, and answers from the reader's own history.
 *
 * Holds: what it understands and what it says. It quotes what `store.search` finds, with links that jump
 * there. Must not know: how its answer is kept or shown.
 */
import type { ChatStore, SearchHit } from 'chatstore';
import { chatAddress } from '../state/route';
import { shorten } from '../state/sessions';
import type { Answer, Question } from './types';

export const OFFLINE_BOT = { id: 'offline', name: 'Offline bot' };

/** Between two words, so that they can be read as they come. */
const WORD_INTERVAL_MS = 18;
const MOST_QUOTES = 4;
const MOST_TITLE_CHARACTERS = 48;
/** Words that say little about what somebody looks for. */
const COMMON = new Set(
  `a about again all also am an and any anything are as ask asked at be because been but by can chat chats could did do
   does ever find for from get give had has have hello help hey hi history how i if in into is it its just know last let
   like look me mention mentioned message messages my no not of off on once one or our out please remember said say
   search see she he show so some something such talk talked tell than that the their them then there these they thing
   things this to up us was we were what when where which who why will with word words would write wrote yes you your`
    .split(/\s+/)
    .filter((word) => word !== ''),
);

export async function* answer({ store, sessionId, messageId, text, signal }: Question): Answer {
  const whole = await compose(store, text, { sessionId, messageId }, signal);
  for (const word of whole.match(/\s*\S+/g) ?? []) {
    if (signal.aborted) return;
    yield word;
    await pause(WORD_INTERVAL_MS);
  }
}

async function compose(
  store: ChatStore,
  text: string,
  asked: { sessionId: string; messageId: string },
  signal: AbortSignal,
): Promise<string> {
  const plain = text.toLowerCase();
  if (/\b(what|how) (can|do) (you|i)( do| use| work)?\b|^\s*(help|hi|hello|hey)\W*$/.test(plain))
    return introduce(store);
  if (/\bhow (many|much)\b.*\b(chats?|messages?|conversations?|words?)\b|\bstatistics\b/.test(plain))
    return count(store);
  if (/\b(recent|latest|newest|last)\b.*\b(chats?|conversations?)\b/.test(plain)) return recent(store, asked.sessionId);

  const words = keywords(text);
  const hits = words.length === 0 ? [] : await find(store, words, asked, signal);
  if (hits.length > 0) return quote(hits, words);
  const { chats, messages } = await counts(store);
  // The chat that asks is one of them, with a question and its answer.
  if (chats <= 1 && messages <= 2) return introduce(store);
  return nothing(words);
}

/** What is looked for: the words that carry meaning, at most eight. */
function keywords(text: string): string[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu) ?? [];
  return [...new Set(words.filter((word) => word.length > 1 && !COMMON.has(word)))].slice(0, 8);
}

/** Messages with all of the words first, then those with as many as there are. */
async function find(
  store: ChatStore,
  words: string[],
  asked: { sessionId: string; messageId: string },
  signal: AbortSignal,
): Promise<SearchHit[]> {
  const found = new Map<string, { hit: SearchHit; weight: number }>();
  const take = (hits: SearchHit[], weight: number) => {
    for (const hit of hits) {
      // What it said itself is no source, nor is the question.
      const own = hit.botId === OFFLINE_BOT.id && hit.role !== 'user';
      if (own || (hit.sessionId === asked.sessionId && hit.id === asked.messageId)) continue;
      const key = `${hit.sessionId}\n${hit.id}`;
      found.set(key, { hit, weight: (found.get(key)?.weight ?? 0) + weight });
    }
  };
  const search = async (query: string) => (await store.search(query, { limit: 20, prefix: true, signal })).items;
  take(await search(words.join(' ')), words.length);
  if (found.size < MOST_QUOTES && words.length > 1) {
    for (const word of words) take(await search(word), 1);
  }
  return [...found.values()]
    .toSorted((a, b) => b.weight - a.weight || a.hit.rank - b.hit.rank)
    .slice(0, MOST_QUOTES)
    .map(({ hit }) => hit);
}

function quote(hits: SearchHit[], words: string[]): string {
  const about = words.map((word) => `**${asText(word)}**`).join(', ');
  const first = hits.length === 1 ? 'One message in your history fits' : 'These messages in your history fit best';
  const quotes = hits.map((hit) => {
    const who = hit.role === 'user' ? 'You' : 'Reply';
    const where = hit.sessionTitle === null ? '' : `, in “${asText(shorten(hit.sessionTitle, MOST_TITLE_CHARACTERS))}”`;
    const link = `[${who}, ${day(hit.createdAt)}](<${chatAddress(hit.sessionId, hit.id)}>)`;
    return `> ${marked(hit)}\n>\n> ${link}${where}`;
  });
  return `${first} ${about}:\n\n${quotes.join('\n\n')}\n\nFollow a link to read on where it was said.`;
}

/** The snippet on one line, with what was found in bold. */
function marked({ snippet, highlights }: SearchHit): string {
  let text = '';
  let end = 0;
  for (const [from, to] of highlights) {
    text += `${asText(snippet.slice(end, from))}**${asText(snippet.slice(from, to))}**`;
    end = to;
  }
  return (text + asText(snippet.slice(end))).replaceAll(/\s+/g, ' ').trim();
}

/** Text as it is, in Markdown. */
const asText = (text: string): string => text.replaceAll(/[\\`*_{}[\]<>()#+!|~&-]/g, String.raw`\$&`);

async function introduce(store: ChatStore): Promise<string> {
  const { chats, messages } = await counts(store);
  const start =
    'I am the built-in bot. I need no network and no key: I look through the chats that are kept on this device, and quote what I find, with links that lead there.';
  const abilities = `You can ask me things like:

- *What did I say about aliens?* Any words will do; I find the messages that fit best.
- *Show my recent chats*
- *How many messages are there?*`;
  const more =
    chats <= 1
      ? 'There is not much to look through yet. **Load the sample chats** from the menu at the top of the sidebar (363 real conversations), drop a `.sqlite` file on this page, or just keep writing: everything is kept here.'
      : `I have ${number(messages)} messages in ${number(chats)} chats to look through. Search them yourself with **Ctrl K** (**⌘ K** on a Mac).`;
  const model = 'To talk to a real model, open **Settings** and enter the address of any OpenAI-compatible server.';
  return `${start}\n\n${abilities}\n\n${more}\n\n${model}`;
}

async function count(store: ChatStore): Promise<string> {
  const { chats, messages, firstAt } = await counts(store);
  const since = firstAt === null ? '' : ` The oldest is of ${day(firstAt)}.`;
  return `There are **${number(messages)} messages** in **${number(chats)} chats** on this device.${since}`;
}

async function recent(store: ChatStore, exceptId: string): Promise<string> {
  const { items } = await store.sessions.list({ status: 'active', limit: 9 });
  const others = items.filter(({ id }) => id !== exceptId).slice(0, 8);
  if (others.length === 0) return 'This is your first chat here.';
  const lines = others.map((session) => {
    const title = asText((session.title ?? session.preview ?? 'New chat').replaceAll(/\s+/g, ' ').slice(0, 80));
    return `- [${title}](<${chatAddress(session.id)}>), ${day(session.lastMessageAt ?? session.createdAt)}, ${number(session.messageCount)} messages`;
  });
  return `Your most recent chats:\n\n${lines.join('\n')}`;
}

function nothing(words: string[]): string {
  if (words.length === 0) return 'Give me a word or two to look for, and I search all of your chats for them.';
  const about = words.map((word) => `**${asText(word)}**`).join(', ');
  return `I found nothing about ${about} in your history. I compare words, so another form or a part of the word may help. For real answers, enter the address of a model in **Settings**.`;
}

async function counts(store: ChatStore): Promise<{ chats: number; messages: number; firstAt: number | null }> {
  const [row] = await store.query<{ chats: number; messages: number; firstAt: number | null }>(
    `SELECT count(*) AS chats, coalesce(sum(message_count), 0) AS messages, min(created_at) AS firstAt
     FROM sessions WHERE deleted_at IS NULL`,
  );
  return row ?? { chats: 0, messages: 0, firstAt: null };
}

const number = (value: number): string => value.toLocaleString('en');
const day = (atMs: number): string => new Date(atMs).toLocaleDateString('en', { dateStyle: 'medium' });
const pause = (durationMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, durationMs));
