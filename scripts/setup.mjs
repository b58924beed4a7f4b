/**
 * What a machine must have before anything is built, and how it comes there.
 *
 * Holds: the checks and the installs, each check by trying the very thing that is needed, each
 * install only where something is missing. System packages are installed by apt as root or by
 * `sudo -n`; elsewhere the command to type is said. Must not know: how the project is built.
 * Imports nothing but Node's own modules, because it is what brings all others.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { all, Failure, probe, root, run, step } from './process.mjs';
import { hashOf, unlessDone } from './stamps.mjs';

export const wasm_target = 'wasm32-unknown-unknown';
const lowest_node = 20;

/** `--locked` where nobody edits: a machine that only checks must not change Cargo.lock. */
export const locked = process.env.CI ? ['--locked'] : [];

/** Brings what a build needs; with `tests` also what only the tests need: rustfmt, clippy and browsers. */
export async function setUp({ tests = false } = {}) {
  checkNode();
  checkCargo();
  await all(
    npmPackages(),
    systemPackages(tests ? [linker, wasm_clang, chromedriver, firefox, sqlite_shell] : [linker, wasm_clang]),
    rustParts(tests).then(crates),
  );
}

/** The driver that starts Chromium: the one that CHROMEDRIVER names, or the one in the PATH. */
export const chromedriver_path = () =>
  process.env.CHROMEDRIVER ?? probe('sh', ['-c', 'command -v chromedriver']).stdout.trim();

const geckodriver_version = '0.37.1';
const geckodriver_folder = '.tools/geckodriver';

/** The driver that starts Firefox: the one that GECKODRIVER names, or our own. */
export const geckodriver_path = () => process.env.GECKODRIVER ?? join(root, geckodriver_folder, 'bin/geckodriver');

/**
 * The environment to start Firefox's driver in, or cargo before it. As root Firefox refuses a home that is
 * another user's, such as one that a container was given.
 */
export function firefoxEnvironment() {
  const environment = { GECKODRIVER: geckodriver_path() };
  const home = homedir();
  if (process.getuid?.() !== 0 || !existsSync(home) || statSync(home).uid === 0) return environment;
  const own_home = join(root, '.tools/home');
  mkdirSync(own_home, { recursive: true });
  const { CARGO_HOME = join(home, '.cargo'), RUSTUP_HOME = join(home, '.rustup') } = process.env;
  return { ...environment, HOME: own_home, CARGO_HOME, RUSTUP_HOME };
}

/** Builds the driver of Firefox, which Debian does not have, once; compiled quickly, since it only passes words on. */
export async function buildGeckodriver() {
  if (process.env.GECKODRIVER) return;
  const args = ['install', 'geckodriver', '--version', `=${geckodriver_version}`, '--locked', '--force'];
  const quickly = ['--debug', '--config', 'profile.dev.debug=false'];
  await unlessDone({
    stamp: '.tools/stamps/geckodriver',
    hash: hashOf([], [...args, ...quickly].join()),
    outputs: [`${geckodriver_folder}/bin/geckodriver`],
    work: () =>
      step('cargo install: geckodriver', (current) =>
        run('cargo', [...args, ...quickly, '--root', join(root, geckodriver_folder)], { step: current }),
      ),
  });
}

/** Brings WebKitGTK for its tests where it can be had; where not, says so, and the tests say that they are left out. */
export async function tryWebKitGtk() {
  try {
    await systemPackages([webkitgtk]);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.log(`WebKitGTK is not tested here. ${error.message}`);
  }
}

function checkNode() {
  const version = process.versions.node;
  if (Number.parseInt(version, 10) < lowest_node)
    throw new Failure(`Node ${lowest_node} or newer is needed; this is ${version}.`);
}

function checkCargo() {
  if (!probe('cargo', ['--version']).ok)
    throw new Failure(
      'Rust is needed and `cargo` is not in the PATH. Install it with rustup (rustup.rs), then run this again.',
    );
}

async function npmPackages() {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  await unlessDone({
    stamp: 'node_modules/.chatstore-lock',
    hash: hashOf(['package-lock.json']),
    outputs: ['node_modules/.package-lock.json'],
    work: () => step('npm ci', (current) => run('npm', args, { step: current })),
  });
}

/** The wasm target and, for tests, rustfmt and clippy: asked of rustup, which may be told not to bring them by itself. */
async function rustParts(tests) {
  const library = probe('rustc', ['--print', 'target-libdir', '--target', wasm_target]).stdout.trim();
  if (library === '' || !existsSync(library)) await rustup(['target', 'add', wasm_target]);
  const missing = tests ? ['fmt', 'clippy'].filter((name) => !probe('cargo', [name, '--version']).ok) : [];
  if (missing.length > 0)
    await rustup(['component', 'add', ...missing.map((name) => (name === 'fmt' ? 'rustfmt' : name))]);
}

