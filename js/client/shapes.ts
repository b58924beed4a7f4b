/**
 * What each call takes: the limits and the shape of every argument.
 *
 * Holds: the limits (the same as in the core; a test compares them) and one shape an argument.
 * Must not know: how a check works, or how arguments cross to the core.
 */

import * as check from './arguments.js';
import { Fault, describe, shape, text } from './arguments.js';
import { MAX_TIMEOUT_MS } from './caller.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** The limits, in bytes of UTF-8 or in items. */
export const limits = {
  idBytes: 256,
  nameBytes: 1_000,
  roleBytes: 64,
  titleBytes: 10_000,
  tagBytes: 256,
  tags: 100,
  contentBytes: 64 * MIB,
  jsonBytes: MIB,
  modelBytes: 256,
  sqlBytes: MIB,
  searchBytes: 10_000,
  pageRowsDefault: 50,
  pageRows: 1_000,
  queryRowsDefault: 10_000,
  queryRows: 100_000,
  batchMessages: 100_000,
  replyBytes: 256 * MIB,
} as const;

export const id = text(limits.idBytes);
const name = text(limits.nameBytes);
const model = check.nullable(text(limits.modelBytes));
const title = check.nullable(text(limits.titleBytes, { empty: true }));
const sessionStatus = check.oneOf('active', 'archived');
const messageStatus = check.oneOf('pending', 'streaming', 'complete', 'incomplete', 'error');
const tags = check.list(text(limits.tagBytes), limits.tags);
const tokens = check.integer(0, Number.MAX_SAFE_INTEGER);
const timeoutMs = check.integer(1, MAX_TIMEOUT_MS);

const callFields = { signal: check.abortSignal, timeoutMs };
const pageFields = {
  limit: check.integer(1, limits.pageRows),
  cursor: check.nullable(text(10 * KIB)),
  ...callFields,
};

const MAX_OPERATION_ID = 128;

/** Counted in characters as JavaScript does, so that an id of one's own is easily judged. */
function operationId(value: unknown): void {
  if (typeof value !== 'string' || value === '' || value.length > MAX_OPERATION_ID) {
    throw new Fault(`a string of 1 to ${String(MAX_OPERATION_ID)} characters`, describe(value));
  }
  text(limits.contentBytes)(value);
}

const writeFields = { ...callFields, operationId };

/** Options that stand last: they may be left out. */
const options = (fields: Record<string, check.Check>): check.Check => shape({ ...fields, ...callFields });
const page = (fields: Record<string, check.Check>, rules?: (value: Record<string, unknown>) => void): check.Check =>
  shape({ ...fields, ...pageFields }, rules === undefined ? {} : { rules });

/** The same of a call that writes. */
const optionsOfWrite = (fields: Record<string, check.Check>): check.Check => shape({ ...fields, ...writeFields });
const retries = check.integer(0, 1_000);

export const callOptions = options({});
export const writeOptions = optionsOfWrite({});
const address: check.Check = (value) => {
  if (typeof value !== 'string' && !(value instanceof URL))
    throw new Fault('an address: text or a URL', describe(value));
};
export const openOptions = options({
  durability: check.oneOf('strict', 'relaxed', 'memory'),
  pool: shape({
    min: check.integer(0, 1_000),
    max: check.integer(1, 1_000),
    idleTimeoutMs: timeoutMs,
    acquireTimeoutMs: timeoutMs,
  }),
  retries,
  slowQueryMs: check.integer(0, MAX_TIMEOUT_MS),
  purgeTrashAfterMs: check.integer(1, Number.MAX_SAFE_INTEGER),
  readOnly: check.flag,
  worker: check.flag,
  wasmUrl: address,
  workerUrl: address,
  onEvent: check.callback,
});
export const transactionOptions = optionsOfWrite({ leaseMs: timeoutMs, retries });
export const statsOptions = options({ deep: check.flag });
export const jobOptions = options({ onProgress: check.callback });
/** What may be just switched on, or said more closely. */
const flagOr =
  (closer: check.Check): check.Check =>
  (value) => {
    if (typeof value !== 'boolean') closer(value);
  };
