/**
 * The channels of a browser as ports: a MessagePort between a page and its worker, a BroadcastChannel
 * between a page and the leader in another tab.
 *
 * Holds: that bytes are handed over where they can be. Neither kind tells of its own end everywhere, so
 * whoever knows of it says so with `end`. Must not know: what is said.
 */

import type { FromHost, Port, ToHost } from '../host/protocol.js';

type OnMessage = (message: unknown) => void;

/** A port whose end is known to others. */
export interface EndingPort extends Port {
  /** Nothing will come any more. */
  end(): void;
}

/** Between a page and its worker. Bytes that are handed over are not copied. */
export class WorkerPort implements EndingPort {
  readonly #port: MessagePort;
  #onClose: (() => void) | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: ToHost | FromHost): void {
    const bytes = message.t === 'reply' ? message.reply : message.t === 'call' ? message.rows : undefined;
    // A call may have to be sent again: its rows stay here.
    const gives = message.t === 'reply' && bytes !== undefined && bytes.byteLength === bytes.buffer.byteLength;
    this.#port.postMessage(message, gives ? [bytes.buffer] : []);
  }

  listen(onMessage: OnMessage, onClose: () => void): void {
    this.#onClose = onClose;
    this.#port.addEventListener('message', (event) => {
      onMessage(event.data);
    });
    this.#port.start();
  }

  hold(): void {
    // A page lives as long as it is there.
  }

  end(): void {
    this.#port.close();
    this.#onClose?.();
  }

  close(): void {
    this.#port.close();
  }
}

/** Between a page and the leader in another tab, either end of it. */
export class TabPort implements EndingPort {
  readonly #channel: BroadcastChannel;
  readonly #first: ToHost | undefined;
  #onClose: (() => void) | undefined;
  isClosed = false;

  /** `first`: what the other side has said already, by another way. */
  constructor(name: string, first?: ToHost) {
    this.#channel = new BroadcastChannel(name);
    this.#first = first;
  }

  post(message: ToHost | FromHost): void {
    if (!this.isClosed) this.#channel.postMessage(message);
  }

  listen(onMessage: OnMessage, onClose: () => void): void {
    this.#onClose = onClose;
    this.#channel.addEventListener('message', (event) => {
      onMessage(event.data);
    });
    if (this.#first !== undefined) onMessage(this.#first);
  }

  hold(): void {
    // A page lives as long as it is there.
  }

  end(): void {
    this.close();
    this.#onClose?.();
  }

  close(): void {
    this.isClosed = true;
    this.#channel.close();
  }
}