async function rustup(args) {
  const command = `rustup ${args.join(' ')}`;
  if (!probe('rustup', ['--version']).ok)
    throw new Failure(
      `Missing in this Rust, and there is no rustup to bring it. With rustup the command is:\n  ${command}`,
    );
  await step(command, (current) => run('rustup', args, { step: current }));
}

/** Downloads the crates while the other installs go on, for the two targets that are built only. */
async function crates() {
  const host = /^host: (.+)$/m.exec(probe('rustc', ['-vV']).stdout)?.[1];
  const targets = [wasm_target, host].flatMap((target) => ['--target', target]);
  await step('cargo fetch', (current) => run('cargo', ['fetch', ...locked, ...targets], { step: current }));
}

const linker = {
  what: 'a C compiler and linker named cc',
  packages: ['gcc', 'libc6-dev'],
  works: () => compiles('cc', [], '#include <stdio.h>\nint main(void) { return 0; }\n'),
};

const wasm_clang = {
  what: `a clang that compiles for ${wasm_target} (CC_wasm32_unknown_unknown may name it)`,
  // Debian's clang brings a linker and the C headers too, and answers to cc where nothing else does.
  packages: ['clang'],
  works: () =>
    compiles(
      process.env.CC_wasm32_unknown_unknown ?? process.env.TARGET_CC ?? 'clang',
      [`--target=${wasm_target}`, '-c'],
      '#include <stdarg.h>\nint answer(void) { return 42; }\n',
    ),
};

const chromedriver = {
  what: 'Chromium and its driver',
  packages: ['chromium', 'chromium-driver'],
  works: () => chromedriver_path() !== '' && probe(chromedriver_path(), ['--version']).ok,
};

const firefox = {
  what: 'Firefox',
  packages: ['firefox-esr'],
  works: () => probe('firefox', ['--version']).ok,
};

const webkitgtk = {
  what: 'WebKitGTK, its driver and Xvfb',
  packages: ['webkit2gtk-driver', 'xvfb'],
  works: () => ['WebKitWebDriver', 'Xvfb'].every((name) => probe('sh', ['-c', `command -v ${name}`]).ok),
};

/** Reads closed stores in the tests, as somebody would who knows nothing of this project. */
const sqlite_shell = {
  what: 'the sqlite3 shell',
  packages: ['sqlite3'],
  works: () => probe('sqlite3', ['--version']).ok,
};

function compiles(compiler, args, source) {
  const folder = mkdtempSync(join(tmpdir(), 'chatstore-'));
  try {
    return probe(compiler, [...args, '-x', 'c', '-', '-o', join(folder, 'out')], { input: source }).ok;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function systemPackages(needs) {
  const missing = needs.filter((need) => !need.works());
  if (missing.length === 0) return;
  const wanted = missing.includes(wasm_clang) ? missing.filter((need) => need !== linker) : missing;
  const packages = wanted.flatMap((need) => need.packages);
  const update = ['apt-get', 'update'];
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...packages];
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const by_hand = `Missing on this machine:\n${missing.map((need) => `  ${need.what}`).join('\n')}\n`;
  if (!existsSync('/etc/debian_version') || !probe('apt-get', ['--version']).ok)
    throw new Failure(
      `${by_hand}Install it and run this again. On Debian the command is:\n  sudo ${update.join(' ')} && sudo ${install.join(' ')}`,
    );
  if (sudo.length > 0 && !probe('sudo', ['-n', 'true']).ok)
    throw new Failure(
      `${by_hand}It cannot be installed without rights. Type this, then run it again:\n  sudo ${update.join(' ')} && sudo ${install.join(' ')}`,
    );
  // Another apt may be at work: wait for it instead of failing at once.
  const wait = ['-o', 'DPkg::Lock::Timeout=300'];
  for (const [name, ...rest] of [update, install]) {
    const words = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', name, ...wait, ...rest];
    console.log(`$ ${words.join(' ')}`);
    await step(`${name} ${rest[0]}`, (current) => run(words[0], words.slice(1), { step: current }));
  }
  const still = wanted.filter((need) => !need.works());
  if (still.length > 0)
    throw new Failure(`Installed, and yet not working: ${still.map((need) => need.what).join('; ')}.`);
}

/** The folder that cargo builds into, whoever chose it. */
export function targetFolder() {
  const answer = probe('cargo', ['metadata', '--no-deps', '--offline', '--format-version', '1']);
  if (!answer.ok) throw new Failure(answer.stderr.trim());
  return JSON.parse(answer.stdout).target_directory;
}

/** The package's own description. */
export const packageJson = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
