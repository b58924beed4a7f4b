/** The notes at the edge of the page. */
import { saveCopy } from '../state/copies';
import { dismiss, toasts } from '../state/toasts';
import { Icon } from './icons';

export function Toasts() {
  return (
    <div class="toasts" role="region" aria-label="Notes" aria-live="polite">
      {toasts.value.map(({ id, text, kind, action, offersCopy, progress }) => (
        <div key={id} class={`toast ${kind}`} role={kind === 'error' ? 'alert' : undefined}>
          <span>{text}</span>
          {progress !== undefined && <progress value={progress} aria-label={text} />}
          {offersCopy === true && (
            <button type="button" class="quiet" onClick={saveCopy}>
              Save a copy
            </button>
          )}
          {action !== undefined && (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                dismiss(id);
                action.run();
              }}
            >
              {action.label}
            </button>
          )}
          {progress === undefined && (
            <button
              type="button"
              class="icon-button"
              aria-label="Dismiss"
              onClick={() => {
                dismiss(id);
              }}
            >
              <Icon name="close" />
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
