import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export type SocketRelay = AsyncDisposable & {
  /** Nothing more is read of who connected, until it is let go: it meets back-pressure. */
  hold(): void;
  letGo(): void;
  /** Breaks every connection, with what is on its way. */
  cut(): void;
};

/** Carries octets from one Unix socket to another, and can be made slow or broken. */
export async function openSocketRelay(path: string, target: string): Promise<SocketRelay> {
  const pairs = new Set<{ readonly near: Socket; readonly far: Socket }>();
  let isHeld = false;
  const server = createServer((near) => {
    const far = connect(target);
    const pair = { near, far };
    pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
      from.on('data', (octets: Buffer) => void to.write(octets));
    }
    if (isHeld) near.pause();
  });
  server.listen(path);
  await once(server, 'listening');
  const cut = (): void => {
    for (const { near, far } of pairs) for (const socket of [near, far]) socket.destroy();
  };
  return {
    hold() {
      isHeld = true;
      for (const { near } of pairs) near.pause();
    },
    letGo() {
      isHeld = false;
      for (const { near } of pairs) near.resume();
    },
    cut,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
