/**
 * The script of the test page: runs what a test sends, with the package at hand.
 *
 * Holds: `harness.run`, which gives a value or an error in a form that can leave the page. `state` stays
 * as long as the page does. `tell` hands something to the test at once, whatever becomes of the page, where
 * the browser gives a way for that.
 */
import { ChatStore, ChatStoreError } from 'chatstore';
import { contentsOf, fill } from './contents.js';

const tell = (value) => globalThis.tellTest(value);
const tools = { ChatStore, ChatStoreError, state: {}, tell, contentsOf, fill };

globalThis.harness = {
  run: async (piece, args) => {
    try {
      return { value: await piece(tools, args) };
    } catch (error) {
      const { name, code, message, outcome, operationId, details, stack } = error;
      const is_ours = error instanceof ChatStoreError;
      return { error: { name, code, message, outcome, operationId, details, is_ours, page_stack: stack } };
    }
  },
};
