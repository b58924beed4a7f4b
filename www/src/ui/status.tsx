/**
 * The line that says where the chats are, whether they stay there, how much room there is, and which tab leads.
 *
 * Must not know: how any of it is found out.
 */
import { health } from '../state/route';
import { size } from '../state/sizes';
import { info, room } from '../state/store';
import { CopyButtons } from './copy_buttons';
import { KeepButton } from './place';
import { Icon } from './icons';

export function StatusLine() {
  const facts = info.value;
  if (facts === null) return null;
  const now = room.value;
  const kept = now?.persisted === true;
  const where = facts.ephemeral ? 'In memory only' : kept ? 'Kept on this device' : 'On this device';
  return (
    <div class="status" role="group" aria-label="Status">
      <a href={health} title="Health" class="status-text">
        <span class={`dot ${facts.ephemeral ? 'warn' : 'good'}`} aria-hidden="true" />
        {where}
        <small>
          {now !== null && !facts.ephemeral && `${size(now.usageBytes)} of ${size(now.quotaBytes)} · `}
          {facts.role === 'owner' ? 'this tab leads' : 'another tab leads'}
        </small>
      </a>
      {!facts.ephemeral && !kept && now !== null && <KeepButton />}
    </div>
  );
}

/** Where nothing is kept, plainly, above everything else. */
export function MemoryBanner() {
  if (info.value?.ephemeral !== true) return null;
  return (
    <p class="banner warn" role="alert">
      <Icon name="warn" />
      <span>
        <strong>Your chats are in memory only.</strong> {why()} Save a copy before you close this page; you can load it
        again later.
      </span>
      <span class="row">
        <CopyButtons />
      </span>
    </p>
  );
}

function why(): string {
  if (!isSecureContext)
    return `The browser lets a page keep files only over https:// or on this very device (http://localhost); this one came from ${location.origin}.`;
  return 'This browser does not let this page keep files here: that is so in some private windows and in old versions.';
}
