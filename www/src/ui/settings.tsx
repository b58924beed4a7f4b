/**
 * Settings: who answers, the key, and how the page looks.
 *
 * Must not know: the store. What is entered here is kept by state/settings.ts and never reaches it.
 */
import type { ComponentChildren } from 'preact';
import { useId, useRef, useState } from 'preact/hooks';
import { EndpointError, listModels } from '../bots/endpoint';
import { apiKey, endpoint, forgetKey, rememberKey, type Endpoint } from '../state/settings';
import { theme, type Theme } from '../state/theme';
import { Dialog } from './dialog';
import { dialog } from './dialogs';
import { Icon } from './icons';

const TRY_TIMEOUT_MS = 15_000;

const set = (changes: Partial<Endpoint>) => {
  endpoint.value = { ...endpoint.value, ...changes };
};

export function Settings() {
  const { answerer, address, model } = endpoint.value;
  return (
    <Dialog
      title="Settings"
      class="settings"
      onClose={() => {
        dialog.value = null;
      }}
    >
      <fieldset>
        <legend>Who answers</legend>
        <label class="choice">
          <input
            type="radio"
            name="answerer"
            checked={answerer === 'offline'}
            onChange={() => {
              set({ answerer: 'offline' });
            }}
          />
          <span>
            Offline bot
            <small>Needs no network and no key. It answers from your own chats.</small>
          </span>
        </label>
        <label class="choice">
          <input
            type="radio"
            name="answerer"
            checked={answerer === 'endpoint'}
            onChange={() => {
              set({ answerer: 'endpoint' });
            }}
          />
          <span>
            A model
            <small>Any server that speaks the OpenAI chat protocol, on the web or on this device.</small>
          </span>
        </label>
      </fieldset>
      {answerer === 'endpoint' && <Model address={address} model={model} />}
      <fieldset>
        <legend>Appearance</legend>
        <div class="segments">
          {(['system', 'light', 'dark'] satisfies Theme[]).map((name) => (
            <label key={name}>
              <input
                type="radio"
                name="theme"
                checked={theme.value === name}
                onChange={() => {
                  theme.value = name;
                }}
              />
              <span>{{ system: 'System', light: 'Light', dark: 'Dark' }[name]}</span>
            </label>
          ))}
        </div>
      </fieldset>
    </Dialog>
  );
}

function Model({ address, model }: Pick<Endpoint, 'address' | 'model'>) {
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
        text: known
          ? `It answers${names.length === 0 ? '' : `, with ${names.length === 1 ? 'one model' : `${String(names.length)} models`}`}.`
          : `It answers, but it does not list “${model}”.`,
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
      <Field label="Address" about="The part before /chat/completions.">
        {(ids) => (
          <input
            {...ids}
            type="url"
            placeholder="https://… or http://localhost:11434/v1"
            value={address}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => {
              set({ address: event.currentTarget.value });
            }}
          />
        )}
      </Field>
      <Field label="Model">
        {(ids) => (
          <input
            {...ids}
            type="text"
            list="models"
            value={model}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => {
              set({ model: event.currentTarget.value });
            }}
          />
        )}
      </Field>
      <datalist id="models">
        {models.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Field
        label="Key"
        about={`It is sent to this address only, and never becomes part of your chats or of a saved copy. ${
          rememberKey.value
            ? 'It is kept in this browser until you forget it.'
            : 'It is gone when you close or reload the page.'
        }`}
      >
        {(ids) => (
          <input
            {...ids}
            type="password"
            value={apiKey.value}
            autocomplete="off"
            spellcheck={false}
            placeholder="Empty where none is needed"
            onInput={(event) => {
              apiKey.value = event.currentTarget.value;
            }}
          />
        )}
      </Field>
      <div class="row">
        <label class="check">
          <input
            type="checkbox"
            checked={rememberKey.value}
            onChange={(event) => {
              rememberKey.value = event.currentTarget.checked;
            }}
          />
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

interface FieldProps {
  label: string;
  about?: string;
  children: (ids: { id: string; 'aria-describedby'?: string }) => ComponentChildren;
}

function Field({ label, about, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(about === undefined ? { id } : { id, 'aria-describedby': `${id}-about` })}
      {about !== undefined && <small id={`${id}-about`}>{about}</small>}
    </div>
  );
}
