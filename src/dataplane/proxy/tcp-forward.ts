import type { Socket } from 'node:net';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Upstream } from './upstream.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';

export type TcpHop = {
  readonly upstream: Upstream;
  /** Goes before whatever the near end says. */
  readonly preamble?: Buffer;
  readonly onFailure: (reason: RefusalReason) => void;
};

/** Carries a stream to the next hop and back; each direction ends for itself. The near socket is paused until the far one is there. */
export async function forwardTcp(near: Socket, { upstream, preamble, onFailure }: TcpHop): Promise<void> {
  let far: Socket;
  try {
    far = await upstream.connect();
  } catch (error) {
    near.destroy();
    onFailure(error instanceof UpstreamFailure ? error.reason : 'upstream-broken');
    return;
  }
  if (near.destroyed) return void far.destroy();
  if (preamble !== undefined && preamble.length > 0) far.write(preamble);
  joinSockets(near, far);
}

/** Each end's data and end go to the other; an error or close of one closes both. */
export function joinSockets(near: Socket, far: Socket): void {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => (from.readableEnded ? to.end() : to.destroy()));
    from.pipe(to);
  }
}
