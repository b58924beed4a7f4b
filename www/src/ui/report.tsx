/**
 * The verification report on the page Health: started, followed, read and saved.
 *
 * Holds: what is shown of it. Must not know: what is checked.
 */
import type { CategoryReport, ItemReport } from 'chatstore/report';
import { number } from '../state/sizes';
import { allFormats, progress, report, run, save } from '../state/report';
import { Icon } from './icons';

export function VerificationReport() {
  const now = progress.value;
  const found = report.value;
  return (
    <section aria-labelledby="health-report">
      <h2 id="health-report">Verification report</h2>
      <p>
        Makes stores of its own in this browser, does to them what a store has to stand, measures it, and removes them.
        Your chats are not touched. It takes about a minute.
      </p>
      <div class="row">
        <button type="button" disabled={now !== null} onClick={run}>
          <Icon name="check" /> Run the verification report
        </button>
        {now !== null && (
          <progress value={now.expected === 0 ? 0 : now.done / now.expected} aria-label="Running the report" />
        )}
      </div>
      {now !== null && <p class="faint">{now.title}</p>}
      <div role="status">
        {found !== null && (
          <p>
            {found.passed ? 'All is well' : 'Something failed'}: {number(found.counts.passed)} checks passed,{' '}
            {number(found.counts.failed)} failed, {number(found.counts.notMeasurable)} cannot be measured here.
          </p>
        )}
      </div>
      {found !== null && (
        <>
          {found.categories.map((category) => (
            <Category key={category.id} category={category} />
          ))}
          <div class="row">
            {allFormats.map((format) => (
              <button
                key={format}
                type="button"
                onClick={() => {
                  save(format);
                }}
              >
                <Icon name="save" /> Save as {format}
              </button>
            ))}
          </div>
        </>
      )}
    </section>
  );
}

const marks = { passed: '✓', failed: '✗', 'not measurable': '–' } as const;

function Category({ category: { title, status, items } }: { category: CategoryReport }) {
  const passed = items.filter((item) => item.status === 'passed').length;
  return (
    <details open={status === 'failed'}>
      <summary>
        {marks[status]} {title}: {number(passed)} of {number(items.length)}
      </summary>
      <ul>
        {items.map((item) => (
          <Item key={item.id} item={item} />
        ))}
      </ul>
    </details>
  );
}

function Item({ item: { status, title, expected, seen, figures } }: { item: ItemReport }) {
  return (
    <li>
      <span title={status}>{marks[status]}</span> {title}
      {figures.map(({ name, value, unit, target }) => (
        <span key={name} class="faint">
          {' '}
          {name} {number(Number(value.toPrecision(3)))} {unit}
          {target === undefined ? '' : ` (${target})`}
        </span>
      ))}
      {status !== 'passed' && (
        <p class="faint">
          Expected: {expected}. Seen: {seen}.
        </p>
      )}
    </li>
  );
}
