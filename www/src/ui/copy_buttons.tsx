/** The two buttons that save a copy of the chats and load one. */
import { chooseFile, saveCopy } from '../state/copies';
import { offered } from './dialogs';
import { Icon } from './icons';

export function CopyButtons() {
  return (
    <>
      <button type="button" onClick={saveCopy}>
        <Icon name="save" /> Save a copy
      </button>
      <button
        type="button"
        onClick={() => {
          chooseFile((file) => {
            offered.value = file;
          });
        }}
      >
        <Icon name="load" /> Load a copy
      </button>
    </>
  );
}
