/**
 * `dist/THIRD-PARTY-LICENSES.txt`: the notices of everything that is compiled into the wasm, and of what the program
 * `chatstore` is bundled with.
 *
 * Holds: the crates that the core depends on for wasm, found through cargo, with the licence texts
 * that lie in their own sources; and the C sources that one of them brings. Programs that only run
 * while compiling (procedural macros) are left out: nothing of theirs ships. Of npm's packages, those that js/cli
 * imports, and what they depend on.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, run } from './process.mjs';
import { locked, wasm_target } from './setup.mjs';

export const licenses_file = 'dist/THIRD-PARTY-LICENSES.txt';

/** What js/cli imports of npm; a test holds it against the bundle. */
export const bundled = ['string-width'];

const mit_terms = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the
following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO
EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER
IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE
USE OR OTHER DEALINGS IN THE SOFTWARE.`;

/** Writes the file. Fails where a crate's licence is neither in its sources nor MIT. */
export async function writeLicenses() {
  const args = ['metadata', ...locked, '--format-version', '1', '--filter-platform', wasm_target];
  const metadata = JSON.parse(await run('cargo', args));
  const packages = new Map(metadata.packages.map((entry) => [entry.id, entry]));
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const core = metadata.packages.find((entry) => entry.name === 'chatstore').id;

  const shipped = new Set();
  const visit = (id) => {
    const runs_while_compiling = packages.get(id).targets.some((target) => target.kind.includes('proc-macro'));
    if (shipped.has(id) || runs_while_compiling) return;
    shipped.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg);
    }
  };
  visit(core);
  shipped.delete(core);

  const sections = [...shipped]
    .map((id) => packages.get(id))
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((crate) => `${crate.name} ${crate.version} (${crate.license})\n\n${licenseOf(crate)}`);
  const rule = `\n\n${'-'.repeat(80)}\n\n`;
  const title = 'chatstore is MIT licensed. Its WebAssembly, and its command line, hold these works of others:';
  const others = [
    'SQLite\n\nIn the public domain.',
    `musl, parts of it (MIT)\n\nCopyright © 2005-2020 Rich Felker, et al.\n\n${mit_terms}`,
    `printf (MIT)\n\n${printfNotice([...packages.values()])}`,
    `The Rust standard library (MIT OR Apache-2.0)\n\nCopyright (c) The Rust Project Contributors\n\n${mit_terms}`,
  ];
  writeFileSync(join(root, licenses_file), `${[title, ...others, ...sections, ...packageSections()].join(rule)}\n`);
}

/** The text beside a crate's sources: under MIT where there is a choice. */
function licenseOf(crate) {
  const folder = dirname(crate.manifest_path);
  const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name));
  const chosen = files.find((name) => /mit/i.test(name)) ?? files[0];
  if (chosen !== undefined) return readFileSync(join(folder, chosen), 'utf8').trim();
  if (!/\bMIT\b/.test(crate.license ?? '')) throw new Error(`${crate.name}: no licence text for ${crate.license}`);
  return `Copyright (c) the authors of ${crate.name} (${crate.repository})\n\n${mit_terms}`;
}

/** Name, version and licence of each package of npm that is bundled, with all that it needs. */
function packageSections() {
  const sections = new Map();
  const visit = (name, from) => {
    const nested = join(from, 'node_modules', name);
    const folder = existsSync(nested) ? nested : join(root, 'node_modules', name);
    const { version, license, dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined) throw new Error(`${name}: no licence text in its package`);
    const text = readFileSync(join(folder, file), 'utf8').trim();
    sections.set(`${name} ${version}`, `${name} ${version} (${license})\n\n${text}`);
    for (const next of Object.keys(dependencies)) visit(next, folder);
  };
  for (const name of bundled) visit(name, root);
  return sections.values();
}

/** The notice at the head of the C source that formats numbers inside of SQLite's wasm build. */
function printfNotice(packages) {
  const crate = packages.find((entry) => entry.name === 'sqlite-wasm-rs');
  const file = join(dirname(crate.manifest_path), 'shim/printf/printf.h');
  if (!existsSync(file)) throw new Error(`${file} is gone: see what the wasm build of SQLite brings now`);
  const [, notice] = /\/\*+\n([^]*?)\*\//.exec(readFileSync(file, 'utf8'));
  return notice
    .replaceAll(/^[ /]*\\?\*? ?/gm, '')
    .replaceAll(/^\/\/ ?/gm, '')
    .trim();
}
