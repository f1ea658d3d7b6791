/**
 * Installs the real programs that the tests examine Countersign with (`npm run peers`).
 * `npm test` calls it only with CI=true; elsewhere a missing peer's tests are skipped by name.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';

type Peer = { readonly name: string; readonly present: () => boolean; readonly apt: readonly string[]; readonly for: string };

const onPath = (program: string) => (): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));

const peers: readonly Peer[] = [
  { name: 'openssl', present: onPath('openssl'), apt: ['openssl'], for: 'certificates, CRLs and handshakes judged by OpenSSL' },
  {
    name: 'postgresql',
    present: () => globSync('/usr/lib/postgresql/*/bin/initdb').length > 0,
    apt: ['postgresql'],
    for: 'every store test on PostgreSQL (without it: the npm binaries)',
  },
  { name: 'strace', present: onPath('strace'), apt: ['strace'], for: 'the order of fdatasync and answer' },
];

/** Runs apt-get without questions; true if it went well. */
function apt(...args: string[]): boolean {
  const { status } = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
  return status === 0;
}

const missing = peers.filter((peer) => !peer.present());
if (missing.length > 0) {
  apt('update');
  for (const peer of missing) {
    console.log(`peers: installing ${peer.name} (${peer.for})`);
    apt('install', '-y', '--no-install-recommends', ...peer.apt);
  }
}
const absent = peers.filter((peer) => !peer.present());
for (const peer of absent) console.error(`peers: ${peer.name} is missing; needed for ${peer.for}`);
console.log(`peers: ${peers.length - absent.length} of ${peers.length} present`);
process.exitCode = absent.length === 0 ? 0 : 1;
