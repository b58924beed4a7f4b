/** `npm run format`: writes all Rust, JavaScript and TypeScript the way that the tests demand. */
import { join } from 'node:path';
import { all, main, root, run } from './process.mjs';
import { setUp } from './setup.mjs';

await main(async () => {
  await setUp();
  await all(run('cargo', ['fmt', '--all']), run(join(root, 'node_modules/.bin/oxfmt'), []));
});
