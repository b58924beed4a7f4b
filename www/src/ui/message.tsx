/**
 * One message: what was said, by whom, and what can be done with it.
 *
 * Holds: its look while it comes, when it is whole and when it broke off; other versions of it; editing.
 * Must not know: the list that it is in.
 */
import { useComputed } from '@preact/signals';
import type { Message, Part } from 'chatstore';
import { useEffect, useRef, useState } from 'preact/hooks';
import { botNames } from '../state/bots';
import { dayOf, isSameDay, momentOf, timeOf } from '../state/dates';
import { regenerate, replies, resend } from '../state/replies';
import { theStore } from '../state/store';
import { attempt } from '../state/toasts';
import { copyText } from './copy';
import { Icon } from './icons';
import { Markdown } from './markdown';
import { memo } from './memo';

interface Props {
  message: Message;
  before: Message | undefined;
  /** Whether there may be other versions of it. */
  branches: boolean;
  isLast: boolean;
  /** The message that the reader jumped to. */
  isTarget: boolean;
}

const COPIED_SHOWN_MS = 2_000;

export const MessageItem = memo(({ message, before, branches, isLast, isTarget }: Props) => {
  const [editing, setEditing] = useState(false);
  const { id, sessionId, role, status } = message;
  const reply = useComputed(() => {
    const running = replies.value.get(sessionId);
    return running?.ref.id === id ? running : null;
  });
  // This tab knows more of its own reply than has been flushed.
  const text =
    reply.value !== null && reply.value.text.length > message.content.length ? reply.value.text : message.content;
  const reasoning = reply.value?.reasoning || reasoningOf(message.parts);
  const isUser = role === 'user';
  const isComing = status === 'streaming' || status === 'pending';
  const name = isUser ? 'You' : nameOf(message);
  const showsDay = before === undefined || !isSameDay(before.createdAt, message.createdAt);
  const showsName = !isUser && (before?.role !== role || before.botId !== message.botId);

  return (
    <>
      {showsDay && <div class="day">{dayOf(message.createdAt)}</div>}
      <article
        class={`message ${isUser ? 'from-user' : 'from-bot'} ${isTarget ? 'target' : ''} ${isLast ? 'last' : ''}`}
        aria-label={`${name}, ${momentOf(message.createdAt)}`}
        aria-busy={isComing}
        data-id={id}
      >
        {showsName && <div class="sender">{name}</div>}
        {editing ? (
          <Editor
            text={message.content}
            onDone={() => {
              setEditing(false);
            }}
            onSave={(changed) => {
              attempt(() => resend(message, changed));
            }}
          />
        ) : (
          <div class="bubble">
            {reasoning !== '' && (
              <details class="reasoning">
                <summary>Reasoning</summary>
                <Markdown text={reasoning} />
              </details>
            )}
            {isUser ? <div class="plain">{text}</div> : <Markdown text={text} />}
            {isComing && <Coming empty={text === ''} />}
            <OtherParts parts={message.parts} />
          </div>
        )}
        <Ending message={message} isLast={isLast} />
        {!editing && !isComing && (
          <footer class="actions">
            {branches && <Versions message={message} />}
            <CopyButton text={text} />
            {isUser ? (
              <button
                type="button"
                class="icon-button small"
                aria-label="Edit message"
                title="Edit"
                onClick={() => {
                  setEditing(true);
                }}
              >
                <Icon name="pencil" />
              </button>
            ) : (
              role === 'assistant' && (
                <button
                  type="button"
                  class="icon-button small"
                  aria-label="Regenerate reply"
                  title="Another answer"
                  onClick={() => {
                    attempt(() => regenerate(message));
                  }}
                >
                  <Icon name="refresh" />
                </button>
              )
            )}
            <time dateTime={new Date(message.createdAt).toISOString()} title={momentOf(message.createdAt)}>
              {timeOf(message.createdAt)}
            </time>
            {!isUser && message.model !== null && message.model !== name && <span>{message.model}</span>}
          </footer>
        )}
      </article>
    </>
  );
});

function nameOf({ role, botId }: Message): string {
  if (role === 'assistant') return (botId === null ? undefined : botNames.value.get(botId)) ?? 'Assistant';
  return role[0]?.toUpperCase() + role.slice(1);
}

