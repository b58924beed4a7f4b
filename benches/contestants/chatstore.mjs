/** chatstore itself, as the package in dist/ gives it to anybody. Must not know: which verb answers which row. */
import { ChatStore } from '../../dist/index.js';
import { verbs } from './verbs.mjs';

export const notes = [];

export const open = async (folder, { durability }) =>
  verbs(await ChatStore.open(`${folder}/chats.sqlite`, { durability }));
