/**
 * The record of a file's owner, in `<file>.lock` beside it: who has the file, and how to reach it.
 *
 * Holds: what identifies a process for others on this machine and elsewhere, and what can be said of
 * the owner from its record alone. Must not know: sockets, or what is done about an owner.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Who owns a file. What a system does not tell is null. */
export interface OwnerRecord {
  version: 1;
  /** Clients show it to be let in. Only who may read the record has it. */
  token: string;
  /** Where the owner listens. */
  address: string;
  pid: number;
  /** When the process began, in the ticks of its machine: pids are used again. */
  startedAt: string | null;
  /** The machine, as long as it runs. */
  bootId: string | null;
  host: string;
  /** The network namespace, in which the address counts. */
  network: string | null;
  /** The namespace in which the pid counts. */
  pids: string | null;
}

/** A record of this process, with a token of its own. */
export function ownRecord(address: string): OwnerRecord {
  return {
    version: 1,
    token: randomBytes(24).toString('base64url'),
    address,
    pid: process.pid,
    startedAt: startOf(process.pid),
    bootId: firstLine('/proc/sys/kernel/random/boot_id'),
    host: hostname(),
    network: namespace('net'),
    pids: namespace('pid'),
  };
}

/** The record in a text; undefined where there is none, or only part of one. */
export function parseRecord(text: string): OwnerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field is looked at below
  const record = value as Record<keyof OwnerRecord, unknown>;
  const isText = (field: unknown): boolean => typeof field === 'string';
  const isTextOrNull = (field: unknown): boolean => field === null || isText(field);
  const whole =
    record.version === 1 &&
    [record.token, record.address, record.host].every(isText) &&
    [record.startedAt, record.bootId, record.network, record.pids].every(isTextOrNull) &&
    Number.isSafeInteger(record.pid);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field was looked at
  return whole ? (value as OwnerRecord) : undefined;
}

/**
 * What a record says of its owner to a process that has the address of the file:
 * `dead`, provably; or `elsewhere`, where it may live.
 *
 * `locked` tells that this process holds the kernel's lock on the record, which within one machine
 * nobody else can hold then.
 */
export function judge(record: OwnerRecord, own: OwnerRecord, locked: boolean): 'dead' | 'elsewhere' {
  const sameBoot = record.bootId === null || own.bootId === null ? undefined : record.bootId === own.bootId;
  // A machine that was started again has ended all that ran on it.
  if (sameBoot === false) return record.host === own.host ? 'dead' : 'elsewhere';
  if (sameBoot === undefined && record.host !== own.host) return 'elsewhere';
  // In one network namespace there is one of each address, and this process has it.
  if (record.network === own.network || locked) return 'dead';
  if (record.pids !== own.pids) return 'elsewhere';
  const startedAt = startOf(record.pid);
  return startedAt === null || startedAt !== record.startedAt ? 'dead' : 'elsewhere';
}

/** A record in words. */
export function describeOwner(record: OwnerRecord): string {
  return `process ${String(record.pid)} on ${record.host}`;
}

function firstLine(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').split('\n')[0] ?? null;
  } catch {
    return null;
  }
}

function namespace(kind: string): string | null {
  try {
    return readlinkSync(`/proc/self/ns/${kind}`);
  } catch {
    return null;
  }
}

/** The start of a process that runs; null where none runs or where the system does not tell. */
function startOf(pid: number): string | null {
  const line = firstLine(`/proc/${String(pid)}/stat`);
  // The name of the program stands in parentheses and may hold anything; the start is the 22nd field.
  return line?.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}
