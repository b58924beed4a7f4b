/**
 * Small checks that compose, for everything a caller hands in.
 *
 * Holds: the checks, how a fault is worded, and JSON text. A check throws a `Fault` that knows its
 * path from the checked value only; each level on the way out puts its own name before it, so that
 * a good value costs nothing for paths. Must not know: any verb; see `shapes.ts`.
 */

/* oxlint-disable typescript/no-unsafe-type-assertion -- what is unknown becomes known here */

import { ChatStoreError, type ErrorCode } from './errors.js';

/** A value that does not hold: where, what was expected, what came. */
export class Fault extends Error {
  path: string;
  readonly expected: string;
  readonly received: string;
  readonly code: ErrorCode;
  /** Where set, words the fault instead of "expected …, received …". */
  readonly wording: string | undefined;

  constructor(expected: string, received: string, more: { path?: string; code?: ErrorCode; wording?: string } = {}) {
    super(expected);
    this.path = more.path ?? '';
    this.expected = expected;
    this.received = received;
    this.code = more.code ?? 'INVALID_ARGUMENT';
    this.wording = more.wording;
  }

  /** Puts the name or index of the enclosing value before the path. */
  under(name: string | number): this {
    const step =
      typeof name === 'number' ? `[${String(name)}]` : identifier.test(name) ? name : `[${JSON.stringify(name)}]`;
    this.path = this.path === '' || this.path.startsWith('[') ? step + this.path : `${step}.${this.path}`;
    return this;
  }

  toError(): ChatStoreError {
    const told = this.wording ?? `expected ${this.expected}, received ${this.received}`;
    const parent = this.wording === undefined ? this.path : this.path.slice(0, Math.max(0, this.path.lastIndexOf('.')));
    return new ChatStoreError(this.code, parent === '' ? told : `${parent}: ${told}`, {
      details: { argument: this.path, expected: this.expected, received: this.received },
    });
  }
}

const identifier = /^[A-Za-z_$][\w$]*$/;

/** Throws a `Fault` where the value does not hold. */
export type Check = (value: unknown) => void;

/** Runs what may find a fault in an argument; the fault becomes the public error and names it. */
export function checked<T>(argument: string, run: () => T): T {
  try {
    return run();
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    throw (argument === '' ? fault : fault.under(argument)).toError();
  }
}

/** Checks one argument of a call. Of options, the fields are arguments of their own: the name is empty. */
export function checkArgument(argument: string, check: Check, value: unknown): void {
  checked(argument, () => {
    check(value);
  });
}

/** What came, in a few words: never the whole of a long value. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= 40
        ? `the string ${JSON.stringify(value)}`
        : `a string of ${String(value.length)} characters`;
    case 'number':
      return `the number ${String(value)}`;
    case 'bigint':
      return 'a bigint';
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'object': {
      if (value === null) return 'null';
      if (Array.isArray(value)) return `an array of ${String(value.length)}`;
      const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
      return typeof name === 'string' && name !== '' && name !== 'Object' ? `an object of class ${name}` : 'an object';
    }
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
  }
  return typeof value;
}

/** Bytes of a well-formed string as UTF-8. */
export function utf8Length(string: string): number {
  let bytes = string.length;
  for (let i = 0; i < string.length; i++) {
    const unit = string.charCodeAt(i);
    if (unit >= 0x80) {
      bytes++;
      // A unit of a surrogate pair takes two of the pair's four bytes.
      if (unit >= 0x800 && (unit < 0xd800 || unit > 0xdfff)) bytes++;
    }
  }
  return bytes;
}

/** Tells where the first lone surrogate stands; -1 where there is none. */
function loneSurrogate(string: string): number {
  for (let i = 0; i < string.length; i++) {
    const unit = string.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    if (unit > 0xdbff) return i;
    const next = string.charCodeAt(i + 1);
    if (!(next >= 0xdc00 && next <= 0xdfff)) return i;
    i++;
  }
  return -1;
}

