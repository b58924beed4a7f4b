/**
 * Messages as bytes on a stream: a length of four bytes, little-endian, and the message as V8
 * serializes it.
 *
 * Holds: the bounds. Nobody can make this side keep more than a frame's limit, and bytes that are no
 * frame are an error, never a crash. Must not know: what a message means, or where bytes come from.
 */

import { deserialize, serialize } from 'node:v8';
import { ChatStoreError } from '../client/errors.js';
import { limits } from '../client/shapes.js';

const LENGTH_BYTES = 4;

/** Most that a message takes: the largest rows there can be, and room for what goes with them. */
export const MAX_FRAME_BYTES = limits.replyBytes + 16 * 1024 * 1024;
/** Most that a client takes before it has shown its token. */
export const MAX_HELLO_BYTES = 4096;

/** The length of a message and the message, to be written one after the other. */
export function encodeFrame(message: object): [length: Buffer, body: Buffer] {
  const body = serialize(message);
  if (body.length > MAX_FRAME_BYTES) throw tooLarge(body.length, MAX_FRAME_BYTES);
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt32LE(body.length);
  return [length, body];
}

/** Gathers bytes and gives the messages in them. After an error it is of no more use. */
export class FrameReader {
  /** May grow once the other side is trusted. */
  maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Calls back for each message that is whole now; throws a `ChatStoreError` for what is none. */
  push(chunk: Buffer, onMessage: (message: unknown) => void): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    for (;;) {
      const size = this.#nextSize();
      if (size === undefined) return;
      if (size > this.maxBytes) throw tooLarge(size, this.maxBytes);
      if (this.#bytes < LENGTH_BYTES + size) return;
      onMessage(decode(this.#take(LENGTH_BYTES + size).subarray(LENGTH_BYTES)));
    }
  }

  #nextSize(): number | undefined {
    if (this.#bytes < LENGTH_BYTES) return undefined;
    let first = this.#chunks[0];
    if (first === undefined || first.length < LENGTH_BYTES) {
      first = Buffer.concat(this.#chunks);
      this.#chunks = [first];
    }
    return first.readUInt32LE(0);
  }

  /** The first bytes, and the rest stays. Bytes are copied once, when a message is whole. */
  #take(bytes: number): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytes);
    this.#bytes -= bytes;
    this.#chunks = this.#bytes === 0 ? [] : [all.subarray(bytes)];
    return all.subarray(0, bytes);
  }
}

function decode(body: Buffer): unknown {
  try {
    return deserialize(body);
  } catch (cause) {
    throw new ChatStoreError('VERSION_MISMATCH', 'a message came that cannot be read', { cause });
  }
}

function tooLarge(bytes: number, limit: number): ChatStoreError {
  return new ChatStoreError(
    'TOO_LARGE',
    `expected a message of at most ${String(limit)} bytes, received ${String(bytes)}`,
    {
      details: { bytes, limit },
    },
  );
}
