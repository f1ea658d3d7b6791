import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateDirectoryOf } from '../acme-cloud.ts';
import { stealIdentity } from '../impostor/steal-identity.ts';
import { checkCheckpoints } from '../observer/check-checkpoints.ts';
import { readExportedEntries } from '../observer/read-tiles.ts';
import type { Run } from '../run.ts';

/**
 * Exports the log, has the product verify it offline, and verifies it with the observer's own code: every kept checkpoint, and that
 * each certificate that a proxy holds stands in an entry.
 */
export async function verifyLog({ plane, cloud, facts, progress }: Run): Promise<void> {
  const directory = join(cloud.directory, 'log');
  // What was kept until now: the log grows on while it is exported.
  const kept = `${cloud.files.checkpoints}.kept`;
  copyFileSync(cloud.files.checkpoints, kept);
  await plane.run('audit', 'export', directory);
  const { code, stderr, stdout } = await plane.try('audit', 'verify', directory);
  if (code !== 0) progress.note(`audit verify ended with ${code}: ${(stderr + stdout).trim()}`);
  const verifierKey = readFileSync(join(directory, 'verifier'), 'utf8');
  const verdict = checkCheckpoints(kept, directory, verifierKey);
  facts.checkpoints = { kept: verdict.kept, consistent: verdict.consistent, problem: verdict.problem };
  const entries = verdict.consistent ? readExportedEntries(directory, verdict.entries).map((entry) => entry.toString().toLowerCase()) : [];
  const missing = cloud.layout.replicas
    .filter(({ service }) => service.proxy !== 'none')
    .map(({ name }) => ({ name, serial: heldSerial(stateDirectoryOf(cloud, name)) }))
    .filter(({ serial }) => serial !== null && !entries.some((entry) => entry.includes(serial)))
    .map(({ name, serial }) => `${name} ${serial}`);
  facts.audit = { entries: verdict.entries, verified: code === 0 && verdict.consistent, missing };
  progress.note(`${verdict.entries} entries, ${verdict.kept} checkpoints kept`);
}

function heldSerial(directory: string): string | null {
  const identity = stealIdentity(directory);
  return identity === null ? null : new X509Certificate(identity.cert).serialNumber.toLowerCase();
}
