/**
 * The groups of rows in a page or a worker: what they need of such a place.
 *
 * Holds: names in place of folders, marks by asking the server, the step of the clock. Must not know: who is measured.
 */
import { groups } from '../groups.mjs';

/** Chromium's clock outside of isolated pages; within them it is finer, and rows are measured alike. */
const clock_ms = 0.1;

export async function runGroup(job, openStore) {
  const facts = job.facts === undefined ? undefined : await (await fetch(job.facts)).json();
  return groups[job.group].run({
    ...job,
    facts,
    clock_ms,
    warms_store: true,
    open: (folder, options) => openStore(folder, { durability: 'strict', searchable: true, ...options }),
    newFolder: (name) => `${job.folder}-${name}`,
    mark: async (name) => void (await fetch(`/mark/${name}`, { cache: 'no-store' })),
    wasmBytes: () => 0,
  });
}
