/** The disk alone: what one flush costs here and now, below which no durable row can come. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';

export const notes = ['4 KiB appended and fdatasync, as one write of a log does'];

const page = Buffer.alloc(4096, 1);

export function open(folder) {
  const file = openSync(`${folder}/log`, 'a');
  return {
    insert() {
      writeSync(file, page);
      fdatasyncSync(file);
    },
    close: () => closeSync(file),
  };
}
