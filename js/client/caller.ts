/**
 * What the verb groups need of whoever runs their calls: a store, or an open transaction.
 *
 * Holds: the interface and the small steps that every verb shares. Must not know: any verb.
 */

import type { Request } from '../host/host.js';
import type { Patience } from '../host/queue.js';
import { checkArgument, type Check } from './arguments.js';
import { ChatStoreError } from './errors.js';
import type { ReadText } from './rows.js';
import type { CallOptions } from './types.js';

/** Runs requests and says how their replies are read. */
export interface Caller {
  readonly readText: ReadText;
  /** Whether the calls are part of a transaction, which ends before its caller does. */
  readonly inTransaction?: boolean;
  call(request: Request, options: CallOptions): Promise<Uint8Array>;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** How long a call with these options waits. */
export function patienceOf(options: CallOptions): Patience {
  return { timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, signal: options.signal };
}

/** Checks what stands last in a call: options, with their fields named as such. */
export function checkOptions(check: Check, options: unknown): void {
  checkArgument('', check, options);
}

/** The fields of an object without those that only concern the wait. */
export function argumentsOf(options: object): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && key !== 'signal' && key !== 'timeoutMs') args[key] = value;
  }
  return args;
}

/** The one item of a reply that cannot be empty. */
export function only<T>(items: T[]): T {
  const item = items[0];
  if (item === undefined) throw new ChatStoreError('INTERNAL', 'the core answered with nothing');
  return item;
}

/** Where null means the same as nothing, it does not cross. */
export function withoutNulls(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}