const reasoningOf = (parts: Part[]): string =>
  parts
    .filter(({ type }) => type === 'reasoning')
    .map((part) => (typeof part['text'] === 'string' ? part['text'] : ''))
    .join('\n\n');

/** Parts that are neither text nor reasoning: tool calls, files, what other programs keep. */
function OtherParts({ parts }: { parts: Part[] }) {
  const others = parts.filter(({ type }) => type !== 'text' && type !== 'reasoning');
  return (
    <>
      {others.map((part, i) => (
        <details key={i} class="part">
          <summary>{part.type}</summary>
          <pre tabIndex={0}>{JSON.stringify(part, null, 2)}</pre>
        </details>
      ))}
    </>
  );
}

const Coming = ({ empty }: { empty: boolean }) =>
  empty ? (
    <div class="coming" role="img" aria-label="The reply is on its way">
      <span />
      <span />
      <span />
    </div>
  ) : (
    <span class="caret" aria-hidden="true" />
  );

/** How a reply ended, where it did not end well. */
function Ending({ message, isLast }: { message: Message; isLast: boolean }) {
  const { status, finishReason, error } = message;
  if (status !== 'incomplete' && status !== 'error') return null;
  const told = typeof error === 'object' && error !== null && !Array.isArray(error) ? error['message'] : error;
  const text =
    status === 'error'
      ? typeof told === 'string'
        ? told
        : 'The reply broke off.'
      : finishReason === 'stopped'
        ? 'Stopped.'
        : 'The reply broke off: its tab was closed or lost its connection. What had come is kept.';
  return (
    <p class={`ending ${status}`} role={isLast && status === 'error' ? 'alert' : undefined}>
      <Icon name={status === 'error' ? 'warn' : 'stop'} />
      <span>{text}</span>
      {message.role === 'assistant' && isLast && (
        <button
          type="button"
          class="quiet small"
          onClick={() => {
            attempt(() => regenerate(message));
          }}
        >
          {status === 'error' ? 'Try again' : 'Answer anew'}
        </button>
      )}
    </p>
  );
}

function CopyButton({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    setCopied(await copyText(text));
    setTimeout(() => {
      setCopied(false);
    }, COPIED_SHOWN_MS);
  };
  return (
    <button type="button" class="icon-button small" aria-label="Copy message" title="Copy" onClick={() => void copy()}>
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}

/** Which of a message's versions is shown, with a way to the others. */
function Versions({ message }: { message: Message }) {
  const [versions, setVersions] = useState<Message[]>([]);
  useEffect(() => {
    let isCurrent = true;
    const read = async () => {
      const found = await theStore().messages.branches(message);
      if (isCurrent) setVersions(found.filter(({ deletedAt }) => deletedAt === null));
    };
    // It is gone: the list says so in a moment.
    read().catch(() => undefined);
    return () => {
      isCurrent = false;
    };
  }, [message]);
  if (versions.length < 2) return null;
  const at = versions.findIndex(({ id }) => id === message.id);
  const to = (index: number) => {
    const version = versions[index];
    if (version !== undefined) attempt(() => theStore().messages.switchTo(version));
  };
  return (
    <span class="versions" role="group" aria-label="Versions">
      <button
        type="button"
        class="icon-button small"
        aria-label="Previous version"
        disabled={at <= 0}
        onClick={() => {
          to(at - 1);
        }}
      >
        <Icon name="left" />
      </button>
      <span>
        {at + 1}/{versions.length}
      </span>
      <button
        type="button"
        class="icon-button small"
        aria-label="Next version"
        disabled={at >= versions.length - 1}
        onClick={() => {
          to(at + 1);
        }}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}

function Editor({ text, onSave, onDone }: { text: string; onSave: (text: string) => void; onDone: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const save = () => {
    const changed = field.current?.value.trim() ?? '';
    if (changed !== '' && changed !== text) onSave(changed);
    onDone();
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        ref={field}
        aria-label="Edit message"
        defaultValue={text}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone();
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            save();
          }
        }}
      />
      <div class="row">
        <button type="button" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="primary">
          Send
        </button>
      </div>
    </form>
  );
}
