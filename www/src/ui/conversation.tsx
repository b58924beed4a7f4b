/**
 * The chat that is being looked at, with the composer below it; or the place where a new one begins.
 *
 * Holds: the list of messages, the jump to one of them and to the newest. Must not know: how they are read.
 */
import type { Session } from 'chatstore';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Conversation as Data } from '../state/conversation';
import { loadSample } from '../state/sample';
import { isEmpty, restore } from '../state/sessions';
import { info, theStore } from '../state/store';
import { inWords } from '../state/words';
import { Composer, setDraft } from './composer';
import { dialog } from './dialogs';
import { Icon } from './icons';
import { MessageItem } from './message';
import { WindowedList, type ListHandle } from './windowed_list';

interface Props {
  sessionId: string;
  messageId: string | null;
  jump: number;
}

export function Conversation({ sessionId, messageId, jump }: Props) {
  const data = useMemo(() => new Data(theStore(), sessionId, messageId), [sessionId]);
  useEffect(
    () => () => {
      data.end();
    },
    [data],
  );
  const handle = useRef<ListHandle>(null);
  const [isAtBottom, setAtBottom] = useState(true);
  const shown = useRef<number | null>(null);
  const { items, hasBefore, hasAfter, loaded, error } = data.window.view.value;
  const branching = data.branching.value;

  // Jumps again within the same chat: the list is opened about the message unless it is there already.
  useEffect(() => {
    if (messageId === null || shown.current === jump) return;
    if (shown.current !== null && handle.current?.show(messageId)) shown.current = jump;
    else if (shown.current !== null) void data.show(messageId);
  }, [jump]);
  useEffect(() => {
    if (!loaded || shown.current === jump) return;
    if (messageId === null || handle.current?.show(messageId)) shown.current = jump;
  }, [items, loaded, jump]);

  const toNewest = async () => {
    if (data.window.view.value.hasAfter) await data.window.open();
    handle.current?.toBottom();
  };

  if (data.session.value === null) return <Gone />;
  const lastId = hasAfter ? null : items.at(-1)?.id;
  return (
    <div class="conversation">
      {error !== undefined && (
        <p class="banner error" role="alert">
          <Icon name="warn" /> <span>{inWords(error).text}</span>
          <button type="button" onClick={() => void data.show(messageId)}>
            Try again
          </button>
        </p>
      )}
      <WindowedList
        items={items}
        keyOf={(message) => message.id}
        draw={(message, before) => (
          <MessageItem
            message={message}
            before={before}
            branches={branching.has(message.parentId ?? '')}
            isLast={message.id === lastId}
            isTarget={message.id === messageId}
          />
        )}
        hasBefore={hasBefore}
        hasAfter={hasAfter}
        onBefore={() => void data.window.before()}
        onAfter={() => void data.window.after()}
        sticks
        onBottom={setAtBottom}
        handle={handle}
        class="messages"
        label="Messages"
        header={hasBefore && <p class="earlier">Earlier messages…</p>}
      />
      <div class="below">
        {loaded && !isAtBottom && (
          <button
            type="button"
            class="jump"
            aria-label="Jump to latest"
            title="Jump to latest"
            onClick={() => void toNewest()}
          >
            <Icon name="down" />
          </button>
        )}
        {data.session.value?.deletedAt ? (
          <InTrash session={data.session.value} />
        ) : (
          <Composer sessionId={sessionId} onSent={() => void toNewest()} />
        )}
      </div>
    </div>
  );
}

function InTrash({ session }: { session: Session }) {
  return (
    <p class="banner warn">
      <Icon name="trash" /> <span>This chat is in the trash.</span>
      <button
        type="button"
        onClick={() => {
          restore(session);
        }}
      >
        Restore
      </button>
    </p>
  );
}

function Gone() {
  return (
    <div class="start">
      <h1>This chat is not here any more</h1>
      <p>It was removed for good, or it belongs to another file.</p>
      <p>
        <a class="button" href="#/">
          New chat
        </a>
      </p>
    </div>
  );
}

/** The place where a chat begins. */
export function NewChat() {
  const empty = isEmpty.value === true;
  return (
    <div class="start">
      <h1>{empty ? 'Chats that stay with you' : 'What is on your mind?'}</h1>
      <p>
        {empty
          ? `Write something: a built-in bot answers from your own history. ${info.value?.ephemeral ? '' : 'Everything is kept in a file on this device.'}`
          : 'The offline bot looks through all of your chats and quotes what it finds.'}
      </p>
      <Composer sessionId={null} />
      <div class="chips">
        <button
          type="button"
          onClick={() => {
            setDraft(null, 'What can you do?');
          }}
        >
          What can you do?
        </button>
        {empty ? (
          <button type="button" onClick={loadSample}>
            <Icon name="sample" /> Load sample chats
          </button>
        ) : (
          <button
            type="button"
            onClick={() => {
              setDraft(null, 'Show my recent chats');
            }}
          >
            Show my recent chats
          </button>
        )}
        <button
          type="button"
          onClick={() => {
            dialog.value = 'search';
          }}
        >
          <Icon name="search" /> Search
        </button>
      </div>
    </div>
  );
}
