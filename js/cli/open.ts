/**
 * Opening the store that a command is about.
 *
 * Holds: that a command makes no store where there is none, that it can be interrupted, and that it closes the store it
 * has opened. Must not know: any command.
 */

import { existsSync, statSync } from 'node:fs';
import { ChatStore } from '../index.js';
import type { OpenOptions } from '../client/types.js';
import { CommandError, UsageError, type Call } from './command.js';

/** Opens a store that exists, runs something with it, and closes it. One that another process has open works too. */
export async function withStore<T>(
  call: Call,
  path: string,
  run: (store: ChatStore) => Promise<T>,
  options: OpenOptions = {},
): Promise<T> {
  if (path === ':memory:') throw new UsageError('a store in memory is gone when it is closed: name a file');
  if (!existsSync(path)) throw new CommandError(`there is no file ${path}`);
  if (isEmpty(path)) throw new CommandError(`${path} is empty: there is no store in it`);
  const store = await openStore(call, path, options);
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}

/** Events about the calls of a command, which the person sees end. */
const own_events = new Set(['slow_query', 'query_failed']);

export const openStore = ({ terminal }: Call, path: string, options: OpenOptions = {}): Promise<ChatStore> =>
  ChatStore.open(path, {
    ...options,
    signal: terminal.signal,
    // The core does not pause within a statement: in a thread of its own it leaves this one free to hear signals.
    worker: true,
    onEvent: ({ type, message }) => {
      if (!own_events.has(type)) terminal.note(message);
    },
  });

/** Opening would make a store of it. What a process that was killed has left in a log is one. */
const isEmpty = (path: string): boolean =>
  ['', '-wal', '-journal'].every((suffix) => (statSync(path + suffix, { throwIfNoEntry: false })?.size ?? 0) === 0);

/** The argument at a place, which the command says has to be there. */
export function argument(call: Call, place: number): string {
  const given = call.arguments[place];
  if (given === undefined) throw new UsageError('an argument is missing');
  return given;
}
