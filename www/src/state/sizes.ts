/** Sizes and numbers as people read them. */
const units = ['B', 'kB', 'MB', 'GB', 'TB'];

export function size(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${units[power] ?? ''}`;
}

export const number = (value: number): string => value.toLocaleString('en');
