/**
 * Running other programs and showing that they run.
 *
 * Holds: `run`, which keeps a program's output to itself unless it fails; `stream`, which shows it
 * as it comes; `probe`, which asks a question; `step`, which names a piece of work, reports every few
 * seconds that it goes on, and says how long it took. Must not know: what the programs are for.
 * Imports nothing but Node's own modules, so that it works before `npm ci`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The project's root folder: every program is started there. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const report_after_ms = 1_000;
const report_every_ms = 10_000;

/** A failure that is explained by its message alone: no stack is shown. */
export class Failure extends Error {}

/** Asks a program a question. Never throws: a program that is missing answers `ok: false`. */
export function probe(command, args, { input, env } = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    input: input ?? '',
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  return { ok: result.status === 0, stdout: result.stdout ?? '', stderr: result.stderr ?? '' };
}

/** Runs a program to its end with its output shown as it comes. Resolves to its exit code. */
export function stream(command, args, { env, cwd } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: cwd ?? root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.on('close', (code, signal) => resolve(signal === null ? code : 1));
  });
}

/** Runs a program to its end and returns its standard output. Where it fails, all that it said is in the Failure. */
export function run(command, args, { env, cwd, step: current } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: cwd ?? root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let everything = '';
    const hear = (text) => {
      everything += text;
      // What follows the last line break may be half a line.
      const line = everything.slice(0, everything.lastIndexOf('\n') + 1).trimEnd();
      if (current) current.last_line = line.slice(line.lastIndexOf('\n') + 1).trim();
    };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      hear(text);
    });
    child.stderr.setEncoding('utf8').on('data', hear);
    const fail = (why) =>
      reject(new Failure(`${everything.trimEnd()}\n\n${[command, ...args].join(' ')}: ${why}`.trimStart()));
    child.on('error', (error) => fail(error.message));
    child.on('close', (code, signal) =>
      code === 0 ? resolve(stdout) : fail(`ended with ${signal ?? `exit code ${code}`}`),
    );
  });
}

/**
 * Does a named piece of work. Work that takes less than a second says nothing; longer work says what
 * it is, every ten seconds how far it is, and at its end how long it took.
 */
export async function step(title, work) {
  const start_ms = performance.now();
  const elapsed_s = () => ((performance.now() - start_ms) / 1_000).toFixed(0);
  const current = { last_line: '' };
  let announced = false;
  const announce = setTimeout(() => {
    announced = true;
    console.log(`- ${title} ...`);
  }, report_after_ms);
  const report = setInterval(() => {
    console.log(
      `  ${title}: ${elapsed_s()} s${current.last_line === '' ? '' : `, ${current.last_line.slice(0, 100)}`}`,
    );
  }, report_every_ms);
  try {
    const result = await work(current);
    if (announced) console.log(`- ${title}: done in ${elapsed_s()} s`);
    return result;
  } catch (error) {
    console.log(`- ${title}: failed after ${elapsed_s()} s`);
    throw error;
  } finally {
    clearTimeout(announce);
    clearInterval(report);
  }
}

/** Waits for all, also where one fails, so that no program is left running behind a failure. */
export async function all(...works) {
  const results = await Promise.allSettled(works);
  const failed = results.filter((result) => result.status === 'rejected').map((result) => result.reason);
  if (failed.length === 1) throw failed[0];
  if (failed.length > 1) throw new Failure(failed.map((error) => error.message).join('\n\n'));
  return results.map((result) => result.value);
}

/** Runs a script's main function: a Failure is shown as its message, and the exit code says so. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    console.error(error instanceof Failure ? `\n${error.message}` : error);
    process.exitCode = 1;
  }
}
