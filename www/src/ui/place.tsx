/** Where the chats are, in words, and the button that asks the browser to keep them there. */
import { info, persist } from '../state/store';
import { attempt, tell } from '../state/toasts';
import { Icon } from './icons';

export function place(): string {
  const facts = info.value;
  if (facts === null) return 'Opening…';
  if (facts.ephemeral) return 'In memory only: gone when this page is closed or reloaded.';
  return 'In a file in this browser, on this device (OPFS). Nothing is sent anywhere.';
}

export function KeepButton() {
  return (
    <button
      type="button"
      class="small"
      onClick={() => {
        attempt(async () => {
          const kept = await persist();
          tell(
            kept
              ? 'The browser will keep your chats.'
              : 'The browser did not agree yet. It does so for pages that you use often, or once this page is bookmarked or installed. A saved copy is safe in any case.',
          );
        });
      }}
    >
      <Icon name="keep" /> Keep it
    </button>
  );
}
