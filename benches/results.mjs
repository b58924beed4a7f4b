/**
 * What a run has found, and whether its contestants agree.
 *
 * Holds: the samples by row, contestant, size and round; the digests of answers; failures. Must not
 * know: how any of it came about, or how it is shown.
 */
import { best, summarize } from './statistics.mjs';

export class Results {
  #about;
  #samples = new Map();
  #checks = new Map();
  #failures = [];
  #missing = new Map();

  /** `bench` says which rows and goals there are; see course.mjs. */
  constructor(about) {
    this.#about = about;
  }

  #rounds(size, row, contestant) {
    const key = JSON.stringify([size, row, contestant]);
    let rounds = this.#samples.get(key);
    if (rounds === undefined) this.#samples.set(key, (rounds = []));
    return rounds;
  }

  /** Takes in what one process found. */
  add({ contestant, group, size, round }, result) {
    if (result.error !== undefined) {
      this.#failures.push({ contestant: contestant.name, group, size, round, error: result.error, said: result.said });
      return;
    }
    for (const [row, samples] of Object.entries(result.rows)) this.#rounds(size, row, contestant.name)[round] = samples;
    for (const [row, why] of Object.entries(result.missing ?? {})) this.#missing.set(`${contestant.name} ${row}`, why);
    for (const [name, value] of Object.entries(result.checks ?? {})) {
      const key = `${size} ${name}`;
      const values = this.#checks.get(key) ?? new Map();
      this.#checks.set(key, values.set(value, new Set(values.get(value)).add(contestant.name)));
    }
  }

  /** Takes in the size of a prepared store, in MiB. */
  addSize(contestant, size, mib) {
    if (mib !== undefined) this.#rounds(size, 'file', contestant.name)[0] = [mib];
  }

  /** One line for each answer that is not the same everywhere. */
  #mismatches() {
    return [...this.#checks]
      .filter(([, values]) => values.size > 1)
      .map(([key, values]) => {
        const parties = [...values].map(([value, names]) => `${value} (${[...names].join(', ')})`);
        return `${key}: ${parties.join(' against ')}`;
      });
  }

  /** Takes in why a contestant has no such row. */
  addMissing(contestant, row, why) {
    this.#missing.set(`${contestant.name} ${row}`, why);
  }

  #table(size) {
    const { rows, reference } = this.#about.bench;
    return rows.map((row) => {
      const against = this.#rounds(size, row.id, reference);
      const results = {};
      for (const { name } of this.#about.contestants) {
        const result = summarize(this.#rounds(size, row.id, name), against);
        const failure = this.#failures.find((failed) => failed.contestant === name && failed.size === size);
        if (result !== undefined) results[name] = result;
        else if (this.#missing.has(`${name} ${row.id}`))
          results[name] = { missing: this.#missing.get(`${name} ${row.id}`) };
        else if (failure !== undefined && name !== 'disk')
          results[name] = { missing: `${failure.group}: ${failure.error}` };
      }
      return Object.assign({}, row, { results });
    });
  }

  /** Everything, as plain data. */
  summary() {
    const { bench, options, machine, contestants } = this.#about;
    const { seed, size, samples, quick } = options;
    const rounds = Math.max(0, ...[...this.#samples.values()].map((each) => each.length));
    const sizes = [...new Set([...this.#samples.keys()].map((key) => JSON.parse(key)[0]))].toSorted((a, b) => a - b);
    const goals = bench.goals.map((goal) => {
      const { contestant, id, against } = goal;
      const rivals = best(against.map((name) => ({ name, rounds: this.#rounds(size, id, name) })));
      const ratio = summarize(this.#rounds(size, id, contestant), rivals.rounds)?.ratio;
      const missing = this.#missing.get(`${contestant} ${id}`);
      return Object.assign({}, goal, { ratio, missing, best: [...new Set(rivals.names)] });
    });
    return {
      machine,
      options: { seed, size, rounds, samples, quick },
      subject: bench.subject,
      reference: bench.reference,
      contestants: contestants.map(({ name, title, version, error }) => ({ name, title, version, error })),
      rows: this.#table(size),
      goals,
      growth: sizes.map((each) => ({
        size: each,
        rows: this.#table(each).filter(({ id }) => bench.growing.includes(id)),
      })),
      failures: this.#failures,
      mismatches: this.#mismatches(),
      checks: Object.fromEntries([...this.#checks].map(([key, values]) => [key, [...values.keys()]])),
    };
  }
}
