/**
 * The client's end of a channel to a host in another thread or process.
 *
 * Holds: the hello and its answer, and messages as events. Must not know: what kind of channel it
 * is, or what becomes of calls when it ends.
 */

import {
  PROTOCOL,
  SCHEMA,
  checkFromHost,
  type Call,
  type Connection,
  type ConnectionEvents,
  type FromHost,
  type Port,
} from '../host/protocol.js';
import { ChatStoreError, fromPlain } from './errors.js';

/** What a client says of itself. */
export interface Hello {
  name: string;
  token?: string | undefined;
}

/**
 * Introduces a client. Resolves when the host has let it in, rejects with the host's reason, and with
 * undefined where the channel ended first. `port` is the caller's to close until then.
 */
export function introduce(port: Port, hello: Hello, events: ConnectionEvents): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const connection = new PortConnection(port);
    let welcomed = false;
    let over = false;
    let closedInPeace = false;
    const end = (error?: ChatStoreError): void => {
      if (over) return;
      over = true;
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- undefined: the channel is all that failed
      if (!welcomed) reject(error);
      else if (!connection.closed) events.gone(closedInPeace);
    };
    port.listen((received) => {
      if (over || connection.closed) return;
      let message: FromHost;
      try {
        message = checkFromHost(received);
      } catch (error) {
        port.close();
        end(error instanceof ChatStoreError ? error : undefined);
        return;
      }
      events.alive();
      switch (message.t) {
        case 'welcome':
          welcomed = true;
          resolve(connection);
          break;
        case 'refused':
          port.close();
          end(fromPlain(message.error));
          break;
        case 'reply':
          events.reply(message.call, message.reply, message.error === undefined ? undefined : fromPlain(message.error));
          break;
        case 'lost':
          events.lost(message.scope, fromPlain(message.error));
          break;
        case 'notice':
          events.notice(message.notice, message.message);
          break;
        case 'changed':
          events.changed({ sessions: message.sessions, streaming: message.streaming, bots: message.bots });
          break;
        case 'bye':
          // Nothing comes after it, and not every kind of channel tells of its end.
          closedInPeace = true;
          port.close();
          end();
          break;
        case 'pong':
          break;
      }
    }, end);
    const { name, token } = hello;
    port.post({ t: 'hello', protocol: PROTOCOL, schema: SCHEMA, name, ...(token === undefined ? {} : { token }) });
  });
}

class PortConnection implements Connection {
  readonly remote = true;
  readonly #port: Port;
  closed = false;

  constructor(port: Port) {
    this.#port = port;
  }

  send(call: Call): undefined {
    const { call: number, scope, verb, write, timeoutMs, args, rows, operationId, attempt, firstSentMs } = call;
    // What the owner says at the deadline has to be here by then: it knows what became of the call.
    const marginMs = Math.min(100, timeoutMs / 5);
    this.#port.post({
      t: 'call',
      call: number,
      scope,
      verb,
      write,
      timeoutMs: timeoutMs - marginMs,
      args,
      rows,
      operationId,
      attempt,
      firstSentMs,
    });
    return undefined;
  }

  pause(): undefined {
    return undefined;
  }

  cancel(call: number): void {
    this.#port.post({ t: 'cancel', call });
  }

  ping(): void {
    this.#port.post({ t: 'ping' });
  }

  watch(on: boolean): void {
    this.#port.post({ t: 'watch', on });
  }

  hold(held: boolean): void {
    this.#port.hold(held);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#port.post({ t: 'bye' });
    this.#port.close();
  }
}
