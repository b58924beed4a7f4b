/**
 * The list of chats beside the one that is looked at.
 *
 * Holds: chats by day with the pinned ones first, the archive, the trash, and what can be done to each. Must not
 * know: how lists are read.
 */
import type { Session } from 'chatstore';
import { useEffect, useRef, useState } from 'preact/hooks';
import { chooseFile, saveCopy } from '../state/copies';
import { period } from '../state/dates';
import { chatAddress, go, health, home, route } from '../state/route';
import { loadSample } from '../state/sample';
import * as sessions from '../state/sessions';
import { titleOf, type Shelf } from '../state/sessions';
import { inWords } from '../state/words';
import { dialog, drawer, offered } from './dialogs';
import { Icon } from './icons';
import { memo } from './memo';
import { Menu, type MenuItem } from './menu';
import { StatusLine } from './status';
import { WindowedList } from './windowed_list';

const names: Record<Shelf, string> = { active: 'Chats', archived: 'Archived', trash: 'Trash' };

export function Sidebar() {
  const close = useRef<HTMLButtonElement>(null);
  // What is behind the drawer cannot be reached while it is open: the focus goes in, and back.
  useEffect(() => {
    if (!drawer.value) return undefined;
    const focused = document.activeElement;
    close.current?.focus();
    return () => {
      if (focused instanceof HTMLElement && focused.isConnected) focused.focus();
    };
  }, [drawer.value]);
  const shelf = sessions.shelf.value;
  return (
    <nav id="sidebar" class="sidebar" aria-label="Chats">
      <div class="sidebar-head">
        <a class="brand" href={home} aria-label="chatstore, new chat">
          <img src="/icon.svg" alt="" width="24" height="24" /> chatstore
        </a>
        <Menu
          label="Menu"
          items={[
            { label: 'Load sample chats', icon: 'sample', run: loadSample },
            { label: 'Save a copy', icon: 'save', run: saveCopy },
            {
              label: 'Load a copy',
              icon: 'load',
              run: () => {
                chooseFile((file) => {
                  offered.value = file;
                });
              },
            },
            {
              label: 'Archived chats',
              icon: 'archive',
              run: () => {
                sessions.showShelf('archived');
              },
            },
            {
              label: 'Trash',
              icon: 'trash',
              run: () => {
                sessions.showShelf('trash');
              },
            },
            {
              label: 'Health',
              icon: 'disk',
              run: () => {
                go(health);
              },
            },
            {
              label: 'Settings',
              icon: 'settings',
              run: () => {
                dialog.value = 'settings';
              },
            },
          ]}
        />
        <button
          type="button"
          ref={close}
          class="icon-button only-narrow"
          aria-label="Close sidebar"
          onClick={() => {
            drawer.value = false;
          }}
        >
          <Icon name="close" />
        </button>
      </div>
      <div class="sidebar-actions">
        <a
          class="nav-button"
          href={home}
          onClick={() => {
            go(home);
          }}
        >
          <Icon name="plus" /> New chat
        </a>
        <button
          type="button"
          class="nav-button"
          onClick={() => {
            dialog.value = 'search';
          }}
        >
          <Icon name="search" /> Search{' '}
          <kbd aria-hidden="true">{/Mac|iP/.test(navigator.platform) ? '⌘K' : 'Ctrl K'}</kbd>
        </button>
      </div>
      {shelf !== 'active' && <ShelfHead shelf={shelf} />}
      <List shelf={shelf} />
      <div class="sidebar-foot">
        <StatusLine />
      </div>
    </nav>
  );
}

function ShelfHead({ shelf }: { shelf: Shelf }) {
  return (
    <div class="shelf-head">
      <button
        type="button"
        class="icon-button"
        aria-label="Back to chats"
        title="Back to chats"
        onClick={() => {
          sessions.showShelf('active');
        }}
      >
        <Icon name="left" />
      </button>
      <h2>{names[shelf]}</h2>
      {shelf === 'trash' && (
        <button type="button" class="quiet small" onClick={sessions.emptyTrash}>
          Empty trash
        </button>
      )}
    </div>
  );
}

