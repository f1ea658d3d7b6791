import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { TrustDomain } from '../identity/trust-domain.ts';
import type { TbsFields } from '../x509/build-certificate.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { CertificateRequest } from '../x509/certificate-request.ts';
import type { LintException } from '../x509/lint-rule.ts';
import type { Name } from '../x509/name.ts';
import type { Grant } from './grant.ts';
import type { AskerRole, Door, DrillFlaw, ProfileName } from './profile.ts';

/** Who asks, as the door proved it. */
export type Asker = {
  readonly role: AskerRole;
  /** Environments that the credential covers. */
  readonly scope: '*' | readonly string[];
  /** The identity that a data plane joins or renews as; null for everybody else. */
  readonly spiffeId: SpiffeId | null;
  /** The DNS names and addresses that it proved control of: all that the door `acme` certifies. Absent: none. */
  readonly provenNames?: readonly string[];
  /** What it is called, as profiles that name their askers know it. Absent: its SPIFFE ID. */
  readonly name?: string;
  /** What the one credential is for, if it is not for all that the role may have. */
  readonly grant?: Grant;
};

/** The key to certify, and what its CSR asks for besides; of a CSR whose self-signature was verified. */
export type RequestedKey = Pick<CertificateRequest, 'spki' | 'spkiSha256' | 'publicKeyKind' | 'subject' | 'subjectAltNames'>;

/** What is asked for. Names are texts as they came in. */
export type IssuanceOrder = {
  readonly door: Door;
  readonly asker: Asker;
  readonly environment: string;
  readonly key: RequestedKey;
  readonly spiffeId: SpiffeId | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** Distinguished name of an authority or of its OCSP responder; null for everything else, whose subject is empty. */
  readonly authorityName: Name | null;
  /** Whether its certificate carries the identifier of its key, by which its holder is known in messages of CMP (RFC 9483 section 3.1). Absent: only by the door `cmp`. */
  readonly keyIdentifier?: true;
  /** Absent: the profile's usual lifetime, cut at the end of the issuer's. */
  readonly lifetimeMs?: number;
  /** Absent: no flaw. */
  readonly flaw?: DrillFlaw;
};

/** Another CA that is asked to sign, as it was declared: what it may be asked for, and what is known of what it gives. */
export type OtherAuthority = {
  readonly name: string;
  /** Under which it may be asked. */
  readonly profiles: readonly ProfileName[];
  /** `api.example`; `*.example`, which is one label below it or that wildcard itself; addresses. */
  readonly allowedNames: readonly string[];
  /** How control of a name is shown to it. */
  readonly challenge: 'http-01' | 'dns-01';
  /** How long its last certificate for these names lasted, in milliseconds; null: it gave none yet. */
  readonly lifetimeMs: number | null;
};

/** What is so, as read before the decision. */
export type IssuanceFacts = {
  readonly trustDomain: TrustDomain;
  /** Null: the key signs itself (roots), or `other` signs. */
  readonly issuer: Certificate | null;
  /** The other CA that signs; absent: none, it is ours. */
  readonly other?: OtherAuthority;
  /** The environment that the issuing authority serves; `*` serves all. */
  readonly issuerEnvironment: string;
  /** http URI of the list on which the certificate would be revoked; null: the authority publishes none. */
  readonly crlUri: string | null;
  /** http URI of the authority's OCSP responder; absent or null: there is none. */
  readonly ocspUri?: string | null;
  /** http URI of the authority's own certificate; absent or null: it is published nowhere. */
  readonly issuerUri?: string | null;
  /** DNS names and addresses at which the control plane itself is reached; absent: none. */
  readonly reservedNames?: readonly string[];
  readonly identitySuspended: boolean;
  /** The key was reported compromised, or is otherwise barred. */
  readonly keyBlocked: boolean;
  /** Persons who approved of this very order; absent: none. */
  readonly approvals?: number;
};

/** All of the certificate but serial number and signature algorithm, and which lint rules it may break. */
export type CertificateTemplate = {
  readonly profile: ProfileName;
  readonly fields: Omit<TbsFields, 'serial' | 'signatureAlgorithm'>;
  readonly exceptions: readonly LintException[];
};

/** One rule that the order breaks: a stable word, and a sentence for the asker. */
export type IssuanceReason = { readonly rule: IssuanceRule; readonly message: string };

/** The rules of the evaluator, each with what it demands. */
export const issuanceRules = {
  asker: 'The profile names who may ask, by which door.',
  grant: 'A credential that is for some names, profiles and doors buys nothing else.',
  environment: 'The asker, the authority and the name belong to the environment of the order.',
  identity: 'The SPIFFE ID is one that the profile and the asker may have.',
  'reserved-name': 'Names under /countersign/, and the hosts of the control plane, are issued to itself, the probe and its drills only.',
  names: 'DNS names and addresses are well formed and such as the profile allows.',
  'csr-names': 'The CSR asks for no name that the order does not have.',
  'proven-names': 'By ACME a name is certified for whoever proved control of it.',
  permitted: 'The profile permits every name.',
  constraints: 'The issuing authority may certify every name: by its name constraints or, of another CA, by its declaration.',
  key: "The key is of a kind and size that the profile allows, not blocked, and not the authority's own.",
  lifetime: 'The lifetime lies within the bounds of the profile and of the issuing authority.',
  issuer: 'The issuing authority can sign this kind of certificate now; another CA is asked under the profiles that its declaration names.',
  suspended: 'A suspended identity gets no certificate.',
  approval: 'As many persons approved as the profile demands.',
  flaw: 'Only the drill profile issues flawed credentials, of the kinds that it names.',
} as const;
export type IssuanceRule = keyof typeof issuanceRules;
