/**
 * What the page may load and reach, said once: the page carries it in a meta tag, the server in a header.
 *
 * Holds: the Content-Security-Policy. Must not know: who serves the page.
 */
const policy = {
  'default-src': "'none'",
  'script-src': "'self' 'wasm-unsafe-eval'",
  'worker-src': "'self'",
  'style-src': "'self'",
  // Images of other servers would tell them who reads what: they are shown as links.
  'img-src': "'self' data: blob:",
  'font-src': "'self'",
  'manifest-src': "'self'",
  // The address of a model is the reader's choice: any over TLS, and this very machine.
  'connect-src': "'self' https: http://127.0.0.1:* http://localhost:*",
  'object-src': "'none'",
  'base-uri': "'none'",
  'form-action': "'none'",
};

const text = (directives) =>
  Object.entries(directives)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ');

/** For a meta tag, which knows no `frame-ancestors`. */
export const meta_policy = text(policy);
/** For a header. */
export const header_policy = text({ ...policy, 'frame-ancestors': "'none'" });
