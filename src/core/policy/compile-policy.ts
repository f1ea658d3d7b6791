import { create } from '@bufbuild/protobuf';
import {
  AnswerFieldSchema,
  type BoundTokens as WireTokens,
  BoundTokensSchema,
  CallRateSchema,
  type CertificateCadence,
  CertificateCadenceSchema,
  EjectionSchema,
  HealthCheckSchema,
  type Inbound,
  type Outbound,
  RetryBudgetSchema,
  type TlsPolicy,
  TlsPolicySchema,
} from '../messages/generated/countersign/v1/settings_pb.ts';
import { identityFields } from '../http1/identity-field.ts';
import { type KeySourceDigest, keySourceDigest } from '../oidc/key-source.ts';
import type { DeclaredKey } from '../oidc/token-key.ts';
import { answerFieldsOf, type BoundTokens, type HttpPolicy } from './http-policy.ts';
import type { Policy, Tier } from './policy.ts';
import { policyDigest } from './policy-digest.ts';
import type { ReplicaPolicy } from './replica-policy.ts';
import { tlsVersionNumbers } from './tls-parameters.ts';

/** The policy as proxies take it. */
export function compileTlsPolicy(policy: Policy): TlsPolicy {
  return create(TlsPolicySchema, {
    minimumVersion: tlsVersionNumbers[policy.tls.minimumVersion],
    maximumVersion: tlsVersionNumbers[policy.tls.maximumVersion],
    groups: [...policy.tls.groups],
    suites: [...policy.tls.suites],
    policyDigest: policyDigest(policy),
  });
}

/** What proxies make of HTTP. `publishedKeys`: what issuers that publish their keys are known to have. */
export function compileHttp(
  http: HttpPolicy,
  publishedKeys: PublishedKeys,
): Pick<Inbound, 'answerFields' | 'hostMatchesSni' | 'omittedIdentityFields' | 'maximumBodyOctets'> &
  Partial<Pick<Inbound, 'boundTokens' | 'callerRate' | 'endpointRate'>> {
  return {
    answerFields: answerFieldsOf(http).map(([name, value]) => create(AnswerFieldSchema, { name, value })),
    hostMatchesSni: http.hostMatchesSni,
    maximumBodyOctets: BigInt(http.maximumBodyOctets ?? 0),
    omittedIdentityFields: identityFields.filter((name) => !http.identityFields.includes(name)),
    ...(http.rates.caller === null ? {} : { callerRate: create(CallRateSchema, http.rates.caller) }),
    ...(http.rates.endpoint === null ? {} : { endpointRate: create(CallRateSchema, http.rates.endpoint) }),
    ...(http.boundTokens === null ? {} : { boundTokens: compileTokens(http.boundTokens, publishedKeys) }),
  };
}

/** While nothing is known of a published set there is no key, and every call is refused. */
function compileTokens({ issuer, audiences, keys, published }: BoundTokens, publishedKeys: PublishedKeys): WireTokens {
  const known = published === null ? keys : (publishedKeys.get(keySourceDigest(published)) ?? []);
  return create(BoundTokensSchema, { issuer, audiences: [...audiences], keys: known.map((key) => JSON.stringify(key)) });
}

export type PublishedKeys = ReadonlyMap<KeySourceDigest, readonly DeclaredKey[]>;

/** What callers make of replicas. */
export function compileReplicas({
  retries,
  ejection,
  healthCheck,
}: ReplicaPolicy): Partial<Pick<Outbound, 'retries' | 'ejection' | 'healthCheck'>> {
  const { path, grpcService, ...checks } = healthCheck ?? { path: null, grpcService: null };
  return {
    ...(retries === null ? {} : { retries: create(RetryBudgetSchema, retries) }),
    ...(ejection === null ? {} : { ejection: create(EjectionSchema, ejection) }),
    ...(healthCheck === null
      ? {}
      : { healthCheck: create(HealthCheckSchema, { ...checks, path: path ?? '', ...(grpcService === null ? {} : { grpcService }) }) }),
  };
}

/** When a proxy renews by itself, and the epoch that asks it to renew now. */
export function compileCadence(policy: Policy, tier: Tier, renewalEpoch: number): CertificateCadence {
  return create(CertificateCadenceSchema, {
    renewAtPermille: policy.certificates.renewAtPermille[tier],
    renewalEpoch: BigInt(renewalEpoch),
    renewalSmearMs: policy.certificates.renewalSmearMs,
  });
}
