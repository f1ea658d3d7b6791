import type { SecureVersion } from 'node:tls';
import type { ClientCertificateDemand, HttpAnswer, TlsPosture } from '../../core/findings/posture.ts';
import type { HandshakeMessage } from '../../core/tls/read-server-flight.ts';
import { type Afterwards, type ClientCredential, type HandshakeOrder, type HandshakeSight, shakeHandsFully } from './full-handshake.ts';
import type { ScanLine } from './scan-line.ts';

type HandshakeQuestions = {
  readonly serverName: string | null;
  /** Null: no HTTP. */
  readonly host: string | null;
  readonly credential: ClientCredential | null;
  /** Newest first. */
  readonly versions: readonly SecureVersion[];
};

type Flight = { readonly form: 'tls-1.2' | 'tls-1.3'; readonly messages: readonly HandshakeMessage[] };

export type ShakenFacts = {
  readonly demand: ClientCertificateDemand;
  readonly protocols: readonly string[];
  readonly resumes: TlsPosture['resumes'];
  readonly renegotiatesForClients: boolean | null;
  readonly http: HttpAnswer | null;
  /** The server's messages, of the newest version. */
  readonly flights: readonly Flight[];
  /** Of the newest version, with a ticket. */
  readonly session: Buffer | null;
};

/** What only whole handshakes tell: who is let in, by which protocol, with which answer, and whether a session comes back. */
export async function scanHandshakes(line: ScanLine, { serverName, host, credential, versions }: HandshakeQuestions): Promise<ShakenFacts> {
  const [newest] = versions;
  if (newest === undefined) return nothing('no version that Node speaks');
  const afterwards: Afterwards = host === null ? { kind: 'listen' } : { kind: 'call', request: requestTo(host) };
  const shake = (order: Partial<HandshakeOrder>): Promise<HandshakeSight | null> =>
    shakeHandsFully(line, { version: newest, serverName, afterwards, ...(host === null ? {} : { protocols: ['http/1.1'] }), ...order });
  const [bare, held, h2] = await Promise.all([
    shake({}),
    credential === null ? null : shake({ credential }),
    shake({ protocols: ['h2'], credential, afterwards: { kind: 'leave' } }),
  ]);
  const best = held ?? bare;
  const leave: Partial<HandshakeOrder> = { credential, afterwards: { kind: 'leave' } };
  const [tls13, tls12] = await Promise.all(
    (['TLSv1.3', 'TLSv1.2'] as const).map((version) =>
      versions.includes(version) ? askResumption(line, { version, serverName, credential, afterwards }) : null,
    ),
  );
  const others = await Promise.all(signatureFamilies(newest).map((signatures) => shake({ ...leave, signatures })));
  const again = versions.includes('TLSv1.2') ? await shake({ ...leave, version: 'TLSv1.2', afterwards: { kind: 'renegotiate' } }) : null;
  return {
    demand: bare === null ? { kind: 'unknown', evidence: 'the bounds of the scan' } : demandOf(bare),
    protocols: [h2, best].flatMap((sight) => sight?.protocol ?? []),
    resumes: { tls13: tls13?.resumed ?? null, tls12: tls12?.resumed ?? null },
    http: best?.answer ?? null,
    renegotiatesForClients: again?.established === true ? again.renegotiated : null,
    flights: [bare, held, ...others].flatMap((sight) =>
      sight === null ? [] : [{ form: newest === 'TLSv1.3' ? 'tls-1.3' : 'tls-1.2', messages: sight.messages }],
    ),
    session: tls13?.session ?? null,
  };
}

function requestTo(host: string): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: countersign-scan\r\nConnection: close\r\n\r\n`;
}

type Resumption = { readonly resumed: boolean; readonly session: Buffer | null };

/** Null: no handshake ended well, so nothing could come back. */
async function askResumption(line: ScanLine, order: HandshakeOrder): Promise<Resumption | null> {
  const first = await shakeHandsFully(line, order);
  if (first === null || !first.established || (first.ended && first.session === null)) return null;
  if (first.session === null) return { resumed: false, session: null };
  const again = await shakeHandsFully(line, { ...order, session: first.session });
  return again === null ? null : { resumed: again.resumed, session: first.session };
}

/** A server of TLS 1.3 refuses after the client thinks the handshake over (RFC 8446 section 4.4.2.4), some of HTTP only the call. */
function demandOf(sight: HandshakeSight): ClientCertificateDemand {
  const { asksForCertificate, established, alert, ended, answer, body, octetsAnswered } = sight;
  if (!asksForCertificate) {
    return established
      ? { kind: 'none', evidence: 'no CertificateRequest' }
      : { kind: 'unknown', evidence: `the handshake failed${alertText(alert)}` };
  }
  if (!established)
    return { kind: 'required', evidence: `CertificateRequest, and without a certificate the handshake failed${alertText(alert)}` };
  if (octetsAnswered === 0 && (ended || alert !== null)) {
    return { kind: 'required', evidence: `CertificateRequest, and without a certificate the connection was closed${alertText(alert)}` };
  }
  if (answer !== null && /^HTTP\/1\.[01] 4\d\d/.test(answer.statusLine) && /certificate/i.test(body)) {
    return { kind: 'required', evidence: `CertificateRequest, and without a certificate the call was answered ${answer.statusLine}` };
  }
  const seen = answer === null ? 'the connection stayed open' : `the call was answered ${answer.statusLine}`;
  return { kind: 'optional', evidence: `CertificateRequest, and without a certificate ${seen}` };
}

function alertText(alert: number | null): string {
  return alert === null ? '' : ` (alert ${alert})`;
}

function nothing(why: string): ShakenFacts {
  return {
    demand: { kind: 'unknown', evidence: why },
    protocols: [],
    resumes: { tls13: null, tls12: null },
    renegotiatesForClients: null,
    http: null,
    flights: [],
    session: null,
  };
}

/** By the kind of the key: whoever is asked for all of them shows one certificate only. ML-DSA is of TLS 1.3 alone. */
function signatureFamilies(version: SecureVersion): readonly string[] {
  const older = ['ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519', 'RSA-PSS+SHA256:RSA-PSS+SHA384:RSA+SHA256:RSA+SHA384'];
  return version === 'TLSv1.3' ? [...older, 'mldsa44:mldsa65:mldsa87'] : older;
}
