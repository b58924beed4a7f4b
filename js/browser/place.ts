/**
 * One store in this page: its worker, and how its handles reach the leader, which is that worker or the
 * one of another tab.
 *
 * All handles of one name share a place, so that opening it twice gives two handles on one host. Holds:
 * the count of handles, the search for the leader, and what becomes of all that while the page is
 * frozen. Must not know: calls, or what is in the store.
 */

import { introduce } from '../client/connection.js';
import { ChatStoreError } from '../client/errors.js';
import { randomName } from '../client/ids.js';
import type { Connector } from '../client/link.js';
import type { Role } from '../client/types.js';
import type { HostOptions } from '../host/core.js';
import type { Connection, ConnectionEvents, FromHost, ToHost } from '../host/protocol.js';
import type { Meeting } from './messages.js';
import { MEMORY, clientChannel, folderOf, meetingChannel, pageLock, pathOf, workerLock } from './names.js';
import { TabPort, addPort } from './ports.js';
import { StoreWorker, type Assets } from './worker_host.js';

/** How a place is opened. */
export interface PlaceOptions {
  inMemory: boolean;
  host: HostOptions;
  assets: Assets;
}

/** A leader that is just coming may not have heard. */
const KNOCK_AGAIN_MS = 250;
const FIRST_DELAY_MS = 1;
const LAST_DELAY_MS = 50;

const places = new Map<string, Place>();

export class Place implements Connector {
  readonly lostCode = 'LEADER_UNRESPONSIVE';
  readonly ownerName = 'the tab that leads the store';
  readonly name: string;
  /** Whether this page leads the store, or another one does. */
  role: Role = 'owner';
  readonly #key: string;
  /** Undefined: in memory. */
  readonly #folder: string | undefined;
  readonly #options: PlaceOptions;
  readonly #waiters = new Set<() => void>();
  readonly #tabPorts = new Set<KnockingPort>();
  #handles = 0;
  #awaiting = 0;
  #worker: StoreWorker | undefined;
  #meeting: BroadcastChannel | undefined;
  /** This page among the pages; its lock is held under this name. */
  #page = '';
  #leave: (() => void) | undefined;
  #present: Promise<void> | undefined;
  /** The page is frozen, or on its way to be. */
  #suspended = false;
  /** Something is, or was, in the memory of a worker, and nowhere else. */
  #remembers = false;

