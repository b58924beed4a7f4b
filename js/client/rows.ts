/**
 * Replies of the core, packed buffers, as the objects that callers get.
 *
 * Holds: the layout of the buffers on their way down, one object literal a kind. A length is never
 * trusted: a buffer that does not add up is an `INTERNAL` error, and nothing is read past its end.
 * Must not know: which call a reply answers, or how it came.
 */

/* oxlint-disable typescript/no-unsafe-type-assertion -- the layout says what stands where; the core keeps to it */

import { ChatStoreError } from './errors.js';
import type { NewColumns } from './pack.js';
import type {
  Bot,
  Count,
  Json,
  Message,
  MessageStatus,
  Page,
  Part,
  Row,
  SearchHit,
  Session,
  SessionStatus,
  SqlValue,
  TreeNode,
  Usage,
} from './types.js';

const HEADER_BYTES = 32;
const NONE = 0xffffffff;
const ABSENT_LENGTH = 0xfffffffe;
const IN_UTF8_BLOCK = 0x80000000;
const MODE_NULL = 0;
const MODE_EACH = 1;
const MODE_SAME = 2;

const KIND_BOTS = 1;
const KIND_SESSIONS = 2;
const KIND_MESSAGES = 3;
const KIND_HITS = 4;
const KIND_TREE = 5;
const KIND_COUNT = 6;
const KIND_QUERY = 7;

/** Makes a reader of the UTF-8 in a buffer. Environments with something faster than `TextDecoder` bring it. */
export type ReadText = (bytes: Uint8Array) => (start: number, end: number) => string;

// A byte order mark is a character of the message like any other.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The way that works everywhere. */
export const readTextAnywhere: ReadText = (bytes) => (start, end) => decoder.decode(bytes.subarray(start, end));

function damaged(what: string): ChatStoreError {
  return new ChatStoreError('INTERNAL', `a reply of the core does not add up: ${what}`);
}

type Numbers = ArrayLike<number>;
type Texts = (string | null)[];
/** As many columns as the widest kind has, so that each can be given a name without a further check. */
type Twelve<T> = [T, T, T, T, T, T, T, T, T, T, T, T];

/** Larger blocks are read text by text: one string of all would pass the longest that engines make. */
const ONE_STRING_BYTES = 1 << 24;

/** Reads texts of the ASCII block by their places in it: the block is decoded once, and each is a slice. */
function readAscii(
  textAt: (start: number, end: number) => string,
  blockAt: number,
  bytes: number,
): (start: number, end: number) => string {
  const read = (start: number, end: number): string => {
    const text = textAt(blockAt + start, blockAt + end);
    if (text.length !== end - start) throw damaged('the ASCII block holds other characters');
    return text;
  };
  if (bytes > ONE_STRING_BYTES) return read;
  const whole = read(0, bytes);
  return (start, end) => whole.slice(start, end);
}

let allNaN = new Float64Array(64).fill(NaN);
let allNull: Texts = Array<null>(64).fill(null);

/** A column without a value, of at least so many rows: all replies share one of each kind. */
function emptyNumbers(rows: number): Numbers {
  if (allNaN.length < rows) allNaN = new Float64Array(rows).fill(NaN);
  return allNaN;
}

function emptyTexts(rows: number): Texts {
  if (allNull.length < rows) allNull = Array<null>(rows).fill(null);
  return allNull;
}

/** The columns of a reply and its cursors, checked against the size of the buffer. Columns may be longer than `rows`. */
interface Columns {
  rows: number;
  numbers: Twelve<Numbers>;
  texts: Twelve<Texts>;
  nextCursor: string | null;
  prevCursor: string | null;
}

/** Where the parts of a reply lie, in bytes from its beginning. */
interface Layout {
  bytes: Uint8Array;
  rows: number;
  numbersAt: number;
  numberValues: number;
  lengthsAt: number;
  textValues: number;
  blockAt: number;
  asciiBytes: number;
  utf8At: number;
  nextBytes: number;
  prevBytes: number;
}

