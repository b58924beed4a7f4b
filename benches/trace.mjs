/**
 * Flushes and writes, counted by the system: `strace` on a process that marks where its rows begin and end.
 *
 * Holds: which calls are counted and how a trace is read. Only calls on files in the store's own folder
 * count. Must not know: who is traced.
 */
import { readFileSync } from 'node:fs';
import { probe } from '../scripts/process.mjs';

const flushes = ['fsync', 'fdatasync'];
const writes = ['write', 'pwrite64', 'writev', 'pwritev', 'pwritev2'];

/** What stands before a command so that its calls are written to a file; undefined where there is no strace. */
export function tracing(out) {
  if (!probe('strace', ['-V']).ok) return undefined;
  const calls = [...flushes, ...writes, 'access', 'faccessat', 'faccessat2'];
  return ['strace', '-f', '-y', '-qq', '-e', `trace=${calls.map((call) => `?${call}`).join()}`, '-o', out];
}

/** Rows `flushes_…` and `writes_…`, each by the operation. */
export function readTrace(file, folder) {
  const rows = {};
  let current;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const mark = /"\/chatstore-bench\/(\w+)\/(\d+)\/(begin|end)"/.exec(line);
    if (mark !== null) {
      const [, name, count, edge] = mark;
      if (edge === 'begin') current = { flushes: 0, writes: 0 };
      else {
        rows[`flushes_${name}`] = [current.flushes / Number(count)];
        rows[`writes_${name}`] = [current.writes / Number(count)];
        current = undefined;
      }
      continue;
    }
    const call = /^\d+\s+(\w+)\(\d+<([^>]*)>/.exec(line);
    if (call === null || current === undefined || !call[2].startsWith(folder)) continue;
    if (flushes.includes(call[1])) current.flushes++;
    else if (writes.includes(call[1])) current.writes++;
  }
  return rows;
}
