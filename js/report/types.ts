/**
 * What a verification report is made of: the checks, what they run on, and what they found.
 *
 * Holds: types and their documentation only. Must not know: any check, Node, or the browser.
 */

import type { ChatStore } from '../client/store.js';
import type { BackupInfo, NewMessage, OpenOptions, ReplaceReport, StoreInfo } from '../client/types.js';

/** A store as the checks use it: its public interface, in whatever environment. */
export type Store = ChatStore & {
  backup(target: WritableStream<Uint8Array>): Promise<BackupInfo>;
  replaceWith(source: Uint8Array): Promise<ReplaceReport>;
};

/** What the checks take of `ChatStore.open`'s options. */
export type StoreOptions = Pick<OpenOptions, 'pool' | 'retries' | 'durability' | 'onEvent'>;

/** What a check asks of a scratch store beside the options of opening one. */
export interface ScratchOptions extends StoreOptions {
  /** A host that can be killed, and in Node one that is another process. */
  killable?: boolean;
  /** A host that gets no more memory than this. */
  memoryBytes?: number;
}

/** A store made for a check, with the means to treat it badly. */
export interface Scratch {
  /** The handle that is open just now: a new one after `restart`. */
  readonly store: Store;
  /** One more handle on the same store. */
  another(options?: StoreOptions): Promise<Store>;
  /**
   * Closes every handle, so that nobody has the file, and opens it anew. Another worker of a page hosts it then, and of
   * a store that can be killed in Node another process, which `kill` can end again.
   */
  restart(options?: StoreOptions): Promise<Store>;
  /**
   * Ends whatever hosts the store, in the middle of what it does and without a word to it. The handles
   * stay, and have to find another host. Rejects where there is nothing to end. Absent where the environment cannot
   * do that to this store.
   */
  kill?: () => Promise<void>;
  /** Names the process or worker that hosts it now; undefined where nobody can tell, or it is this process. */
  readonly host: string | undefined;
  /** The memory that its host gets at most; absent where no limit can be set. */
  readonly memoryBytes?: number;
  /**
   * Has another process open a transaction that adds a message; it ends, and is kept, when the function that this
   * gives is called. Absent where there is no other process.
   */
  lock?: (message: NewMessage) => Promise<() => Promise<void>>;
  /**
   * Closes the store, changes one byte of what it holds behind its back, as a failing disk does, and opens it
   * again. `text` stands in a message; its first byte is changed. Absent where that cannot be done.
   */
  damage?: (text: string) => Promise<Store>;
  /** What lies beside the file of a closed store and should not; absent where nobody can look. */
  leftovers?: () => Promise<string[]>;
  /** The size of its file; null where nobody can tell. */
  sizeBytes(): Promise<number | null>;
}

/** Where a report runs. */
export interface Environment {
  /** What it is, for the head of the report: `Node 20.20.2, linux x64`. */
  readonly name: string;
  /** Makes an empty store that nobody else knows; what of `options` it cannot give is left out. */
  openScratch(options?: ScratchOptions): Promise<Scratch>;
  /** Closes a scratch store, and removes it for good. */
  remove(scratch: Scratch): Promise<void>;
  /** What the processor has spent on this process so far, in milliseconds; absent where nobody can tell. */
  cpuMs?: () => number;
  /** Milliseconds since some moment. */
  now(): number;
  /** Ends what the environment has started. No check runs any more. */
  close(): Promise<void>;
}

/** A number that was measured, and what it was to be. */
export interface Figure {
  name: string;
  value: number;
  /** `ms`, `bytes`, `%`, `` for a count, … */
  unit: string;
  /** In words: `under 10 ms`. Absent where it is only told. */
  target?: string;
}

/** What a check found; `passed` is null where this environment cannot tell, and `seen` says why. */
export interface Finding {
  passed: boolean | null;
  /** What was expected, in words. */
  expected: string;
  /** What was seen, in the same words. */
  seen: string;
  figures?: Figure[];
}

/** What a check is given. */
export interface Context {
  readonly environment: Environment;
  readonly signal: AbortSignal | undefined;
  /** A scratch store that the checks of a category share. Each uses rows of its own. With `--store` it is that store. */
  store(): Promise<Store>;
  /** Whether that is a store of somebody's own, which is only read. */
  readonly readsOnly: boolean;
  /** A scratch store of the check's own, removed when the check has ended. */
  scratch(options?: ScratchOptions): Promise<Scratch>;
  /** Something that the check holds and a store waits for: it is let go of when the check ends, however it does. */
  letGoAtEnd(letGo: () => void): void;
  /** A text that was not given before. */
  id(): string;
  /** Numbers from 0 to 1 that are the same for the same seed. */
  chance(): number;
  /** How many faults the check of recovery injects. */
  readonly faults: number;
  /** How long an idle store is watched, in milliseconds. */
  readonly idleMs: number;
  readonly now: () => number;
}

/** One check. */
export interface Item {
  /** Stable: `queries.select.filter`. */
  id: string;
  /** What is true where it passes. */
  title: string;
  /** Only reads, and may run on a store with content of somebody's own. */
  readOnly?: true;
  /** Passes or fails by the clock, so that a busy machine may make it fail. */
  timed?: true;
  run(context: Context): Promise<Finding>;
}

/** Checks that belong together. */
export interface Category {
  id: string;
  title: string;
  items: Item[];
}

/** How a check, a category or a report ended. */
export type Status = 'passed' | 'failed' | 'not measurable';

/** A check as the report tells of it. */
export interface ItemReport {
  id: string;
  title: string;
  status: Status;
  expected: string;
  seen: string;
  figures: Figure[];
  durationMs: number;
  /** Whether it passes or fails by the clock. */
  timed: boolean;
}

/** A category as the report tells of it. */
export interface CategoryReport {
  id: string;
  title: string;
  /** `failed` where one of its items failed, `not measurable` where none could be measured. */
  status: Status;
  items: ItemReport[];
}

/** A whole report, as plain data: what `--json` prints. */
export interface Report {
  /** Always this. */
  format: 'chatstore-report';
  /** Grows when a field changes its meaning. */
  formatVersion: 1;
  passed: boolean;
  /** Epoch milliseconds. */
  startedAt: number;
  durationMs: number;
  /** What the randomness was drawn from; given again, the same faults are injected. */
  seed: number;
  environment: string;
  /** `scratch` stores only, or the path of the `store` that was checked. */
  subject: { kind: 'scratch' } | { kind: 'store'; path: string };
  store: Pick<StoreInfo, 'backend' | 'durability' | 'schemaVersion' | 'sqliteVersion' | 'pageSizeBytes'>;
  counts: { passed: number; failed: number; notMeasurable: number };
  categories: CategoryReport[];
}

/** How far a report is. */
export interface ReportProgress {
  done: number;
  expected: number;
  /** The check that is under way. */
  title: string;
}
