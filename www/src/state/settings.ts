/**
 * Who answers: the built-in bot, or a model behind an address that the reader gives.
 *
 * Holds: the choice, the address and the model, kept in this browser's local storage; and the key, which is
 * in this page's memory only, or in local storage where the reader ticked "Remember". Must not know: the
 * store. Nothing of this is ever given to it, so no file and no copy of it holds a key.
 */
import { effect, signal } from '@preact/signals';

type Answerer = 'offline' | 'endpoint';

export interface Endpoint {
  answerer: Answerer;
  /** The part before `/chat/completions`, e.g. `http://localhost:11434/v1`. */
  address: string;
  model: string;
}

const ENDPOINT_KEY = 'chatstore-demo.endpoint';
const SECRET_KEY = 'chatstore-demo.key';

function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // No local storage: for this visit only.
  }
}

function keptEndpoint(): Endpoint {
  const start: Endpoint = { answerer: 'offline', address: '', model: '' };
  try {
    const value: unknown = JSON.parse(kept(ENDPOINT_KEY) ?? 'null');
    if (typeof value !== 'object' || value === null) return start;
    const { answerer, address, model } = value as Partial<Endpoint>;
    return {
      answerer: answerer === 'endpoint' ? 'endpoint' : 'offline',
      address: typeof address === 'string' ? address : '',
      model: typeof model === 'string' ? model : '',
    };
  } catch {
    return start;
  }
}

export const endpoint = signal<Endpoint>(keptEndpoint());
export const apiKey = signal(kept(SECRET_KEY) ?? '');
export const rememberKey = signal(kept(SECRET_KEY) !== null);

effect(() => {
  keep(ENDPOINT_KEY, JSON.stringify(endpoint.value));
});
effect(() => {
  keep(SECRET_KEY, rememberKey.value && apiKey.value !== '' ? apiKey.value : null);
});

export function forgetKey(): void {
  apiKey.value = '';
  rememberKey.value = false;
}

/** Shown beside the composer. */
export const answererName = (settings: Endpoint): string =>
  settings.answerer === 'offline' ? 'Offline bot' : settings.model || 'Model';
