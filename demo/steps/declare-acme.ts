import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { declareFleet, type DeclarationOptions, exceptionsUntil, scannerName } from '../declaration.ts';
import { paths, services } from '../fleet.ts';
import type { Run } from '../run.ts';
import { stateDirectoryOf } from '../acme-cloud.ts';

/** Shows the difference first, then applies it; then the scanner joins, as the first proof that joining works. */
export async function declareAcme(run: Run): Promise<void> {
  const { plane, cloud, facts, dataPlanes, progress } = run;
  const file = writeDeclaration(run, { admitsUndeclared: false, unwantedAt: [] });
  await plane.run('apply', '-f', file, '--dry-run');
  await plane.run('apply', '-f', file, '--yes');
  facts.exceptions = paths.flatMap(({ caller, endpoint }) => {
    const { proxy } = services.find(({ name }) => name === endpoint)!;
    if (proxy === 'sidecar') return [];
    const kind = proxy === 'bridge' ? ('bridge' as const) : ('one-way-tls' as const);
    return [{ path: `${caller} → ${endpoint}`, kind, owner: proxy === 'bridge' ? 'logistics' : 'finance', until: exceptionsUntil }];
  });
  const tokenFile = join(cloud.directory, 'state', `${scannerName}.token`);
  await plane.run('token', 'join', '--proxy', scannerName, '--out', tokenFile);
  const state = stateDirectoryOf(cloud, scannerName);
  const args = ['scanner', '--control', plane.dataPlaneAddress, '--state', state, '--join-token-file', tokenFile];
  dataPlanes.set(scannerName, plane.startDataPlane(scannerName, args));
  progress.note(`${services.length} services, ${paths.length} paths, ${facts.exceptions.length} exceptions`);
}

/** Writes the operator's file as it stands now. */
export function writeDeclaration({ cloud }: Run, options: DeclarationOptions): string {
  const file = join(cloud.directory, 'fleet.yaml');
  writeFileSync(file, declareFleet(cloud, options), { mode: 0o600 });
  return file;
}
