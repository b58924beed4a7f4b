/**
 * The chat that is being looked at: the window on its messages, and which of them have other versions.
 *
 * Holds: one conversation, kept up to date with what any tab writes. Must not know: who answers, or how
 * messages look.
 */
import { signal } from '@preact/signals';
import type { ChatStore, Message, Session } from 'chatstore';
import { onChange, touches } from './changes';
import { ListWindow } from './list_window';
import { codeOf } from './words';

const REFRESH_INTERVAL_MS = 120;
/** The first messages of longer chats are not asked for their versions: that reads all of the chat. */
const MOST_MESSAGES_FOR_ROOTS = 2_000;

/** A reply that is being streamed grows without another time of change. */
const stampOf = ({ id, updatedAt, status, content, parts }: Message): string =>
  [id, updatedAt, status, content.length, parts.length].join(' ');

/** The chat that is open now, for whoever wants its name. */
export const openSession = signal<Session | null>(null);

export class Conversation {
  readonly sessionId: string;
  readonly session = signal<Session | null | undefined>(undefined);
  readonly window: ListWindow<Message>;
  /** Parents (`''` = none) with more than one message after them. */
  readonly branching = signal<ReadonlySet<string>>(new Set());
  readonly #store: ChatStore;
  readonly #unsubscribe: () => void;
  #ended = false;

  constructor(store: ChatStore, sessionId: string, messageId: string | null) {
    this.#store = store;
    this.sessionId = sessionId;
    this.window = new ListWindow<Message>((page) => store.messages.list({ sessionId, ...page }), stampOf);
    this.#unsubscribe = onChange(
      store,
      { intervalMs: REFRESH_INTERVAL_MS, concerns: touches(sessionId) },
      () => void this.refresh(),
    );
    void this.show(messageId);
  }

  /** Shows the newest messages, or those about one of them. */
  async show(messageId: string | null): Promise<void> {
    void this.#readSession();
    if (messageId !== null) await this.#showPathOf(messageId);
    await this.window.open(messageId ?? undefined);
    // It is gone: the newest ones then.
    if (codeOf(this.window.view.peek().error) === 'NOT_FOUND') await this.window.open();
  }

  async refresh(): Promise<void> {
    await Promise.all([this.#readSession(), this.window.refresh()]);
  }

  end(): void {
    this.#ended = true;
    openSession.value = null;
    this.#unsubscribe();
    this.window.end();
  }

  /** A message that was found may lie beside the path that is shown: then its own is. */
  async #showPathOf(id: string): Promise<void> {
    const ref = { sessionId: this.sessionId, id };
    try {
      const message = await this.#store.messages.get(ref);
      if (message !== null && !message.active && message.deletedAt === null) await this.#store.messages.switchTo(ref);
    } catch {
      // The window says what is wrong.
    }
  }

  async #readSession(): Promise<void> {
    try {
      const before = this.session.peek();
      const session = await this.#store.sessions.get(this.sessionId);
      if (session?.revision === before?.revision && session !== null && before) return;
      this.session.value = session;
      if (!this.#ended) openSession.value = session;
      if (session !== null) this.branching.value = await this.#readBranching(session);
    } catch {
      // The window says what is wrong.
    }
  }

  async #readBranching({ id, messageCount }: Session): Promise<ReadonlySet<string>> {
    // The index on parents holds only messages that do not follow theirs directly: a range of a few rows.
    const rows = await this.#store.query<{ id: string }>(
      `SELECT DISTINCT p.id FROM sessions s
       JOIN messages m ON m.parent BETWEEN s.key << 32 AND (s.key << 32) + 4294967295 AND m.parent <> m.key - 1
       JOIN messages p ON p.key = m.parent WHERE s.id = ? LIMIT 10000`,
      { params: [id] },
    );
    const parents = new Set(rows.map((row) => row.id));
    if (messageCount <= MOST_MESSAGES_FOR_ROOTS) parents.add('');
    return parents;
  }
}
