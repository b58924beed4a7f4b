/** Names that nobody else has. */

const BYTES = 16;

/** 128 random bits in hexadecimal. Pages of insecure origins have no `crypto.randomUUID`. */
export const randomName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(BYTES)), (byte) => byte.toString(16).padStart(2, '0')).join('');
