/**
 * Health: where the chats are, how safe they are there, and what the store has done.
 *
 * Holds: the store's own words, and the check of the whole file. Must not know: chats.
 */
import type { VerifyReport } from 'chatstore';
import { useState, type StateUpdater } from 'preact/hooks';
import { momentOf } from '../state/dates';
import sampleLicense from '../../sample/LICENSE-chitchat-dataset.txt?url';
import { number, size } from '../state/sizes';
import { info, lastEvent, room, theStore } from '../state/store';
import { attempt } from '../state/toasts';
import { CopyButtons } from './copy_buttons';
import { Facts, Figures } from './figures';
import { Icon } from './icons';
import { KeepButton, place } from './place';
import { VerificationReport } from './report';

export function Health() {
  // What the browser says of room stands above, and is newer there.
  const { persisted: _, quotaBytes: __, usageBytes: ___, ...facts } = info.value ?? {};
  return (
    <div class="scroll page">
      <div class="page-body">
        <h1>Health</h1>
        <section aria-labelledby="health-where">
          <h2 id="health-where">Where your chats are</h2>
          <p>{place()}</p>
          <Room />
          <div class="row">
            <CopyButtons />
          </div>
        </section>
        <Check />
        <VerificationReport />
        <section aria-labelledby="health-store">
          <h2 id="health-store">The store</h2>
          <Facts facts={facts} />
          {lastEvent.value !== null && (
            <p class="faint">
              Last event, {momentOf(lastEvent.value.atMs)}: {lastEvent.value.message} ({lastEvent.value.type})
            </p>
          )}
        </section>
        <Figures />
        <p class="faint">
          The sample chats come from the dataset chitchat-dataset, under the <a href={sampleLicense}>MIT licence</a>.{' '}
          The licences of <a href="/licenses.md">this page’s libraries</a> and of{' '}
          <a href="/licenses-of-the-core.txt">those of the store’s core</a>.
        </p>
      </div>
    </div>
  );
}

function Room() {
  const now = room.value;
  if (now === null) return null;
  const { usageBytes, quotaBytes, persisted } = now;
  return (
    <>
      <label class="meter">
        <span>
          {size(usageBytes)} of {size(quotaBytes)} used by this page
        </span>
        <meter value={usageBytes} max={quotaBytes || 1} />
      </label>
      <p>
        {persisted ? (
          <>
            <Icon name="keep" /> The browser keeps them, also when room is scarce.
          </>
        ) : (
          'The browser may remove them when room is scarce, unless you ask it to keep them.'
        )}
      </p>
      {!persisted && info.value?.ephemeral === false && <KeepButton />}
    </>
  );
}

function Check() {
  const [report, setReport] = useState<VerifyReport | null>(null);
  const [share, setShare] = useState<number | null>(null);
  return (
    <section aria-labelledby="health-check">
      <h2 id="health-check">Check</h2>
      <p>
        Reads the whole file, compares every page with its checksum and every rule with what is there. It changes
        nothing.
      </p>
      <div class="row">
        <button
          type="button"
          disabled={share !== null}
          onClick={() => {
            attempt(() => check(setShare, setReport));
          }}
        >
          <Icon name="check" /> Check everything
        </button>
        {share !== null && <progress value={share} aria-label="Checking" />}
      </div>
      <div role="status">{report !== null && <Found report={report} />}</div>
    </section>
  );
}

async function check(
  setShare: (value: StateUpdater<number | null>) => void,
  setReport: (value: StateUpdater<VerifyReport | null>) => void,
): Promise<void> {
  setShare(0);
  setReport(null);
  try {
    const report = await theStore().verify({
      onProgress: ({ done, expected }) => {
        setShare(expected === 0 ? 0 : Math.min(1, done / expected));
      },
    });
    setReport(report);
  } finally {
    setShare(null);
  }
}

function Found({ report: { ok, problems, moreProblems, checked } }: { report: VerifyReport }) {
  const extent = `${number(checked.messages)} messages in ${number(checked.sessions)} chats, ${number(checked.pages)} pages`;
  if (ok) return <p>All is well: {extent}.</p>;
  return (
    <>
      <p>
        {number(problems.length + moreProblems)} problems in {extent}. Save a copy before anything else.
      </p>
      <ul>
        {problems.slice(0, 20).map((problem, i) => (
          <li key={i}>
            {problem.kind} {problem.table} {problem.key}: {problem.detail}
          </li>
        ))}
      </ul>
    </>
  );
}
