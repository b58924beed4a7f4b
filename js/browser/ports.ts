/**
 * The channels of a browser as ports: a MessagePort between a page and its worker, a BroadcastChannel
 * between a page and the leader in another tab.
 *
 * Holds: that what is said in one turn goes together, since most of what a message costs it costs by
 * itself; and that bytes are handed over where that is cheaper than to copy them. Neither kind of
 * channel tells of its own end everywhere, so whoever knows of it says so with `end`. Must not know: what
 * is said.
 */

import type { FromHost, Port, ToHost } from '../host/protocol.js';

type Message = ToHost | FromHost;
type OnMessage = (message: unknown) => void;

/** Shorter replies are copied: measured, handing a buffer over costs more. */
const HAND_OVER_BYTES = 16_384;
const soon = Promise.resolve();

/** A port of whose end others know. */
abstract class GatheringPort implements Port {
  #gathered: Message[] = [];
  #onClose: (() => void) | undefined;
  isClosed = false;

  /** Sends one message, or several as an array. */
  protected abstract send(message: Message | Message[], transfer: Transferable[]): void;
  protected abstract receive(onMessage: (event: MessageEvent) => void): void;
  protected abstract shut(): void;

  post(message: Message): void {
    if (this.isClosed) return;
    this.#gathered.push(message);
    if (this.#gathered.length === 1) void soon.then(this.#flush);
  }

  listen(onMessage: OnMessage, onClose: () => void): void {
    this.#onClose = onClose;
    this.receive(({ data }: MessageEvent<unknown>) => {
      if (Array.isArray(data)) for (const each of data) onMessage(each);
      else onMessage(data);
    });
  }

  hold(): void {
    // A page lives as long as it is there.
  }

  /** Nothing will come any more. */
  end(): void {
    this.close();
    this.#onClose?.();
  }

  close(): void {
    if (this.isClosed) return;
    this.#flush();
    this.isClosed = true;
    this.shut();
  }

  readonly #flush = (): void => {
    const messages = this.#gathered;
    const [first] = messages;
    if (first === undefined || this.isClosed) return;
    this.#gathered = [];
    this.send(messages.length === 1 ? first : messages, transferable(messages));
  };
}

/** The buffers of long replies. What a call gives stays here: it may have to be sent again. */
function transferable(messages: Message[]): Transferable[] {
  const buffers: Transferable[] = [];
  for (const message of messages) {
    if (message.t !== 'reply' || message.reply === undefined) continue;
    const { buffer, byteLength } = message.reply;
    if (byteLength >= HAND_OVER_BYTES && byteLength === buffer.byteLength) buffers.push(buffer);
  }
  return buffers;
}

/** Adds a port to those that somebody has to end; nobody tells of those that have been closed since. */
export function addPort<P extends GatheringPort>(ports: Set<P>, port: P): void {
  for (const other of ports) if (other.isClosed) ports.delete(other);
  ports.add(port);
}

/** Between a page and its worker. */
export class WorkerPort extends GatheringPort {
  /** Several tabs are several turns, however each of them gathers. */
  readonly gathers = true;
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    super();
    this.#port = port;
  }

  protected send(message: Message | Message[], transfer: Transferable[]): void {
    this.#port.postMessage(message, transfer);
  }

  protected receive(onMessage: (event: MessageEvent) => void): void {
    this.#port.addEventListener('message', onMessage);
    this.#port.start();
  }

  protected shut(): void {
    this.#port.close();
  }
}

/** Between a page and the leader in another tab, either end of it. */
export class TabPort extends GatheringPort {
  readonly #channel: BroadcastChannel;
  readonly #first: ToHost | undefined;

  /** `first`: what the other side has said already, by another way. */
  constructor(name: string, first?: ToHost) {
    super();
    this.#channel = new BroadcastChannel(name);
    this.#first = first;
  }

  override listen(onMessage: OnMessage, onClose: () => void): void {
    super.listen(onMessage, onClose);
    if (this.#first !== undefined) onMessage(this.#first);
  }

  protected send(message: Message | Message[]): void {
    this.#channel.postMessage(message);
  }

  protected receive(onMessage: (event: MessageEvent) => void): void {
    this.#channel.addEventListener('message', onMessage);
  }

  protected shut(): void {
    this.#channel.close();
  }
}
