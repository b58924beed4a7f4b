/** A file dropped anywhere on the page: asks before its chats take the place of those that are here. */
import { useEffect, useState } from 'preact/hooks';
import { loadCopy } from '../state/copies';
import { size } from '../state/sizes';
import { info } from '../state/store';
import { Dialog } from './dialog';
import { offered } from './dialogs';
import { Icon } from './icons';

const hasFile = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;
const close = () => {
  offered.value = null;
};

export function Drop() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const onOver = (event: DragEvent) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const onLeave = (event: DragEvent) => {
      // Into another element of the page is not out of it.
      if (event.relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(false);
      offered.value = event.dataTransfer?.files[0] ?? null;
    };
    addEventListener('dragover', onOver);
    addEventListener('dragleave', onLeave);
    addEventListener('drop', onDrop);
    return () => {
      removeEventListener('dragover', onOver);
      removeEventListener('dragleave', onLeave);
      removeEventListener('drop', onDrop);
    };
  }, []);
  const file = offered.value;
  return (
    <>
      {over && (
        <div class="drop" aria-hidden="true">
          <div>
            <Icon name="load" /> Drop a .sqlite file to load its chats
          </div>
        </div>
      )}
      {file !== null && (
        <Dialog title="Load this file?" onClose={close}>
          <p>
            The chats of <strong>{file.name}</strong> ({size(file.size)}) take the place of those that are here, in
            every tab of this page. The file is checked first.
          </p>
          <p>
            {info.value?.ephemeral === true
              ? 'What is here now is in memory only, and is not kept. Save a copy first if you want it.'
              : 'What is here now is kept aside in this browser.'}
          </p>
          <div class="row end">
            <button type="button" onClick={close}>
              Cancel
            </button>
            <button
              type="button"
              class="primary"
              onClick={() => {
                close();
                loadCopy(file);
              }}
            >
              Load it
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
