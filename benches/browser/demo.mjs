/**
 * The demo page with one long chat, scrolled as far as it goes in ten seconds.
 *
 * Holds: the chat, the way it comes onto the page, the times between frames. Must not know: what the page is made of.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChatStore } from 'chatstore';
import { root } from '../../scripts/process.mjs';
import { serve } from '../../scripts/serve.mjs';
import { personAt } from '../../tests/browser/support/demo.mjs';
import { makeChats } from '../data.mjs';

const title = 'All of them';
const batch = 10_000;
const loading_limit_ms = 120_000;
/** What a quick swipe moves in a frame. */
const frame_px = 400;
const frames = 600;

/** Writes the messages of all chats as one chat; gives the file. */
async function oneChat(folder, { seed, size }) {
  const { messages } = makeChats(seed, size, { long: 0 });
  const store = await ChatStore.open(join(folder, 'chats.sqlite'));
  const { id: sessionId } = await store.sessions.create({ title });
  for (let from = 0; from < size; from += batch)
    await store.messages.addMany(
      messages
        .slice(from, from + batch)
        .map(({ id, role, content, createdAt }) => ({ sessionId, id, role, content, createdAt })),
    );
  const path = join(folder, 'copy.sqlite');
  await store.backup({ path });
  await store.close();
  return path;
}

/** Milliseconds between each two frames while the chat is scrolled up from its end. */
const scroll = (page) =>
  page.getByRole('region', { name: 'Messages' }).evaluate(
    (box, { step_px, count }) =>
      new Promise((resolve) => {
        const times_ms = [];
        const next = (now_ms) => {
          times_ms.push(now_ms);
          box.scrollTop -= step_px;
          if (times_ms.length <= count) requestAnimationFrame(next);
          else resolve(times_ms.slice(1).map((time_ms, i) => time_ms - times_ms[i]));
        };
        requestAnimationFrame(next);
      }),
    { step_px: frame_px, count: frames },
  );

export async function scrollDemo(context, job) {
  const { server, address } = await serve(join(root, 'dist/www'));
  const folder = mkdtempSync(join(tmpdir(), 'chatstore-bench-'));
  try {
    context.setDefaultTimeout(loading_limit_ms);
    const page = await context.newPage();
    await page.goto(address);
    const person = personAt(page);
    await person.arrived();
    await person.loadCopy(await oneChat(folder, job));
    await person.told(/are here now/);
    await person.chat(title).click();
    await page.locator('article').first().waitFor();
    const times_ms = (await scroll(page)).toSorted((one, other) => one - other);
    return { rows: { frame_p95: [times_ms[Math.floor(times_ms.length * 0.95)]], frame_longest: [times_ms.at(-1)] } };
  } finally {
    rmSync(folder, { recursive: true });
    server.close();
    server.closeAllConnections();
  }
}
