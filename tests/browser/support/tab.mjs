/**
 * One tab on the test page, the same for every browser: pieces of a test run in it.
 *
 * Holds: how a piece goes in and what comes out. Must not know: how a browser is started or reached.
 */

/**
 * What a piece is given in the page.
 *
 * @typedef {object} Tools
 * @property {any} ChatStore
 * @property {any} ChatStoreError
 * @property {any} state stays as long as the page does
 * @property {(value: unknown) => void} tell hands something to the test at once
 * @property {(store: any) => Promise<Record<string, string[]>>} contentsOf
 * @property {(store: any, messages?: number) => Promise<void>} fill
 */

/**
 * The text that runs a function in the page: it is sent as text, so it sees its arguments and the page
 * only, nothing of the test around it.
 *
 * @param {(tools: Tools, args: any) => unknown} piece
 */
export const pieceText = (piece, args) => `globalThis.harness.run(${piece}, ${JSON.stringify(args ?? null)})`;

/** What a piece gave, or the error that it threw, with what it had in the page. */
export function unwrap({ value, error }) {
  if (error === undefined) return value;
  // WebDriver has null for what is undefined.
  const known = Object.entries(error).filter(([, held]) => held !== null && held !== undefined);
  throw Object.assign(new Error(error.message), Object.fromEntries(known));
}

/**
 * Asks until the answer is true; fails after a bounded number of times.
 *
 * @param {string | (() => string)} what
 * @param {() => unknown} holds
 */
export async function until(what, holds, { times = 600, pause_ms = 50 } = {}) {
  for (let i = 0; i < times; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
  }
  throw new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`);
}
