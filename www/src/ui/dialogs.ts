/** Which window is open over the page. */
import { signal } from '@preact/signals';

type DialogName = 'search' | 'settings' | null;

export const dialog = signal<DialogName>(null);
/** The drawer of a narrow page. */
export const drawer = signal(false);
/** A file that was dropped or chosen, until its reader has said what becomes of it. */
export const offered = signal<File | null>(null);