interface MaybeWellFormed {
  isWellFormed?: () => boolean;
}

// Engines that have it answer at once for strings of one byte a character.
const isWellFormed: (string: string) => boolean =
  typeof (String.prototype as MaybeWellFormed).isWellFormed === 'function'
    ? (string) => (string as unknown as { isWellFormed: () => boolean }).isWellFormed()
    : (string) => loneSurrogate(string) === -1;

function checkWellFormed(string: string): void {
  if (!isWellFormed(string)) {
    throw new Fault(
      'a string of whole characters',
      `a string with a lone surrogate at index ${String(loneSurrogate(string))}`,
    );
  }
}

function checkBytes(string: string, limitBytes: number): void {
  // Three bytes a UTF-16 unit is the most there can be, so short strings need no counting.
  if (string.length * 3 <= limitBytes) return;
  const bytes = string.length > limitBytes ? string.length : utf8Length(string);
  if (bytes > limitBytes) {
    const least = string.length > limitBytes ? 'at least ' : '';
    throw new Fault(`at most ${String(limitBytes)} bytes of UTF-8`, `${least}${String(bytes)} bytes`, {
      code: 'TOO_LARGE',
    });
  }
}

/** A string of 1 (or 0, with `empty`) to `limitBytes` bytes. */
export function text(limitBytes: number, options: { empty?: boolean } = {}): Check {
  const empty = options.empty === true;
  const expected = empty ? 'a string' : 'a non-empty string';
  return (value) => {
    if (typeof value !== 'string' || (value === '' && !empty)) throw new Fault(expected, describe(value));
    checkBytes(value, limitBytes);
    checkWellFormed(value);
  };
}

/** A whole number between two bounds, both included. */
export function integer(least: number, most: number): Check {
  return (value) => {
    if (!(Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)) {
      throw new Fault(`a whole number from ${String(least)} to ${String(most)}`, describe(value));
    }
  };
}

/** A finite number, zero or more. */
export function amount(value: unknown): void {
  if (!(typeof value === 'number' && Number.isFinite(value) && value >= 0)) {
    throw new Fault('a finite number, zero or more', describe(value));
  }
}

/** The furthest time that a `Date` can hold, in milliseconds. */
const MAX_TIME_MS = 8.64e15;

/** Epoch milliseconds. */
export function time(value: unknown): void {
  if (!(Number.isSafeInteger(value) && Math.abs(value as number) <= MAX_TIME_MS)) {
    const hint = value instanceof Date ? '; use date.getTime()' : '';
    throw new Fault('a time in epoch milliseconds, a whole number', describe(value) + hint);
  }
}

export function flag(value: unknown): void {
  if (typeof value !== 'boolean') throw new Fault('true or false', describe(value));
}

export function callback(value: unknown): void {
  if (typeof value !== 'function') throw new Fault('a function', describe(value));
}

export function oneOf(...values: string[]): Check {
  return (value) => {
    if (!values.includes(value as string)) {
      throw new Fault(`one of ${values.map((each) => `'${each}'`).join(', ')}`, describe(value));
    }
  };
}

export function abortSignal(value: unknown): void {
  const signal = value as Partial<AbortSignal> | null;
  if (
    typeof signal !== 'object' ||
    signal === null ||
    typeof signal.aborted !== 'boolean' ||
    typeof signal.addEventListener !== 'function'
  ) {
    throw new Fault('an AbortSignal', describe(value));
  }
}

export function nullable(check: Check): Check {
  return (value) => {
    if (value !== null) check(value);
  };
}

export function list(check: Check, most: number): Check {
  return (value) => {
    if (!Array.isArray(value)) throw new Fault('an array', describe(value));
    if (value.length > most) {
      throw new Fault(`at most ${String(most)} items`, `${String(value.length)} items`, { code: 'TOO_LARGE' });
    }
    let i = 0;
    try {
      for (; i < value.length; i++) check(value[i]);
    } catch (fault) {
      throw fault instanceof Fault ? fault.under(i) : fault;
    }
  };
}

