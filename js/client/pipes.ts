/**
 * Whole stores in and out of streams.
 *
 * Holds: that a stream that was written to is closed or aborted, and one that was read is let go. Must
 * not know: what the bytes are.
 */

import type { Piece, Sink } from './upkeep.js';

/** Gives the bytes that `copy` hands out to a stream; gives their count. */
export async function writeToStream(
  target: WritableStream<Uint8Array>,
  copy: (sink: Sink) => Promise<number>,
): Promise<number> {
  const writer = target.getWriter();
  try {
    const sizeBytes = await copy({ write: (bytes) => writer.write(bytes) });
    await writer.close();
    return sizeBytes;
  } catch (error) {
    // A stream that takes nothing any more may not end either.
    writer.abort(error).catch(() => undefined);
    throw error;
  }
}

/** The bytes of a source that is no file, piece by piece; undefined for what is none. */
export function piecesOf(source: unknown): AsyncGenerator<Piece> | undefined {
  if (isBytes(source)) return piecesOfBytes(source);
  if (source instanceof Blob) return piecesOfStream(source.stream());
  if (source instanceof ReadableStream) return piecesOfStream(source);
  return undefined;
}

/** Also those of another frame, whose class is another. */
const isBytes = (source: unknown): source is Uint8Array =>
  ArrayBuffer.isView(source) && Object.prototype.toString.call(source) === '[object Uint8Array]';

// eslint-disable-next-line @typescript-eslint/require-await -- like those of streams
async function* piecesOfBytes(bytes: Uint8Array): AsyncGenerator<Piece> {
  yield { suffix: '', bytes };
}

/** Not every browser can iterate over a stream. */
async function* piecesOfStream(stream: ReadableStream<Uint8Array>): AsyncGenerator<Piece> {
  const reader = stream.getReader();
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      const { done, value } = await reader.read();
      if (done) return;
      yield { suffix: '', bytes: value };
    }
  } finally {
    // One that was not read to its end is not wanted any more; and it may never say that it has ended.
    reader.cancel().catch(() => undefined);
  }
}
