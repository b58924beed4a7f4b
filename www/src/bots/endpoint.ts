/**
 * A model behind an OpenAI-compatible address that the reader gives.
 *
 * Holds: the request, the answer's event stream, and what went wrong in words. Must not know: where address and
 * key come from or are kept.
 */
import type { StreamDelta } from 'chatstore';
import type { Answer, Question } from './types';

interface Connection {
  /** The part before `/chat/completions`. */
  address: string;
  model: string;
  /** Empty where the server wants none. */
  key: string;
}

/** How much of the chat the model is given, in tokens by a rule of thumb. */
const CONTEXT_TOKENS = 12_000;
const roles = new Set(['user', 'assistant', 'system']);

/** A failure that is said in words already. */
export class EndpointError extends Error {}

export async function* answer({ store, sessionId, messageId, signal }: Question, to: Connection): Answer {
  const context = await store.context(sessionId, { maxTokens: CONTEXT_TOKENS });
  const end = context.findIndex(({ id }) => id === messageId);
  const messages = context
    .slice(0, end + 1)
    .filter(({ role, content }) => roles.has(role) && content !== '')
    .map(({ role, content }) => ({ role, content }));
  const body = JSON.stringify({ model: to.model, messages, stream: true });
  const response = await request(to, '/chat/completions', { method: 'POST', body, signal });
  if (response.body === null) throw new EndpointError('The server sent an empty answer.');
  // Some servers do not stream, whatever they are asked.
  if (response.headers.get('content-type')?.includes('application/json')) {
    const whole = chunkOf(await response.text());
    yield whole.choices?.[0]?.message?.content ?? '';
    return;
  }
  for await (const data of events(response.body)) {
    if (data === '[DONE]') return;
    yield* deltasOf(data);
  }
}

/** The models that the server offers; an empty list where it does not say. */
export async function listModels(to: Connection, signal: AbortSignal): Promise<string[]> {
  const response = await request(to, '/models', { signal });
  const { data = [] } = chunkOf(await response.text());
  return data.map(({ id }) => id).filter((id) => typeof id === 'string');
}

/** What comes from a server: a piece of an answer, a whole one, a failure, or its list of models. */
interface Chunk {
  data?: { id?: unknown }[];
  error?: { message?: string } | string;
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null; reasoning?: string | null };
    message?: { content?: string | null };
  }[];
}

function* deltasOf(data: string): Generator<StreamDelta> {
  const chunk = chunkOf(data);
  if (chunk.error !== undefined) throw new EndpointError(`The server reports: ${errorText(chunk.error)}`);
  const delta = chunk.choices?.[0]?.delta;
  const reasoning = delta?.reasoning_content ?? delta?.reasoning;
  if (reasoning) yield { type: 'reasoning', delta: reasoning };
  if (delta?.content) yield delta.content;
}

function chunkOf(text: string): Chunk {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every field is optional, and looked at with care
    return JSON.parse(text) as Chunk;
  } catch {
    throw new EndpointError('The server sent something that is not an OpenAI-compatible answer.');
  }
}

/** The data of each server-sent event. */
async function* events(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new EndpointError('The connection to the server was lost. What had come is kept.', { cause: error });
      });
      rest += done ? '\n' : decoder.decode(value, { stream: true });
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('data:')) yield line.slice(5).trim();
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function request(to: Connection, path: string, init: RequestInit): Promise<Response> {
  const address = checkedAddress(to.address);
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (to.key !== '') headers['authorization'] = `Bearer ${to.key}`;
  let response: Response;
  try {
    // No cookies, and no word of where the reader comes from.
    response = await fetch(address + path, { ...init, headers, credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new EndpointError(unreachable(address), { cause: error });
  }
  if (!response.ok) throw new EndpointError(await refused(response));
  return response;
}

function checkedAddress(text: string): string {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw new EndpointError(
      'The address in Settings is not complete. It begins with https:// and often ends with /v1.',
    );
  }
  const local = ['localhost', '127.0.0.1'].includes(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local))
    throw new EndpointError(
      'This page talks to addresses that begin with https://, and to http://localhost and http://127.0.0.1 on this device.',
    );
  return url.href.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
}

/** A browser does not say why: these are the reasons there are. */
function unreachable(address: string): string {
  if (!navigator.onLine)
    return 'This device is offline, so the model cannot be reached. The offline bot still answers.';
  const { hostname, host } = new URL(address);
  const local = ['localhost', '127.0.0.1'].includes(hostname);
  const running = local ? `Is the server running at ${host}?` : `Is ${host} the right address?`;
  const cors = local
    ? `If it is, it has to allow pages of ${location.origin} to read from it (its CORS setting; with Ollama: OLLAMA_ORIGINS=${location.origin}).`
    : `If it is, the server does not allow pages of ${location.origin} to read from it (CORS). Some providers answer programs only, never a page in a browser.`;
  return `No answer came from ${host}. ${running} ${cors}`;
}

async function refused(response: Response): Promise<string> {
  const text = await response.text().catch(() => '');
  let said = text.slice(0, 300);
  try {
    const { error } = chunkOf(text);
    if (error !== undefined) said = errorText(error);
  } catch {
    // Not JSON: as it is.
  }
  const words: Record<number, string> = {
    401: 'The server does not accept the key. Check it in Settings.',
    403: 'The server does not allow this with this key.',
    404: 'The server does not know this address or this model. Check both in Settings.',
    429: 'The server says that it is asked too often, or that the account has no credit left. Try again later.',
  };
  const known = words[response.status] ?? `The server answered with an error (${String(response.status)}).`;
  return said === '' ? known : `${known} It says: ${said}`;
}

const errorText = (error: NonNullable<Chunk['error']>): string =>
  typeof error === 'string' ? error : (error.message ?? JSON.stringify(error));