/**
 * An object with these fields and, unless it is `open`, no others. A field that is absent or undefined is checked only
 * where it is required; `rules` look at the fields together, after each has held.
 */
export function shape(
  fields: Record<string, Check>,
  options: { required?: string[]; open?: boolean; rules?: (value: Record<string, unknown>) => void } = {},
): Check {
  const names = Object.keys(fields);
  const checks = Object.values(fields);
  const required = names.map((name) => options.required?.includes(name) === true);
  const known = new Set(names);
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Fault('an object', describe(value));
    const object = value as Record<string, unknown>;
    let present = 0;
    let i = 0;
    try {
      for (; i < names.length; i++) {
        const field = object[names[i] as string];
        if (field !== undefined || required[i] === true) {
          (checks[i] as Check)(field);
          present++;
        }
      }
    } catch (fault) {
      throw fault instanceof Fault ? fault.under(names[i]!) : fault;
    }
    const keys = Object.keys(object);
    // As many keys as fields that were found: then there is no other, and no need to look.
    if (keys.length !== present && options.open !== true)
      for (const key of keys) if (!known.has(key)) throw unknownField(key, names);
    options.rules?.(object);
  };
}

function unknownField(key: string, names: string[]): Fault {
  const near = nearest(key, names);
  const expected = names.length === 0 ? 'none' : `one of ${names.join(', ')}`;
  const wording = `unknown option '${key.slice(0, 40)}'; expected ${expected}${near === undefined ? '' : ` (did you mean '${near}'?)`}`;
  return new Fault(expected, `'${key.slice(0, 40)}'`, { path: key, wording });
}

function nearest(key: string, names: string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(key.length / 3)) + 1;
  for (const name of names) {
    const steps = editDistance(key.slice(0, 40).toLowerCase(), name.toLowerCase());
    if (steps < least) {
      least = steps;
      best = name;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1));
    }
    above = row;
  }
  return above[b.length]!;
}

/** Deeper JSON is refused, which also ends the walk through a value that contains itself. */
const MAX_JSON_DEPTH = 200;

/** A value that comes back from JSON as it went in. */
export function json(value: unknown): void {
  checkJson(value, 0);
}

function checkJson(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      checkWellFormed(value);
      return;
    case 'boolean':
      return;
    case 'number':
      if (!Number.isFinite(value)) throw new Fault('a finite number', describe(value));
      return;
    case 'object':
      if (value === null) return;
      if (depth >= MAX_JSON_DEPTH) {
        throw new Fault(`at most ${String(MAX_JSON_DEPTH)} levels of JSON`, 'more, or a value that contains itself');
      }
      if (Array.isArray(value)) checkJsonArray(value, depth);
      else checkJsonObject(value, depth);
      return;
    case 'bigint':
    case 'function':
    case 'symbol':
    case 'undefined':
      throw new Fault('a value that JSON can keep', describe(value));
  }
}

function checkJsonArray(value: unknown[], depth: number): void {
  let i = 0;
  try {
    for (; i < value.length; i++) checkJson(value[i], depth + 1);
  } catch (fault) {
    throw fault instanceof Fault ? fault.under(i) : fault;
  }
}

function checkJsonObject(value: object, depth: number): void {
  // A prototype without a prototype is Object.prototype, of this realm or of another.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null) {
    throw new Fault('a value that JSON can keep: plain objects and arrays', describe(value));
  }
  let key = '';
  try {
    for (key of Object.keys(value)) {
      checkWellFormed(key);
      const field = (value as Record<string, unknown>)[key];
      if (field !== undefined) checkJson(field, depth + 1);
    }
  } catch (fault) {
    throw fault instanceof Fault ? fault.under(key) : fault;
  }
}

/** The JSON text of a checked value; over the limit is a fault. */
export function jsonText(value: unknown, limitBytes: number): string {
  const written = JSON.stringify(value);
  checkBytes(written, limitBytes);
  return written;
}
