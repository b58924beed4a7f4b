/**
 * The newest part of a session that a model has room for.
 *
 * Holds: which messages are taken, and what one counts where nobody says. Must not know: any model, or
 * the form in which one wants its messages.
 */

import { Fault, checked, describe } from './arguments.js';
import { withoutNulls, type Caller } from './caller.js';
import { ChatStoreError } from './errors.js';
import { readMessages } from './rows.js';
import type { ContextOptions, Message, Page } from './types.js';

/** Messages that are read at a time. */
const PAGE_ROWS = 50;
/** Letters of a Latin text that make a token, by a rule of thumb that errs upwards. */
const CHARACTERS_PER_TOKEN = 4;
/** What a model's own marks around a message count. */
const TOKENS_PER_MESSAGE = 4;

/** Takes the messages of a path from its end on, as long as they fit; see `ChatStore.context`. */
export async function context(caller: Caller, sessionId: string, options: ContextOptions): Promise<Message[]> {
  const { maxTokens, countTokens = estimateTokens, ...wait } = options;
  const count = (message: Message): number => countOf(message, countTokens);
  const view = await caller.view(wait);
  const read = async (place: object): Promise<Page<Message>> => {
    const request = { verb: 'messages.list', write: false, args: withoutNulls({ sessionId, ...place }) };
    return readMessages(await view.call(request, wait), caller.readText);
  };
  try {
    const [first] = (await read({ fromStart: true, limit: 1 })).items;
    if (first === undefined) return [];
    const kept = first.role === 'system' ? [first] : [];
    let left = maxTokens - kept.reduce((sum, message) => sum + count(message), 0);
    if (left < 0) {
      throw new ChatStoreError(
        'TOO_LARGE',
        `the system message of the session takes ${String(maxTokens - left)} tokens, maxTokens is ${String(maxTokens)}`,
        { details: { tokens: maxTokens - left, maxTokens } },
      );
    }
    const taken: Message[] = [];
    let limit = PAGE_ROWS;
    let cursor: string | null | undefined;
    reading: while (cursor !== null) {
      let page: Page<Message>;
      try {
        // oxlint-disable-next-line no-await-in-loop -- a page names the one before it
        page = await read({ limit, cursor });
      } catch (error) {
        // Messages of many megabytes: fewer of them fit into one reply.
        if (limit === 1 || !(error instanceof ChatStoreError && error.code === 'TOO_LARGE')) throw error;
        limit = Math.ceil(limit / 8);
        continue;
      }
      for (const message of page.items.toReversed()) {
        if (message.id === kept[0]?.id) break reading;
        left -= count(message);
        if (left < 0) break reading;
        taken.push(message);
      }
      cursor = page.prevCursor;
    }
    // The result of a tool is of no use to a model without the call before it.
    while (taken.at(-1)?.role === 'tool') taken.pop();
    return [...kept, ...taken.toReversed()];
  } finally {
    view.end();
  }
}

function countOf(message: Message, countTokens: (message: Message) => number): number {
  const tokens = countTokens(message);
  checked('countTokens', () => {
    if (!(tokens >= 0)) throw new Fault('a function that gives a number from 0', describe(tokens));
  });
  return tokens;
}

/** Letters beyond ASCII count a token each, which is more than most of them are. */
function estimateTokens(message: Message): number {
  const [part] = message.parts;
  const isText = message.parts.length === 1 && part?.type === 'text' && Object.keys(part).length === 2;
  const text = isText ? message.content : JSON.stringify(message.parts);
  let others = 0;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) others++;
  return TOKENS_PER_MESSAGE + others + Math.ceil((text.length - others) / CHARACTERS_PER_TOKEN);
}
