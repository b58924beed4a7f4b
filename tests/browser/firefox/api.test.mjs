/** The package in a page of Firefox: what it promises one tab. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import { coreTests } from '../support/core_tests.mjs';
import { startServer } from '../support/server.mjs';
import { startFirefox } from '../support/webdriver.mjs';

const server = await startServer();
const browser = await startFirefox();
coreTests({ browser, server, start: startFirefox });
