/**
 * Search as the reader types, over all chats.
 *
 * Holds: the words, what was found, and which of it is chosen by the arrow keys. Must not know: how it is found.
 */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { SearchHit } from 'chatstore';
import { botNames } from '../state/bots';
import { momentOf } from '../state/dates';
import { chatAddress, go } from '../state/route';
import { theStore } from '../state/store';
import { inWords } from '../state/words';
import { Dialog } from './dialog';
import { dialog } from './dialogs';
import { Icon } from './icons';

const MOST_HITS = 50;
const WAIT_MS = 60;

type Found =
  | { state: 'none' }
  | { state: 'found'; query: string; hits: SearchHit[] }
  | { state: 'failed'; text: string };

async function find(words: string, signal: AbortSignal): Promise<Found> {
  if (words === '') return { state: 'none' };
  try {
    const { items } = await theStore().search(words, { prefix: true, limit: MOST_HITS, signal });
    return { state: 'found', query: words, hits: items };
  } catch (error) {
    return { state: 'failed', text: inWords(error).text };
  }
}

const close = () => {
  dialog.value = null;
};

export function Search() {
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<Found>({ state: 'none' });
  const [chosen, setChosen] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const hits = found.state === 'found' ? found.hits : [];

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const search = async () => {
      const now = await find(query.trim(), signal);
      if (signal.aborted) return;
      setFound(now);
      setChosen(0);
    };
    // Somebody who types fast does not wait for what they no longer look for.
    const timer = setTimeout(() => void search(), WAIT_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [query]);

  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);

  const open = (hit: SearchHit | undefined) => {
    if (hit === undefined) return;
    close();
    go(chatAddress(hit.sessionId, hit.id));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && hits.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + hits.length) % hits.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      open(hits[chosen]);
    }
  };

  return (
    <Dialog title="Search" head={false} class="palette" onClose={close}>
      <div class="search-field">
        <Icon name="search" />
        <input
          type="text"
          enterkeyhint="search"
          role="combobox"
          aria-label="Search all chats"
          aria-expanded={hits.length > 0}
          aria-controls={`${id}-hits`}
          aria-activedescendant={hits.length > 0 ? `${id}-${String(chosen)}` : undefined}
          aria-autocomplete="list"
          autocomplete="off"
          spellcheck={false}
          placeholder="Search all chats"
          value={query}
          onInput={(event) => {
            setQuery(event.currentTarget.value);
          }}
          onKeyDown={onKeyDown}
          autofocus
        />
        <button type="button" class="icon-button" aria-label="Close search" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <ul id={`${id}-hits`} ref={list} role="listbox" aria-label="Messages found" class="hits">
        {hits.map((hit, i) => (
          <li
            key={`${hit.sessionId} ${hit.id}`}
            id={`${id}-${String(i)}`}
            role="option"
            aria-selected={i === chosen}
            onClick={() => {
              open(hit);
            }}
            onPointerMove={() => {
              if (i !== chosen) setChosen(i);
            }}
          >
            <span class="hit-head">
              <strong>{hit.sessionTitle ?? 'Untitled'}</strong>
              <span>
                {hit.role === 'user'
                  ? 'You'
                  : ((hit.botId === null ? undefined : botNames.value.get(hit.botId)) ?? hit.role)}
                , {momentOf(hit.createdAt)}
              </span>
            </span>
            <span class="snippet">
              <Snippet hit={hit} />
            </span>
          </li>
        ))}
      </ul>
      <p class="palette-foot" role="status">
        {found.state === 'none' && 'All words must be there; the last one may be a beginning.'}
        {found.state === 'failed' && found.text}
        {found.state === 'found' && hits.length === 0 && `Nothing found for “${found.query}”.`}
        {found.state === 'found' && hits.length > 0 && (
          <>
            {hits.length === MOST_HITS ? `The best ${String(MOST_HITS)}` : String(hits.length)} found
            <span class="keys"> · ↑ ↓ to choose, Enter to open</span>
          </>
        )}
      </p>
    </Dialog>
  );
}

/** The text around what was found, which is marked. */
function Snippet({ hit: { snippet, highlights } }: { hit: SearchHit }) {
  const pieces = [];
  let end = 0;
  for (const [from, to] of highlights) {
    pieces.push(snippet.slice(end, from), <mark key={from}>{snippet.slice(from, to)}</mark>);
    end = to;
  }
  return (
    <>
      {pieces}
      {snippet.slice(end)}
    </>
  );
}
