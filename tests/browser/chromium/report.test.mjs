/** The verification report in a page: the same checks as in Node, on stores in OPFS. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import { reportTests } from '../support/report_tests.mjs';
import { startChromium } from '../support/chromium.mjs';
import { startServer } from '../support/server.mjs';

const server = await startServer();
const browser = await startChromium();
reportTests({ browser, server, name: 'chromium' });
