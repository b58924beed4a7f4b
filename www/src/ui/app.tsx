/**
 * The whole page: sidebar, what is looked at, and what lies over it.
 *
 * Holds: the frame, the keys that work everywhere, and what is shown while there is no store. Must not know: what
 * is in the frame.
 */
import { useEffect } from 'preact/hooks';
import { useComputed } from '@preact/signals';
import { watchBots } from '../state/bots';
import { openSession } from '../state/conversation';
import { announcement } from '../state/replies';
import { go, home, route } from '../state/route';
import { titleOf, watchSessions } from '../state/sessions';
import { opened, openStore, theStore } from '../state/store';
import { inWords } from '../state/words';
import { Conversation, NewChat } from './conversation';
import { dialog, drawer } from './dialogs';
import { Drop } from './drop';
import { Health } from './health';
import { Icon } from './icons';
import { Search } from './search';
import { Settings } from './settings';
import { Sidebar } from './sidebar';
import { MemoryBanner } from './status';
import { Toasts } from './toasts';

export function App() {
  const now = opened.value;
  return (
    <>
      {now.state === 'open' ? <Open /> : now.state === 'failed' ? <Failed error={now.error} /> : <Opening />}
      <Toasts />
    </>
  );
}

function Open() {
  useEffect(() => {
    const store = theStore();
    const ends = [watchSessions(store), watchBots(store)];
    return () => {
      for (const end of ends) end();
    };
  }, []);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && dialog.value === null) drawer.value = false;
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key === 'k' && !event.shiftKey) dialog.value = dialog.value === 'search' ? null : 'search';
      else if (key === 'o' && event.shiftKey) go(home);
      else if (key === ',') dialog.value = 'settings';
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => {
      removeEventListener('keydown', onKeyDown);
    };
  }, []);
  const at = route.value;
  // Whoever chose something in the drawer wants to see it.
  useEffect(() => {
    drawer.value = false;
  }, [at]);

  return (
    <div class={`frame ${drawer.value ? 'with-drawer' : ''}`}>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the chat
      </a>
      <Sidebar />
      <div
        class="scrim"
        onClick={() => {
          drawer.value = false;
        }}
        aria-hidden="true"
      />
      <main id="main" tabIndex={-1} inert={drawer.value}>
        <TopBar />
        <MemoryBanner />
        {at.view === 'health' && <Health />}
        {at.view === 'chat' && at.sessionId === null && <NewChat key={at.jump} />}
        {at.view === 'chat' && at.sessionId !== null && (
          <Conversation key={at.sessionId} sessionId={at.sessionId} messageId={at.messageId} jump={at.jump} />
        )}
      </main>
      <div class="unseen" role="status" aria-label="Replies">
        {announcement.value}
      </div>
      {dialog.value === 'search' && <Search />}
      {dialog.value === 'settings' && <Settings />}
      <Drop />
    </div>
  );
}

/** The address names what is shown, so the link itself must not change it. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function TopBar() {
  const title = useComputed(() => {
    const at = route.value;
    if (at.view === 'health') return 'Health';
    if (at.sessionId === null) return 'New chat';
    const session = openSession.value;
    return session?.id === at.sessionId ? titleOf(session) : 'Chat';
  });
  useEffect(() => {
    document.title = title.value === 'Chat' ? 'chatstore' : `${title.value} · chatstore`;
  }, [title.value]);
  const isChat = route.value.view === 'chat' && route.value.sessionId !== null;
  return (
    <header class="topbar">
      <button
        type="button"
        class="icon-button only-narrow"
        aria-label="Open sidebar"
        aria-expanded={drawer.value}
        aria-controls="sidebar"
        onClick={() => {
          drawer.value = true;
        }}
      >
        <Icon name="menu" />
      </button>
      {/* The other views bring a heading of their own. */}
      {isChat ? <h1 class="topbar-title">{title}</h1> : <span class="topbar-title">{title}</span>}
      <a class="icon-button only-narrow" href={home} aria-label="New chat">
        <Icon name="plus" />
      </a>
    </header>
  );
}

const Opening = () => (
  <main class="start" aria-busy="true">
    <p class="slow" role="status">
      Opening your chats…
    </p>
  </main>
);

function Failed({ error }: { error: unknown }) {
  const { text, code } = inWords(error);
  return (
    <main class="start">
      <h1>Your chats could not be opened</h1>
      <p role="alert">{text}</p>
      <div class="chips">
        <button type="button" class="primary" onClick={() => void openStore()}>
          Try again
        </button>
        <button
          type="button"
          onClick={() => {
            location.reload();
          }}
        >
          Reload
        </button>
      </div>
      {code !== null && <p class="faint">{code}</p>}
    </main>
  );
}