export const maintainTasks = shape({
  purge: flagOr(shape({ deletedBefore: check.time }, { required: ['deletedBefore'] })),
  rebuildSearch: check.flag,
  vacuum: flagOr(check.oneOf('incremental', 'full')),
  analyze: check.flag,
  optimize: check.flag,
  checkpoint: check.flag,
});
export const replaceInBrowserOptions = options({ onProgress: check.callback, keepName: check.text(1_024) });
export const backupOptions = options({ onProgress: check.callback, overwrite: check.flag });
export const scheduleOptions = shape(
  {
    everyMs: check.integer(1_000, Number.MAX_SAFE_INTEGER),
    keep: check.integer(1, 10_000),
    directory: address,
  },
  { required: ['everyMs', 'keep', 'directory'] },
);
export const replaceOptions = options({ onProgress: check.callback, keepPath: text(4_096) });
export const snapshotOptions = options({ leaseMs: timeoutMs });
export const deleteOptions = optionsOfWrite({ permanent: check.flag });
export const purgeOptions = shape({ deletedBefore: check.time, ...writeFields }, { required: ['deletedBefore'] });

/** Open, so that a whole message can stand for its reference. */
export const ref = shape({ sessionId: id, id }, { required: ['sessionId', 'id'], open: true });

export const newBot = shape(
  {
    id,
    name,
    avatar: check.nullable(text(limits.jsonBytes, { empty: true })),
    systemPrompt: check.nullable(text(limits.jsonBytes, { empty: true })),
    model,
    params: check.json,
    metadata: check.json,
    createdAt: check.time,
  },
  { required: ['name'] },
);
export const botPatch = shape({
  name,
  avatar: check.nullable(text(limits.jsonBytes, { empty: true })),
  systemPrompt: check.nullable(text(limits.jsonBytes, { empty: true })),
  model,
  params: check.json,
  metadata: check.json,
});
export const listBots = page({ deleted: check.flag });

export const newSession = shape({
  id,
  botId: check.nullable(id),
  title,
  status: sessionStatus,
  pinned: check.flag,
  tags,
  metadata: check.json,
  createdAt: check.time,
});
export const createSessionOptions = optionsOfWrite({ ifExists: check.oneOf('error', 'return') });
export const sessionPatch = shape({
  title,
  pinned: check.flag,
  status: sessionStatus,
  tags,
  metadata: check.json,
  headId: id,
  botId: check.nullable(id),
});
export const listSessions = page({
  botId: id,
  status: sessionStatus,
  pinned: check.flag,
  tag: text(limits.tagBytes),
  deleted: check.flag,
});

const content = text(limits.contentBytes, { empty: true });

/** Plain text takes the short way: its check is worded for people who forgot the `type`. */
function part(value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Fault('an object with a type', describe(value));
  const { type } = value as { type?: unknown };
  if (typeof type !== 'string' || type === '') throw new Fault('a non-empty string', describe(type), { path: 'type' });
  check.json(value);
}
const parts = check.list(part, Number.MAX_SAFE_INTEGER);

function eitherContentOrParts(value: Record<string, unknown>): void {
  if ((value['content'] === undefined) === (value['parts'] === undefined)) {
    throw new Fault('either content or parts', value['content'] === undefined ? 'neither' : 'both');
  }
}

function notContentAndParts(value: Record<string, unknown>): void {
  if (value['content'] !== undefined && value['parts'] !== undefined) throw new Fault('content or parts', 'both');
}

const usage = check.nullable(
  shape({
    inputTokens: tokens,
    outputTokens: tokens,
    reasoningTokens: tokens,
    cachedTokens: tokens,
    costUsd: check.amount,
    durationMs: tokens,
  }),
);
const finishReason = check.nullable(text(limits.modelBytes, { empty: true }));

export const newMessage = shape(
  {
    sessionId: id,
    role: text(limits.roleBytes),
    content,
    parts,
    id,
    botId: check.nullable(id),
    parentId: check.nullable(id),
    createdAt: check.time,
    status: messageStatus,
    finishReason,
    error: check.json,
    model,
    usage,
    metadata: check.json,
  },
  { required: ['sessionId', 'role'], rules: eitherContentOrParts },
);
export const newMessages = check.list(newMessage, limits.batchMessages);
export const messageBody = shape({ content, parts }, { rules: eitherContentOrParts });
export const messagePatch = shape(
  { content, parts, status: messageStatus, finishReason, error: check.json, model, metadata: check.json, usage },
  { rules: notContentAndParts },
);

