/**
 * One process of the bench: one contestant, one group of rows. Its one argument is its job as JSON; what it
 * measured goes to the file that the job names. `cold` jobs only open and read a page, and import nothing else.
 */
import { accessSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const now_ms = () => performance.timeOrigin + performance.now();
const job = JSON.parse(process.argv[2]);

/** How much memory the wasm modules of this process have, whoever made them. */
function watchWasm() {
  const memories = new Set();
  const { Memory, Instance, instantiate } = WebAssembly;
  const watch = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
    return instance;
  };
  WebAssembly.Memory = class extends Memory {
    constructor(...args) {
      super(...args);
      memories.add(this);
    }
  };
  WebAssembly.Instance = new Proxy(Instance, {
    construct: (target, args) => watch(Reflect.construct(target, args)),
  });
  WebAssembly.instantiate = async (...args) => {
    const result = await instantiate(...args);
    watch(result.instance ?? result);
    return result;
  };
  return () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
}

/** Marks in a system call trace where a row begins and ends: a look at a file that is not there. */
function mark(name) {
  try {
    accessSync(`/chatstore-bench/${name}`);
  } catch {
    // It is never there.
  }
}

function newFolder(name) {
  const path = join(job.folder, name);
  mkdirSync(path, { recursive: true });
  return path;
}

async function contestant() {
  const library = await import(`./contestants/${job.module}.mjs`);
  return (folder, options) =>
    library.open(folder, { durability: 'strict', searchable: true, ...job.options, ...options });
}

/** From the start of the process to the first page of messages: what somebody waits for who opens a program. */
async function cold() {
  const start_ms = performance.now();
  const open = await contestant();
  const store = await open(job.folder, {});
  const open_ms = performance.now() - start_ms;
  const page = await store.pageOfSession(job.session, 50);
  const cold_ms = now_ms() - job.started_ms;
  if (page.length === 0) throw new Error('the first page is empty');
  await store.close();
  const again_ms = performance.now();
  const second = await open(job.folder, {});
  const rows = { open: [open_ms], cold: [cold_ms], open_again: [performance.now() - again_ms] };
  await second.close();
  return { rows };
}

async function group() {
  const { groups } = await import('./groups.mjs');
  const wasmBytes = watchWasm();
  const facts = job.facts === undefined ? undefined : JSON.parse(readFileSync(job.facts, 'utf8'));
  return groups[job.group].run({
    ...job,
    open: await contestant(),
    facts,
    clock_ms: 0,
    warms_store: false,
    newFolder,
    mark,
    wasmBytes,
    peakMib: () => process.resourceUsage().maxRSS / 1024,
  });
}

const result = await (job.group === 'cold' ? cold() : group());
writeFileSync(job.out, JSON.stringify({ ...result, versions: process.versions }));
