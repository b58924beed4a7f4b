// Text for the terminal: colours, wrapped lines, tables, numbers, a progress line.
// Knows nothing of chats. Colours only where a person reads: on a TTY, and without NO_COLOR.

const COLUMNS = 80;
const colours = process.stdout.isTTY === true && !process.env.NO_COLOR;

const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : String(text));
export const bold = paint('1');
export const dim = paint('2');
export const red = paint('31');
export const green = paint('32');
export const blue = paint('34');
export const highlight = paint('1;33');

const NUMBER = new Intl.NumberFormat('en-US');

export const formatNumber = (value) => NUMBER.format(value);
export const formatMegabytes = (size_bytes) => `${(size_bytes / 1e6).toFixed(1)} MB`;
export const formatTime = (at_ms) => new Date(at_ms).toISOString().slice(0, 16).replace('T', ' ');
export const formatDuration = (duration_ms) =>
  duration_ms < 1000 ? `${duration_ms.toFixed(duration_ms < 10 ? 1 : 0)} ms` : `${(duration_ms / 1000).toFixed(2)} s`;

export function heading(text) {
  console.log(`\n${bold(text)}`);
}

export function shorten(text, width) {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** Prints text after a label of `labelWidth` columns, wrapped to 80 columns with a hanging indent. */
export function labelled(label, text, labelWidth, style = String) {
  const lines = wrap(text, COLUMNS - labelWidth);
  lines.forEach((line, index) => console.log(style((index === 0 ? label : '').padEnd(labelWidth)) + line));
}

function wrap(text, width) {
  const lines = [''];
  for (let word of text.split(/\s+/)) {
    const line = lines.at(-1);
    if (line !== '' && line.length + 1 + word.length > width) lines.push('');
    for (; word.length > width; word = word.slice(width)) lines.splice(-1, 1, word.slice(0, width), '');
    lines[lines.length - 1] += (lines.at(-1) === '' ? '' : ' ') + word;
  }
  return lines;
}

/** Prints rows of strings under a header. `columns` = [[title, width, 'left' | 'right'], …]. */
export function table(columns, rows) {
  const line = (cells) =>
    '  ' +
    cells
      .map((cell, index) => {
        const [, width, side] = columns[index];
        return side === 'right' ? cell.padStart(width) : shorten(cell, width).padEnd(width);
      })
      .join('  ')
      .trimEnd();
  console.log(dim(line(columns.map(([title]) => title))));
  for (const row of rows) console.log(line(row));
}

/** A progress line: redrawn in place on a TTY, else printed at most once a second. */
export function progress(total, unit) {
  const isTty = process.stdout.isTTY === true;
  const BAR = 30;
  const startedAt_ms = performance.now();
  let printedAt_ms = startedAt_ms;
  const text = (done) => {
    const share = total === 0 ? 1 : done / total;
    const bar = '█'.repeat(Math.round(share * BAR)).padEnd(BAR, '░');
    const seconds = ((performance.now() - startedAt_ms) / 1000).toFixed(1);
    return `  ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${formatNumber(done)} ${unit}, ${seconds} s`;
  };
  return {
    update(done) {
      if (isTty) {
        process.stdout.write(`\r${text(done)}`);
      } else if (performance.now() - printedAt_ms >= 1000) {
        printedAt_ms = performance.now();
        console.log(text(done));
      }
    },
    finish(done) {
      console.log(isTty ? `\r${text(done)}` : text(done));
    },
  };
}
