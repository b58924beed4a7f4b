/**
 * The core as the host meets it: the interface of one instance, and what is thrown by it.
 *
 * Holds: types, and the telling apart of errors and traps. Must not know: what is done about either.
 */

import { ChatStoreError, fromPlain, isPlainError, type PlainError } from '../client/errors.js';
import type { OpenOptions, StoreChange } from '../client/types.js';

/** Is told what has happened in the core, within `take` and `takeChanges`, and must not call the core meanwhile. */
export interface CoreSink {
  /**
   * After it ran for so long; undefined: it was the only call of the step. The bytes are the core's own, and theirs again
   * when this returns.
   */
  replied(call: number, runMs: number | undefined, reply: Uint8Array): void;
  failed(call: number, runMs: number | undefined, error: PlainError): void;
  lost(client: number, scope: number, error: PlainError): void;
  /** What was committed since the last time, where anybody watches. */
  changed(sessions: string[] | undefined, streaming: string[], bots: boolean): void;
  noticed(kind: string, message: string): void;
}

/** What a sink was told. */
export type CoreEvent =
  | { call: number; runMs: number | undefined; reply: Uint8Array | undefined; error: PlainError | undefined }
  | { client: number; scope: number; lost: PlainError }
  | { change: StoreChange }
  | { notice: string; message: string };

/** Keeps what it is told until it is asked. */
export class CoreEvents implements CoreSink {
  #events: CoreEvent[] = [];

  replied(call: number, runMs: number | undefined, reply: Uint8Array): void {
    this.#events.push({ call, runMs, reply: reply.slice(), error: undefined });
  }

  failed(call: number, runMs: number | undefined, error: PlainError): void {
    this.#events.push({ call, runMs, reply: undefined, error });
  }

  lost(client: number, scope: number, error: PlainError): void {
    this.#events.push({ client, scope, lost: error });
  }

  changed(sessions: string[] | undefined, streaming: string[], bots: boolean): void {
    this.#events.push({ change: { sessions: sessions ?? null, streaming, bots } });
  }

  noticed(kind: string, message: string): void {
    this.#events.push({ notice: kind, message });
  }

  take(): CoreEvent[] {
    const events = this.#events;
    if (events.length > 0) this.#events = [];
    return events;
  }
}

/** Options of `open` that hold for all who have a store open: those of whoever was the first. */
export type HostOptions = Pick<OpenOptions, 'durability' | 'pool' | 'purgeTrashAfterMs' | 'readOnly' | 'slowQueryMs'>;

/** An open instance of the core. Errors are thrown as plain objects; anything else means that it is dead. */
export interface CoreInstance {
  connect(client: number, name: string): void;
  disconnect(nowMs: number, client: number): void;
  /** Whether anybody wants to be told of changes; at first nobody does. */
  watch(on: boolean): void;
  /** The reply where it could be given at once; undefined where the call waits for `step`. */
  submit(
    nowMs: number,
    call: number,
    client: number,
    scope: number,
    verb: string,
    deadlineMs: number,
    args: object | undefined,
    rows: Uint8Array | undefined,
    operationId: string | undefined,
    attempt: number,
    firstSentMs: number,
  ): Uint8Array | undefined;
  cancel(call: number): void;
  /** Does what is due; gives when to be called again, undefined: not before the next submit. */
  step(nowMs: number): number | undefined;
  take(sink: CoreSink): void;
  /** As `take`, for what was committed, where anybody watches. */
  takeChanges(sink: CoreSink): void;
  close(): void;
  free(): void;
}

/** What was thrown by the core or on its way, as an error of the package. */
export function toError(thrown: unknown): ChatStoreError {
  if (thrown instanceof ChatStoreError) return thrown;
  return isPlainError(thrown) ? fromPlain(thrown) : trapError(thrown);
}

/** The error of a core that has trapped. */
export function trapError(thrown: unknown): ChatStoreError {
  const told = thrown instanceof Error ? thrown.message : String(thrown);
  return new ChatStoreError('INTERNAL', `the core failed: ${told}`, { cause: thrown });
}
