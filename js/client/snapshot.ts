/**
 * Snapshots: a callback whose reads all see the same state of the store.
 *
 * Holds: that the handle only reads, and is of use only while its callback runs. Must not know: how
 * the state is kept, or for how long.
 */

import type { Bots } from './bots.js';
import { patienceOf, type Caller, type Request, type View } from './caller.js';
import { ChatStoreError } from './errors.js';
import type { Messages } from './messages.js';
import type { ReadText } from './rows.js';
import type { Scope } from './scope.js';
import type { Sessions } from './sessions.js';
import type { CallOptions } from './types.js';
import { Verbs } from './verbs.js';

/** The verbs that only read. */
export interface ReadApi {
  readonly bots: Pick<Bots, 'get' | 'list'>;
  readonly sessions: Pick<Sessions, 'get' | 'list'>;
  readonly messages: Pick<Messages, 'get' | 'list' | 'iterate' | 'branches' | 'tree'>;
  search: Verbs['search'];
  context: Verbs['context'];
  query: Verbs['query'];
}

class SnapshotCaller implements Caller {
  readonly readText: ReadText;
  readonly #scope: Scope;

  constructor(scope: Scope, readText: ReadText) {
    this.#scope = scope;
    this.readText = readText;
  }

  async call(request: Request, options: CallOptions): Promise<Uint8Array> {
    if (request.write) throw new ChatStoreError('TRANSACTION_STATE', `a snapshot only reads: ${request.verb} writes`);
    return this.#scope.call(request, patienceOf(options));
  }

  view(): Promise<View> {
    return Promise.resolve({ call: (request, options) => this.call(request, options), end: () => undefined });
  }
}

class Snapshot extends Verbs {}

/** Runs the callback of a snapshot in its scope, and ends the scope. */
export async function runSnapshot<T>(
  scope: Scope,
  readText: ReadText,
  run: (view: ReadApi) => Promise<T> | T,
): Promise<T> {
  const running = (async () => run(new Snapshot(new SnapshotCaller(scope, readText))))();
  try {
    return await Promise.race([running, scope.lost]);
  } catch (error) {
    running.catch(() => undefined);
    throw error;
  } finally {
    scope.end();
  }
}
