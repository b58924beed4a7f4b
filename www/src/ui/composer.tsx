/**
 * Where the reader writes.
 *
 * Holds: the text until it is sent (a draft a chat), Enter and Shift-Enter, Stop while a reply comes. Must not
 * know: who answers.
 */
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import { replies, send, stop } from '../state/replies';
import { answererName, endpoint } from '../state/settings';
import { attempt } from '../state/toasts';
import { Icon } from './icons';
import { dialog } from './dialogs';

const drafts = signal<ReadonlyMap<string, string>>(new Map());
const MOST_CHARACTERS = 1_000_000;

export function setDraft(sessionId: string | null, text: string): void {
  drafts.value = new Map(drafts.value).set(sessionId ?? '', text);
}

interface Props {
  sessionId: string | null;
  /** After something was sent. */
  onSent?: () => void;
}

export function Composer({ sessionId, onSent }: Props) {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = drafts.value.get(sessionId ?? '') ?? '';
  const isComing = sessionId !== null && replies.value.has(sessionId);

  // Browsers that know `field-sizing` do this by themselves.
  useLayoutEffect(() => {
    const element = field.current;
    if (element === null || CSS.supports('field-sizing', 'content')) return;
    element.style.height = 'auto';
    element.style.height = `${String(element.scrollHeight)}px`;
  }, [text]);

  useEffect(() => {
    // On a touch screen the keyboard would cover what there is to read.
    if (matchMedia('(hover: hover)').matches) field.current?.focus({ preventScroll: true });
  }, [sessionId]);

  const submit = () => {
    // What is in the field: Enter may come before the last letter was drawn.
    const written = field.current?.value ?? '';
    if (written.trim() === '' || isComing) return;
    setDraft(sessionId, '');
    attempt(async () => {
      try {
        await send(sessionId, written);
        onSent?.();
      } catch (error) {
        // Not stored: the reader has it back.
        setDraft(sessionId, written);
        throw error;
      }
    });
  };

  return (
    <form
      class="composer"
      aria-label="Write a message"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={field}
        rows={1}
        aria-label="Message"
        placeholder="Write a message"
        maxLength={MOST_CHARACTERS}
        value={text}
        onInput={(event) => {
          setDraft(sessionId, event.currentTarget.value);
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          submit();
        }}
      />
      <div class="row">
        <button
          type="button"
          class="quiet small answerer"
          aria-label={`Answers: ${answererName(endpoint.value)}. Change`}
          onClick={() => {
            dialog.value = 'settings';
          }}
        >
          <span class={`dot ${endpoint.value.answerer}`} aria-hidden="true" />
          {answererName(endpoint.value)}
        </button>
        {isComing ? (
          <button
            type="button"
            class="round"
            aria-label="Stop"
            title="Stop"
            onClick={() => {
              stop(sessionId);
            }}
          >
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="round" aria-label="Send" title="Send" disabled={text.trim() === ''}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}
