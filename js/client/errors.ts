/**
 * The one error of the package, the table of its codes, and the plain form in which errors travel.
 *
 * Holds: the list of codes, which is the same as the one of the core (a test compares them),
 * `ChatStoreError`, and the way to its plain form and back. Must not know: where an error comes from,
 * a host or an environment.
 */

/**
 * Every code that a {@link ChatStoreError} can carry, in the order of the core's own table.
 *
 * `INDEX_PENDING` passes only between the core and its host; no call of the public interface
 * rejects with it.
 */
export const errorCodes = [
  'INVALID_ARGUMENT',
  'INVALID_CURSOR',
  'TOO_LARGE',
  'NOT_FOUND',
  'CONSTRAINT_UNIQUE',
  'CONSTRAINT_FOREIGN_KEY',
  'CONSTRAINT_CHECK',
  'CONSTRAINT_NOT_NULL',
  'INVALID_SQL',
  'QUERY_NOT_ALLOWED',
  'INDEX_PENDING',
  'STORE_LOCKED',
  'STORE_CLOSED',
  'NOT_A_STORE',
  'SCHEMA_TOO_NEW',
  'CORRUPT',
  'DISK_FULL',
  'OUT_OF_MEMORY',
  'IO_ERROR',
  'BUSY',
  'READ_ONLY',
  'TIMEOUT',
  'ABORTED',
  'TRANSACTION_LOST',
  'TRANSACTION_STATE',
  'UNSUPPORTED',
  'INTERNAL',
  'OPERATION_MISMATCH',
  'OUTCOME_UNKNOWN',
  'SNAPSHOT_EXPIRED',
  'POOL_EXHAUSTED',
  'LOCKED_ELSEWHERE',
  'OWNER_UNRESPONSIVE',
  'VERSION_MISMATCH',
  'FOREIGN_ACCESS',
  'CHECKSUM_MISMATCH',
  'STREAM_ENDED',
  'LEADER_UNRESPONSIVE',
] as const;

/** A code of {@link ChatStoreError}: stable, so that programs can branch on it. */
export type ErrorCode = (typeof errorCodes)[number];

/** What became of a write that timed out or was aborted: `not-applied` = nothing of it is stored. */
export type Outcome = 'not-applied' | 'unknown';

/** What {@link ChatStoreError} takes beside its code and message. */
export interface ChatStoreErrorInit {
  details?: Record<string, unknown> | undefined;
  cause?: unknown;
  outcome?: Outcome | undefined;
  operationId?: string | undefined;
}

/**
 * The error that every call of the package rejects with.
 *
 * `details` depend on the code: an argument error has `{ argument, expected, received }`, a
 * constraint error `{ constraint, table, column }`, an SQL error `{ sql, offset, sqliteCode }`, an
 * input/output error `{ sqliteCode, sqliteName, cause }`.
 *
 * @example
 * ```js example
 * import { ChatStore, ChatStoreError } from 'chatstore'
 *
 * const store = await ChatStore.open(':memory:')
 * try {
 *   await store.messages.list({ sessionId: 's-1', limt: 10 })
 * } catch (error) {
 *   assert(error instanceof ChatStoreError)
 *   assert.equal(error.code, 'INVALID_ARGUMENT')
 *   assert.equal(error.details.argument, 'limt')
 * }
 * await store.close()
 * ```
 */
export class ChatStoreError extends Error {
  override readonly name = 'ChatStoreError';
  /** The stable code; see {@link ErrorCode}. */
  readonly code: ErrorCode;
  /** Figures and names that belong to the code; an empty object where there are none. */
  readonly details: Readonly<Record<string, unknown>>;
  /** Set on writes that timed out, were aborted or lost: whether anything of them was stored. */
  readonly outcome?: Outcome;
  /** The operation id of such a write: sent again with it, it takes effect once at most. */
  readonly operationId?: string;

  /** Programs seldom make one themselves; the constructor is public for tests and wrappers. */
  constructor(code: ErrorCode, message: string, init: ChatStoreErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.details = init.details ?? {};
    if (init.outcome !== undefined) this.outcome = init.outcome;
    if (init.operationId !== undefined) this.operationId = init.operationId;
  }
}

const known: ReadonlySet<string> = new Set(errorCodes);

/** Tells whether a value is one of the codes of {@link errorCodes}. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && known.has(code);
}

/** An error as the core throws it and as it crosses to other threads and processes. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  details?: Record<string, unknown> | undefined;
  outcome?: Outcome | undefined;
  operationId?: string | undefined;
  cause?: { name: string; message: string; code?: string } | undefined;
}

/** Whether a value is an error in its plain form. An Error is none: it comes from a trap or from the glue. */
export function isPlainError(value: unknown): value is PlainError {
  if (typeof value !== 'object' || value === null || value instanceof Error) return false;
  const { code, message } = value as Partial<PlainError>;
  return isErrorCode(code) && typeof message === 'string';
}

/** The error that a plain one stands for. */
export function fromPlain(plain: PlainError): ChatStoreError {
  const { details, outcome, operationId } = plain;
  return new ChatStoreError(plain.code, plain.message, {
    details: typeof details === 'object' ? details : undefined,
    outcome: outcome === 'not-applied' || outcome === 'unknown' ? outcome : undefined,
    operationId: typeof operationId === 'string' ? operationId : undefined,
    cause: causeFromPlain(plain.cause),
  });
}

function causeFromPlain(cause: PlainError['cause']): unknown {
  if (typeof cause !== 'object' || typeof cause.message !== 'string') return undefined;
  const { name, message, code } = cause;
  if (isErrorCode(code)) return new ChatStoreError(code, message);
  const error = new Error(message);
  if (typeof name === 'string') error.name = name;
  return code === undefined ? error : Object.assign(error, { code });
}

/** The plain form of an error; what is none of the package's becomes `INTERNAL`. */
export function toPlain(error: unknown): PlainError {
  if (!(error instanceof ChatStoreError)) return { code: 'INTERNAL', message: String(error) };
  const { code, message, details, outcome, operationId, cause } = error;
  const plain: PlainError = { code, message, details: { ...details } };
  if (outcome !== undefined) plain.outcome = outcome;
  if (operationId !== undefined) plain.operationId = operationId;
  if (cause instanceof Error) {
    plain.cause = { name: cause.name, message: cause.message };
    if ('code' in cause) plain.cause.code = String(cause.code);
  }
  return plain;
}

/** The same error with what is known of its call; what it says itself comes first. */
export function withCall(
  error: ChatStoreError,
  call: { operationId?: string | undefined; outcome?: Outcome | undefined },
): ChatStoreError {
  const outcome = error.outcome ?? call.outcome;
  const operationId = error.operationId ?? (outcome === undefined ? undefined : call.operationId);
  if (outcome === error.outcome && operationId === error.operationId) return error;
  const { code, message, details, cause } = error;
  return new ChatStoreError(code, message, { details, cause, outcome, operationId });
}
