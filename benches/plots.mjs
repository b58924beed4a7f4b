/**
 * The two plots of docs/performance.md, as SVG.
 *
 * Holds: log scales, dots and lines, in colours that hold on a light and a dark page. Must not know: where
 * the figures come from.
 */
import { growing } from './rows.mjs';

const colours = ['#d1495b', '#30638e', '#e08e45', '#5b8e7d', '#8e6c8a', '#b5a642', '#6c757d', '#17a2b8'];
const grey = '#888';
const font = 'font-family="system-ui, sans-serif" font-size="12"';
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const at = (number) => Number(number.toFixed(1));
const text = (x, y, words, more = '') =>
  `<text x="${at(x)}" y="${at(y)}" fill="${grey}" ${font} ${more}>${escape(words)}</text>`;
const line = (x1, y1, x2, y2, more) =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${grey}" ${more}/>`;
const svg = (width, height, parts) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">\n${parts.join('\n')}\n</svg>\n`;

/** Powers of ten that reach from the least to the most of the values. */
function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: high - low + 1 }, (_, i) => low + i);
}

const legend = (entries, y) =>
  entries.map(({ title, colour }, i) => {
    const [x, row] = [20 + (i % 4) * 220, y + Math.floor(i / 4) * 18];
    return `<circle cx="${x}" cy="${row}" r="5" fill="${colour}"/>${text(x + 10, row + 4, title)}`;
  });

/** One line a row, one dot a contestant: its ratio to the reference, and the goal as a bar. */
export function ratioPlot({ rows, contestants, goals, subject, reference }) {
  const shown = contestants
    .filter(({ name, error }) => error === undefined && name !== 'disk' && name !== reference)
    .map((contestant, i) => Object.assign({}, contestant, { colour: colours[i % colours.length] }));
  const lines = rows.filter((row) =>
    shown.some(({ name }) => row.results[name]?.ratio !== undefined && row.results[name].ratio.median > 0),
  );
  const ratios = lines.flatMap((row) =>
    shown.map(({ name }) => row.results[name]?.ratio?.median).filter((ratio) => ratio > 0),
  );
  if (ratios.length === 0) return svg(900, 40, [text(20, 24, 'no ratios in this run')]);
  const exponents = decades([...ratios, 1]);
  const [left, width, top, step] = [340, 530, 60, 20];
  const bottom = top + lines.length * step;
  const x = (ratio) => left + ((Math.log10(ratio) - exponents[0]) / (exponents.at(-1) - exponents[0])) * width;
  const parts = legend(shown, 16);
  for (const exponent of exponents) {
    parts.push(
      line(x(10 ** exponent), top - 6, x(10 ** exponent), bottom, `stroke-opacity="${exponent === 0 ? 1 : 0.3}"`),
    );
    parts.push(text(x(10 ** exponent), bottom + 16, `${10 ** exponent}×`, 'text-anchor="middle"'));
  }
  for (const [i, row] of lines.entries()) {
    const y = top + (i + 0.5) * step;
    parts.push(text(left - 8, y + 4, row.title, 'text-anchor="end"'));
    parts.push(line(left, y, left + width, y, 'stroke-opacity="0.12"'));
    const { target } = goals.find((goal) => goal.id === row.id && goal.contestant === subject) ?? {};
    if (target !== undefined)
      parts.push(line(x(target), y - 8, x(target), y + 8, 'stroke-width="3" stroke-opacity="0.6"'));
    // The first contestant last, so that no other dot hides it.
    for (const { name, title, colour } of shown.toReversed()) {
      const ratio = row.results[name]?.ratio?.median;
      if (ratio > 0)
        parts.push(
          `<circle cx="${at(x(ratio))}" cy="${at(y)}" r="5" fill="${colour}"><title>${escape(`${title}: ${ratio.toFixed(2)}×`)}</title></circle>`,
        );
    }
  }
  parts.push(text(left, bottom + 34, 'ratio to better-sqlite3 12, log scale; thick mark: the goal of chatstore'));
  return svg(900, bottom + 46, parts);
}

/** One small plot a row: milliseconds by messages, both on log scales. */
export function growthPlot({ growth, contestants, subject, reference }) {
  const shown = [subject, reference].map((name, i) => ({
    name,
    title: contestants.find((contestant) => contestant.name === name)?.title ?? name,
    colour: colours[i],
  }));
  const sizes = growth.map(({ size }) => size);
  const [width, height, columns] = [200, 130, 4];
  const parts = legend(shown, 16);
  const across = decades(sizes);
  for (const [i, id] of growing.entries()) {
    const series = shown.map(({ name, colour }) => ({
      colour,
      points: growth.flatMap(({ size, rows }) => {
        const value = rows.find((row) => row.id === id).results[name]?.median;
        return value === undefined ? [] : [{ size, value }];
      }),
    }));
    const values = series.flatMap(({ points }) => points.map(({ value }) => value));
    if (values.length === 0) continue;
    const up = decades(values);
    const [left, top] = [50 + (i % columns) * (width + 60), 60 + Math.floor(i / columns) * (height + 60)];
    const x = (size) => left + ((Math.log10(size) - across[0]) / (across.at(-1) - across[0])) * width;
    const y = (value) => top + height - ((Math.log10(value) - up[0]) / (up.at(-1) - up[0])) * height;
    parts.push(text(left, top - 8, growth[0].rows.find((row) => row.id === id).title.slice(0, 34)));
    for (const exponent of up) {
      parts.push(line(left, y(10 ** exponent), left + width, y(10 ** exponent), 'stroke-opacity="0.3"'));
      parts.push(text(left - 4, y(10 ** exponent) + 4, String(10 ** exponent), 'text-anchor="end"'));
    }
    for (const exponent of across)
      parts.push(
        text(x(10 ** exponent), top + height + 16, (10 ** exponent).toLocaleString('en'), 'text-anchor="middle"'),
      );
    for (const { colour, points } of series) {
      const path = points.map(({ size, value }) => `${at(x(size))},${at(y(value))}`).join(' ');
      parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
      for (const { size, value } of points)
        parts.push(`<circle cx="${at(x(size))}" cy="${at(y(value))}" r="3.5" fill="${colour}"/>`);
    }
  }
  const lines = Math.ceil(growing.length / columns);
  return svg(columns * (width + 60) + 40, 60 + lines * (height + 60), parts);
}
