/**
 * Figures from samples.
 *
 * Holds: quantiles, and how the figures of several rounds become one with its spread. A ratio is made
 * within each round and then its median taken, because a disk or a machine drifts from round to round.
 * Must not know: what was measured.
 */

/** The value below which this share of the samples lies, between neighbours by their distance. */
export function quantile(samples, share) {
  const sorted = samples.toSorted((one, other) => one - other);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (at - low);
}

export const median = (samples) => quantile(samples, 0.5);

/** One row of one contestant: the median of the rounds' medians, its range, and the ratio to the reference. */
export function summarize(rounds, reference = []) {
  const present = rounds.filter((samples) => samples !== undefined);
  if (present.length === 0) return undefined;
  const medians = present.map(median);
  const ratios = rounds.flatMap((samples, round) =>
    samples !== undefined && reference[round] !== undefined ? [median(samples) / median(reference[round])] : [],
  );
  return {
    median: median(medians),
    min: Math.min(...medians),
    max: Math.max(...medians),
    p95: median(present.map((samples) => quantile(samples, 0.95))),
    rounds: medians,
    samples: present.reduce((sum, samples) => sum + samples.length, 0),
    ...(ratios.length > 0
      ? { ratio: { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) } }
      : {}),
  };
}

/** Of several contestants the best in each round: `names` and `rounds` of samples. */
export function best(contestants) {
  const count = Math.max(0, ...contestants.map(({ rounds }) => rounds.length));
  const found = Array.from({ length: count }, (_, round) =>
    contestants
      .filter(({ rounds }) => rounds[round] !== undefined)
      .map(({ name, rounds }) => ({ name, samples: rounds[round], median: median(rounds[round]) }))
      .toSorted((one, other) => one.median - other.median)
      .at(0),
  );
  return {
    names: found.filter((each) => each !== undefined).map(({ name }) => name),
    rounds: found.map((each) => each?.samples),
  };
}
