import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { encodePem } from '../src/core/x509/pem.ts';
import { startControlPlane } from './control-plane.ts';
import { countFlushes } from './count-flushes.ts';
import { type Connection, jsonOf, openConnection } from './json-connection.ts';
import { quantile, runLoad } from './load.ts';
import type { Axis, Contender, Measurement } from './measurement.ts';
import { findStepCa, signRequestBody, startStepCa } from './step-ca.ts';

/** Durable issuance over HTTPS: a CSR in, a certificate out; credentials checked at each, one certificate a request. */
export const issuanceAxis: Axis = {
  name: 'issuance',
  meaning: 'durable issuance over HTTPS: certificates/s and server CPU with 32 clients, time and flushes with one',
  contenders: async () => [countersign, stepCa],
};

/** A started server and how one of its clients asks: `body` is made before the time is taken. */
type Issuer = {
  readonly pid: number;
  readonly url: string;
  readonly path: string;
  readonly headers: { readonly [name: string]: string };
  body(name: string, csrPem: string): string;
  /** Of an answer; PEM. */
  certificateOf(answer: Record<string, unknown>): unknown;
  stop(): Promise<void>;
};

const JSON_TYPE = { 'content-type': 'application/json' };

const countersign: Contender = contender('countersign', null, async (folder) => {
  const server = await startControlPlane(folder);
  return {
    pid: server.pid,
    url: server.adminUrl,
    path: '/v1/certificates',
    headers: { ...JSON_TYPE, authorization: `Bearer ${server.token}` },
    body: (name, csr) => JSON.stringify({ csr, profile: 'server', environment: 'production', dnsNames: [name] }),
    certificateOf: ({ pem }) => pem,
    stop: server.stop,
  };
});

const program = findStepCa();
const stepCa: Contender = contender('step-ca', program === null ? 'not installed (npm run peers -- bench)' : null, async (folder) => {
  const server = await startStepCa(program!, folder);
  return {
    pid: server.pid,
    url: server.url,
    path: '/1.0/sign',
    headers: JSON_TYPE,
    body: (name, csr) => signRequestBody(csr, server.tokenFor(name)),
    certificateOf: ({ crt }) => crt,
    stop: server.stop,
  };
});

function contender(name: string, absent: string | null, start: (folder: string) => Promise<Issuer>): Contender {
  return {
    name,
    absent: () => absent,
    measure: async () => {
      const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
      try {
        const issuer = await start(folder);
        try {
          return await measureIssuer(issuer);
        } finally {
          await issuer.stop();
        }
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

async function measureIssuer(issuer: Issuer): Promise<Omit<Measurement, 'contender'>[]> {
  const connections = Array.from({ length: CLIENTS }, () => openConnection(issuer.url));
  try {
    const run = (count: number, clients: number) => {
      const bodies = makeBodies(issuer, count);
      return runLoad(issuer.pid, { count, clients }, (index, client) => issueOne(issuer, connections[client]!, bodies[index]!));
    };
    // What runs for the first time is compiled: that is measured by the axis startup.
    await run(WARM_UP, CLIENTS);
    const many = await run(MANY, CLIENTS);
    const alone = await run(ALONE, 1);
    const traced = makeBodies(issuer, TRACED);
    const flushes = await countFlushes(issuer.pid, async () => {
      for (const body of traced) await issueOne(issuer, connections[0]!, body);
    });
    return [
      { metric: 'certificates_per_s', unit: '1/s', value: (MANY * 1_000) / many.wallMs },
      { metric: 'cpu_us_per_certificate', unit: 'us', value: (many.serverCpuMs * 1_000) / MANY },
      { metric: 'p99_ms', unit: 'ms', value: quantile(many.waitsMs, 0.99) },
      { metric: 'p50_ms', unit: 'ms', value: quantile(alone.waitsMs, 0.5) },
      { metric: 'cpu_us_per_certificate_alone', unit: 'us', value: (alone.serverCpuMs * 1_000) / ALONE },
      ...(flushes === null ? [] : [{ metric: 'fsyncs_per_certificate', unit: '', value: flushes / TRACED }]),
    ];
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
  }
}

/** Distinct names and keys: nothing that a server remembers helps it. */
function makeBodies(issuer: Issuer, count: number): string[] {
  return Array.from({ length: count }, () => {
    const name = `host-${made++}.bench.example`;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return issuer.body(name, encodePem('CERTIFICATE REQUEST', buildCertificateRequest({ dnsNames: [name] }, privateKey)));
  });
}

async function issueOne(issuer: Issuer, connection: Connection, body: string): Promise<void> {
  const answer = jsonOf(await connection.send('POST', issuer.path, body, issuer.headers));
  const pem = issuer.certificateOf(answer);
  if (typeof pem !== 'string' || !pem.startsWith('-----BEGIN CERTIFICATE-----')) throw new Error('answered without a certificate');
}

let made = 0;
const CLIENTS = 32;
const WARM_UP = 2_000;
const MANY = 4_000;
const ALONE = 300;
const TRACED = 50;
