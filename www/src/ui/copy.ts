/** Text to the clipboard. */
import { tell } from '../state/toasts';

/** Whether it is there now; where not, the reader is told. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    tell('The browser does not let this page use the clipboard. Select the text and copy it.', { kind: 'error' });
    return false;
  }
}
