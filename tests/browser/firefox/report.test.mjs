/** The verification report in a page of Firefox: the same checks as in Node, on stores in OPFS. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import { reportTests } from '../support/report_tests.mjs';
import { startServer } from '../support/server.mjs';
import { startFirefox } from '../support/webdriver.mjs';

const server = await startServer();
const browser = await startFirefox();
reportTests({ browser, server, name: 'firefox' });
