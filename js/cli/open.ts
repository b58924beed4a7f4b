/**
 * Opening the store that a command is about.
 *
 * Holds: that a command makes no store where there is none, and closes the one it has opened. Must not know: any
 * command.
 */

import { existsSync } from 'node:fs';
import { ChatStore } from '../index.js';
import type { OpenOptions } from '../client/types.js';
import { CommandError, UsageError, type Call } from './command.js';

/**
 * Opens a store that exists, runs something with it, and closes it. One that another process has open works too.
 * What only looks takes nothing in that another program has written: that would change the file.
 */
export async function withStore<T>(
  call: Call,
  path: string,
  run: (store: ChatStore) => Promise<T>,
  options: Pick<OpenOptions, 'foreignChanges'> = {},
): Promise<T> {
  if (path === ':memory:') throw new UsageError('a store in memory is gone when it is closed: name a file');
  if (!existsSync(path)) throw new CommandError(`there is no file ${path}`);
  const store = await ChatStore.open(path, {
    ...options,
    signal: call.terminal.signal,
    onEvent: ({ message }) => {
      call.terminal.note(message);
    },
  });
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}

/** The argument at a place, which the command says has to be there. */
export function argument(call: Call, place: number): string {
  const given = call.arguments[place];
  if (given === undefined) throw new UsageError('an argument is missing');
  return given;
}
