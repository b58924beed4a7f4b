/**
 * Short notes at the edge of the page, some with one thing to do.
 *
 * Holds: those that are shown, and until when. Must not know: what they are about.
 */
import { signal } from '@preact/signals';
import { inWords } from './words';

interface Toast {
  id: number;
  text: string;
  kind: 'note' | 'error';
  action?: { label: string; run: () => unknown };
  /** Whether it would be well to have a copy first. */
  offersCopy?: boolean;
  /** 0 to 1 while a piece of work goes on. */
  progress?: number;
}

const SHOWN_MS = 8_000;
const ERROR_SHOWN_MS = 20_000;

export const toasts = signal<Toast[]>([]);
let lastId = 0;

/** Shows a note; gives its id. With a progress it stays until it is dismissed or updated without one. */
export function tell(text: string, options: Partial<Omit<Toast, 'id' | 'text'>> = {}): number {
  lastId += 1;
  const toast: Toast = { id: lastId, text, kind: 'note', ...options };
  toasts.value = [...toasts.value.slice(-3), toast];
  if (toast.progress === undefined) expire(toast);
  return toast.id;
}

export function update(id: number, changes: Partial<Omit<Toast, 'id'>>): void {
  toasts.value = toasts.value.map((toast) => (toast.id === id ? { ...toast, ...changes } : toast));
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Shows what went wrong, with the same once more where that helps. */
export function tellError(error: unknown, again?: () => unknown): void {
  const { text, way, code } = inWords(error);
  console.warn(code ?? '', error);
  const reload = {
    label: 'Reload',
    run: () => {
      location.reload();
    },
  };
  const action = way === 'reload' ? reload : way === 'retry' && again ? { label: 'Try again', run: again } : undefined;
  tell(text, { kind: 'error', offersCopy: way === 'copy', ...(action && { action }) });
}

/** Runs something for a click: what goes wrong is shown, never lost. */
export function attempt(work: () => Promise<unknown>): void {
  work().catch((error: unknown) => {
    tellError(error, () => {
      attempt(work);
    });
  });
}

function expire(toast: Toast): void {
  setTimeout(
    () => {
      dismiss(toast.id);
    },
    toast.kind === 'error' ? ERROR_SHOWN_MS : SHOWN_MS,
  );
}
