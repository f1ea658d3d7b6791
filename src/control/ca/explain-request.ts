import { type Decision, decideIssuance } from '../../core/issuance/decide-issuance.ts';
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
  /** `order`: another CA would be asked. */
  readonly verdict: 'issue' | 'order' | 'wait' | 'refuse';
  readonly rules: readonly RuleVerdict[];
  /** What the lint would say of the certificate; nothing where none could be made. */
  readonly lint: readonly { readonly rule: string; readonly clause: string; readonly message: string }[];
  readonly template: CertificateTemplate | null;
  /** What another CA may give: nothing of ours is signed. */
  readonly bounds: { readonly longestMs: number; readonly purposes: readonly string[] } | null;
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
  if (profile === null) return noProfile;
  const serial = newSerialNumber();
  const facts = {
    ...factsOf(authorities, issuer, { serial, approvals: 0 }),
    identitySuspended: spiffeId !== null && (await isSuspended(queries, spiffeId)),
    keyBlocked: csr !== null && (await isKeyCompromised(queries, csr.spkiSha256)),
  };
  const order = { ...orderOf(request as IssuanceRequest), key: csr ?? someKey(profile) };
  const decision = decideIssuance(now, profile, order, facts);
  const told = explain(profile, decision, csr === null ? OF_THE_KEY : []);
  if (csr === null || told.template === null) return told;
  const lint = lintOf(told.template, { authorities, issuer, serial }, now);
  return { ...told, lint, verdict: lint.length > 0 ? 'refuse' : told.verdict };
}

/** What was decided, told in full but for the lint; `unknown`: rules whose matter is not known. */
export function explain(profile: Profile, decision: Decision, unknown: readonly IssuanceRule[]): Explanation {
  const rules = explainDecision(decision, unknown);
  const told = { profile, rules, lint: [], template: null, bounds: null };
  switch (decision.kind) {
    case 'refuse': {
      const isWaiting = rules.every(({ rule, verdict }) => verdict !== 'broken' || rule === 'approval');
      return { ...told, verdict: isWaiting ? 'wait' : 'refuse' };
    }
    case 'order':
      return { ...told, verdict: 'order', bounds: decision };
    case 'issue':
      return { ...told, verdict: 'issue', template: decision.template };
    default:
      return decision satisfies never;
  }
}

/** Of a name that no profile has. */
export const noProfile: Explanation = { profile: null, verdict: 'refuse', rules: [], lint: [], template: null, bounds: null };

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
export function someKey({ keys }: Profile): RequestedKey {
  const curve = keys.curves[0];
  const publicKeyKind: RequestedKey['publicKeyKind'] =
    curve !== undefined
      ? { kind: 'ec', curve }
      : keys.ed25519
        ? { kind: 'ed25519' }
        : { kind: 'rsa', bits: keys.rsaBits?.min ?? 2_048, exponent: 65_537, pss: false };
  return { spki: new Uint8Array(), spkiSha256: '', publicKeyKind, subject: buildName([]), subjectAltNames: noNames };
}

/** What is judged of a CSR alone. */
export const OF_THE_KEY: readonly IssuanceRule[] = ['key', 'csr-names'];
