/**
 * One store in this process: who hosts it, and how its handles reach that host.
 *
 * All handles of one file share a place, so that opening it twice gives two handles on one host. The
 * place owns the file where it can; where another process does, each handle has a socket to it. When
 * that process is lost, the place tries to own the file anew. Holds: the count of handles, and the
 * search for the owner. Must not know: calls, or what is in the file.
 */

import { connect } from 'node:net';
import { introduce } from '../client/connection.js';
import { ChatStoreError } from '../client/errors.js';
import type { Connector } from '../client/link.js';
import type { Role } from '../client/types.js';
import type { Connection, ConnectionEvents } from '../host/protocol.js';
import { AGAIN } from './claim.js';
import type { CoreOptions } from './core.js';
import { hostInMemory, own } from './own.js';
import { MEMORY } from './paths.js';
import { SocketPort } from './ports.js';
import type { OwnerRecord } from './record.js';
import { WorkerHost } from './worker_host.js';

/** What hosts a store in this process: a `Host` in this thread, or one in a worker. */
export interface Housed {
  connect(events: ConnectionEvents, name: string): Connection | Promise<Connection | undefined>;
  close(): Promise<void>;
  /** It has died, and can be connected to no more. */
  readonly isDead?: boolean;
}

/** How a place is opened. */
export interface PlaceOptions extends CoreOptions {
  worker: boolean;
}

/** A token may be refused because the record is still that of the owner before: it is read again. */
const MAX_REFUSALS = 100;
const FIRST_DELAY_MS = 1;
const LAST_DELAY_MS = 20;

const places = new Map<string, Place>();

export class Place implements Connector {
  readonly lostCode = 'OWNER_UNRESPONSIVE';
  readonly ownerName = 'the process that owns the store';
  readonly path: string;
  readonly #key: string;
  /** Who had the file when it was last asked for. */
  role: Role = 'owner';
  #awaiting = 0;
  readonly #options: PlaceOptions;
  #handles = 0;
  #housed: Housed | undefined;
  #finding: Promise<Housed | OwnerRecord | typeof AGAIN> | undefined;
  #opened = false;

  private constructor(path: string, key: string, options: PlaceOptions) {
    this.path = path;
    this.#key = key;
    this.#options = options;
  }

  /**
   * The place of a file, by its real path, with one handle more. A store in memory has nothing to do with
   * a file of its name; without a name, each has a place of its own.
   */
  static at(path: string, options: PlaceOptions): Place {
    const key = options.inMemory ? MEMORY + path : path;
    const place = places.get(key) ?? new Place(path, key, options);
    if (path !== MEMORY) places.set(key, place);
    place.#handles++;
    return place;
  }

  get awaitsOwner(): boolean {
    return this.#awaiting > 0;
  }

  async connect(events: ConnectionEvents, name: string, signal: AbortSignal): Promise<Connection> {
    let refusals = 0;
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
      // oxlint-disable-next-line no-await-in-loop -- each try follows from the one before
      const found = await this.#find();
      if (signal.aborted) throw new ChatStoreError('STORE_CLOSED', 'the store was closed');
      try {
        // oxlint-disable-next-line no-await-in-loop -- as above
        const connection = await this.#reach(found, events, name, signal);
        if (connection !== undefined) return connection;
      } catch (error) {
        const refused = error instanceof ChatStoreError && error.code === 'STORE_LOCKED';
        if (!refused || ++refusals > MAX_REFUSALS) throw error;
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
    }
  }

  async release(): Promise<void> {
    if (--this.#handles > 0) return;
    if (places.get(this.#key) === this) places.delete(this.#key);
    // A search that is on its way may find that the file is ours.
    await this.#finding?.catch(() => undefined);
    const housed = this.#housed;
    this.#housed = undefined;
    await housed?.close();
  }

  async #find(): Promise<Housed | OwnerRecord | typeof AGAIN> {
    if (this.#housed !== undefined && this.#housed.isDead !== true) return this.#housed;
    this.#finding ??= this.#house().finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  /** Becomes the owner, where nobody is. */
  async #house(): Promise<Housed | OwnerRecord | typeof AGAIN> {
    const { worker, ...wanted } = this.#options;
    // Where others were clients with this one, they look for the next owner as well.
    const options = { ...wanted, clientsMayReturn: this.#opened || this.role === 'client' };
    if (options.inMemory && this.#opened) {
      throw new ChatStoreError(
        'INTERNAL',
        'the worker of this store has ended, and the data that was in its memory is gone',
      );
    }
    const found = worker
      ? await WorkerHost.start(this.path, options)
      : options.inMemory
        ? await hostInMemory(this.path, options)
        : await own(this.path, options);
    if (found === AGAIN || 'pid' in found) return found;
    this.#opened = true;
    this.#housed = found;
    return found;
  }

  async #reach(
    found: Housed | OwnerRecord | typeof AGAIN,
    events: ConnectionEvents,
    name: string,
    signal: AbortSignal,
  ): Promise<Connection | undefined> {
    if (found === AGAIN) return undefined;
    if (!('pid' in found)) {
      this.role = 'owner';
      return found.connect(events, name);
    }
    this.#awaiting++;
    try {
      const connection = await reachOwner(found, events, name, signal);
      if (connection !== undefined) this.role = 'client';
      return connection;
    } finally {
      this.#awaiting--;
    }
  }
}

/** Connects to the owner of a record; undefined where nobody is there. */
async function reachOwner(
  owner: OwnerRecord,
  events: ConnectionEvents,
  name: string,
  signal: AbortSignal,
): Promise<Connection | undefined> {
  const port = new SocketPort(connect(owner.address), { trusted: true });
  const giveUp = (): void => {
    port.close();
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await introduce(port, { name, token: owner.token }, events);
  } catch (error) {
    if (error === undefined) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
