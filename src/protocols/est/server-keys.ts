import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { Principal } from '../../control/access/principal.ts';
import { requestCertificate } from '../../control/ca/request-certificate.ts';
import { requestedNames } from '../../core/issuance/requested-names.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildCertificateRequest, type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { oids } from '../../core/x509/oid.ts';
import { base64, certificatesAnswer, type EstAnswer } from './answer.ts';
import type { EstCall } from './call.ts';
import type { EstDeps } from './deps.ts';
import { orderOf, readBoundCsr } from './enrol.ts';

/**
 * A key made here with its certificate (RFC 7030 section 4.4), of the kind that the CSR's own key has. It is in the answer and nowhere else: nothing stores it, and
 * an answer that is lost is lost. @throws forbidden unless the profile says `serverKeys`, or persons have to approve
 */
export async function makeServerKey(deps: EstDeps, call: EstCall, principal: Principal, now: Instant): Promise<EstAnswer> {
  const { profile } = call.target;
  if (profile.serverKeys !== true) throw new Problem('forbidden', `Cannot make key: profile ${profile.name} does not say serverKeys`);
  // It would have to be stored until they have.
  if (profile.approvals !== undefined) throw new Problem('forbidden', `Cannot make key: profile ${profile.name} wants approvals`);
  const asked = await readBoundCsr(deps, call);
  // RFC 7030 section 4.4.1.1: who asks for it encrypted must not get it in the clear.
  if (asked.attributeTypes.some((type) => type === oids.decryptKeyId || type === oids.asymmetricDecryptKeyId))
    throw new Problem('forbidden', 'Cannot make key: the CSR wants it encrypted besides TLS, which is not offered');
  const privateKey = await makeKey(asked);
  const { spiffeId, names } = requestedNames(asked);
  const fields = { uris: spiffeId === null ? [] : [spiffeId], dnsNames: names.dns, ipAddresses: names.ip };
  const csr = parseCertificateRequest(buildCertificateRequest(fields, privateKey));
  const order = orderOf(deps, call.target, { csr, principal }, now);
  const requested = await requestCertificate(deps, { ...order, note: { ...order.note, serverKey: true } }, principal.tokenId, now);
  if (requested.kind !== 'issued') throw new Problem('forbidden', `Cannot make key: profile ${profile.name} wants approvals`);
  return keyAnswer(privateKey, requested.certificate.der);
}

/** Two parts, the key first. Neither says a transfer encoding, as everywhere here (RFC 8951 section 3.1). */
function keyAnswer(privateKey: KeyObject, certificate: Uint8Array): EstAnswer {
  const key = { headers: { 'content-type': 'application/pkcs8' }, body: base64(privateKey.export({ type: 'pkcs8', format: 'der' })) };
  const parts = [key, certificatesAnswer([certificate])].map(
    ({ headers, body }) => `--${BOUNDARY}\r\nContent-Type: ${headers['content-type']}\r\n\r\n${body}\r\n`,
  );
  return {
    status: 200,
    headers: { 'content-type': `multipart/mixed; boundary=${BOUNDARY}` },
    body: `${parts.join('')}--${BOUNDARY}--\r\n`,
  };
}

/** @throws forbidden for a kind that no profile certifies, or that takes too long to make */
async function makeKey({ publicKeyKind: kind }: CertificateRequest): Promise<KeyObject> {
  switch (kind.kind) {
    case 'ec':
      return (await makeEcKey('ec', { namedCurve: kind.curve })).privateKey;
    case 'ed25519':
      return (await makeEdKey('ed25519')).privateKey;
    case 'rsa':
      if (!kind.pss && RSA_BITS.includes(kind.bits)) return (await makeRsaKey('rsa', { modulusLength: kind.bits })).privateKey;
      break;
    default:
  }
  throw new Problem(
    'forbidden',
    `Cannot make key: the CSR has a key of another kind than EC, Ed25519 or RSA of ${RSA_BITS.join(', ')} bits`,
  );
}

const makeEcKey = promisify<'ec', { readonly namedCurve: string }, { readonly privateKey: KeyObject }>(generateKeyPair as never);
const makeEdKey = promisify<'ed25519', { readonly privateKey: KeyObject }>(generateKeyPair as never);
const makeRsaKey = promisify<'rsa', { readonly modulusLength: number }, { readonly privateKey: KeyObject }>(generateKeyPair as never);
/** No base64 holds a hyphen. */
const BOUNDARY = 'countersign-est';
/** A larger one takes seconds of a core. */
const RSA_BITS: readonly number[] = [2_048, 3_072, 4_096];
