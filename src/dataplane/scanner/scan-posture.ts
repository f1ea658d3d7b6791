import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { SecureVersion } from 'node:tls';
import type { Posture, ServedChain, TlsPosture } from '../../core/findings/posture.ts';
import type { ProtocolVersion } from '../../core/tls/protocol-version.ts';
import { messageTypes, readServedCertificates, readStatus, type HandshakeMessage } from '../../core/tls/read-server-flight.ts';
import type { HelloAnswer } from './ask-hello.ts';
import type { StartTls } from './begin-talk.ts';
import { askPlaintext } from './ask-plaintext.ts';
import type { ClientCredential } from './full-handshake.ts';
import { openQuestions } from './hello-offers.ts';
import { readMaximumEarlyData } from './read-maximum-early-data.ts';
import { defaultScanLimits, ScanLine, type ScanLimits } from './scan-line.ts';
import { scanHandshakes } from './scan-handshakes.ts';
import { scanHello, scanOlder, scanTls13, scanVersions } from './scan-protocol.ts';

/** What is spoken on TLS; of some protocols it tells how TLS is begun. */
export type Speech = 'http' | 'other' | StartTls;

/** One endpoint as a client would come to it. */
export type ScanTarget = {
  /** An address, or a name that is resolved once. */
  readonly host: string;
  readonly port: number;
  /** Sent as SNI and as Host; null: no SNI, and the host as Host. */
  readonly serverName: string | null;
  /** Of all but `http` no octet of HTTP is sent, in the clear or on TLS. */
  readonly speech?: Speech;
  /** For questions that only a client with a certificate gets an answer to. */
  readonly credential?: ClientCredential | null;
  readonly limits?: ScanLimits;
};

/** Scans one endpoint: enough handshakes to say what it would agree to, and no octet that its service would act on but a GET of `/`. */
export async function scanPosture({
  serverName,
  speech = 'http',
  credential = null,
  limits = defaultScanLimits,
  ...target
}: ScanTarget): Promise<Posture> {
  const address = await resolve(target);
  if (address === null) return { kind: 'unreachable', because: `${target.host} has no address` };
  const line = new ScanLine(address, limits, speech === 'http' || speech === 'other' ? null : speech);
  const ask = openQuestions(line, serverName);
  const host = serverName ?? target.host;
  const [versions, plaintext] = await Promise.all([scanVersions(ask), speech === 'http' ? askPlaintext(line, host) : null]);
  if (versions.spoken.length === 0) {
    const because = unreachableBecause([...versions.answers.values()]);
    return because === null || plaintext !== null ? { kind: 'no-tls', plaintext } : { kind: 'unreachable', because };
  }
  const older = versions.spoken.findLast((version) => version !== '1.3') ?? null;
  const gaps: string[] = [];
  const [tls13, before, hello, clear, shaken] = await Promise.all([
    versions.spoken.includes('1.3') ? scanTls13(ask, versions.tls13Change, gaps) : null,
    older === null ? null : scanOlder(ask, older, gaps),
    older === null ? null : scanHello(ask, older),
    older === null ? null : ask(older, {}, 'flight'),
    scanHandshakes(line, { serverName, host: speech === 'http' ? host : null, credential, versions: fullVersions(versions.spoken) }),
  ]);
  if (line.refused > 0) gaps.push(`${line.refused} questions beyond the bounds of the scan`);
  const clearChain = clear?.kind === 'hello' ? chainIn(clear.messages, 'tls-1.2') : null;
  return {
    kind: 'tls',
    versions: versions.spoken,
    olderSuites: before?.suites ?? [],
    serverOrders: before?.serverOrders ?? null,
    tls13Suites: tls13?.suites ?? [],
    groups: { tls13: tls13?.groups ?? [], older: before?.groups ?? [] },
    primeBits: before?.primeBits ?? null,
    schemes: { tls13: tls13?.schemes ?? [], tls12: before?.schemes ?? [] },
    protocols: shaken.protocols,
    clientCertificate: demandOf(shaken, clear),
    compresses: hello?.compresses ?? false,
    renegotiatesSecurely: hello?.renegotiatesSecurely ?? null,
    renegotiatesForClients: shaken.renegotiatesForClients,
    resumes: shaken.resumes,
    earlyDataOctets: shaken.session === null ? 0 : readMaximumEarlyData(shaken.session),
    chains: distinctChains([...shaken.flights.map(({ messages, form }) => chainIn(messages, form)), clearChain]),
    plaintext,
    http: shaken.http,
    gaps: gaps.toSorted(),
    connections: line.used,
  };
}

async function resolve({
  host,
  port,
}: Pick<ScanTarget, 'host' | 'port'>): Promise<{ readonly host: string; readonly port: number } | null> {
  if (isIP(host) !== 0) return { host, port };
  // One address, so that all answers are of one server.
  const found = await lookup(host).catch(() => null);
  return found === null ? null : { host: found.address, port };
}

/** Null: something was connected to. */
function unreachableBecause(answers: readonly HelloAnswer[]): string | null {
  const reasons = answers.flatMap((answer) => (answer.kind === 'unanswered' ? [answer.because] : []));
  return reasons.length === answers.length ? reasons[0]! : null;
}

/** Those that Node's TLS speaks. */
function fullVersions(spoken: readonly ProtocolVersion[]): readonly SecureVersion[] {
  const names: { readonly [V in ProtocolVersion]?: SecureVersion } = {
    '1.0': 'TLSv1',
    '1.1': 'TLSv1.1',
    '1.2': 'TLSv1.2',
    '1.3': 'TLSv1.3',
  };
  return spoken.toReversed().flatMap((version) => names[version] ?? []);
}

function chainIn(messages: readonly HandshakeMessage[], form: 'tls-1.2' | 'tls-1.3'): ServedChain | null {
  const body = messages.find(({ type }) => type === messageTypes.certificate)?.body;
  if (body === undefined) return null;
  const served = readServedCertificates(body, form);
  const status = messages.find(({ type }) => type === messageTypes.certificateStatus)?.body;
  return served.length === 0 ? null : { certificates: served.map(({ der }) => der), staple: readStatus(status) ?? served[0]!.staple };
}

/** By their octets; a chain with a staple stands for the same one without, which was asked for without. */
function distinctChains(chains: readonly (ServedChain | null)[]): readonly ServedChain[] {
  const found = new Map<string, ServedChain>();
  for (const chain of chains) {
    if (chain === null) continue;
    const key = Buffer.concat(chain.certificates).toString('base64');
    if (!found.has(key) || found.get(key)!.staple === null) found.set(key, chain);
  }
  return [...found.values()];
}

function demandOf(shaken: Awaited<ReturnType<typeof scanHandshakes>>, clear: HelloAnswer | null): TlsPosture['clientCertificate'] {
  if (shaken.demand.kind !== 'unknown' || clear?.kind !== 'hello') return shaken.demand;
  const asks = clear.messages.some(({ type }) => type === messageTypes.certificateRequest);
  return { kind: 'unknown', evidence: asks ? 'a CertificateRequest, and no handshake that could be ended' : shaken.demand.evidence };
}
