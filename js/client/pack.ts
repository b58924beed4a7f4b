/**
 * New messages as one packed buffer, the form in which they cross to the core.
 *
 * Holds: the layout of the buffer on its way up and nothing else of it (`rows.ts` has the way
 * down). Takes messages that have been checked. Must not know: who sends the buffer, or where.
 */

import { Fault, checked, jsonText } from './arguments.js';
import { limits } from './shapes.js';
import type { Body, NewMessage, Part } from './types.js';

const KIND_NEW_MESSAGES = 16;
const HEADER_BYTES = 32;
const NO_CURSOR = 0xffffffff;
const NULL_LENGTH = 0xffffffff;
const ABSENT_LENGTH = 0xfffffffe;
const IN_UTF8_BLOCK = 0x80000000;
const MODE_NULL = 0;
const MODE_EACH = 1;
const MODE_SAME = 2;
const KEPT_SCRATCH_BYTES = 1 << 20;
const SHORT_UNITS = 48;

type Text = string | null | undefined;

const encoder = new TextEncoder();
let scratch = new Uint8Array(64 * 1024);

/** The columns of one message's payload: plain text crosses as text, all else as JSON. */
export function bodyColumns(body: Body): { text: Text; parts: Text } {
  if (body.content !== undefined) return { text: body.content, parts: null };
  const { parts } = body;
  const plain = plainText(parts);
  if (plain !== undefined) return { text: plain, parts: null };
  try {
    return { text: undefined, parts: jsonText(parts, limits.contentBytes) };
  } catch (fault) {
    throw fault instanceof Fault ? fault.under('parts') : fault;
  }
}

/** The text of `[{ type: 'text', text }]`, with its keys in that order, so that it comes back the same. */
function plainText(parts: Part[]): string | undefined {
  const part = parts[0];
  if (parts.length !== 1 || part === undefined || part.type !== 'text') return undefined;
  const plain = part['text'];
  if (typeof plain !== 'string') return undefined;
  const keys = Object.keys(part);
  return keys.length === 2 && keys[0] === 'type' ? plain : undefined;
}

/** JSON text of an optional field; null and absent cross as what they are. */
function jsonColumn(name: string, value: unknown): Text {
  if (value === undefined || value === null) return value;
  try {
    return jsonText(value, limits.jsonBytes);
  } catch (fault) {
    throw fault instanceof Fault ? fault.under(name) : fault;
  }
}

/** A copy of an argument's fields with these as JSON text, which is how they cross. */
export function jsonFields(
  argument: string,
  fields: Record<string, unknown>,
  names: string[],
): Record<string, unknown> {
  const copy = { ...fields };
  checked(argument, () => {
    for (const name of names) if (name in copy) copy[name] = jsonColumn(name, copy[name]);
  });
  return copy;
}

/** The columns of checked messages, which they are packed from and their replies completed with. */
export function columnsOf(messages: readonly NewMessage[]): NewColumns {
  const columns = makeColumns(messages.length);
  let i = 0;
  try {
    for (; i < messages.length; i++) fillRow(columns, i, messages[i]!);
  } catch (fault) {
    throw fault instanceof Fault ? fault.under(i) : fault;
  }
  return columns;
}

/** The same of one message. */
export function columnsOfOne(message: NewMessage): NewColumns {
  const columns = makeColumns(1);
  fillRow(columns, 0, message);
  return columns;
}

/** Packs columns into a buffer of their own. */
export function packColumns(columns: NewColumns): Uint8Array {
  return write(columns.texts.role.length, columns);
}

/** Packs a payload as a message whose other columns are empty. */
export function packBody(body: Body): Uint8Array {
  const columns = makeColumns(1);
  const { text, parts } = bodyColumns(body);
  columns.texts.text[0] = text;
  columns.texts.parts[0] = parts;
  return packColumns(columns);
}

/** One array a column; the order of the names is the order in the buffer. */
function makeColumns(rows: number) {
  const number = (): number[] => Array<number>(rows).fill(NaN);
  const text = (): Text[] => Array<Text>(rows).fill(undefined);
  return {
    numbers: {
      createdAt: number(),
      inputTokens: number(),
      outputTokens: number(),
      reasoningTokens: number(),
      cachedTokens: number(),
      costUsd: number(),
      durationMs: number(),
    },
    texts: {
      sessionId: text(),
      id: text(),
      role: text(),
      botId: text(),
      parentId: text(),
      text: text(),
      parts: text(),
      status: text(),
      finishReason: text(),
      error: text(),
      model: text(),
      metadata: text(),
    },
  };
}

export type NewColumns = ReturnType<typeof makeColumns>;

function fillRow({ numbers, texts }: NewColumns, i: number, message: NewMessage): void {
  if (message.createdAt !== undefined) numbers.createdAt[i] = message.createdAt;
  const usage = message.usage;
  if (usage !== undefined && usage !== null) {
    numbers.inputTokens[i] = usage.inputTokens ?? NaN;
    numbers.outputTokens[i] = usage.outputTokens ?? NaN;
    numbers.reasoningTokens[i] = usage.reasoningTokens ?? NaN;
    numbers.cachedTokens[i] = usage.cachedTokens ?? NaN;
    numbers.costUsd[i] = usage.costUsd ?? NaN;
    numbers.durationMs[i] = usage.durationMs ?? NaN;
  }
  texts.sessionId[i] = message.sessionId;
  texts.id[i] = message.id;
  texts.role[i] = message.role;
  texts.botId[i] = message.botId;
  texts.parentId[i] = message.parentId;
  if (message.content !== undefined) {
    texts.text[i] = message.content;
    texts.parts[i] = null;
  } else {
    const body = bodyColumns(message);
    texts.text[i] = body.text;
    texts.parts[i] = body.parts;
  }
  texts.status[i] = message.status;
  texts.finishReason[i] = message.finishReason;
  texts.error[i] = jsonColumn('error', message.error);
  texts.model[i] = message.model;
  texts.metadata[i] = jsonColumn('metadata', message.metadata);
}

