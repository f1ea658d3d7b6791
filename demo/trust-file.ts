import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AcmeCloud } from './acme-cloud.ts';
import { makeCredential } from './certificate.ts';

/** The partner's own trust file. */
export function trustFileOf(cloud: AcmeCloud): string {
  return join(cloud.directory, 'partner-trust.pem');
}

/** What the partner trusts at first: some authority, and not the one that issues to Acme. */
export function writeWrongTrustFile(cloud: AcmeCloud): void {
  writeFileSync(trustFileOf(cloud), makeCredential({ commonName: 'Partner Root', isAuthority: true }).certificate, { mode: 0o600 });
}

/** The repair: Acme's root is added, in one rename. */
export function repairTrustFile(cloud: AcmeCloud, rootFile: string): void {
  const fresh = `${trustFileOf(cloud)}.new`;
  writeFileSync(fresh, readFileSync(trustFileOf(cloud), 'utf8') + readFileSync(rootFile, 'utf8'), { mode: 0o600 });
  renameSync(fresh, trustFileOf(cloud));
}
