import { exceptionsUntil } from '../declaration.ts';
import type { SocketFact } from '../facts.ts';
import { listListeningSockets, probePlaintext } from '../listening-sockets.ts';
import type { Run } from '../run.ts';

/** Asks every listening TCP socket of the demo's processes in plaintext. Those that may answer are named, with owner and end date. */
export async function listSockets(run: Run): Promise<void> {
  const { cloud, facts, progress } = run;
  const processes = new Map(cloud.group.running.map(({ pid, name }) => [pid, name]));
  const sockets = listListeningSockets([...processes.keys()]);
  if (sockets === null) {
    progress.note('listening sockets are read from /proc, which this system does not have');
    return;
  }
  const exceptions = nameExceptions(run);
  facts.sockets = await Promise.all(
    sockets.map(async ({ port, pids }): Promise<SocketFact> => ({
      port,
      processes: [...new Set(pids.map((pid) => processes.get(pid)!))],
      plaintext: await probePlaintext(port),
      exception: exceptions.get(port) ?? null,
    })),
  );
  const open = facts.sockets.filter(({ plaintext }) => plaintext === 'answered').length;
  progress.note(
    `${facts.sockets.length} listening sockets, ${facts.sockets.length - open} refuse plaintext, ${exceptions.size} are named exceptions`,
  );
}

/** By port: why plaintext is answered there, who answers for it, and until when. */
function nameExceptions({ cloud, plane }: Run): ReadonlyMap<number, NonNullable<SocketFact['exception']>> {
  const until = exceptionsUntil;
  const named = new Map<number, NonNullable<SocketFact['exception']>>([
    [Number(new URL(cloud.observerUrl).port), { why: "the demo's own observer", owner: 'demo', until }],
    [Number(new URL(plane.publicUrl).port), { why: 'CRLs and the log checkpoint, signed in themselves', owner: 'platform', until }],
  ]);
  for (const { name, egress, service, behindBridgePort } of cloud.layout.replicas) {
    for (const { port } of egress.values()) {
      named.set(port, { why: `loopback hop of ${name} to its own sidecar`, owner: service.owner, until });
    }
    if (behindBridgePort !== null)
      named.set(behindBridgePort, { why: `${name} behind its bridge speaks plaintext only`, owner: service.owner, until });
  }
  return named;
}
