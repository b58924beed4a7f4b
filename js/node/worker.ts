/**
 * What runs in the worker of a store that was opened with `worker: true`: its host.
 *
 * Holds: the same host as anywhere, reached by the thread that started it and by other processes. Must
 * not know: who connects.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { toPlain } from '../client/errors.js';
import { toError } from '../host/core.js';
import type { Host } from '../host/host.js';
import { serve } from '../host/serve.js';
import { AGAIN } from './claim.js';
import { hostInMemory, own } from './own.js';
import { ThreadPort } from './ports.js';
import type { FromWorker, ToWorker, WorkerData } from './worker_host.js';

function tell(message: FromWorker): void {
  parentPort?.postMessage(message);
}

async function close(host: Host): Promise<void> {
  try {
    await host.close();
    tell({ t: 'closed' });
  } catch (error) {
    tell({ t: 'closed', error: toPlain(toError(error)) });
  }
}

async function start({ path, options }: WorkerData): Promise<void> {
  const found = options.inMemory ? await hostInMemory(path, options) : await own(path, options);
  if (found === AGAIN) {
    tell({ t: 'again' });
    return;
  }
  if ('pid' in found) {
    tell({ t: 'owner', owner: found });
    return;
  }
  parentPort?.on('message', (message: ToWorker) => {
    // Whoever starts a thread needs no token to be let in.
    if (message.t === 'connect') serve(found, new ThreadPort(message.port), () => true);
    else void close(found);
  });
  tell({ t: 'owns' });
}

start(workerData as WorkerData).catch((error: unknown) => {
  tell({ t: 'failed', error: toPlain(toError(error)) });
});