function numberMode(values: number[]): number {
  const first = values[0]!;
  for (let i = 1; i < values.length; i++) if (!Object.is(values[i], first)) return MODE_EACH;
  return Number.isNaN(first) ? MODE_NULL : MODE_SAME;
}

function textMode(values: Text[]): number {
  const first = values[0];
  for (let i = 1; i < values.length; i++) if (values[i] !== first) return MODE_EACH;
  return first === null ? MODE_NULL : MODE_SAME;
}

const valuesIn = (mode: number, rows: number): number => (mode === MODE_NULL ? 0 : mode === MODE_EACH ? rows : 1);

/** About what the texts will take, so that the buffer seldom has to grow. */
function expectedBytes(texts: Text[][], modes: Uint8Array): number {
  let units = 0;
  for (const [c, values] of texts.entries()) {
    if (modes[c] === MODE_EACH) for (const value of values) units += value?.length ?? 0;
  }
  return Math.min(units + units / 8, limits.replyBytes / 2);
}

function write(rows: number, columns: NewColumns): Uint8Array {
  const numbers = Object.values(columns.numbers);
  const texts = Object.values(columns.texts);
  const modes = new Uint8Array(Math.ceil((numbers.length + texts.length) / 8) * 8);
  let numberValues = 0;
  let textValues = 0;
  // Of no rows there is no first value that could stand for all.
  if (rows > 0) {
    for (let c = 0; c < numbers.length; c++) {
      numberValues += valuesIn((modes[c] = numberMode(numbers[c]!)), rows);
    }
    for (let c = 0; c < texts.length; c++) {
      textValues += valuesIn((modes[numbers.length + c] = textMode(texts[c]!)), rows);
    }
  }
  const numbersAt = HEADER_BYTES + modes.length;
  const lengthsAt = numbersAt + 8 * numberValues;
  const blockAt = lengthsAt + 4 * textValues;

  reserve(0, blockAt + (rows > 1 ? expectedBytes(texts, modes.subarray(numbers.length)) : 0));
  const floats = new Float64Array(scratch.buffer, numbersAt, numberValues);
  let float = 0;
  for (let c = 0; c < numbers.length; c++) {
    const values = numbers[c]!;
    const count = valuesIn(modes[c]!, rows);
    for (let i = 0; i < count; i++) floats[float++] = values[i]!;
  }

  const lengths = new Uint32Array(textValues);
  let length = 0;
  let end = blockAt;
  for (let c = 0; c < texts.length; c++) {
    const count = valuesIn(modes[numbers.length + c]!, rows);
    if (count === 0) continue;
    end = writeTexts(texts[c]!, count, lengths.subarray(length, length + count), end);
    length += count;
  }

  const header = new Uint32Array(scratch.buffer, 0, HEADER_BYTES / 4);
  header.set([KIND_NEW_MESSAGES, rows, numbers.length, texts.length, 0, end - blockAt, NO_CURSOR, NO_CURSOR]);
  scratch.set(modes, HEADER_BYTES);
  new Uint32Array(scratch.buffer, lengthsAt, textValues).set(lengths);
  return take(end);
}

/** Writes the first `count` texts of a column and their lengths; returns where they end. */
function writeTexts(values: Text[], count: number, lengths: Uint32Array, start: number): number {
  let end = start;
  for (let i = 0; i < count; i++) {
    const value = values[i];
    if (typeof value !== 'string') {
      lengths[i] = value === null ? NULL_LENGTH : ABSENT_LENGTH;
      continue;
    }
    reserve(end, value.length * 3);
    const written = writeShortAscii(value, end)
      ? value.length
      : encoder.encodeInto(value, scratch.subarray(end)).written;
    lengths[i] = (IN_UTF8_BLOCK | written) >>> 0;
    end += written;
  }
  return end;
}

/** Ids, roles and the like: faster unit by unit than by way of the encoder. */
function writeShortAscii(text: string, at: number): boolean {
  if (text.length > SHORT_UNITS) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return false;
    scratch[at + i] = unit;
  }
  return true;
}

/** Makes room for `bytes` more after the first `used`, which are kept. */
function reserve(used: number, bytes: number): void {
  const needed = used + bytes;
  if (needed <= scratch.length) return;
  if (needed > limits.replyBytes) {
    throw new Fault('at most 1 GiB in one call', 'more', { code: 'TOO_LARGE' });
  }
  const grown = new Uint8Array(Math.min(limits.replyBytes, Math.max(needed, scratch.length * 2)));
  grown.set(scratch.subarray(0, used));
  scratch = grown;
}

/** The first `size` bytes as a buffer that is the caller's own. */
function take(size: number): Uint8Array {
  if (scratch.length <= KEPT_SCRATCH_BYTES) return scratch.slice(0, size);
  const taken = scratch.subarray(0, size);
  scratch = new Uint8Array(64 * 1024);
  return taken;
}