function readLayout(reply: Uint8Array, kind: number, numberColumns: number, textColumns: number): Layout {
  // The numbers are read in place, so they must lie on a multiple of eight.
  const bytes = reply.byteOffset % 8 === 0 ? reply : reply.slice();
  if (bytes.length < HEADER_BYTES) throw damaged(`${String(bytes.length)} bytes are no header`);
  const header = new Uint32Array(bytes.buffer, bytes.byteOffset, HEADER_BYTES / 4);
  const actualKind = header[0]!;
  const rows = header[1]!;
  const numberCount = header[2]!;
  const textCount = header[3]!;
  const asciiBytes = header[4]!;
  const utf8Bytes = header[5]!;
  const nextBytes = header[6]!;
  const prevBytes = header[7]!;
  if (actualKind !== kind) throw damaged(`kind ${String(actualKind)} instead of ${String(kind)}`);
  if (numberCount !== numberColumns || textCount !== textColumns) {
    throw damaged(
      `${String(numberCount)} + ${String(textCount)} columns instead of ${String(numberColumns)} + ${String(textColumns)}`,
    );
  }
  const columns = numberColumns + textColumns;
  const numbersAt = HEADER_BYTES + Math.ceil(columns / 8) * 8;
  if (numbersAt > bytes.length) throw damaged('the modes end past the buffer');
  let numberValues = 0;
  let textValues = 0;
  for (let c = 0; c < columns; c++) {
    const mode = bytes[HEADER_BYTES + c]!;
    if (mode > MODE_SAME) throw damaged(`mode ${String(mode)}`);
    const values = mode === MODE_NULL ? 0 : mode === MODE_EACH ? rows : 1;
    if (c < numberColumns) numberValues += values;
    else textValues += values;
  }
  const lengthsAt = numbersAt + 8 * numberValues;
  const blockAt = lengthsAt + 4 * textValues;
  const utf8At = blockAt + asciiBytes;
  if (utf8At + utf8Bytes !== bytes.length) {
    throw damaged(`${String(utf8At + utf8Bytes)} bytes are told of, ${String(bytes.length)} came`);
  }
  // Where every column is null or one value for all, no size speaks for the count of rows; an
  // array of that many would be made all the same.
  if (numberValues + textValues < rows && rows > 1_000_000) throw damaged(`${String(rows)} rows`);
  return {
    bytes,
    rows,
    numbersAt,
    numberValues,
    lengthsAt,
    textValues,
    blockAt,
    asciiBytes,
    utf8At,
    nextBytes,
    prevBytes,
  };
}

function readColumns(
  reply: Uint8Array,
  kind: number,
  numberColumns: number,
  textColumns: number,
  readText: ReadText,
): Columns {
  const layout = readLayout(reply, kind, numberColumns, textColumns);
  const { bytes, rows, numbersAt, numberValues, lengthsAt, textValues, blockAt, asciiBytes, utf8At } = layout;
  const columns = numberColumns + textColumns;
  const floats = new Float64Array(bytes.buffer, bytes.byteOffset + numbersAt, numberValues);
  const numbers: ArrayLike<number>[] = [];
  let float = 0;
  for (let c = 0; c < numberColumns; c++) {
    const mode = bytes[HEADER_BYTES + c];
    if (mode === MODE_NULL) numbers.push(emptyNumbers(rows));
    else if (mode === MODE_EACH) numbers.push(floats.subarray(float, (float += rows)));
    else numbers.push(new Float64Array(rows).fill(floats[float++]!));
  }

  const textAt = readText(bytes);
  const asciiAt = readAscii(textAt, blockAt, asciiBytes);
  const lengths = new Uint32Array(bytes.buffer, bytes.byteOffset + lengthsAt, textValues);
  let asciiPosition = 0;
  let utf8Position = utf8At;
  const nextText = (length: number): string | null => {
    if (length >= ABSENT_LENGTH) return null;
    if (length < IN_UTF8_BLOCK) {
      const start = asciiPosition;
      asciiPosition += length;
      if (asciiPosition > asciiBytes) throw damaged('a text ends past the ASCII block');
      return asciiAt(start, asciiPosition);
    }
    const start = utf8Position;
    utf8Position += length - IN_UTF8_BLOCK;
    if (utf8Position > bytes.length) throw damaged('a text ends past the buffer');
    return textAt(start, utf8Position);
  };
  const cursor = (length: number): string | null => (length === NONE ? null : nextText(length & ~IN_UTF8_BLOCK));
  const nextCursor = cursor(layout.nextBytes);
  const prevCursor = cursor(layout.prevBytes);

  const texts: (string | null)[][] = [];
  let at = 0;
  for (let c = numberColumns; c < columns; c++) {
    const mode = bytes[HEADER_BYTES + c];
    if (mode === MODE_NULL) {
      texts.push(emptyTexts(rows));
      continue;
    }
    const values = Array<string | null>(rows);
    if (mode === MODE_EACH) for (let i = 0; i < rows; i++) values[i] = nextText(lengths[at++]!);
    else values.fill(nextText(lengths[at++]!));
    texts.push(values);
  }
  if (asciiPosition !== asciiBytes || utf8Position !== bytes.length)
    throw damaged('the texts do not fill their blocks');
  // The counts of columns were checked against those that the reader of this kind names.
  return { rows, numbers: numbers as Twelve<Numbers>, texts: texts as Twelve<Texts>, nextCursor, prevCursor };
}

const numberOrNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

function jsonOrNull(text: string | null): Json {
  if (text === null) return null;
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new ChatStoreError('CORRUPT', `a stored value is not JSON: ${text.slice(0, 40)}`, { cause });
  }
}

/** The bots of a reply. */
export function readBots(reply: Uint8Array, readText: ReadText): Page<Bot> {
  const { rows, numbers, texts, nextCursor, prevCursor } = readColumns(reply, KIND_BOTS, 3, 7, readText);
  const [createdAt, updatedAt, deletedAt] = numbers;
  const [id, name, avatar, systemPrompt, model, params, metadata] = texts;
  const items = Array<Bot>(rows);
  for (let i = 0; i < rows; i++) {
    items[i] = {
      id: id[i]!,
      name: name[i]!,
      avatar: avatar[i]!,
      systemPrompt: systemPrompt[i]!,
      model: model[i]!,
      params: jsonOrNull(params[i]!),
      metadata: jsonOrNull(metadata[i]!),
      createdAt: createdAt[i]!,
      updatedAt: updatedAt[i]!,
      deletedAt: numberOrNull(deletedAt[i]!),
    };
  }
  return { items, nextCursor, prevCursor };
}

/** The sessions of a reply. */
export function readSessions(reply: Uint8Array, readText: ReadText): Page<Session> {
  const { rows, numbers, texts, nextCursor, prevCursor } = readColumns(reply, KIND_SESSIONS, 7, 10, readText);
  const [pinned, messageCount, lastMessageAt, revision, createdAt, updatedAt, deletedAt] = numbers;
  const [id, botId, title, status, tags, headId, forkedFromSessionId, forkedFromMessageId, preview, metadata] = texts;
  const items = Array<Session>(rows);
  for (let i = 0; i < rows; i++) {
    const forkSession = forkedFromSessionId[i]!;
    const forkMessage = forkedFromMessageId[i]!;
    items[i] = {
      id: id[i]!,
      botId: botId[i]!,
      title: title[i]!,
      status: status[i] as SessionStatus,
      pinned: pinned[i] === 1,
      tags: (jsonOrNull(tags[i]!) ?? []) as string[],
      headId: headId[i]!,
      forkedFrom: forkSession === null || forkMessage === null ? null : { sessionId: forkSession, id: forkMessage },
      messageCount: messageCount[i]!,
      lastMessageAt: numberOrNull(lastMessageAt[i]!),
      preview: preview[i]!,
      revision: revision[i]!,
      metadata: jsonOrNull(metadata[i]!),
      createdAt: createdAt[i]!,
      updatedAt: updatedAt[i]!,
      deletedAt: numberOrNull(deletedAt[i]!),
    };
  }
  return { items, nextCursor, prevCursor };
}

/** Where the page after that of these messages begins: known before they are read. */
export function readNextCursor(reply: Uint8Array, readText: ReadText): string | null {
  const { bytes, blockAt, nextBytes } = readLayout(reply, KIND_MESSAGES, 11, 12);
  // It is ASCII, and stands first.
  return nextBytes === NONE ? null : readText(bytes)(blockAt, blockAt + nextBytes);
}

