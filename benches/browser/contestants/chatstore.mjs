/** chatstore from its public build for browsers, served as it is. Must not know: which verb answers which row. */
import { ChatStore } from 'chatstore';
import { verbs } from '../../contestants/verbs.mjs';

export const open = async (folder, { durability }) => verbs(await ChatStore.open(folder, { durability }));
