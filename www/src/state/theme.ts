/**
 * Light, dark, or as the system is.
 *
 * Holds: the choice, kept in this browser; public/theme.js applies it before the first paint. Must not know:
 * colours (styles/theme.css).
 */
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'chatstore-demo.theme';
const isTheme = (value: unknown): value is Theme => value === 'light' || value === 'dark';

const kept = document.documentElement.dataset['theme'];
export const theme = signal<Theme>(isTheme(kept) ? kept : 'system');

effect(() => {
  const chosen = theme.value;
  if (chosen === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = chosen;
  try {
    if (chosen === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // No local storage: for this visit only.
  }
});