function List({ shelf }: { shelf: Shelf }) {
  const list = sessions.sessionsWindow.value;
  if (list === null) return <div class="scroll" />;
  const { items, hasBefore, hasAfter, loaded, error } = list.view.value;
  const pinned = shelf === 'active' ? sessions.pinned.value : [];
  const current = route.value.view === 'chat' ? route.value.sessionId : null;
  return (
    <WindowedList
      key={shelf}
      label={names[shelf]}
      class="sessions"
      items={items}
      keyOf={(session) => session.id}
      hasBefore={hasBefore}
      hasAfter={hasAfter}
      onBefore={() => void list.before()}
      onAfter={() => void list.after()}
      draw={(session, before) => {
        const heading = period(lastAt(session));
        const isFirst = before === undefined || period(lastAt(before)) !== heading;
        return (
          <>
            {isFirst && <h3>{heading}</h3>}
            <Row session={session} shelf={shelf} isCurrent={session.id === current} />
          </>
        );
      }}
      header={
        <>
          {error !== undefined && (
            <p class="list-note" role="alert">
              {inWords(error).text}{' '}
              <button type="button" class="quiet small" onClick={() => void list.refresh()}>
                Try again
              </button>
            </p>
          )}
          {pinned.length > 0 && <h3>Pinned</h3>}
          {pinned.map((session) => (
            <Row key={session.id} session={session} shelf={shelf} isCurrent={session.id === current} />
          ))}
        </>
      }
      footer={loaded && items.length + pinned.length === 0 && error === undefined && <Nothing shelf={shelf} />}
    />
  );
}

const lastAt = ({ lastMessageAt, createdAt }: Session): number => lastMessageAt ?? createdAt;

function Nothing({ shelf }: { shelf: Shelf }) {
  if (shelf === 'archived') return <p class="list-note">Nothing is archived.</p>;
  if (shelf === 'trash') return <p class="list-note">The trash is empty.</p>;
  return (
    <div class="list-note">
      <p>Your chats will be listed here.</p>
      <button type="button" class="small" onClick={loadSample}>
        <Icon name="sample" /> Load sample chats
      </button>
    </div>
  );
}

const Row = memo(({ session, shelf, isCurrent }: { session: Session; shelf: Shelf; isCurrent: boolean }) => {
  const [renaming, setRenaming] = useState(false);
  const title = titleOf(session);
  if (renaming)
    return (
      <Rename
        session={session}
        onDone={() => {
          setRenaming(false);
        }}
      />
    );
  return (
    <div class={`session ${isCurrent ? 'current' : ''}`}>
      <a
        href={chatAddress(session.id)}
        aria-current={isCurrent ? 'page' : undefined}
        title={title}
        onDblClick={() => {
          setRenaming(true);
        }}
      >
        {title}
      </a>
      {session.pinned && shelf === 'active' && <Icon name="pin" />}
      <Menu
        label={`Options for ${title}`}
        items={itemsFor(session, shelf, () => {
          setRenaming(true);
        })}
      />
    </div>
  );
});

function itemsFor(session: Session, shelf: Shelf, rename: () => void): MenuItem[] {
  if (shelf === 'trash')
    return [
      {
        label: 'Restore',
        icon: 'restore',
        run: () => {
          sessions.restore(session);
        },
      },
      {
        label: 'Delete for good',
        icon: 'trash',
        danger: true,
        run: () => {
          sessions.removeForGood(session);
        },
      },
    ];
  const isArchived = session.status === 'archived';
  return [
    { label: 'Rename', icon: 'pencil', run: rename },
    {
      label: session.pinned ? 'Unpin' : 'Pin',
      icon: 'pin',
      run: () => {
        sessions.setPinned(session, !session.pinned);
      },
    },
    {
      label: isArchived ? 'Unarchive' : 'Archive',
      icon: isArchived ? 'restore' : 'archive',
      run: () => {
        sessions.setArchived(session, !isArchived);
      },
    },
    {
      label: 'Delete',
      icon: 'trash',
      danger: true,
      run: () => {
        sessions.remove(session);
      },
    },
  ];
}

function Rename({ session, onDone }: { session: Session; onDone: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.select();
  }, []);
  return (
    <form
      class="session renaming"
      onSubmit={(event) => {
        event.preventDefault();
        sessions.rename(session, field.current?.value ?? '');
        onDone();
      }}
    >
      <input
        ref={field}
        aria-label="Title"
        defaultValue={titleOf(session)}
        maxLength={500}
        onBlur={onDone}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone();
        }}
      />
    </form>
  );
}
