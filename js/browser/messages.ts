/**
 * What a page and its worker say to each other, beside the calls of clients, and tabs when they meet.
 *
 * Holds: the messages only. Those of tabs cross between versions: what is there stays as it is. Must not
 * know: what is done about any.
 */

import type { PlainError } from '../client/errors.js';
import type { HostOptions } from '../host/core.js';
import type { ToHost } from '../host/protocol.js';

/** Makes a worker stand in line for a store. */
export interface Start {
  t: 'start';
  /** The folder of the store; undefined: in memory. */
  folder: string | undefined;
  path: string;
  /** The lock that the worker holds for as long as it lives. */
  lock: string;
  host: HostOptions;
}

/** Makes a worker save what is left of a damaged store; the folders of it and of the new one. */
export interface Salvage {
  t: 'salvage';
  from: string;
  to: string;
}

/** From a page to its worker. */
export type ToWorker =
  | Start
  | Salvage
  /** The compiled core, or why there is none. */
  | { t: 'core'; module: WebAssembly.Module }
  | { t: 'core'; error: PlainError }
  /** A client of this page; where another tab leads, it is told to look there. */
  | { t: 'connect'; port: MessagePort }
  | { t: 'close' };

/** From a worker to its page. `leads` and `follows` may take turns; after `failed` and `closed` nothing comes. */
export type FromWorker =
  /** It has its own lock. */
  | { t: 'alive' }
  /** `reason`: why nothing is kept, where that was not asked for. */
  | { t: 'leads'; ephemeral: boolean; reason?: string }
  | { t: 'follows' }
  | { t: 'failed'; error: PlainError }
  | { t: 'closed'; error?: PlainError }
  | { t: 'salvaged'; report: string };

/** In the channel where tabs meet. */
export type Meeting =
  /** A page asks the leader for a channel of its own, and gives what it says first in it. */
  | { t: 'knock'; channel: string; page: string; hello: ToHost & { t: 'hello' } }
  /** There is a new leader: whoever had a channel to one before has none any more. */
  | { t: 'leader' };
