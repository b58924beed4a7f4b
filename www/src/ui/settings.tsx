/**
 * Settings: who answers, the key, and how the page looks.
 *
 * Must not know: the store. What is entered here is kept by state/settings.ts and never reaches it.
 */
import { useRef, useState } from 'preact/hooks';
import { EndpointError, listModels } from '../bots/endpoint';
import { apiKey, endpoint, forgetKey, rememberKey, type Endpoint } from '../state/settings';
import { theme, type Theme } from '../state/theme';
import { Dialog } from './dialog';
import { dialog } from './dialogs';
import { Icon } from './icons';

const TRY_TIMEOUT_MS = 15_000;

export function Settings() {
  const set = (changes: Partial<Endpoint>) => {
    endpoint.value = { ...endpoint.value, ...changes };
  };
  const { answerer, address, model } = endpoint.value;
  return (
    <Dialog title="Settings" class="settings" onClose={() => { dialog.value = null; }}>
      <fieldset>
        <legend>Who answers</legend>
        <label class="choice">
          <input type="radio" name="answerer" checked={answerer === 'offline'} onChange={() => { set({ answerer: 'offline' }); }} />
          <span>
            Offline bot
            <small>Needs no network and no key. It answers from your own chats.</small>
          </span>
        </label>
        <label class="choice">
          <input type="radio" name="answerer" checked={answerer === 'endpoint'} onChange={() => { set({ answerer: 'endpoint' }); }} />
          <span>
            A model
            <small>Any server that speaks the OpenAI chat protocol, on the web or on this device.</small>
          </span>
        </label>
      </fieldset>
      {answerer === 'endpoint' && <Model address={address} model={model} set={set} />}
      <fieldset>
        <legend>Appearance</legend>
        <div class="segments">
          {(['system', 'light', 'dark'] satisfies Theme[]).map((name) => (
            <label key={name}>
              <input type="radio" name="theme" checked={theme.value === name} onChange={() => { theme.value = name; }} />
              <span>{{ system: 'System', light: 'Light', dark: 'Dark' }[name]}</span>
            </label>
          ))}
        </div>
      </fieldset>
    </Dialog>
  );
}

function Model({ address, model, set }: { address: string; model: string; set: (changes: Partial<Endpoint>) => void }) {
  const [models, setModels] = useState<string[]>([]);
  const [result, setResult] = useState<{ text: string; isError: boolean } | null>(null);
  const running = useRef<AbortController | null>(null);
  const test = async () => {
    running.current?.abort();
    running.current = new AbortController();
    const signal = AbortSignal.any([running.current.signal, AbortSignal.timeout(TRY_TIMEOUT_MS)]);
    setResult({ text: 'Asking…', isError: false });
    try {
      const names = await listModels({ address, model, key: apiKey.value }, signal);
      setModels(names);
      const known = names.length === 0 || model === '' || names.includes(model);
      setResult({
        text: known ? `It answers${names.length === 0 ? '' : `, with ${String(names.length)} models`}.` : `It answers, but it does not list “${model}”.`,
        isError: !known,
      });
    } catch (error) {
      const text = error instanceof EndpointError ? error.message : 'No answer came in time.';
      if (!running.current.signal.aborted) setResult({ text, isError: true });
    }
  };
  return (
    <fieldset>
      <legend>The model</legend>
      <label class="field">
        <span>Address</span>
        <input
          type="url"
          placeholder="https://… or http://localhost:11434/v1"
          value={address}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => { set({ address: event.currentTarget.value }); }}
        />
        <small>The part before /chat/completions.</small>
      </label>
      <label class="field">
        <span>Model</span>
        <input
          type="text"
          list="models"
          value={model}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => { set({ model: event.currentTarget.value }); }}
        />
        <datalist id="models">
          {models.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </label>
      <label class="field">
        <span>Key</span>
        <input
          type="password"
          value={apiKey.value}
          autocomplete="off"
          spellcheck={false}
          placeholder="Empty where none is needed"
          onInput={(event) => { apiKey.value = event.currentTarget.value; }}
        />
        <small>
          It is sent to this address only, and never becomes part of your chats or of a saved copy.{' '}
          {rememberKey.value ? 'It is kept in this browser until you forget it.' : 'It is gone when you close or reload the page.'}
        </small>
      </label>
      <div class="row">
        <label class="check">
          <input type="checkbox" checked={rememberKey.value} onChange={(event) => { rememberKey.value = event.currentTarget.checked; }} />
          <span>Remember the key in this browser</span>
        </label>
        <button type="button" disabled={apiKey.value === '' && !rememberKey.value} onClick={forgetKey}>
          Forget key
        </button>
      </div>
      <div class="row">
        <button type="button" onClick={() => void test()}>
          Test the connection
        </button>
        <span role="status" class={result?.isError ? 'result error' : 'result'}>
          {result?.isError && <Icon name="warn" />}
          {result?.text}
        </span>
      </div>
    </fieldset>
  );
}
