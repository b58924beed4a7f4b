/**
 * The lists of chats: those in use with the pinned ones first, the archived ones, the trash.
 *
 * Holds: which list is shown, its window and what can be done to a chat. Must not know: messages.
 */
import { computed, signal } from '@preact/signals';
import type { ChatStore, ListSessionsOptions, Session, StoreChange } from 'chatstore';
import { onChange } from './changes';
import { ListWindow } from './list_window';
import { go, home, route } from './route';
import { theStore } from './store';
import { attempt, tell } from './toasts';

export type Shelf = 'active' | 'archived' | 'trash';

const REFRESH_INTERVAL_MS = 300;
const MOST_PINNED = 200;

const filters: Record<Shelf, ListSessionsOptions> = {
  active: { status: 'active', pinned: false },
  archived: { status: 'archived' },
  trash: { deleted: true },
};

export const shelf = signal<Shelf>('active');
export const sessionsWindow = signal<ListWindow<Session> | null>(null);
export const pinned = signal<Session[]>([]);

/** Whether there is anything at all; null while that is not known. */
export const isEmpty = computed(() => {
  const list = sessionsWindow.value;
  if (shelf.value !== 'active' || !list?.view.value.loaded) return null;
  return list.view.value.items.length === 0 && pinned.value.length === 0;
});

/** Shows a store's chats and keeps them up to date; gives what ends it. */
export function watchSessions(store: ChatStore): () => void {
  showShelf('active', store);
  const pinnedOnes = store.live((view) => view.sessions.list({ status: 'active', pinned: true, limit: MOST_PINNED }));
  const ends = [
    pinnedOnes.subscribe(() => {
      pinned.value = pinnedOnes.value?.items ?? [];
    }),
    onChange(
      store,
      { intervalMs: REFRESH_INTERVAL_MS, concerns: changesLists },
      () => void sessionsWindow.value?.refresh(),
    ),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** A reply that grows changes no list. */
const changesLists = ({ sessions }: StoreChange): boolean => sessions === null || sessions.length > 0;

export function showShelf(name: Shelf, store = theStore()): void {
  sessionsWindow.value?.end();
  const list = new ListWindow<Session>(
    ({ limit, cursor }) => store.sessions.list({ ...filters[name], limit, cursor }),
    ({ id, revision, deletedAt }) => `${id} ${String(revision)} ${String(deletedAt)}`,
  );
  void list.open();
  shelf.value = name;
  sessionsWindow.value = list;
}

/** What a chat is called where it has no title of its own. */
export const titleOf = ({ title, preview }: { title: string | null; preview?: string | null }): string =>
  title?.trim() || preview?.trim() || 'New chat';

export function rename(session: Session, title: string): void {
  if (title.trim() !== '' && title !== session.title)
    attempt(() => theStore().sessions.update(session.id, { title: title.trim() }));
}

export function setPinned({ id }: Session, isPinned: boolean): void {
  attempt(() => theStore().sessions.update(id, { pinned: isPinned }));
}

export function setArchived(session: Session, isArchived: boolean): void {
  attempt(async () => {
    await theStore().sessions.update(session.id, { status: isArchived ? 'archived' : 'active' });
    tell(isArchived ? 'Archived.' : 'Back among your chats.', {
      action: {
        label: 'Undo',
        run: () => {
          setArchived(session, !isArchived);
        },
      },
    });
  });
}

/** Into the trash, with a way back. */
export function remove(session: Session): void {
  attempt(async () => {
    await theStore().sessions.delete(session.id);
    const shown = route.value;
    const wasShown = shown.view === 'chat' && shown.sessionId === session.id;
    if (wasShown) go(home);
    tell(`“${shorten(titleOf(session))}” was deleted.`, {
      action: {
        label: 'Undo',
        run: () => {
          restore(session);
        },
      },
    });
  });
}

export function restore({ id }: Session): void {
  attempt(() => theStore().sessions.restore(id));
}

export function removeForGood({ id }: Session): void {
  attempt(() => theStore().sessions.delete(id, { permanent: true }));
}

export function emptyTrash(): void {
  attempt(async () => {
    const { sessions } = await theStore().sessions.purge({ deletedBefore: Date.now() + 1 });
    tell(sessions === 1 ? 'One chat was removed for good.' : `${String(sessions)} chats were removed for good.`);
  });
}

export const shorten = (text: string, characters = 40): string =>
  text.length <= characters ? text : `${text.slice(0, characters - 1).trimEnd()}…`;
