import type { Certificate } from '../src/core/x509/certificate.ts';
import { issuerHashesOf } from '../src/core/x509/ocsp-cert-id.ts';
import { buildOcspRequest } from '../src/core/x509/ocsp-request.ts';
import { parseOcspResponse } from '../src/core/x509/read-ocsp-response.ts';
import { quantile } from './load.ts';
import type { Axis, Contender, Measurement } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { type SeededServer, startSeededServer } from './revocation-server.ts';

/** Revocation, OCSP and search over a few and over a million certificates. Between rounds a server and its database stay. */
export const revocationAxis: Axis = {
  name: 'revocation',
  meaning:
    'revoke to the answer, to OCSP and to the CRL shard; CPU of an OCSP answer, signed and kept; search; memory; at 1,000 and at 1,000,000',
  contenders: async () => [contender('countersign-1000', 1_000, 100), contender('countersign-1000000', 1_000_000, 100_000)],
};

type Figure = Omit<Measurement, 'contender'>;

function contender(name: string, issued: number, revoked: number): Contender {
  let server: SeededServer | null = null;
  let asked = 0;
  return {
    name,
    absent: () => null,
    measure: async () => {
      server ??= await openServer(issued, revoked);
      const figures = [
        ...(await measureRevocations(server)),
        ...(await measureAnswers(server, asked++)),
        ...(await measureLists(server, issued)),
      ];
      return [...figures, { metric: 'rss_mb', unit: 'MiB', value: readUsage(server.pid).rssMb }];
    },
    close: async () => server?.stop(),
  };
}

