#!/usr/bin/env node
import { ChatStore } from '../index.js';
import { environmentOf, runReport, toMarkdown } from '../report/node.js';
const only = process.argv.slice(2);
const report = await runReport({ environment: environmentOf(ChatStore), only: only.length ? only : undefined, seed: 1, onProgress: ({ done, expected, title }) => process.stderr.write(`${done}/${expected} ${title}\n`) });
process.stdout.write(toMarkdown(report));
