import { spawn } from 'node:child_process';
import { type KeyObject, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { DAY_MS } from '../src/core/time/instant.ts';
import { encodePem } from '../src/core/x509/pem.ts';
import { jwkOf, newKey, signJws, thumbprintOf } from '../test/support/acme-client.ts';
import { certify, makeHolder } from '../test/support/make-certificate.ts';
import { freePort, stopProgram, untilAnswered } from './program.ts';

/** Where the program is: on the PATH, or where `npm run peers -- bench` puts it; null: nowhere. */
export function findStepCa(): string | null {
  const folders = [
    join(import.meta.dirname, '../.test/peers/bin'),
    ...(process.env['PATH'] ?? '').split(delimiter),
    join(homedir(), 'go/bin'),
  ];
  return folders.map((folder) => join(folder, 'step-ca')).find((file) => existsSync(file)) ?? null;
}

export type StepCa = {
  readonly pid: number;
  readonly url: string;
  /** A one-time token for one name, good for five minutes (the JWK provisioner's). */
  tokenFor(name: string): string;
  stop(): Promise<void>;
};

/**
 * Starts step-ca durable, with a P-256 intermediate in a file, one JWK and one ACME provisioner, no log of requests. Its database is bbolt: with badger
 * it answers before anything is flushed, as the axis's own count of flushes showed.
 */
export async function startStepCa(
  program: string,
  folder: string,
  validation: { readonly httpPort: number; readonly dnsServer: string } | null = null,
): Promise<StepCa> {
  const port = await freePort();
  const origin = `https://127.0.0.1:${port}`;
  const provisionerKey = newKey();
  const config = await writeConfig(folder, port, provisionerKey);
  const flags = validation === null ? [] : ['--insecure', `--acme-http-port=${validation.httpPort}`, `--resolver=${validation.dnsServer}`];
  const child = spawn(program, [...flags, config], { stdio: ['ignore', 'ignore', 'ignore'], cwd: folder });
  try {
    await untilAnswered(`${origin}/health`, child);
  } catch (error) {
    await stopProgram(child);
    throw error;
  }
  const kid = thumbprintOf(provisionerKey);
  return {
    pid: child.pid!,
    url: origin,
    tokenFor: (name) => {
      const now = Math.floor(Date.now() / 1_000);
      const claims = {
        iss: 'bench',
        aud: `${origin}/1.0/sign`,
        sub: name,
        sans: [name],
        iat: now,
        nbf: now - 60,
        exp: now + 300,
        jti: randomUUID(),
      };
      const { protected: head, payload, signature } = signJws(provisionerKey, { alg: 'ES256', typ: 'JWT', kid }, claims);
      return `${head}.${payload}.${signature}`;
    },
    stop: () => stopProgram(child),
  };
}

async function writeConfig(folder: string, port: number, provisionerKey: KeyObject): Promise<string> {
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const validity = { notBefore: now - DAY_MS, notAfter: now + 365 * DAY_MS };
  const [root, issuing] = [makeHolder('Bench Root'), makeHolder('Bench Issuing')];
  const rootCertificate = certify(root, root, true, validity);
  const issuingCertificate = certify(issuing, root, true, validity);
  const files = {
    root: join(folder, 'root.pem'),
    crt: join(folder, 'issuing.pem'),
    key: join(folder, 'issuing.key'),
  };
  await writeFile(files.root, encodePem('CERTIFICATE', rootCertificate.der));
  await writeFile(files.crt, encodePem('CERTIFICATE', issuingCertificate.der));
  await writeFile(files.key, issuing.key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const key = { ...jwkOf(provisionerKey), use: 'sig', alg: 'ES256', kid: thumbprintOf(provisionerKey) };
  const provisioners = [
    { type: 'JWK', name: 'bench', key },
    { type: 'ACME', name: 'acme' },
  ];
  const config = {
    ...files,
    address: `127.0.0.1:${port}`,
    dnsNames: ['127.0.0.1'],
    db: { type: 'bbolt', dataSource: join(folder, 'db.bbolt') },
    authority: { provisioners },
    tls: { minVersion: 1.3, maxVersion: 1.3 },
  };
  const file = join(folder, 'ca.json');
  await writeFile(file, JSON.stringify(config));
  return file;
}

/** What an unmodified client would send to `/1.0/sign`. */
export function signRequestBody(csrPem: string, token: string): string {
  return JSON.stringify({ csr: csrPem, ott: token });
}