async function openServer(issued: number, revoked: number): Promise<SeededServer> {
  const server = await startSeededServer({ issued, revoked });
  // Every shard is built before anything is measured.
  try {
    await untilListed(server, (await revokeOne(server)).certificate);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function measureRevocations(server: SeededServer): Promise<Figure[]> {
  const waits: number[] = [];
  const untilOcsp: number[] = [];
  const untilCrl: number[] = [];
  const certificates: Certificate[] = [];
  for (let made = 0; made < REVOCATIONS; made++) certificates.push(await server.issue());
  for (const [index, certificate] of certificates.entries()) {
    // Asked before, so that what is kept has to be thrown away.
    if (index % WATCHED_EVERY === 0) await statusOf(server, certificate);
    const { ms, at } = await revokeOne(server, certificate);
    waits.push(ms);
    if (index % WATCHED_EVERY !== 0) continue;
    while ((await statusOf(server, certificate)) !== 'revoked') await pause();
    untilOcsp.push(performance.now() - at);
    await untilListed(server, certificate);
    untilCrl.push(performance.now() - at);
  }
  return [
    { metric: 'revoke_ms', unit: 'ms', value: quantile(waits, 0.5) },
    { metric: 'revoke_p99_ms', unit: 'ms', value: quantile(waits, 0.99) },
    { metric: 'revoke_to_ocsp_ms', unit: 'ms', value: Math.max(...untilOcsp) },
    { metric: 'revoke_to_crl_ms', unit: 'ms', value: Math.max(...untilCrl) },
  ];
}

async function revokeOne(
  server: SeededServer,
  given?: Certificate,
): Promise<{ readonly certificate: Certificate; readonly ms: number; readonly at: number }> {
  const certificate = given ?? (await server.issue());
  const startedAt = performance.now();
  await server.admin('POST', `/v1/certificates/${certificate.serialHex}/revocation`, { reason: 'superseded' });
  const at = performance.now();
  return { certificate, ms: at - startedAt, at };
}

/** Waits until the shard that the certificate names has its serial. */
async function untilListed(server: SeededServer, certificate: Certificate): Promise<void> {
  const path = new URL(certificate.crlDistributionPoints[0]!).pathname;
  const deadline = performance.now() + MAXIMUM_WAIT_MS;
  while (performance.now() < deadline) {
    const list = await server.open('GET', path).catch(() => Buffer.alloc(0));
    if (list.includes(certificate.serial)) return;
    await pause();
  }
  throw new Error(`${path} does not list ${certificate.serialHex}`);
}

async function statusOf(server: SeededServer, { serial }: Certificate): Promise<string> {
  const answer = parseOcspResponse(new Uint8Array(await server.open('POST', '/ocsp', questionOf(server, serial))));
  return answer.kind === 'answer' ? answer.answers[0]!.status.kind : answer.error;
}

/** CPU time of the whole server over many answers: first of serials that nobody asked for, then the same again. */
async function measureAnswers(server: SeededServer, round: number): Promise<Figure[]> {
  const { good } = server.seeded;
  const start = (round * SIGNED) % Math.max(1, good.length - SIGNED);
  const cold = good.slice(start, start + SIGNED);
  // A nonce makes every answer a new one where there are too few serials.
  const fresh =
    cold.length === SIGNED
      ? cold.map((serial) => questionOf(server, serial))
      : Array.from({ length: SIGNED }, (_, at) => questionOf(server, good[at % good.length]!, Buffer.from(`${round}-${at}`)));
  const kept = cold
    .slice(0, KEPT_SERIALS)
    .map((serial) => `/ocsp/${encodeURIComponent(Buffer.from(questionOf(server, serial)).toString('base64'))}`);
  // What runs for the first time is compiled: that is measured by the axis startup.
  await cpuOf(server, WARM_UP, (at) =>
    server.open('POST', '/ocsp', questionOf(server, good[at % good.length]!, Buffer.from(`w${round}-${at}`))),
  );
  const signed = await cpuOf(server, SIGNED, (at) => server.open('POST', '/ocsp', fresh[at]!));
  await cpuOf(server, kept.length, (at) => server.open('GET', kept[at]!));
  const cached = await cpuOf(server, CACHED, (at) => server.open('GET', kept[at % kept.length]!));
  return [
    { metric: 'cpu_us_per_answer', unit: 'us', value: signed },
    { metric: 'cpu_us_per_answer_cached', unit: 'us', value: cached },
  ];
}

async function cpuOf(server: SeededServer, count: number, ask: (at: number) => Promise<unknown>): Promise<number> {
  const before = readUsage(server.pid).cpuMs;
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) await ask(next++);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return ((readUsage(server.pid).cpuMs - before) * 1_000) / count;
}

async function measureLists(server: SeededServer, issued: number): Promise<Figure[]> {
  const { good, name } = server.seeded;
  const paths = {
    list_ms: (at: number) => `/v1/certificates?name=${name((at * 7_919) % issued)}`,
    list_by_serial_ms: (at: number) =>
      `/v1/certificates?serial=${Buffer.from(good[(at * 31) % good.length]!)
        .toString('hex')
        .slice(0, 12)}`,
    list_newest_ms: () => '/v1/certificates?limit=100',
    list_revoked_ms: () => '/v1/certificates?status=revoked&limit=100',
  };
  const figures: Figure[] = [];
  for (const [metric, path] of Object.entries(paths)) {
    const waits: number[] = [];
    for (let at = 0; at < LISTS; at++) {
      const startedAt = performance.now();
      const { items } = (await server.admin('GET', path(at))) as { readonly items?: readonly unknown[] };
      waits.push(performance.now() - startedAt);
      if (items === undefined || items.length === 0) throw new Error(`${path(at)} finds nothing`);
    }
    figures.push({ metric, unit: 'ms', value: quantile(waits, 0.5) });
  }
  return figures;
}

function questionOf({ issuer }: SeededServer, serial: Uint8Array, nonce: Uint8Array | null = null): Uint8Array {
  return buildOcspRequest([{ hash: 'sha256', issuer: issuerHashesOf(issuer, 'sha256'), serial }], nonce);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** A round; three rounds are a thousand. */
const REVOCATIONS = 334;
const WATCHED_EVERY = 50;
const WARM_UP = 1_000;
const SIGNED = 2_000;
const KEPT_SERIALS = 500;
const CACHED = 8_000;
const CLIENTS = 8;
const LISTS = 40;
const MAXIMUM_WAIT_MS = 60_000;
