/**
 * The channels of Node as ports: a socket between processes, a MessagePort between threads.
 *
 * Holds: that a channel which fails ends, once, and brings nothing down with it; and that none of
 * them keeps a process alive unless something waits for an answer. Must not know: what is said.
 */

import type { Socket } from 'node:net';
import type { MessagePort, TransferListItem } from 'node:worker_threads';
import { ChatStoreError } from '../client/errors.js';
import type { FromHost, Port, ToHost } from '../host/protocol.js';
import { FrameReader, MAX_FRAME_BYTES, MAX_HELLO_BYTES, encodeFrame } from './frames.js';

/** A socket. The side that lets others in takes short messages only, until it has sent one itself. */
export class SocketPort implements Port {
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  #corked = false;

  constructor(socket: Socket, options: { trusted: boolean }) {
    this.#socket = socket;
    this.#reader = new FrameReader(options.trusted ? MAX_FRAME_BYTES : MAX_HELLO_BYTES);
    socket.unref();
  }

  post(message: ToHost | FromHost): void {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (message.t === 'welcome') this.#reader.maxBytes = MAX_FRAME_BYTES;
    const [length, body] = encodeFrame(message);
    if (!this.#corked) {
      // Messages of one turn go out together.
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    socket.write(length);
    socket.write(body);
  }

  listen(onMessage: (message: unknown) => void, onClose: (error?: ChatStoreError) => void): void {
    const socket = this.#socket;
    let error: ChatStoreError | undefined;
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#reader.push(chunk, onMessage);
      } catch (thrown) {
        error = thrown instanceof ChatStoreError ? thrown : new ChatStoreError('INTERNAL', String(thrown));
        socket.destroy();
      }
    });
    // What went wrong with the socket itself shows in its end.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      onClose(error);
    });
    // The other side has ended: nothing more will come, and half a channel is of no use.
    socket.on('end', () => {
      socket.destroy();
    });
  }

  hold(held: boolean): void {
    if (held) this.#socket.ref();
    else this.#socket.unref();
  }

  close(): void {
    // What was written is sent first; a side that does not read it is not waited for.
    this.#socket.end();
    this.#socket.setTimeout(1_000, () => {
      this.#socket.destroy();
    });
  }
}

/** A MessagePort. Bytes that are handed over are not copied. */
export class ThreadPort implements Port {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  post(message: ToHost | FromHost): void {
    const transfer: TransferListItem[] = [];
    if (message.t === 'reply' && ownsBuffer(message.reply)) transfer.push(message.reply.buffer);
    this.#port.postMessage(message, transfer);
  }

  listen(onMessage: (message: unknown) => void, onClose: (error?: ChatStoreError) => void): void {
    this.#port.on('message', onMessage);
    this.#port.on('messageerror', () => {
      this.#port.close();
    });
    this.#port.on('close', () => {
      onClose();
    });
    this.#port.unref();
  }

  hold(held: boolean): void {
    if (held) this.#port.ref();
    else this.#port.unref();
  }

  close(): void {
    this.#port.close();
  }
}

/** A reply of the core has a buffer of its own; one that shares it with others has to be copied. */
function ownsBuffer(bytes: Uint8Array | undefined): bytes is Uint8Array<ArrayBuffer> {
  return bytes !== undefined && bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
}
