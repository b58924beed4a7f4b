/**
 * Live queries: a callback that reads, run again when something changes that it has read.
 *
 * Holds: what a run has read, and which changes touch it; that one run follows the other, and none is
 * made for nobody. Must not know: where changes come from, or what is read.
 */

import { checkArgument } from './arguments.js';
import type { Caller, Request, View } from './caller.js';
import { Listeners, merged } from './changes.js';
import { ChatStoreError } from './errors.js';
import * as shapes from './shapes.js';
import type { ReadApi } from './snapshot.js';
import type { CallOptions, LiveQuery, StoreChange } from './types.js';
import { Verbs } from './verbs.js';

type Watch = (listener: (change: StoreChange) => void) => () => void;

/** What the calls of a run have read. */
class Seen {
  #everything = false;
  #bots = false;
  #sessionRows = false;
  readonly #rows = new Set<string>();
  readonly #messages = new Set<string>();

  note({ verb, args }: Request): void {
    const of = (name: string): string | undefined => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked in the next line
      const value = (args as Record<string, unknown> | undefined)?.[name];
      return typeof value === 'string' ? value : undefined;
    };
    const [group, session] = [verb.slice(0, verb.indexOf('.')), of('sessionId')];
    if (group === 'bots') this.#bots = true;
    else if (verb === 'sessions.get') this.#rows.add(of('id') ?? '');
    else if (group === 'sessions') this.#sessionRows = true;
    else if (group === 'messages' && session !== undefined) this.#messages.add(session);
    else this.#everything = true;
  }

  isTouchedBy({ sessions, streaming, bots }: StoreChange): boolean {
    if (bots && (this.#bots || this.#everything)) return true;
    if (sessions === null) {
      return this.#everything || this.#sessionRows || this.#rows.size > 0 || this.#messages.size > 0;
    }
    if (this.#everything && streaming.length > 0) return true;
    if ((this.#everything || this.#sessionRows) && sessions.length > 0) return true;
    const holds = (id: string): boolean => this.#messages.has(id);
    return streaming.some(holds) || sessions.some((id) => holds(id) || this.#rows.has(id));
  }
}

/** Runs the calls of a store, and notes what they read. */
class SeeingCaller implements Caller {
  readonly readText;
  readonly #caller: Caller;
  readonly #seen: Seen;

  constructor(caller: Caller, seen: Seen) {
    this.readText = caller.readText;
    this.#caller = caller;
    this.#seen = seen;
  }

  async call(request: Request, options: CallOptions): Promise<Uint8Array> {
    // Its own write would have it run again, for ever.
    if (request.write) throw new ChatStoreError('TRANSACTION_STATE', `a live query only reads: ${request.verb} writes`);
    this.#seen.note(request);
    return this.#caller.call(request, options);
  }

  async view(options: CallOptions): Promise<View> {
    const view = await this.#caller.view(options);
    return {
      call: (request, wait) => {
        this.#seen.note(request);
        return view.call(request, wait);
      },
      end: () => {
        view.end();
      },
    };
  }
}

class LiveView extends Verbs {}

export class Live<T> implements LiveQuery<T> {
  value: T | undefined;
  error: unknown;
  readonly #caller: Caller;
  readonly #watch: Watch;
  readonly #read: (view: ReadApi) => Promise<T> | T;
  readonly #listeners = new Listeners<[]>();
  #unwatch: (() => void) | undefined;
  /** What the newest run has read so far. */
  #seen = new Seen();
  #running = false;
  /** What has changed since the run that is under way began. */
  #meanwhile: StoreChange | undefined;
  /** It has to be run once more. */
  #stale = false;

  constructor(caller: Caller, watch: Watch, read: (view: ReadApi) => Promise<T> | T) {
    this.#caller = caller;
    this.#watch = watch;
    this.#read = read;
  }

  readonly subscribe = (onChange: () => void): (() => void) => {
    checkArgument('onChange', shapes.callback, onChange);
    const remove = this.#listeners.add(onChange);
    if (this.#listeners.size === 1) this.#refresh();
    return () => {
      if (!remove() || this.#listeners.size > 0) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
    };
  };

  readonly #onChange = (change: StoreChange): void => {
    if (this.#running) this.#meanwhile = this.#meanwhile === undefined ? change : merged(this.#meanwhile, change);
    else if (this.#seen.isTouchedBy(change)) this.#refresh();
  };

  #refresh(): void {
    this.#stale = true;
    if (this.#running) return;
    this.#running = true;
    // Not within the call of whoever subscribes.
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#stale && this.#listeners.size > 0) {
      this.#stale = false;
      // oxlint-disable-next-line no-await-in-loop -- one run after the other
      await this.#runOnce();
    }
    this.#running = false;
  }

  async #runOnce(): Promise<void> {
    const seen = new Seen();
    this.#seen = seen;
    this.#meanwhile = undefined;
    let show: () => void;
    try {
      // Before anything is read, so that no change is missed.
      this.#unwatch ??= this.#watch(this.#onChange);
      const value = await this.#read(new LiveView(new SeeingCaller(this.#caller, seen)));
      show = () => {
        this.value = value;
        this.error = undefined;
      };
    } catch (error) {
      show = () => {
        this.error = error;
      };
    }
    // Only now it is known what it has read; a state that it reads from may be older than the read.
    if (this.#meanwhile !== undefined && seen.isTouchedBy(this.#meanwhile)) this.#stale = true;
    if (this.#listeners.size === 0) return;
    show();
    this.#listeners.tell();
  }
}
