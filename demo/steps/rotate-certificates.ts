import { X509Certificate } from 'node:crypto';
import { stateDirectoryOf } from '../acme-cloud.ts';
import { stealIdentity } from '../impostor/steal-identity.ts';
import type { Replica } from '../replica.ts';
import { type Run, pause } from '../run.ts';
import { readServedSerial } from '../served-serial.ts';

const SERVED_TIMEOUT_MS = 15_000;
const ORDER_TIMEOUT_MS = 2_000;

/**
 * Has every proxy renew its certificate, and looks for itself: a proxy counts when its own certificate is another one than before,
 * and where it serves an endpoint, when a handshake shows exactly the new one.
 */
export async function rotateCertificates({ plane, cloud, facts, progress }: Run): Promise<void> {
  const replicas = cloud.layout.replicas.filter(({ service }) => service.proxy !== 'none');
  const held = (replica: Replica): string => heldSerial(stateDirectoryOf(cloud, replica.name));
  const before = new Map(replicas.map((replica) => [replica.name, held(replica)]));
  const startedAt = Date.now();
  const ordered = plane.try('cert', 'rotate', '--all', '--reason', 'rotation under load');
  const isRotated = async (replica: Replica): Promise<boolean> => {
    const fresh = held(replica);
    if (fresh === before.get(replica.name)) return false;
    return replica.publicPort === null || (await readServedSerial(replica.publicPort)) === fresh;
  };
  let waiting: readonly Replica[] = replicas;
  while (waiting.length > 0 && Date.now() - startedAt < SERVED_TIMEOUT_MS) {
    await pause(200);
    const done = await Promise.all(waiting.map(isRotated));
    waiting = waiting.filter((_, index) => done[index] !== true);
    progress.tick(`${replicas.length - waiting.length} of ${replicas.length} new certificates are served`);
  }
  const seconds = (Date.now() - startedAt) / 1000;
  // The command waits for what the proxies report; how long it may, is not its own business here.
  const answer = await Promise.race([ordered, pause(ORDER_TIMEOUT_MS).then(() => null)]);
  plane.killCommands();
  facts.rotation = { certificates: replicas.length, failed: waiting.length, seconds };
  progress.note(`${replicas.length - waiting.length} of ${replicas.length} certificates in ${seconds.toFixed(1)} s`);
  if (answer === null) progress.note('cert rotate still waited for a new certificate');
  else if (answer.code !== 0) progress.note(`cert rotate ended with ${answer.code}: ${answer.stderr.trim()}`);
}

/** The serial (hex) of the certificate in a state directory. */
function heldSerial(directory: string): string {
  const identity = stealIdentity(directory);
  return identity === null ? '' : new X509Certificate(identity.cert).serialNumber;
}
