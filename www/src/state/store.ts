/**
 * The one store of this page: opening it, and what is known of it.
 *
 * Holds: the open store, why there is none, its info and the room that the browser gives. Must not know: what is
 * read from it, or how it is shown.
 */
import { signal } from '@preact/signals';
import { ChatStore, type StoreInfo } from 'chatstore';
import { onChange } from './changes';

const STORE_NAME = 'chats';

type Opened = { state: 'opening' } | { state: 'open'; store: ChatStore } | { state: 'failed'; error: unknown };

export const opened = signal<Opened>({ state: 'opening' });
export const info = signal<StoreInfo | null>(null);
export const room = signal<{ usageBytes: number; quotaBytes: number; persisted: boolean } | null>(null);
/** What the store told of itself last: that it was opened again, that another tab leads now, … */
export const lastEvent = signal<{ type: string; message: string; atMs: number } | null>(null);

const INFO_INTERVAL_MS = 1_000;
const ROOM_INTERVAL_MS = 10_000;
let stopWatching = () => {};

export async function openStore(): Promise<void> {
  opened.value = { state: 'opening' };
  try {
    const store = await ChatStore.open(STORE_NAME, {
      onEvent: ({ type, message }) => {
        lastEvent.value = { type, message, atMs: Date.now() };
      },
    });
    stopWatching();
    stopWatching = watch(store);
    opened.value = { state: 'open', store };
  } catch (error) {
    console.warn(error);
    opened.value = { state: 'failed', error };
  }
}

/** The open store. Only what is shown while it is open may ask. */
export function theStore(): ChatStore {
  const now = opened.value;
  if (now.state !== 'open') throw new Error('the store is not open');
  return now.store;
}

/** Asks the browser to keep the chats also when room is scarce. */
export async function persist(): Promise<boolean> {
  const store = theStore();
  const kept = await store.persist();
  readInfo(store);
  await readRoom();
  return kept;
}

function watch(store: ChatStore): () => void {
  readInfo(store);
  void readRoom();
  const end = onChange(store, { intervalMs: ROOM_INTERVAL_MS }, () => void readRoom());
  // Which tab leads may change without a change of what is stored.
  const timer = setInterval(() => {
    readInfo(store);
  }, INFO_INTERVAL_MS);
  return () => {
    end();
    clearInterval(timer);
  };
}

function readInfo(store: ChatStore): void {
  const now = store.info;
  if (JSON.stringify(now) !== JSON.stringify(info.value)) info.value = now;
}

async function readRoom(): Promise<void> {
  // Absent on an insecure origin.
  const storage = navigator.storage as StorageManager | undefined;
  if (storage === undefined) return;
  const [{ usage = 0, quota = 0 }, persisted] = await Promise.all([storage.estimate(), storage.persisted()]);
  room.value = { usageBytes: usage, quotaBytes: quota, persisted };
}