const flushIntervalMs = check.integer(0, 60_000);
export const newStream = shape(
  {
    sessionId: id,
    role: text(limits.roleBytes),
    id,
    botId: check.nullable(id),
    parentId: check.nullable(id),
    createdAt: check.time,
    model,
    metadata: check.json,
  },
  { required: ['sessionId'] },
);
export const startOptions = options({ flushIntervalMs });
export const regenerateOptions = options({ flushIntervalMs, id, model: text(limits.modelBytes) });
export const deltaText = content;
export const abortReason = text(limits.modelBytes, { empty: true });
export const streamEnd = shape({ content, parts, usage, finishReason }, { rules: notContentAndParts });

/** More text for a part of some type may end within a character: of that, the type alone is looked at. */
export function delta(value: unknown): void {
  if (!isMoreText(value)) {
    part(value);
    return;
  }
  try {
    deltaType(value.type);
  } catch (fault) {
    throw fault instanceof Fault ? fault.under('type') : fault;
  }
}
const deltaType = text(limits.modelBytes);

/** Whether it is more text for a part; anything else is a whole part. */
export function isMoreText(value: unknown): value is { type: string; delta: string } {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  return 'type' in value && 'delta' in value && typeof value.delta === 'string';
}

function eitherSessionOrBot(value: Record<string, unknown>): void {
  if ((value['sessionId'] === undefined) === (value['botId'] === undefined)) {
    throw new Fault('either sessionId or botId', value['sessionId'] === undefined ? 'neither' : 'both');
  }
}

export const listMessages = page(
  {
    sessionId: id,
    botId: id,
    around: id,
    branches: check.oneOf('active', 'all'),
    order: check.oneOf('asc', 'desc'),
  },
  (value) => {
    eitherSessionOrBot(value);
    const other = value['sessionId'] === undefined ? ['around', 'branches'] : ['order'];
    for (const field of other) {
      if (value[field] !== undefined) {
        const owner = field === 'order' ? 'botId' : 'sessionId';
        throw new Fault(`nothing here: it goes with ${owner} only`, describe(value[field]), { path: field });
      }
    }
    if (value['around'] !== undefined && typeof value['cursor'] === 'string') {
      throw new Fault('nothing here where a cursor is given', describe(value['around']), { path: 'around' });
    }
  },
);
export const iterateMessages = shape({ sessionId: id, botId: id, ...callFields }, { rules: eitherSessionOrBot });
export const messageFilter = shape(
  { sessionId: id, botId: id, before: check.time },
  {
    rules: (value) => {
      if (value['sessionId'] === undefined && value['botId'] === undefined && value['before'] === undefined) {
        throw new Fault('at least one of sessionId, botId, before', 'an empty filter');
      }
    },
  },
);

export const searchText = text(limits.searchBytes, { empty: true });
export const searchOptions = page({ botId: id, sessionId: id, prefix: check.flag });

export const contextOptions = shape(
  { maxTokens: check.integer(1, Number.MAX_SAFE_INTEGER), countTokens: check.callback, ...callFields },
  { required: ['maxTokens'] },
);

export const sql = text(limits.sqlBytes);

const MAX_INT64 = 2n ** 63n - 1n;

function sqlValue(value: unknown): void {
  if (typeof value === 'string') {
    content(value);
    return;
  }
  const holds =
    value === null ||
    typeof value === 'boolean' ||
    value instanceof Uint8Array ||
    (typeof value === 'number' && Number.isFinite(value)) ||
    (typeof value === 'bigint' && value <= MAX_INT64 && value >= -MAX_INT64 - 1n);
  if (holds) return;
  throw new Fault('null, a finite number, a bigint of 64 bits, a string, a boolean or a Uint8Array', describe(value));
}

const listedParams = check.list(sqlValue, 32_766);

function sqlParams(value: unknown): void {
  if (Array.isArray(value)) {
    listedParams(value);
    return;
  }
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw new Fault('an array or an object of values', describe(value));
  }
  for (const [key, field] of Object.entries(value)) {
    try {
      sqlValue(field);
    } catch (fault) {
      throw fault instanceof Fault ? fault.under(key) : fault;
    }
  }
}

export const queryOptions = shape({ params: sqlParams, limit: check.integer(1, limits.queryRows), ...callFields });
export const callback = check.callback;