/** The messages of a reply. */
export function readMessages(reply: Uint8Array, readText: ReadText): Page<Message> {
  const { rows, numbers, texts, nextCursor, prevCursor } = readColumns(reply, KIND_MESSAGES, 11, 12, readText);
  const [seq, active, input, output, reasoning, cached, cost, duration, createdAt, updatedAt, deletedAt] = numbers;
  const [id, sessionId, botId, parentId, role, text, parts, status, finishReason, error, model, metadata] = texts;
  const items = Array<Message>(rows);
  for (let i = 0; i < rows; i++) {
    const content = text[i] ?? '';
    const payload = parts[i]!;
    items[i] = {
      id: id[i]!,
      sessionId: sessionId[i]!,
      botId: botId[i]!,
      parentId: parentId[i]!,
      seq: seq[i]!,
      role: role[i]!,
      content,
      parts: payload === null ? [{ type: 'text', text: content }] : (jsonOrNull(payload) as Part[]),
      status: status[i] as MessageStatus,
      finishReason: finishReason[i]!,
      error: jsonOrNull(error[i]!),
      model: model[i]!,
      usage: usageOrNull(input[i]!, output[i]!, reasoning[i]!, cached[i]!, cost[i]!, duration[i]!),
      metadata: jsonOrNull(metadata[i]!),
      active: active[i] === 1,
      createdAt: createdAt[i]!,
      updatedAt: updatedAt[i]!,
      deletedAt: numberOrNull(deletedAt[i]!),
    };
  }
  return { items, nextCursor, prevCursor };
}

/**
 * The messages of a reply to their addition, which says of each only what its caller could not know.
 * Where the call was one that had taken effect before, they are read as they are by now.
 */
export function readAdded(reply: Uint8Array, added: NewColumns, readText: ReadText): Message[] {
  const { rows, numbers, texts } = readColumns(reply, KIND_MESSAGES, 11, 12, readText);
  const [seq, , , , , , , , createdAt, updatedAt] = numbers;
  const [id, , botId, parentId, role, text] = texts;
  const given = added.texts;
  const { inputTokens, outputTokens, reasoningTokens, cachedTokens, costUsd, durationMs } = added.numbers;
  if (rows !== given.role.length) throw damaged(`${String(rows)} messages instead of ${String(given.role.length)}`);
  if (role[0] !== '') return readMessages(reply, readText).items;
  const items = Array<Message>(rows);
  for (let i = 0; i < rows; i++) {
    const payload = given.parts[i];
    const content = typeof payload === 'string' ? text[i]! : given.text[i]!;
    items[i] = {
      id: given.id[i] ?? id[i]!,
      sessionId: given.sessionId[i]!,
      botId: botId[i]!,
      parentId: parentId[i]!,
      seq: seq[i]!,
      role: given.role[i]!,
      content,
      parts: typeof payload === 'string' ? (jsonOrNull(payload) as Part[]) : [{ type: 'text', text: content }],
      status: (given.status[i] ?? 'complete') as MessageStatus,
      finishReason: given.finishReason[i] ?? null,
      error: jsonOrNull(given.error[i] ?? null),
      model: given.model[i] ?? null,
      usage: usageOrNull(
        inputTokens[i]!,
        outputTokens[i]!,
        reasoningTokens[i]!,
        cachedTokens[i]!,
        costUsd[i]!,
        durationMs[i]!,
      ),
      metadata: jsonOrNull(given.metadata[i] ?? null),
      active: true,
      createdAt: createdAt[i]!,
      updatedAt: updatedAt[i]!,
      deletedAt: null,
    };
  }
  return items;
}

function usageOrNull(
  input: number,
  output: number,
  reasoning: number,
  cached: number,
  cost: number,
  duration: number,
): Usage | null {
  const isNaN = Number.isNaN;
  if (isNaN(input) && isNaN(output) && isNaN(reasoning) && isNaN(cached) && isNaN(cost) && isNaN(duration)) return null;
  const usage: Usage = {};
  if (!isNaN(input)) usage.inputTokens = input;
  if (!isNaN(output)) usage.outputTokens = output;
  if (!isNaN(reasoning)) usage.reasoningTokens = reasoning;
  if (!isNaN(cached)) usage.cachedTokens = cached;
  if (!isNaN(cost)) usage.costUsd = cost;
  if (!isNaN(duration)) usage.durationMs = duration;
  return usage;
}

/** The nodes of a reply. */
export function readTree(reply: Uint8Array, readText: ReadText): TreeNode[] {
  const { rows, numbers, texts } = readColumns(reply, KIND_TREE, 4, 5, readText);
  const [seq, active, createdAt, deletedAt] = numbers;
  const [id, parentId, role, status, preview] = texts;
  const items = Array<TreeNode>(rows);
  for (let i = 0; i < rows; i++) {
    items[i] = {
      id: id[i]!,
      parentId: parentId[i]!,
      role: role[i]!,
      status: status[i] as MessageStatus,
      seq: seq[i]!,
      active: active[i] === 1,
      createdAt: createdAt[i]!,
      deletedAt: numberOrNull(deletedAt[i]!),
      preview: preview[i]!,
    };
  }
  return items;
}

