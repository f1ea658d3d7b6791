import { pinnedRoot } from '../../control/ca/authorities.ts';
import { buildCertsOnly } from '../../core/cms/certs-only.ts';
import type { ProblemCode } from '../../core/problems/codes.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { isUsableKey } from '../../core/x509/public-key.ts';
import { buildCertRep, type Outcome } from './cert-rep.ts';
import { type ScepDeps, takesLegacy } from './deps.ts';
import { enrol, poll, renew } from './enrol.ts';
import { getCertificate, getCertificateList } from './get-record.ts';
import { isSignedBySender, type PkiMessage, parsePkiMessage } from './pki-message.ts';
import { ScepRefusal, toRefusal } from './problems.ts';

/** What goes back to the client. */
export type ScepAnswer = { readonly status: number; readonly type: string; readonly body: string | Uint8Array };

/**
 * What is true here (RFC 8894 section 3.5.2): AES, SHA-256 and SHA-512, and older ones only as long as an exception lets them in. GetNextCACert is not among it, nor Update, which is what drafts of
 * long ago called Renewal.
 */
export function caCaps(deps: Pick<ScepDeps, 'legacyUntil'>, now: Instant): ScepAnswer {
  const old = takesLegacy(deps, now) ? ['SHA-1', 'DES3'] : [];
  return { status: 200, type: 'text/plain', body: `${[...CAPABILITIES, ...old].join('\n')}\n` };
}

/** Who takes messages, who signs certificates, and the roots, of which the one above who signs now is the first (RFC 8894 section 4.2.1.2). */
export function caCert({ authorities, registrationAuthority }: ScepDeps): ScepAnswer {
  const issuing = authorities.issuing.map(({ certificate }) => certificate.der);
  const current = pinnedRoot(authorities);
  const roots = [current, ...authorities.roots.filter((root) => root !== current)].map(({ der }) => der);
  const body = buildCertsOnly([registrationAuthority().certificate.der, ...issuing, ...roots]);
  return { status: 200, type: 'application/x-x509-ca-ra-cert', body };
}

/** Answers a message: its refusal is an answer too, signed as any. Without transaction or sender there is none to be given. @throws der-malformed; what fails inside */
export async function answerMessage(deps: ScepDeps, der: Uint8Array, now: Instant): Promise<ScepAnswer> {
  const message = parsePkiMessage(der);
  const outcome = await judge(deps, message, now);
  return { status: 200, type: 'application/x-pki-message', body: await buildCertRep(deps.registrationAuthority(), message, outcome) };
}

async function judge(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  try {
    return await handle(deps, message, now);
  } catch (error) {
    const refusal = toRefusal(error);
    if (refusal === null) throw error;
    const { failInfo, reason, code } = refusal;
    deps.log('warn', 'scep.refused', { type: message.type, transactionId: message.transactionId, failInfo, reason });
    // Counted whatever else was logged: of a certificate that has fallen the renewal itself logs nothing.
    await logRefusal(deps, { type: message.type, code: code === 'issuance-refused' ? code : 'token-refused' }, now);
    return { kind: 'failed', failInfo };
  }
}

async function handle(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const { signed, sender, type } = message;
  const exception = takesLegacy(deps, now) ? 'sha1' : 'none';
  if (signed.digest === null || signed.algorithm === null || (signed.digest === 'sha1' && exception === 'none'))
    throw new ScepRefusal('badAlg', 'the message is signed by an algorithm that is not taken');
  if (sender.publicKey.kind !== 'rsa' || sender.publicKey.pss || !isUsableKey(sender.publicKey))
    throw new ScepRefusal('badAlg', 'the key of the signer is not RSA of 2048 bits at least, to which the answer could be encrypted');
  if (!isSignedBySender(message, exception)) throw new ScepRefusal('badMessageCheck', 'the signature does not verify');
  switch (type) {
    case 'PKCSReq':
      return enrol(deps, message, now);
    case 'RenewalReq':
      return renew(deps, message, now);
    case 'CertPoll':
      return poll(deps, message, now);
    case 'GetCert':
      return getCertificate(deps, message, now);
    case 'GetCRL':
      return getCertificateList(deps, message, now);
    case null:
      throw new ScepRefusal('badRequest', 'a message of this type is not offered');
    default:
      return type satisfies never;
  }
}

async function logRefusal(
  { refusals, log }: ScepDeps,
  { type, code }: Pick<PkiMessage, 'type'> & { readonly code: ProblemCode },
  now: Instant,
): Promise<void> {
  await refusals
    .record({ route: `scep ${type ?? 'unknown'}`, code, principal: null }, now)
    .catch((err: unknown) => void log('error', 'refusal could not be logged', { err }));
}

/** @throws input-invalid for an operation that is none */
export function unknownOperation(): never {
  throw new Problem('input-invalid', 'Cannot read request: expected operation GetCACaps, GetCACert or PKIOperation');
}

/** SHA-384 is in no list of the RFC and taken all the same; strongSwan 5.9.8, which counts the lines wrong, reads from it that AES is. */
const CAPABILITIES = ['AES', 'POSTPKIOperation', 'Renewal', 'SHA-256', 'SHA-384', 'SHA-512', 'SCEPStandard'] as const;
