/**
 * What the verb groups need of whoever runs their calls: a store, a transaction or a snapshot.
 *
 * Holds: the interface and the small steps that every verb shares. Must not know: any verb.
 */

import { checkArgument, type Check } from './arguments.js';
import { ChatStoreError } from './errors.js';
import type { ReadText } from './rows.js';
import type { CallOptions, WriteOptions } from './types.js';

/** One call of a verb. */
export interface Request {
  verb: string;
  write: boolean;
  args?: object;
  rows?: Uint8Array;
}

/** Runs requests and says how their replies are read. */
export interface Caller {
  readonly readText: ReadText;
  /** Whether the calls are part of a transaction, which ends before its caller does. */
  readonly inTransaction?: boolean;
  call(request: Request, options: WriteOptions): Promise<Uint8Array>;
  /** A state of the store that stays the same for several calls; whoever asks for it ends it. */
  view(options: CallOptions): Promise<View>;
}

/** Calls that all see the same state. */
export interface View {
  call(request: Request, options: CallOptions): Promise<Uint8Array>;
  end(): void;
}

/** How long a call may wait, and what ends the wait early. */
export interface Patience {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** `setTimeout` counts in 32 bits. */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/** How long a call with these options waits. */
export function patienceOf(options: CallOptions): Patience {
  return { timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, signal: options.signal };
}

/** The error of a call whose signal aborted before anything of it was done. */
export function abortedError(signal: AbortSignal): ChatStoreError {
  return new ChatStoreError('ABORTED', 'the call was aborted by its signal before it ran; nothing of it was applied', {
    cause: signal.reason,
    outcome: 'not-applied',
  });
}

/** Checks what stands last in a call: options, with their fields named as such. */
export function checkOptions(check: Check, options: unknown): void {
  checkArgument('', check, options);
}

/** Fields of options that concern the wait and not the verb. */
const notArguments = new Set(['signal', 'timeoutMs', 'operationId']);

/** The fields of an object without those that only concern the wait. */
export function argumentsOf(options: object): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && !notArguments.has(key)) args[key] = value;
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
