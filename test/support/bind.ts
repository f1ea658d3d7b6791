import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignatureAlgorithm } from '../../src/core/dns/transaction-signature.ts';
import { freePort } from './free-port.ts';

/** Where Debian puts BIND, or null where `npm run peers` did not install it. */
export const bindProgram: string | null = existsSync('/usr/sbin/named') ? '/usr/sbin/named' : null;

export type Bind = AsyncDisposable & Awaited<ReturnType<typeof startBind>>;

/** BIND on loopback, primary of `acme.test` and `deep.acme.test`, where one key for each algorithm may change the TXT records of ACME, and nothing else. */
export async function startBind() {
  if (bindProgram === null) throw new Error('BIND is missing');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bind-'));
  const port = await freePort();
  const algorithms: readonly SignatureAlgorithm[] = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'];
  const keys = algorithms.map((algorithm) => ({ keyName: `key-${algorithm}`, algorithm, secret: randomBytes(32).toString('base64') }));
  const zones = ['acme.test', 'deep.acme.test'];
  const grants = keys.map(
    ({ keyName }) => `grant ${keyName}. name _acme-challenge.acme.test. TXT; grant ${keyName}. name _acme-challenge.deep.acme.test. TXT;`,
  );
  const config = [
    `options { directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no;`,
    `pid-file none; session-keyfile "${folder}/session.key"; lock-file none; allow-transfer { none; }; notify no; };`,
    'controls {};',
    ...keys.map(({ keyName, algorithm, secret }) => `key "${keyName}" { algorithm ${algorithm}; secret "${secret}"; };`),
    ...zones.map((zone) => `zone "${zone}" { type primary; file "${folder}/${zone}.zone"; update-policy { ${grants.join(' ')} }; };`),
  ];
  await writeFile(join(folder, 'named.conf'), config.join('\n'));
  for (const zone of zones) await writeFile(join(folder, `${zone}.zone`), zoneFile);
  const child = spawn(bindProgram, ['-g', '-n', '1', '-c', join(folder, 'named.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  child.stderr.on('data', (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-20_000);
    if (/ running\n/.test(said)) resolve();
  });
  child.once('error', reject);
  child.once('exit', (code) => reject(new Error(`BIND ended with ${code}: ${said}`)));
  await ready;
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${port}`]);
  return {
    port,
    address: `127.0.0.1:${port}`,
    keys,
    said: () => said,
    /** The TXT records of a name, sorted; none if there is no such name. */
    texts: async (name: string): Promise<readonly string[]> => {
      const found = await resolver.resolveTxt(name).catch((error: { readonly code?: string }) => {
        if (error.code === 'ENOTFOUND' || error.code === 'ENODATA') return [];
        throw error;
      });
      return found.map((strings) => strings.join('')).toSorted();
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const zoneFile =
  '$TTL 60\n@ IN SOA ns.acme.test. admin.acme.test. 1 3600 600 86400 5\n@ IN NS ns.acme.test.\nns.acme.test. IN A 127.0.0.1\n';
