/**
 * Where the reader is, as the address says it: `#/`, `#/chat/SESSION`, `#/chat/SESSION/MESSAGE`, `#/health`.
 *
 * Holds: the route and the addresses. Must not know: what is shown there.
 */
import { signal } from '@preact/signals';

type Route =
  | {
      view: 'chat';
      sessionId: string | null;
      messageId: string | null;
      /** Each jump is one of its own. */ jump: number;
    }
  | { view: 'health' };

let jumps = 0;

function parse(hash: string): Route {
  const [view, sessionId, messageId] = hash.replace(/^#\/?/, '').split('/').map(decode);
  if (view === 'health') return { view: 'health' };
  jumps += 1;
  if (view !== 'chat' || !sessionId) return { view: 'chat', sessionId: null, messageId: null, jump: jumps };
  return { view: 'chat', sessionId, messageId: messageId ?? null, jump: jumps };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = signal<Route>(parse(location.hash));

addEventListener('hashchange', () => {
  route.value = parse(location.hash);
});

export const home = '#/';
export const health = '#/health';

export function chatAddress(sessionId: string, messageId?: string): string {
  const session = `#/chat/${encodeURIComponent(sessionId)}`;
  return messageId === undefined ? session : `${session}/${encodeURIComponent(messageId)}`;
}

/** Goes there; where the reader is there already, it is shown once more. */
export function go(address: string): void {
  if (location.hash === address || (address === home && location.hash === '')) route.value = parse(address);
  else location.hash = address;
}

/** Goes there without a step to come back to. */
export function replace(address: string): void {
  history.replaceState(null, '', address);
  route.value = parse(address);
}
