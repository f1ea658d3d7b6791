import { create } from '@bufbuild/protobuf';
import {
  AnswerFieldSchema,
  type BoundTokens as WireTokens,
  BoundTokensSchema,
  CallRateSchema,
  type CertificateCadence,
  CertificateCadenceSchema,
  type Inbound,
  type TlsPolicy,
  TlsPolicySchema,
} from '../messages/generated/countersign/v1/settings_pb.ts';
import { identityFields } from '../http1/identity-field.ts';
import { answerFieldsOf, type BoundTokens, type HttpPolicy } from './http-policy.ts';
import type { Policy, Tier } from './policy.ts';
import { policyDigest } from './policy-digest.ts';
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

/** What proxies make of HTTP. */
export function compileHttp(
  http: HttpPolicy,
): Pick<Inbound, 'answerFields' | 'hostMatchesSni' | 'omittedIdentityFields'> &
  Partial<Pick<Inbound, 'boundTokens' | 'callerRate' | 'endpointRate'>> {
  return {
    answerFields: answerFieldsOf(http).map(([name, value]) => create(AnswerFieldSchema, { name, value })),
    hostMatchesSni: http.hostMatchesSni,
    omittedIdentityFields: identityFields.filter((name) => !http.identityFields.includes(name)),
    ...(http.rates.caller === null ? {} : { callerRate: create(CallRateSchema, http.rates.caller) }),
    ...(http.rates.endpoint === null ? {} : { endpointRate: create(CallRateSchema, http.rates.endpoint) }),
    ...(http.boundTokens === null ? {} : { boundTokens: compileTokens(http.boundTokens) }),
  };
}

function compileTokens({ issuer, audiences, keys }: BoundTokens): WireTokens {
  return create(BoundTokensSchema, { issuer, audiences: [...audiences], keys: keys.map((key) => JSON.stringify(key)) });
}

/** When a proxy renews by itself, and the epoch that asks it to renew now. */
export function compileCadence(policy: Policy, tier: Tier, renewalEpoch: number): CertificateCadence {
  return create(CertificateCadenceSchema, {
    renewAtPermille: policy.certificates.renewAtPermille[tier],
    renewalEpoch: BigInt(renewalEpoch),
    renewalSmearMs: policy.certificates.renewalSmearMs,
  });
}
