import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateDirectoryOf } from '../acme-cloud.ts';
import { spiffeIdOf, suspendedService } from '../fleet.ts';
import type { ThiefConfig } from '../impostor/impostor-config.ts';
import { stealIdentity, type StolenIdentity } from '../impostor/steal-identity.ts';
import { isServed, useStolenIdentity } from '../impostor/use-stolen-identity.ts';
import { suspend, writeJoinToken } from '../product-api.ts';
import { publicPortsOf } from '../replica.ts';
import { pause, type Run } from '../run.ts';

const STOLEN_CALLS_PER_SECOND = 50;
const USED_BEFORE_MS = 2_000;
const WATCHED_AFTER_MS = 3_000;

/**
 * A thief uses the key of a service: 50 calls a second over an open, a resumed and a new connection each. The identity is suspended;
 * from the API's answer on, the observer's file tells when an origin received the last call. Then renewal, join and stream are tried
 * with the stolen key; each was answered before, so that a refusal means something.
 */
export async function suspendIdentity(run: Run): Promise<void> {
  const { plane, cloud, facts, timeline, progress } = run;
  const directory = stateDirectoryOf(cloud, `${suspendedService}-1`);
  const stolen = stealIdentity(directory);
  if (stolen === null) throw new Error(`Cannot steal the identity of ${suspendedService}: nothing has joined`);
  const [tokenBefore, tokenAfter] = [await makeJoinToken(run, 'before'), await makeJoinToken(run, 'after')];
  const before = await useIdentity(run, stolen, tokenBefore);
  const thief = startThief(run, directory);
  await thief.says('ready');
  await pause(USED_BEFORE_MS);
  const requestedAt = Date.now();
  await suspend(plane, spiffeIdOf(suspendedService), 'its key was stolen');
  timeline.suspended = { caller: suspendedService, requestedAt, answeredAt: Date.now() };
  await pause(WATCHED_AFTER_MS);
  await thief.stop();
  const after = await useIdentity(run, stolen, tokenAfter);
  for (const use of ['renewal', 'join', 'stream'] as const) {
    if (!isServed(before[use])) progress.note(`${use} with the stolen key was not answered even before: ${JSON.stringify(before[use])}`);
  }
  facts.revocation = {
    secondsToLastAcceptedCall: Number.POSITIVE_INFINITY,
    acceptedBefore: { open: 0, resumed: 0, new: 0 },
    renewalRefused: isServed(before.renewal) && !isServed(after.renewal),
    joinRefused: isServed(before.join) && !isServed(after.join),
    streamRefused: isServed(before.stream) && !isServed(after.stream),
  };
}

async function makeJoinToken({ plane, cloud }: Run, name: string): Promise<string> {
  const file = join(cloud.directory, 'state', `stolen-${name}.token`);
  await writeJoinToken(plane, `${suspendedService}-1`, file);
  return readFileSync(file, 'utf8').trim();
}

function useIdentity({ plane }: Run, stolen: StolenIdentity, joinToken: string): ReturnType<typeof useStolenIdentity> {
  return useStolenIdentity(plane.dataPlaneAddress, spiffeIdOf(suspendedService), stolen, joinToken);
}

function startThief({ cloud }: Run, stateDirectory: string): ReturnType<typeof cloud.group.start> {
  const config: ThiefConfig = {
    observerUrl: cloud.observerUrl,
    caller: suspendedService,
    endpoint: 'inventory',
    port: publicPortsOf(cloud.layout, 'inventory')[0]!,
    stateDirectory,
    callsPerSecond: STOLEN_CALLS_PER_SECOND,
  };
  const file = join(cloud.directory, 'config', 'thief.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return cloud.group.start('thief', { args: [join(import.meta.dirname, '..', 'impostor', 'thief.ts'), file] });
}
