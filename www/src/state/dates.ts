/** Times as people say them. */

const DAY_MS = 86_400_000;
const month = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric' });
const day = new Intl.DateTimeFormat('en', { dateStyle: 'long' });
const time = new Intl.DateTimeFormat('en', { timeStyle: 'short' });
const both = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

const startOfDay = (atMs: number): number => new Date(atMs).setHours(0, 0, 0, 0);

/** Today, Yesterday, Previous 7 days, Previous 30 days, then the month. */
export function period(atMs: number, nowMs = Date.now()): string {
  // Half a day more: a day with a change of the clocks has 23 or 25 hours.
  const days = Math.floor((startOfDay(nowMs) - startOfDay(atMs) + DAY_MS / 2) / DAY_MS);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days <= 7) return 'Previous 7 days';
  if (days <= 30) return 'Previous 30 days';
  return month.format(atMs);
}

export const isSameDay = (aMs: number, bMs: number): boolean => startOfDay(aMs) === startOfDay(bMs);
export const dayOf = (atMs: number): string => (isSameDay(atMs, Date.now()) ? 'Today' : day.format(atMs));
export const timeOf = (atMs: number): string => time.format(atMs);
export const momentOf = (atMs: number): string => both.format(atMs);
