/**
 * `npm run example -- ARGUMENTS`: brings what the machine lacks, builds, and runs the example for Node.
 * Must not know: what the example does.
 */
import { build } from './build.mjs';
import { main, stream } from './process.mjs';

await main(async () => {
  await build();
  process.exitCode = await stream(process.execPath, ['examples/chats.mjs', ...process.argv.slice(2)]);
});