  private constructor(name: string, key: string, options: PlaceOptions) {
    this.name = name;
    this.#key = key;
    this.#options = options;
    this.#folder = options.inMemory ? undefined : folderOf(name);
    globalThis.addEventListener('pagehide', this.#onHide);
    globalThis.addEventListener('pageshow', this.#onShow);
    globalThis.document?.addEventListener('freeze', this.#suspend);
    globalThis.document?.addEventListener('resume', this.#onShow);
  }

  /** The place of a store, with one handle more. Without a name, each in memory has one of its own. */
  static at(name: string, options: PlaceOptions): Place {
    const key = options.inMemory ? MEMORY + name : name;
    const place = places.get(key) ?? new Place(name, key, options);
    if (name !== MEMORY) places.set(key, place);
    place.#handles++;
    return place;
  }

  get awaitsOwner(): boolean {
    return this.#awaiting > 0;
  }

  /** Whether what this page leads is kept nowhere. */
  get ephemeral(): boolean {
    return this.#worker?.ephemeral ?? this.#options.inMemory;
  }

  /** The path that the core knows the store by. */
  get path(): string {
    return this.#folder === undefined ? this.name : pathOf(this.#folder);
  }

  async connect(events: ConnectionEvents, name: string, signal: AbortSignal): Promise<Connection> {
    const wake = (): void => {
      this.#wake();
    };
    signal.addEventListener('abort', wake);
    try {
      for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
        // oxlint-disable-next-line no-await-in-loop -- each try follows from the one before
        const connection = await this.#reach(events, name, signal);
        if (signal.aborted) {
          connection?.close();
          throw new ChatStoreError('STORE_CLOSED', 'the store was closed');
        }
        if (connection !== undefined) return connection;
        // oxlint-disable-next-line no-await-in-loop -- as above
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  async release(): Promise<void> {
    if (--this.#handles > 0) return;
    if (places.get(this.#key) === this) places.delete(this.#key);
    globalThis.removeEventListener('pagehide', this.#onHide);
    globalThis.removeEventListener('pageshow', this.#onShow);
    globalThis.document?.removeEventListener('freeze', this.#suspend);
    globalThis.document?.removeEventListener('resume', this.#onShow);
    const worker = this.#worker;
    this.#worker = undefined;
    try {
      await worker?.close();
    } finally {
      this.#leaveMeeting();
    }
  }

  async #reach(events: ConnectionEvents, name: string, signal: AbortSignal): Promise<Connection | undefined> {
    while (this.#suspended && !signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- until it is over
      await this.#change();
    }
    if (signal.aborted) return undefined;
    const worker = this.#work();
    const own = await worker.connect(events, name);
    if (worker.failure !== undefined) throw worker.failure;
    if (own !== undefined) {
      while (worker.standing === 'starting') {
        // oxlint-disable-next-line no-await-in-loop -- it says so by another channel, at the same time
        await this.#change();
      }
      this.role = 'owner';
      if (worker.reason !== undefined) {
        events.notice('ephemeral', `what is stored is gone when this page is closed: ${worker.reason}`);
      }
      return own;
    }
    if (signal.aborted || worker.standing !== 'follows' || this.#folder === undefined) return undefined;
    this.#awaiting++;
    try {
      const connection = await this.#knock(worker, this.#folder, events, name, signal);
      if (connection !== undefined) this.role = 'client';
      return connection;
    } catch (error) {
      if (error instanceof ChatStoreError && error.code === 'VERSION_MISMATCH') events.notice('version', error.message);
      throw error;
    } finally {
      this.#awaiting--;
    }
  }

  /** The worker of this page; a new one where the last has ended. */
  #work(): StoreWorker {
    if (this.#worker !== undefined && this.#worker.standing !== 'ended') return this.#worker;
    if (this.#remembers) {
      throw new ChatStoreError(
        'INTERNAL',
        'the worker of this store has ended, and the data that was in its memory is gone',
      );
    }
    const { host, assets } = this.#options;
    const worker = new StoreWorker(
      assets,
      {
        t: 'start',
        folder: this.#folder,
        path: this.path,
        lock: workerLock(this.#folder ?? MEMORY, randomName()),
        host,
      },
      () => {
        if (worker.standing === 'leads') this.#remembers ||= worker.ephemeral;
        this.#wake();
      },
    );
    this.#worker = worker;
    return worker;
  }

  /** Asks whoever leads for a channel; undefined where this page's own worker leads before there is an answer. */
  async #knock(
    worker: StoreWorker,
    folder: string,
    events: ConnectionEvents,
    name: string,
    signal: AbortSignal,
  ): Promise<Connection | undefined> {
    const meeting = await this.#meet(folder);
    const port = new KnockingPort(folder, this.#page, meeting);
    addPort(this.#tabPorts, port);
    const again = setInterval(() => {
      port.knock();
    }, KNOCK_AGAIN_MS);
    const giveUp = async (): Promise<undefined> => {
      while (!port.answered && worker.standing === 'follows' && !signal.aborted && !this.#suspended) {
        // oxlint-disable-next-line no-await-in-loop -- until there is a reason
        await this.#change();
      }
      return undefined;
    };
    try {
      const connection = await Promise.race([introduce(port, { name }, events), giveUp()]);
      if (connection === undefined) this.#drop(port);
      return connection;
    } catch (error) {
      this.#drop(port);
      if (error === undefined) return undefined;
      throw error;
    } finally {
      clearInterval(again);
      port.answered = true;
    }
  }

  #drop(port: KnockingPort): void {
    this.#tabPorts.delete(port);
    port.close();
  }

  /** Is there for other tabs: this page can be seen to live, and hears of new leaders. */
  async #meet(folder: string): Promise<BroadcastChannel> {
    this.#meeting ??= this.#enterMeeting(folder);
    const meeting = this.#meeting;
    await this.#present;
    return meeting;
  }

  #enterMeeting(folder: string): BroadcastChannel {
    const meeting = new BroadcastChannel(meetingChannel(folder));
    meeting.addEventListener('message', (event: MessageEvent<Meeting>) => {
      if (event.data.t === 'leader') this.#leaderChanged();
    });
    this.#page = randomName();
    this.#present = new Promise((present) => {
      void navigator.locks.request(pageLock(folder, this.#page), () => {
        present();
        return new Promise<void>((leave) => {
          this.#leave = leave;
        });
      });
    });
    return meeting;
  }

  #leaveMeeting(): void {
    this.#meeting?.close();
    this.#meeting = undefined;
    this.#leave?.();
    this.#leave = undefined;
  }

  #leaderChanged(): void {
    for (const port of this.#tabPorts) {
      if (port.answered) this.#lose(port);
      else port.knock();
    }
  }

  #lose(port: KnockingPort): void {
    this.#tabPorts.delete(port);
    port.end();
  }

  readonly #onHide = (event: PageTransitionEvent): void => {
    if (event.persisted) this.#suspend();
  };

  readonly #onShow = (): void => {
    this.#suspended = false;
    this.#wake();
  };

  /**
   * A page that is frozen holds up nobody: it gives up its files and its locks at once. Its transactions
   * are rolled back, as when it had ended; its calls are sent again when it is shown again.
   */
  readonly #suspend = (): void => {
    if (this.#suspended || this.#folder === undefined || this.ephemeral) return;
    this.#suspended = true;
    // Until it is known who leads, it is not this page.
    this.role = 'client';
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const port of this.#tabPorts) this.#lose(port);
    this.#leaveMeeting();
    this.#wake();
  };

  /** Resolves when anything has changed that somebody here may wait for. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.add(resolve);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

/** A channel that the leader does not know of yet: what is said first goes to where tabs meet. */
class KnockingPort extends TabPort {
  answered = false;
  readonly #meeting: BroadcastChannel;
  readonly #channel: string;
  readonly #page: string;
  #hello: (ToHost & { t: 'hello' }) | undefined;

  constructor(folder: string, page: string, meeting: BroadcastChannel) {
    const channel = randomName();
    super(clientChannel(folder, channel));
    this.#channel = channel;
    this.#page = page;
    this.#meeting = meeting;
  }

  override post(message: ToHost | FromHost): void {
    if (message.t !== 'hello') {
      super.post(message);
      return;
    }
    this.#hello = message;
    this.knock();
  }

  knock(): void {
    if (this.#hello === undefined || this.isClosed) return;
    const message: Meeting = { t: 'knock', channel: this.#channel, page: this.#page, hello: this.#hello };
    this.#meeting.postMessage(message);
  }
}
