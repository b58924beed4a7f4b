/**
 * What a check is given to work with, and that it is taken away afterwards.
 *
 * Holds: the stores that checks have open. Must not know: any check.
 */

import type { Context, Environment, Scratch, ScratchOptions, Store } from './types.js';
import { seeded } from './work.js';

export interface ContextOptions {
  environment: Environment;
  seed: number;
  faults: number;
  idleMs: number;
  signal: AbortSignal | undefined;
  /** A store with content of somebody's own: the only one there is then. */
  subject: Store | undefined;
}

export class ItemContext implements Context {
  readonly environment: Environment;
  readonly signal: AbortSignal | undefined;
  readonly faults: number;
  readonly idleMs: number;
  readonly now: () => number;
  readonly chance: () => number;
  readonly #subject: Store | undefined;
  readonly #own: Promise<Scratch>[] = [];
  readonly #held: (() => void)[] = [];
  #shared: Promise<Scratch> | undefined;
  #ids = 0;

  constructor({ environment, seed, faults, idleMs, signal, subject }: ContextOptions) {
    this.environment = environment;
    this.signal = signal;
    this.faults = faults;
    this.idleMs = idleMs;
    this.now = () => environment.now();
    this.chance = seeded(seed);
    this.#subject = subject;
  }

  get readsOnly(): boolean {
    return this.#subject !== undefined;
  }

  async store(): Promise<Store> {
    if (this.#subject !== undefined) return this.#subject;
    this.#shared ??= this.environment.openScratch();
    return (await this.#shared).store;
  }

  async scratch(options?: ScratchOptions): Promise<Scratch> {
    if (this.#subject !== undefined) throw new Error('a check of a store that is in use makes no other');
    const opening = this.environment.openScratch(options);
    this.#own.push(opening);
    return opening;
  }

  letGoAtEnd(letGo: () => void): void {
    this.#held.push(letGo);
  }

  id(): string {
    return `r${String(++this.#ids)}`;
  }

  /** Removes what the check had for itself. */
  async endItem(): Promise<void> {
    for (const letGo of this.#held.splice(0)) letGo();
    await Promise.all(this.#own.splice(0).map((opening) => this.#remove(opening)));
  }

  /** Removes what the checks shared: a category has one of its own, and so has what comes after a failure. */
  async endShared(): Promise<void> {
    const shared = this.#shared;
    this.#shared = undefined;
    await this.#remove(shared);
  }

  async #remove(opening: Promise<Scratch> | undefined): Promise<void> {
    let scratch: Scratch | undefined;
    try {
      scratch = await opening;
    } catch {
      // One that could not be opened has failed its check already.
      return;
    }
    if (scratch !== undefined) await this.environment.remove(scratch);
  }
}
