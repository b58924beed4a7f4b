/** Code with its language and a button that copies it. */
import { useState } from 'preact/hooks';
import { Icon } from './icons';
import { copyText } from './copy';

const SHOWN_MS = 2_000;

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    setCopied(await copyText(code));
    setTimeout(() => {
      setCopied(false);
    }, SHOWN_MS);
  };
  return (
    <figure class="code">
      <figcaption>
        <span>{language || 'text'}</span>
        <button type="button" class="quiet small" aria-label="Copy code" onClick={() => void copy()}>
          <Icon name={copied ? 'check' : 'copy'} /> {copied ? 'Copied' : 'Copy'}
        </button>
      </figcaption>
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </figure>
  );
}
