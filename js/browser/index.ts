/** The public interface of the package in a browser. Importing it opens and loads nothing. */

export { ChatStore, type BackupTarget, type ReplaceOptions, type ReplaceSource, type StoreEntry } from './open.js';
export { ChatStoreError, type ChatStoreErrorInit, type ErrorCode, type Outcome } from '../client/errors.js';
export type { Bots } from '../client/bots.js';
export type { Messages } from '../client/messages.js';
export type { Sessions } from '../client/sessions.js';
export type { MessageStream } from '../client/stream.js';
export type { ReadApi } from '../client/snapshot.js';
export type { Transaction } from '../client/transaction.js';
export type * from '../client/types.js';
