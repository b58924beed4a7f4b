/** The package in a page of Chromium: all of what it promises one tab, and workers that end. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import { startChromium } from '../support/chromium.mjs';
import { coreTests } from '../support/core_tests.mjs';
import { startServer } from '../support/server.mjs';

const server = await startServer();
const browser = await startChromium();
coreTests({ browser, server, start: startChromium });
