export function printTable(summary) {
  for (const row of summary.rows) {
    console.log(row.title, row.target ?? '');
    for (const [name, r] of Object.entries(row.results)) console.log('    ', name.padEnd(20), r.missing ?? `${r.median.toFixed(3)} [${r.min.toFixed(3)}–${r.max.toFixed(3)}] p95 ${r.p95.toFixed(3)} ratio ${r.ratio?.median.toFixed(2)}`);
  }
  console.log(summary.mismatches, summary.failures);
}
export function writeReport() {}
