/** What every bot of the page is: something that says its answer piece by piece. */
import type { ChatStore, StreamDelta } from 'chatstore';

export interface Question {
  store: ChatStore;
  sessionId: string;
  /** The message that is answered. */
  messageId: string;
  text: string;
  /** Aborts when the reader stops the answer, or the store can take no more. */
  signal: AbortSignal;
}

export type Answer = AsyncIterable<StreamDelta>;