/** The hits of a reply. */
export function readHits(reply: Uint8Array, readText: ReadText): Page<SearchHit> {
  const { rows, numbers, texts, nextCursor, prevCursor } = readColumns(reply, KIND_HITS, 3, 6, readText);
  const [rank, seq, createdAt] = numbers;
  const [id, sessionId, botId, role, sessionTitle, snippet] = texts;
  const items = Array<SearchHit>(rows);
  for (let i = 0; i < rows; i++) {
    const marked = unmark(snippet[i] ?? '');
    items[i] = {
      sessionId: sessionId[i]!,
      id: id[i]!,
      botId: botId[i]!,
      role: role[i]!,
      seq: seq[i]!,
      createdAt: createdAt[i]!,
      sessionTitle: sessionTitle[i]!,
      rank: rank[i]!,
      snippet: marked.snippet,
      highlights: marked.highlights,
    };
  }
  return { items, nextCursor, prevCursor };
}

const HIT_START = '\u0002';
const HIT_END = '\u0003';

/** Takes the marks out of a snippet and tells where they stood. */
function unmark(marked: string): Pick<SearchHit, 'snippet' | 'highlights'> {
  const highlights: [number, number][] = [];
  let snippet = '';
  let open = -1;
  let from = 0;
  for (let i = 0; i < marked.length; i++) {
    const unit = marked[i];
    if (unit !== HIT_START && unit !== HIT_END) continue;
    snippet += marked.slice(from, i);
    from = i + 1;
    if (unit === HIT_START) {
      open = snippet.length;
    } else if (open !== -1) {
      highlights.push([open, snippet.length]);
      open = -1;
    }
  }
  return { snippet: snippet + marked.slice(from), highlights };
}

/** The counts of a reply. */
export function readCount(reply: Uint8Array, readText: ReadText): Count {
  const { rows, numbers } = readColumns(reply, KIND_COUNT, 3, 0, readText);
  const [bots, sessions, messages] = numbers;
  if (rows !== 1) throw damaged(`${String(rows)} rows of counts`);
  return { bots: bots[0]!, sessions: sessions[0]!, messages: messages[0]! };
}

const TAG_NULL = 0;
const TAG_NUMBER = 1;
const TAG_TEXT = 3;
const TAG_BLOB = 4;
const TAG_BIGINT = 5;

/** The rows of a `query` (or of `info`): column names are the caller's, so rows are filled by name. */
export function readQueryRows(reply: Uint8Array, readText: ReadText): Row[] {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  const textAt = readText(reply);
  let position = 0;
  const advance = (bytes: number): number => {
    const start = position;
    position += bytes;
    if (position > reply.length) throw damaged('a cell ends past the buffer');
    return start;
  };
  const u32 = (): number => view.getUint32(advance(4), true);
  const text = (): string => {
    const length = u32();
    const start = advance(length);
    return textAt(start, start + length);
  };
  const cell = (): SqlValue => {
    const tag = view.getUint8(advance(1));
    switch (tag) {
      case TAG_NULL:
        return null;
      case TAG_NUMBER:
        return view.getFloat64(advance(8), true);
      case TAG_TEXT:
        return text();
      case TAG_BLOB: {
        const length = u32();
        const start = advance(length);
        return reply.slice(start, start + length);
      }
      case TAG_BIGINT:
        return view.getBigInt64(advance(8), true);
      default:
        throw damaged(`a cell of tag ${String(tag)}`);
    }
  };

  const kind = u32();
  if (kind !== KIND_QUERY) throw damaged(`kind ${String(kind)} instead of ${String(KIND_QUERY)}`);
  const rows = u32();
  const columns = u32();
  // A cell takes a byte at least, a name four, so larger counts cannot be true.
  if (columns * 4 > reply.length || rows * columns > reply.length) throw damaged('more cells than bytes');
  const names: string[] = [];
  for (let c = 0; c < columns; c++) names.push(text());
  const items: Row[] = [];
  if (columns > 0) {
    for (let i = 0; i < rows; i++) {
      const row: Row = {};
      for (const name of names) row[name] = cell();
      items.push(row);
    }
  }
  if (position !== reply.length) throw damaged(`${String(reply.length - position)} bytes are left over`);
  return items;
}
