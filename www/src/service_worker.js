/**
 * Lets the page open without a network: keeps every built file, and answers from them.
 *
 * Holds: one cache a version of the page. Must not know: chats, which never pass through here. The build
 * (vite.config.mjs) puts in the version and the list of files.
 */
const cache_name = 'chatstore-demo-__VERSION__';
const files = ['__FILES__'];

self.addEventListener('install', (event) => {
  // `reload`: not from the browser's own cache, which may still hold files of an older version.
  const requests = files.map((file) => new Request(file, { cache: 'reload' }));
  event.waitUntil(caches.open(cache_name).then((cache) => cache.addAll(requests)));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(forgetOlder().then(() => self.clients.claim()));
});

// The page asks for this when its reader wants the new version now.
self.addEventListener('message', (event) => {
  if (event.data === 'take over') void self.skipWaiting();
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const own = new URL(request.url).origin === self.location.origin;
  if (own && request.method === 'GET') event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(cache_name);
  const kept = await cache.match(request, { ignoreSearch: true });
  return kept ?? fetch(request);
}

async function forgetOlder() {
  const names = await caches.keys();
  const older = names.filter((name) => name.startsWith('chatstore-demo-') && name !== cache_name);
  await Promise.all(older.map((name) => caches.delete(name)));
}
