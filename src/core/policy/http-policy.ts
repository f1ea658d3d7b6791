import { identityFields } from '../http1/identity-field.ts';
import type { KeySource } from '../oidc/key-source.ts';
import type { DeclaredKey } from '../oidc/token-key.ts';

/** Fields that proxies can put into answers on TLS, with the one value of each. */
export const answerFields = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const;
export type AnswerField = keyof typeof answerFields;

export type IdentityField = (typeof identityFields)[number];

/** Strict-Transport-Security (RFC 6797). */
export type Hsts = { readonly maxAgeSeconds: number; readonly includeSubDomains: boolean; readonly preload: boolean };

/** What HTTP looks like on an endpoint, both to callers and to the service. */
export type HttpPolicy = {
  /** On a connection with a server name in its ClientHello a call for another host is refused with 421. */
  readonly hostMatchesSni: boolean;
  /** Null: answers are as the service made them. */
  readonly hsts: Hsts | null;
  readonly answerFields: readonly AnswerField[];
  /** Which fields tell the service who its proved caller is. Whatever arrives under these names is stripped, listed or not. */
  readonly identityFields: readonly IdentityField[];
  /** Every call has to carry an access token that is bound to its caller's certificate (RFC 8705). Null: none is looked at. */
  readonly boundTokens: BoundTokens | null;
  /** How often one caller may call, and all of them together; null: as often as they like. */
  readonly rates: { readonly caller: CallRate | null; readonly endpoint: CallRate | null };
  /** The longest body of a call; null: any length. */
  readonly maximumBodyOctets: number | null;
};

/** `burst` calls at once, and from then on so many a second, in each process that serves. */
export type CallRate = { readonly perSecond: number; readonly burst: number };

/** Whose tokens are taken, and the public keys that sign them: those declared, or those that the issuer publishes. */
export type BoundTokens = {
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Empty where they are published. */
  readonly keys: readonly DeclaredKey[];
  readonly published: KeySource | null;
};

export const defaultHttpPolicy: HttpPolicy = {
  hostMatchesSni: false,
  hsts: null,
  answerFields: [],
  identityFields: ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert'],
  boundTokens: null,
  rates: { caller: null, endpoint: null },
  maximumBodyOctets: null,
};

/** The fields of a policy for answers on TLS, as name and value, names in lower case. */
export function answerFieldsOf({ hsts, answerFields: named }: HttpPolicy): readonly (readonly [name: string, value: string])[] {
  const strict = named.map((name) => [name, answerFields[name]] as const);
  return hsts === null ? strict : [[HSTS_FIELD, valueOf(hsts)], ...strict];
}

function valueOf({ maxAgeSeconds, includeSubDomains, preload }: Hsts): string {
  return `max-age=${maxAgeSeconds}${includeSubDomains ? '; includeSubDomains' : ''}${preload ? '; preload' : ''}`;
}

export const HSTS_FIELD = 'strict-transport-security';
/** Browsers that ship a list of hosts take none for less (hstspreload.org). */
export const PRELOAD_SECONDS = 31_536_000;
