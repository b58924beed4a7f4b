/**
 * A list of any length in a box that scrolls: only the items of its window are in the page.
 *
 * Holds: fetching more near an edge, and what stays put. The item that the reader looks at does not move when
 * items come or go above it or one of them grows; where the reader is at the bottom of a list that grows there,
 * it stays at the bottom. Must not know: what the items are.
 */
import type { ComponentChildren, RefObject } from 'preact';
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useRef } from 'preact/hooks';

export interface ListHandle {
  /** Brings an item into the middle. Whether it is in the window. */
  show: (key: string) => boolean;
  toBottom: () => void;
}

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  draw: (item: T, before: T | undefined) => ComponentChildren;
  hasBefore: boolean;
  hasAfter: boolean;
  onBefore: () => void;
  onAfter: () => void;
  /** Stays at the bottom as the list grows, until the reader scrolls up. */
  sticks?: boolean;
  onBottom?: (isAtBottom: boolean) => void;
  handle?: RefObject<ListHandle | null>;
  class?: string;
  /** Name of the box for screen readers. */
  label: string;
  /** Above and below the items, in the same box. */
  header?: ComponentChildren;
  footer?: ComponentChildren;
}

/** So close to the bottom counts as there. */
const BOTTOM_PX = 32;
/** More is fetched when fewer heights of the box than this are left. */
const EDGE_HEIGHTS = 1.5;

export function WindowedList<T>(props: Props<T>) {
  const { items, keyOf, draw, sticks = false, label } = props;
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const rows = useRef(new Map<string, HTMLElement>());
  /** What stays put: an item and how far below the top of the box it stands. */
  const anchor = useRef<{ key: string; topPx: number } | null>(null);
  const stuck = useRef(sticks);
  /** At the very beginning of the list: what is new there is to be seen. */
  const atStart = useRef(true);
  const lastTopPx = useRef(0);
  const current = useRef(props);
  current.current = props;

  /** Notes what the reader looks at. */
  const note = useCallback(() => {
    const element = box.current;
    if (element === null) return;
    const { items: all, keyOf: key } = current.current;
    const top = element.getBoundingClientRect().top;
    const rectangleOf = (item: T) => rows.current.get(key(item))?.getBoundingClientRect();
    // The first that reaches into the box, by halves: they stand in their order.
    let [from, to] = [0, all.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      const item = all[middle];
      const rectangle = item === undefined ? undefined : rectangleOf(item);
      if (rectangle === undefined || rectangle.bottom <= top + 1) from = middle + 1;
      else to = middle;
    }
    const first = all[from];
    const rectangle = first === undefined ? undefined : rectangleOf(first);
    anchor.current = first && rectangle ? { key: key(first), topPx: rectangle.top - top } : null;
    atStart.current = element.scrollTop <= 1 && !current.current.hasBefore;
  }, []);

  const fetchMore = useCallback(() => {
    const element = box.current;
    if (element === null || element.clientHeight === 0) return;
    const { hasBefore, hasAfter, onBefore, onAfter } = current.current;
    const edgePx = EDGE_HEIGHTS * element.clientHeight;
    if (hasBefore && element.scrollTop < edgePx) onBefore();
    if (hasAfter && element.scrollHeight - element.scrollTop - element.clientHeight < edgePx) onAfter();
  }, []);

  const tellBottom = useCallback(() => {
    current.current.onBottom?.(stuck.current && !current.current.hasAfter);
  }, []);

  /** Puts what the reader looks at back in its place, after something has changed. */
  const settle = useCallback(() => {
    const element = box.current;
    if (element === null) return;
    if (stuck.current && !current.current.hasAfter) {
      element.scrollTop = element.scrollHeight;
    } else if (atStart.current && !current.current.hasBefore && !sticks) {
      element.scrollTop = 0;
    } else if (anchor.current !== null) {
      const row = rows.current.get(anchor.current.key);
      if (row !== undefined) {
        const topPx = row.getBoundingClientRect().top - element.getBoundingClientRect().top;
        if (Math.abs(topPx - anchor.current.topPx) >= 1) element.scrollTop += topPx - anchor.current.topPx;
      }
    }
    lastTopPx.current = element.scrollTop;
    note();
    tellBottom();
    fetchMore();
  }, []);

  const onScroll = useCallback(() => {
    const element = box.current;
    if (element === null) return;
    const belowPx = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (current.current.sticks === true) {
      if (belowPx <= BOTTOM_PX) stuck.current = true;
      // What grows at the bottom does not scroll; only a reader goes up.
      else if (element.scrollTop < lastTopPx.current - 1) stuck.current = false;
    }
    lastTopPx.current = element.scrollTop;
    note();
    tellBottom();
    fetchMore();
  }, []);

  useLayoutEffect(settle, [items, props.hasBefore, props.hasAfter]);
  useEffect(() => {
    const observer = new ResizeObserver(settle);
    if (box.current !== null) observer.observe(box.current);
    if (content.current !== null) observer.observe(content.current);
    return () => {
      observer.disconnect();
    };
  }, []);

  useImperativeHandle(
    props.handle ?? { current: null },
    () => ({
      show: (key) => {
        const row = rows.current.get(key);
        if (row === undefined) return false;
        stuck.current = false;
        row.scrollIntoView({ block: 'center' });
        note();
        return true;
      },
      toBottom: () => {
        stuck.current = true;
        settle();
      },
    }),
    [],
  );

  return (
    <div
      class={`scroll ${props.class ?? ''}`}
      ref={box}
      onScroll={onScroll}
      tabIndex={0}
      role="region"
      aria-label={label}
    >
      <div ref={content}>
        {props.header}
        {items.map((item, i) => {
          const key = keyOf(item);
          return (
            <div
              key={key}
              ref={(element) => {
                if (element === null) rows.current.delete(key);
                else rows.current.set(key, element);
              }}
            >
              {draw(item, items[i - 1])}
            </div>
          );
        })}
        {props.footer}
      </div>
    </div>
  );
}
