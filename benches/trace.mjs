/**
 * Flushes and writes, counted by the system: `strace` on a process that marks where its rows begin and end.
 *
 * Holds: which calls are counted and how a trace is read. Only calls on the store's own files
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
  return ['strace', '-f', '-y', '-qq', '-ttt', '-e', `trace=${calls.map((call) => `?${call}`).join()}`, '-o', out];
}

/**
 * Rows `flushes_…` and `writes_…`, each by the operation. Marks are looks at files that are not there; a process that
 * cannot look has its marks, `{ name, at_ms }`, in `more_marks`. `isStore` tells the store's files by their paths.
 */
export function readTrace(file, isStore, more_marks = []) {
  const marks = more_marks.map(({ name, at_ms }) => ({ at_ms, mark: name }));
  const calls = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const found = /^\d+\s+([\d.]+) (\w+)\((.*)/.exec(line);
    if (found === null) continue;
    const at_ms = Number(found[1]) * 1_000;
    const mark = /"\/chatstore-bench\/(\w+\/\d+\/\w+)"/.exec(found[3]);
    const path = /^\d+<([^>]*)>/.exec(found[3]);
    if (mark !== null) marks.push({ at_ms, mark: mark[1] });
    else if (path !== null && isStore(path[1])) calls.push({ at_ms, call: found[2] });
  }
  const rows = {};
  let current;
  // Marks of another clock may lie between calls in any order, so all are put in the order of time.
  for (const { call, mark } of [...marks, ...calls].toSorted((one, other) => one.at_ms - other.at_ms)) {
    if (mark !== undefined) {
      const [name, count, edge] = mark.split('/');
      if (edge === 'begin') current = { flushes: 0, writes: 0 };
      else {
        rows[`flushes_${name}`] = [current.flushes / Number(count)];
        rows[`writes_${name}`] = [current.writes / Number(count)];
        current = undefined;
      }
    } else if (current !== undefined) {
      if (flushes.includes(call)) current.flushes++;
      else if (writes.includes(call)) current.writes++;
    }
  }
  return rows;
}
