import { timingSafeEqual } from 'node:crypto';
import { connect, type TLSSocket } from 'node:tls';
import { ipAddressOctets, type IpAddress } from '../../core/identity/ip-address.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Certificate, certificateKey, parseCertificate } from '../../core/x509/certificate.ts';
import { verifySignature } from '../../core/x509/signature-algorithm.ts';
import { dialOutside } from '../../platform/network/dial-outside.ts';
import type { Authorization } from './authorization.ts';
import type { Identifier } from './identifier.ts';
import type { KeyAuthorization, Proof, ProofDeps } from './proof.ts';

/** RFC 8737 section 3, for addresses RFC 8738 section 6: a self-signed certificate of exactly this name holds the digest. */
export async function proveByTlsAlpn(
  { resolver, policy, ports }: ProofDeps,
  { identifier }: Pick<Authorization, 'identifier'>,
  expected: KeyAuthorization,
): Promise<Proof> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const dialled = await dialOutside({ resolver, policy }, { host: identifier.value, port: ports.tls, signal });
  if (dialled.kind === 'failed') return { kind: 'failed', type: dialled.stage === 'dns' ? 'dns' : 'connection', detail: dialled.detail };
  const { socket, address } = dialled;
  try {
    const tls = connect({
      socket,
      servername: serverNameOf(identifier),
      ALPNProtocols: [PROTOCOL],
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    await handshake(tls, signal);
    const fault =
      tls.alpnProtocol === PROTOCOL ? judge(tls.getPeerCertificate().raw, identifier, expected.sha256) : `did not agree to ${PROTOCOL}`;
    tls.destroy();
    if (fault === null) return { kind: 'proven', address };
    return { kind: 'failed', type: 'unauthorized', detail: `${identifier.value} at port ${ports.tls}: ${fault}` };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    return {
      kind: 'failed',
      type: 'tls',
      detail: `${identifier.value} at port ${ports.tls}: handshake: ${signal.aborted ? 'no answer in time' : code}`,
    };
  } finally {
    socket.destroy();
  }
}

/** RFC 8738 section 6: an address has no SNI of its own, so its reverse name stands there. */
function serverNameOf({ type, value }: Identifier): string {
  if (type === 'dns') return value;
  const octets = [...ipAddressOctets(value as IpAddress)].toReversed();
  if (octets.length === 4) return `${octets.join('.')}.in-addr.arpa`;
  return `${octets.map((octet) => `${(octet & 15).toString(16)}.${(octet >> 4).toString(16)}`).join('.')}.ip6.arpa`;
}

async function handshake(tls: TLSSocket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => reject(new Error('no answer in time'));
  signal.addEventListener('abort', stop, { once: true });
  tls.once('secureConnect', resolve);
  tls.on('error', reject);
  tls.once('close', () => reject(new Error('closed')));
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** What is wrong with the certificate; null: nothing. */
function judge(raw: Uint8Array | undefined, { type, value }: Identifier, digest: Uint8Array): string | null {
  if (raw === undefined) return 'sent no certificate';
  const certificate = parse(new Uint8Array(raw));
  if (certificate === null) return 'the certificate cannot be parsed';
  const { dns, ip, uri, email, directory, other } = certificate.subjectAltNames;
  const all = dns.length + ip.length + uri.length + email.length + directory.length + other.length;
  const named = type === 'dns' ? dns[0]?.toLowerCase() : ip[0];
  if (all !== 1 || named !== value) return 'the certificate has not exactly the one name';
  const extension = certificate.extensions.find(({ oid }) => oid === ACME_IDENTIFIER);
  if (extension?.critical !== true) return 'the certificate has no critical acmeIdentifier';
  const [tag, length] = extension.value;
  // DER OCTET STRING of 32 octets.
  const shown = extension.value.subarray(2);
  if (tag !== 0x04 || length !== digest.length || shown.length !== digest.length || !timingSafeEqual(shown, digest)) {
    return 'acmeIdentifier is not the digest of the key authorization';
  }
  return isSelfSigned(certificate) ? null : 'the certificate is not self-signed';
}

function parse(der: Uint8Array): Certificate | null {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

function isSelfSigned(certificate: Certificate): boolean {
  const { signatureAlgorithm, tbs, signature, issuer, subject } = certificate;
  if (signatureAlgorithm === null || !Buffer.from(issuer.der).equals(subject.der)) return false;
  try {
    return verifySignature(signatureAlgorithm, certificateKey(certificate), tbs, signature);
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

const PROTOCOL = 'acme-tls/1';
/** id-pe-acmeIdentifier (RFC 8737 section 6.1). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31';
const TIMEOUT_MS = 10_000;
