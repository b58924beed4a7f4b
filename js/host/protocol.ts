/**
 * What passes between the clients of a store and its host: one protocol for every way there is.
 *
 * Holds: the messages, the two ends of a connection as interfaces, and the checks of messages that
 * come from elsewhere. Nothing that arrives is trusted: what has not the shape of a message ends the
 * connection. Must not know: sockets, workers, or what a verb means.
 */

import { ChatStoreError, isPlainError, type PlainError } from '../client/errors.js';
import type { StoreChange } from '../client/types.js';

/** Both sides must speak the same one. */
export const PROTOCOL = 1;
/** The version of the schema that this package's core reads and writes. */
export const SCHEMA = 1;

/** One call of a verb, on its way to a host. */
export interface Call {
  /** Unique among the calls of its client, and growing. */
  call: number;
  /** 0 is the store; `tx.begin` and `snapshot.begin` reply with another. */
  scope: number;
  verb: string;
  write: boolean;
  /** How long it may still wait, in milliseconds. */
  timeoutMs: number;
  args?: object | undefined;
  rows?: Uint8Array | undefined;
  operationId?: string | undefined;
  /** 1 for the first time that it is sent. */
  attempt: number;
  /** Epoch milliseconds. */
  firstSentMs: number;
}

/** From a client to its host. */
export type ToHost =
  | { t: 'hello'; protocol: number; schema: number; name: string; token?: string }
  | ({ t: 'call' } & Call)
  | { t: 'cancel'; call: number }
  | { t: 'ping' }
  | { t: 'watch'; on: boolean }
  | { t: 'bye' };

/** From a host to one of its clients. In `lost`, scope 0 means every scope of this client. */
export type FromHost =
  | { t: 'welcome' }
  | { t: 'refused'; error: PlainError }
  | { t: 'reply'; call: number; reply?: Uint8Array; error?: PlainError }
  | { t: 'lost'; scope: number; error: PlainError }
  | { t: 'notice'; notice: string; message: string }
  | ({ t: 'changed' } & StoreChange)
  | { t: 'pong' }
  | { t: 'bye' };

/** What of a hello tells versions apart. */
interface Version {
  protocol: number;
  schema: number;
}

/** Whether the other side is of a later version than this one. */
export const isNewer = ({ protocol, schema }: Version): boolean =>
  protocol > PROTOCOL || (protocol === PROTOCOL && schema > SCHEMA);

/** Whether the other side is of this very version. */
export const isSameVersion = ({ protocol, schema }: Version): boolean => protocol === PROTOCOL && schema === SCHEMA;

/** The way from a client to its host. */
export interface Connection {
  /** True where the host can be lost without the client: its writes need an operation id. */
  readonly remote: boolean;
  /** Gives the reply where there is one at once, throws where the call failed at once. */
  send(call: Call): Uint8Array | undefined;
  /** What a call that was answered at once waits for, where others of this thread have to get their turn. */
  pause(): Promise<void> | undefined;
  /** Takes a call out of the queue where it still waits there; it is answered all the same. */
  cancel(call: number): void;
  /** Asks for a sign of life. */
  ping(): void;
  /** Asks to be told of changes from now on; or no longer. At first nobody is. */
  watch(on: boolean): void;
  /** Keeps the process alive, for something waits for an answer; or no longer. */
  hold(held: boolean): void;
  close(): void;
}

/** What a host tells a client. */
export interface ConnectionEvents {
  reply(call: number, reply: Uint8Array | undefined, error: ChatStoreError | undefined): void;
  lost(scope: number, error: ChatStoreError): void;
  notice(notice: string, message: string): void;
  /** What was committed since the last time, by whomever. */
  changed(change: StoreChange): void;
  /** Anything at all has come. */
  alive(): void;
  /**
   * The host, or the way to it, is gone; nothing comes any more. `closed`: it has closed in peace, and
   * what it has not answered it has not done.
   */
  gone(closed: boolean): void;
}

/** A two-way channel of whole messages: a socket, a worker, a tab. */
export interface Port {
  /** What the other side says in one turn of its event loop comes in one turn of this one. */
  readonly gathers?: boolean;
  post(message: ToHost | FromHost): void;
  /** Says what to do with messages and with the end of the channel; once. An error says why it ended. */
  listen(onMessage: (message: unknown) => void, onClose: (error?: ChatStoreError) => void): void;
  hold(held: boolean): void;
  close(): void;
}

/** Longest name of a verb or a client, in UTF-16 units; the core checks the rest. */
const MAX_NAME = 256;

const MAX_U32 = 0xffff_ffff;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isU32 = (value: unknown): value is number => isCount(value) && value <= MAX_U32;
const isName = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= MAX_NAME;
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isAbsentOr = (value: unknown, holds: (value: unknown) => boolean): boolean => value === undefined || holds(value);
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;

/** A message of a client; throws where it is none. */
export function checkToHost(message: unknown): ToHost {
  if (isObject(message) && isToHost(message)) return message;
  throw malformed(message);
}

/** A message of a host; throws where it is none. */
export function checkFromHost(message: unknown): FromHost {
  if (isObject(message) && isFromHost(message)) return message;
  throw malformed(message);
}

function isToHost(message: Record<string, unknown>): message is ToHost & Record<string, unknown> {
  switch (message['t']) {
    case 'hello':
      return (
        isCount(message['protocol']) &&
        isCount(message['schema']) &&
        isName(message['name']) &&
        isAbsentOr(message['token'], isName)
      );
    case 'call':
      return isCall(message);
    case 'cancel':
      return isCount(message['call']);
    case 'watch':
      return typeof message['on'] === 'boolean';
    case 'ping':
    case 'bye':
      return true;
    default:
      return false;
  }
}

function isCall(message: Record<string, unknown>): boolean {
  return (
    isCount(message['call']) &&
    isU32(message['scope']) &&
    isName(message['verb']) &&
    typeof message['write'] === 'boolean' &&
    typeof message['timeoutMs'] === 'number' &&
    message['timeoutMs'] >= 0 &&
    isAbsentOr(message['args'], isObject) &&
    isAbsentOr(message['rows'], isBytes) &&
    isAbsentOr(message['operationId'], isName) &&
    isU32(message['attempt']) &&
    Number.isSafeInteger(message['firstSentMs'])
  );
}

function isFromHost(message: Record<string, unknown>): message is FromHost & Record<string, unknown> {
  switch (message['t']) {
    case 'welcome':
    case 'pong':
    case 'bye':
      return true;
    case 'refused':
      return isPlainError(message['error']);
    case 'reply':
      return isCount(message['call']) && (isBytes(message['reply']) || isPlainError(message['error']));
    case 'lost':
      return isCount(message['scope']) && isPlainError(message['error']);
    case 'notice':
      return isName(message['notice']) && typeof message['message'] === 'string';
    case 'changed':
      return (
        (message['sessions'] === null || isTexts(message['sessions'])) &&
        isTexts(message['streaming']) &&
        typeof message['bots'] === 'boolean'
      );
    default:
      return false;
  }
}

function malformed(message: unknown): ChatStoreError {
  const kind =
    isObject(message) && typeof message['t'] === 'string' ? `'${message['t'].slice(0, 40)}'` : typeof message;
  return new ChatStoreError(
    'VERSION_MISMATCH',
    `expected a message of protocol ${String(PROTOCOL)}, received ${kind}`,
    {
      details: { protocol: PROTOCOL },
    },
  );
}
