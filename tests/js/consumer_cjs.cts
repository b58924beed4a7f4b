/** A program that uses the types of the package by require; it is compiled, never run. */
import chatstore = require('chatstore');

export async function uses(): Promise<string | null> {
  const store: chatstore.ChatStore = await chatstore.ChatStore.open(':memory:');
  const bot: chatstore.Bot = await store.bots.create({ name: 'Ada' });
  await store.close();
  return bot.model;
}
