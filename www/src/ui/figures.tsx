/**
 * The figures of the store on the page Health: numbers, times of calls, calls that were slow or failed.
 *
 * Holds: how each is shown. Must not know: what any of them means.
 */
import type { FailedCall, SlowCall, Stats, Times } from 'chatstore';
import { useEffect, useState } from 'preact/hooks';
import { momentOf } from '../state/dates';
import { number, size } from '../state/sizes';
import { theStore } from '../state/store';

const STATS_INTERVAL_MS = 2_000;

export function Figures() {
  const [figures, setFigures] = useState<Stats | null>(null);
  useEffect(() => {
    const read = () => {
      // What is wrong is shown where something is wanted of the store.
      theStore()
        .stats()
        .then(setFigures, () => undefined);
    };
    read();
    const timer = setInterval(read, STATS_INTERVAL_MS);
    return () => {
      clearInterval(timer);
    };
  }, []);
  if (figures === null) return null;
  const { verbs, slow, failed, ...numbers } = figures;
  const waits = { 'to write': numbers.queue.waits, 'for a connection': numbers.pool.waits };
  return (
    <>
      <section aria-labelledby="health-figures">
        <h2 id="health-figures">Figures since the file was opened</h2>
        <Facts facts={flat(numbers)} />
      </section>
      <section aria-labelledby="health-calls">
        <h2 id="health-calls">Calls</h2>
        <TimesTable name="verb" times={verbs} />
        <TimesTable name="waits" times={waits} />
      </section>
      <Calls title="Slow calls" none="None has been slow." calls={slow} />
      <Calls title="Failed calls" none="None has failed." calls={failed} />
    </>
  );
}

function TimesTable({ name, times }: { name: string; times: Record<string, Times> }) {
  const rows = Object.entries(times).toSorted(([, one], [, other]) => other.count - one.count);
  return (
    <div class="table-scroll" tabIndex={0} role="group" aria-label={`Times, by ${name}`}>
      <table class="figures">
        <thead>
          <tr>
            {[name, 'count', 'median', '95 %', '99 %', 'longest'].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([verb, { count, p50Ms, p95Ms, p99Ms, maxMs }]) => (
            <tr key={verb}>
              <th scope="row">{verb}</th>
              <td>{number(count)}</td>
              {[p50Ms, p95Ms, p99Ms, maxMs].map((ms, i) => (
                <td key={i}>{count === 0 ? '–' : milliseconds(ms)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Calls({ title, none, calls }: { title: string; none: string; calls: (SlowCall | FailedCall)[] }) {
  const id = `health-${title.toLowerCase().replaceAll(' ', '-')}`;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {calls.length === 0 && <p class="faint">{none}</p>}
      {calls.map((call, i) => (
        <details key={`${call.verb} ${String(call.at)} ${String(i)}`}>
          <summary>
            {call.verb}
            {'runMs' in call && ` ran ${milliseconds(call.runMs)}, after it had waited ${milliseconds(call.waitedMs)}`}
            {call.error !== null && `: ${call.error}`}, {momentOf(call.at)}
          </summary>
          <pre class="call">
            {[call.statement ?? JSON.stringify(call.args, null, 2), ...('plan' in call ? call.plan : [])].join('\n')}
          </pre>
        </details>
      ))}
    </section>
  );
}

export function Facts({ facts }: { facts: Record<string, unknown> }) {
  return (
    <dl class="facts">
      {Object.entries(facts)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{words(name)}</dt>
            <dd>{shown(name, value)}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Every number by its path, as one name: `storage.writtenBytes` → `storageWrittenBytes`. Times stand elsewhere. */
function flat(figures: object, before = ''): Record<string, number> {
  const facts: Record<string, number> = {};
  for (const [key, value] of Object.entries(figures)) {
    const name = before === '' ? key : before + (key[0]?.toUpperCase() ?? '') + key.slice(1);
    if (key === 'waits') continue;
    if (typeof value === 'number') facts[name] = value;
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      Object.assign(facts, flat(value, name));
  }
  return facts;
}

/** `storageWrittenBytes` → `Storage written`. */
function words(name: string): string {
  const spaced = name.replace(/(Bytes|Ms)(?=$|[A-Z])/, '').replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${spaced[0]?.toUpperCase() ?? ''}${spaced.slice(1)}`;
}

function shown(name: string, value: unknown): string {
  if (value === null) return 'unknown';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value !== 'number') return typeof value === 'string' ? value : JSON.stringify(value);
  if (name.includes('Bytes')) return size(value);
  return name.endsWith('Ms') ? `${number(Math.round(value))} ms` : number(value);
}

function milliseconds(ms: number): string {
  return `${ms.toLocaleString('en', { maximumFractionDigits: ms < 10 ? 2 : 0 })} ms`;
}
