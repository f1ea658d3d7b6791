import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const closed = once(server, 'close');
  server.close();
  await closed;
  return port;
}

/** Asks until an answer of status 200 comes; the program may not listen yet. @throws Error when it exits or the time is over */
export async function untilAnswered(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + MAXIMUM_WAIT_MS;
  while (performance.now() < deadline && child.exitCode === null) {
    if (await answers(url)) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`${child.spawnargs[0]} did not answer`);
}

function answers(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const get = url.startsWith('https:') ? getHttps : getHttp;
  // The bench measures time, not trust: it started this server itself a moment ago.
  const outgoing = get(url, { agent: false, rejectUnauthorized: false }, (response) => {
    response.resume();
    response.on('end', () => resolve(response.statusCode === 200));
  });
  outgoing.on('error', () => resolve(false));
  return promise;
}

/** Ends a program: by request, and after ten seconds by force. */
export async function stopProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}

/** The next message of a forked program; rejects if it ends before. */
export function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a program of the bench ended with ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message);
    });
  });
}

const MAXIMUM_WAIT_MS = 30_000;
