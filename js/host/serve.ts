/**
 * A host for clients beyond this thread: their messages become calls, and its answers messages.
 *
 * Holds: the hello, the check of every message, and that a client which breaks the protocol is sent
 * away while the others go on. Must not know: what kind of channel it is, or what a call means.
 */

import { ChatStoreError, toPlain } from '../client/errors.js';
import type { Host } from './host.js';
import { toError } from './core.js';
import {
  PROTOCOL,
  SCHEMA,
  checkToHost,
  isSameVersion,
  type Call,
  type Connection,
  type Port,
  type ToHost,
} from './protocol.js';

/** Whether the token of a hello is the right one. */
export type IsWelcome = (token: string | undefined) => boolean;

/** What an environment has to do around certain calls that the core cannot do, since it has to be awaited. */
export interface Around {
  /** Undefined for a call that needs nothing. */
  before(call: Call): Promise<void> | undefined;
  /** The call was answered. */
  after(call: Call): void;
}

/** Serves one client until it goes or its channel ends. */
export function serve(host: Host, port: Port, isWelcome: IsWelcome, around?: Around): void {
  const surrounded = new Map<number, Call>();
  let connection: Connection | undefined;
  let over = false;

  const end = (): void => {
    if (over) return;
    over = true;
    connection?.close();
    port.close();
  };
  const refuse = (error: ChatStoreError): void => {
    if (over) return;
    port.post({ t: 'refused', error: toPlain(error) });
    end();
  };
  const welcome = (hello: ToHost & { t: 'hello' }): void => {
    if (!isSameVersion(hello)) {
      throw new ChatStoreError(
        'VERSION_MISMATCH',
        `the owner of the store speaks protocol ${String(PROTOCOL)} and has schema ${String(SCHEMA)}, this client ${String(hello.protocol)} and ${String(hello.schema)}: use the same version of chatstore in every process and tab`,
        {
          details: {
            expected: PROTOCOL,
            received: hello.protocol,
            expectedSchema: SCHEMA,
            receivedSchema: hello.schema,
          },
        },
      );
    }
    if (!isWelcome(hello.token)) {
      throw new ChatStoreError('STORE_LOCKED', 'the owner of the store refused the token of this client');
    }
    connection = host.connect(
      {
        reply: (call, reply, error) => {
          answer(call, reply, error);
        },
        lost: (scope, error) => {
          if (!over) port.post({ t: 'lost', scope, error: toPlain(error) });
        },
        notice: (notice, message) => {
          if (!over) port.post({ t: 'notice', notice, message });
        },
        changed: (change) => {
          if (!over) port.post({ t: 'changed', ...change });
        },
        alive: () => {
          if (!over) port.post({ t: 'pong' });
        },
        gone: () => {
          if (!over) port.post({ t: 'bye' });
          end();
        },
      },
      hello.name,
      { remote: true, gathered: port.gathers === true },
    );
    port.post({ t: 'welcome' });
  };
  const answer = (call: number, reply: Uint8Array | undefined, error: ChatStoreError | undefined): void => {
    const done = surrounded.get(call);
    if (done !== undefined) {
      surrounded.delete(call);
      around?.after(done);
    }
    if (over) return;
    if (error !== undefined) port.post({ t: 'reply', call, error: toPlain(error) });
    else if (reply !== undefined) port.post({ t: 'reply', call, reply });
  };
  const run = (call: Call): void => {
    const ready = around?.before(call);
    if (ready === undefined) submit(call);
    else void submitWhen(ready, call);
  };
  const submitWhen = async (ready: Promise<void>, call: Call): Promise<void> => {
    surrounded.set(call.call, call);
    try {
      await ready;
    } catch (thrown) {
      answer(call.call, undefined, toError(thrown));
      return;
    }
    submit(call);
  };
  const submit = (call: Call): void => {
    let reply: Uint8Array | undefined;
    try {
      reply = connection?.send(call);
    } catch (thrown) {
      answer(call.call, undefined, toError(thrown));
      return;
    }
    if (reply !== undefined) answer(call.call, reply, undefined);
  };

  port.listen((received) => {
    if (over) return;
    try {
      const message = checkToHost(received);
      if (message.t === 'hello') {
        if (connection !== undefined) throw new ChatStoreError('VERSION_MISMATCH', 'a second hello came');
        welcome(message);
      } else if (message.t === 'bye') {
        end();
      } else if (connection === undefined) {
        throw new ChatStoreError('STORE_LOCKED', 'expected a hello with the token of the store first');
      } else if (message.t === 'call') {
        run(message);
      } else if (message.t === 'cancel') {
        connection.cancel(message.call);
      } else if (message.t === 'watch') {
        connection.watch(message.on);
      } else {
        connection.ping();
      }
    } catch (thrown) {
      const error = toError(thrown);
      // Who comes to a host that is closing looks for the next one, as those do who were there before.
      if (error.code === 'STORE_CLOSED') {
        // Not every kind of channel tells of its end.
        if (!over) port.post({ t: 'bye' });
        end();
      } else {
        refuse(error);
      }
    }
  }, end);
}
