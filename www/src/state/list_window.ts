/**
 * A piece of a long list: as many pages as are being looked at, fetched by cursor, dropped at the far end.
 *
 * Holds: the pages in their order and which way it goes on from there. At most `MOST_ITEMS` and one page
 * are in memory, however long the list is. Must not know: what the items are, or who shows them.
 */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { Page } from 'chatstore';

/** Which page: none = the one that a list begins with, else by a cursor or about an item. */
interface Place {
  cursor?: string;
  around?: string;
}

type FetchPage<T> = (place: Place & { limit: number }) => Promise<Page<T>>;

/** What is shown of a list. */
interface View<T> {
  items: T[];
  hasBefore: boolean;
  hasAfter: boolean;
  /** False until the first page is there. */
  loaded: boolean;
  error: unknown;
}

interface Fetched<T> extends Page<T> {
  place: Place;
}

/** Few at once: what comes into the page in one go is drawn within a frame or two. */
const PAGE_ITEMS = 30;
const MOST_ITEMS = 120;

export class ListWindow<T> {
  readonly view: ReadonlySignal<View<T>>;
  readonly #view = signal<View<T>>({ items: [], hasBefore: false, hasAfter: false, loaded: false, error: undefined });
  readonly #fetch: FetchPage<T>;
  /** Tells an item apart from all others and from its own earlier states. */
  readonly #stamp: (item: T) => string;
  #pages: Fetched<T>[] = [];
  /** One thing at a time: each step begins from what the one before has left. */
  #last: Promise<void> = Promise.resolve();
  #waiting = new Set<string>();
  #ended = false;

  constructor(fetch: FetchPage<T>, stamp: (item: T) => string) {
    this.#fetch = fetch;
    this.#stamp = stamp;
    this.view = this.#view;
  }

  /** Begins anew: at the place where the list begins, or about an item. */
  open(around?: string): Promise<void> {
    return this.#step(`open ${around ?? ''}`, async () => {
      this.#pages = [await this.#page(around === undefined ? {} : { around })];
    });
  }

  before(): Promise<void> {
    return this.#step('before', async () => {
      const cursor = this.#pages[0]?.prevCursor;
      if (typeof cursor !== 'string') return;
      this.#pages.unshift(await this.#page({ cursor }));
      while (this.#pages.length > 1 && this.#count() > MOST_ITEMS) this.#pages.pop();
    });
  }

  after(): Promise<void> {
    return this.#step('after', async () => {
      const cursor = this.#pages.at(-1)?.nextCursor;
      if (typeof cursor !== 'string') return;
      this.#pages.push(await this.#page({ cursor }));
      while (this.#pages.length > 1 && this.#count() > MOST_ITEMS) this.#pages.shift();
    });
  }

  /** Reads the same pages again. Where the window reached the end of the list, it does so again. */
  refresh(): Promise<void> {
    return this.#step('refresh', async () => {
      const [first] = this.#pages;
      if (first === undefined) {
        this.#pages = [await this.#page({})];
        return;
      }
      const wasAtEnd = this.#pages.at(-1)?.nextCursor === null;
      const wanted = this.#count();
      // The page that a list of messages begins with is its last: with what is new it has to grow, or its first go.
      const grown = Math.min(MOST_ITEMS, Math.max(PAGE_ITEMS, first.items.length + 10));
      const pages = [await this.#page(first.place, first.place.cursor === undefined ? grown : PAGE_ITEMS)];
      for (let cursor = pages[0]?.nextCursor; typeof cursor === 'string'; cursor = pages.at(-1)?.nextCursor) {
        const count = pages.reduce((sum, { items }) => sum + items.length, 0);
        if (count >= MOST_ITEMS || (count >= wanted && !wasAtEnd)) break;
        pages.push(await this.#page({ cursor }));
      }
      this.#pages = pages;
    });
  }

  /** Nothing that comes from now on is shown. */
  end(): void {
    this.#ended = true;
  }

  #count(): number {
    return this.#pages.reduce((sum, { items }) => sum + items.length, 0);
  }

  async #page(place: Place, limit = PAGE_ITEMS): Promise<Fetched<T>> {
    return { ...(await this.#fetch({ ...place, limit })), place };
  }

  /** Waits for its turn; a step of the same name that still waits for its own does for both. */
  #step(name: string, work: () => Promise<void>): Promise<void> {
    if (this.#waiting.has(name)) return this.#last;
    this.#waiting.add(name);
    this.#last = this.#run(this.#last, name, work);
    return this.#last;
  }

  async #run(before: Promise<void>, name: string, work: () => Promise<void>): Promise<void> {
    await before;
    this.#waiting.delete(name);
    if (this.#ended) return;
    let error: unknown;
    try {
      await work();
    } catch (reason) {
      error = reason;
    }
    if (!this.#ended) this.#show(error);
  }

  /** Items that did not change stay the same objects, so that nothing is drawn again for them. */
  #show(error: unknown): void {
    const before = this.#view.peek();
    const known = new Map(before.items.map((item) => [this.#stamp(item), item]));
    const read = this.#pages.flatMap(({ items }) => items);
    const items = read.map((item) => known.get(this.#stamp(item)) ?? item);
    const same = items.length === before.items.length && items.every((item, i) => item === before.items[i]);
    const hasBefore = typeof this.#pages[0]?.prevCursor === 'string';
    const hasAfter = typeof this.#pages.at(-1)?.nextCursor === 'string';
    if (
      same &&
      before.loaded &&
      before.hasBefore === hasBefore &&
      before.hasAfter === hasAfter &&
      before.error === error
    )
      return;
    this.#view.value = { items: same ? before.items : items, hasBefore, hasAfter, loaded: true, error };
  }
}
