/**
 * One page of the bench: one contestant, one group of rows. Its job is in its address; what it measured is in
 * `window.result`. A cold start only opens, reads and shows a page, and imports nothing else.
 */
import * as contestant from 'contestant';

const job = JSON.parse(decodeURIComponent(location.hash.slice(1)));

/** From the start of the navigation to the first page of messages, laid out. */
async function cold() {
  const start_ms = performance.now();
  const store = await contestant.open(job.folder, { durability: 'strict', searchable: true });
  const open_ms = performance.now() - start_ms;
  const messages = await store.pageOfSession(job.session, 50);
  for (const { role, content } of messages) {
    const line = document.createElement('p');
    line.className = role;
    line.textContent = content;
    document.body.append(line);
  }
  if (document.body.offsetHeight === 0 || messages.length === 0) throw new Error('the first page is empty');
  const cold_ms = performance.now();
  await store.close();
  return { rows: { open: [open_ms], cold: [cold_ms] } };
}

async function group() {
  if (job.inside) return contestant.runInside(job);
  const { runGroup } = await import('./groups.mjs');
  return runGroup(job, contestant.open);
}

const explain = (error) => ({ error: String(error?.message ?? error), said: String(error?.stack ?? '') });

window.result = (job.group === 'cold' ? cold() : group()).catch(explain);
