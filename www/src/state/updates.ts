/**
 * The service worker: lets the page open without a network, and brings new versions of it.
 *
 * Must not know: what it keeps (service_worker.js).
 */
import { tell } from './toasts';

export function watchForUpdates(): void {
  // Absent on an insecure origin and in some private windows.
  const container = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (container === undefined) return;
  // The first one ever takes over by itself; a later one only when its reader says so.
  const hadOne = container.controller !== null;
  container.addEventListener('controllerchange', () => {
    if (hadOne) location.reload();
  });
  // The page works without it, as long as there is a network.
  register(container, hadOne).catch((error: unknown) => {
    console.warn('no service worker:', error);
  });
}

async function register(container: ServiceWorkerContainer, hadOne: boolean): Promise<void> {
  const registration = await container.register('/sw.js');
  offer(registration, hadOne);
  registration.addEventListener('updatefound', () => {
    const worker = registration.installing;
    worker?.addEventListener('statechange', () => {
      if (worker.state === 'installed') offer(registration, hadOne);
    });
  });
}

function offer(registration: ServiceWorkerRegistration, hadOne: boolean): void {
  const { waiting } = registration;
  if (waiting === null || !hadOne) return;
  tell('A new version of this page is here.', {
    action: {
      label: 'Reload',
      run: () => {
        waiting.postMessage('take over');
      },
    },
  });
}
