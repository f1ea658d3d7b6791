import { decideIssuance } from '../../core/issuance/decide-issuance.ts';
import { explainDecision, type RuleVerdict } from '../../core/issuance/explain-issuance.ts';
import type { CertificateTemplate, IssuanceRule, RequestedKey } from '../../core/issuance/issuance-order.ts';
import type { Profile } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { buildTbsCertificate } from '../../core/x509/build-certificate.ts';
import { noNames } from '../../core/x509/general-name.ts';
import { lintTbsCertificate } from '../../core/x509/lint-certificate.ts';
import { buildName } from '../../core/x509/name.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type Authorities, currentIssuer, type IssuingAuthority } from './authorities.ts';
import { isKeyCompromised } from './certificate-store.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { factsOf, findProfile, orderOf } from './prepare-certificate.ts';
import { isSuspended } from './revocation-store.ts';
import { newSerialNumber } from './serial-number.ts';

/** A request that may have no key yet: what is judged of a key is then not known. */
export type AskedRequest = Omit<IssuanceRequest, 'csr' | 'actor' | 'proxyId' | 'region'> & { readonly csr: CertificateRequest | null };

/** What every door would make of a request now. */
export type Explanation = {
  /** Null: there is no profile of this name, which is all that is to be said. */
  readonly profile: Profile | null;
  readonly verdict: 'issue' | 'wait' | 'refuse';
  readonly rules: readonly RuleVerdict[];
  /** What the lint would say of the certificate; nothing where none could be made. */
  readonly lint: readonly { readonly rule: string; readonly clause: string; readonly message: string }[];
  readonly template: CertificateTemplate | null;
};

/** Tells every rule's verdict by the evaluator that decides issuances, and the lint's; nothing is reserved, signed or logged. @throws state-conflict */
export async function explainRequest(
  deps: { readonly queries: Queries; readonly authorities: Authorities },
  request: AskedRequest,
  now: Instant,
): Promise<Explanation> {
  const { queries, authorities } = deps;
  const { csr, spiffeId } = request;
  const issuer = currentIssuer(authorities, now, request.issuerId);
  const profile = findProfile(authorities, request.environment, request.profile);
  if (profile === null) return { profile, verdict: 'refuse', rules: [], lint: [], template: null };
  const serial = newSerialNumber();
  const facts = {
    ...factsOf(authorities, issuer, { serial, approvals: 0 }),
    identitySuspended: spiffeId !== null && (await isSuspended(queries, spiffeId)),
    keyBlocked: csr !== null && (await isKeyCompromised(queries, csr.spkiSha256)),
  };
  const order = { ...orderOf(request as IssuanceRequest), key: csr ?? someKey(profile) };
  const decision = decideIssuance(now, profile, order, facts);
  const rules = explainDecision(decision, csr === null ? OF_THE_KEY : []);
  const broken = rules.filter(({ verdict }) => verdict === 'broken').map(({ rule }) => rule);
  if (decision.kind === 'refuse') {
    return { profile, verdict: broken.every((rule) => rule === 'approval') ? 'wait' : 'refuse', rules, lint: [], template: null };
  }
  if (decision.kind === 'order') throw new Error('an authority of ours signs, it orders nothing');
  const lint = csr === null ? [] : lintOf(decision.template, { authorities, issuer, serial }, now);
  return { profile, verdict: lint.length > 0 ? 'refuse' : 'issue', rules, lint, template: decision.template };
}

function lintOf(
  template: CertificateTemplate,
  { authorities, issuer, serial }: { readonly authorities: Authorities; readonly issuer: IssuingAuthority; readonly serial: Uint8Array },
  now: Instant,
): Explanation['lint'] {
  const tbs = buildTbsCertificate({ ...template.fields, serial, signatureAlgorithm: issuer.signer.algorithm });
  const { exceptions } = template;
  const blocked = authorities.blockedKeys === undefined ? {} : { blockedKeys: authorities.blockedKeys };
  const result = lintTbsCertificate(tbs, issuer.certificate, { now, exceptions, ...blocked });
  return result.kind === 'clean' ? [] : result.findings.map(({ rule, clause, message }) => ({ rule, clause, message }));
}

/** A key of a kind that the profile allows: without a CSR no rule of keys is told. */
function someKey({ keys }: Profile): RequestedKey {
  const curve = keys.curves[0];
  const publicKeyKind: RequestedKey['publicKeyKind'] =
    curve !== undefined
      ? { kind: 'ec', curve }
      : keys.ed25519
        ? { kind: 'ed25519' }
        : { kind: 'rsa', bits: keys.rsaBits?.min ?? 2_048, exponent: 65_537, pss: false };
  return { spki: new Uint8Array(), spkiSha256: '', publicKeyKind, subject: buildName([]), subjectAltNames: noNames };
}

const OF_THE_KEY: readonly IssuanceRule[] = ['key', 'csr-names'];
