import { create } from '@bufbuild/protobuf';
import {
  type CertificateCadence,
  CertificateCadenceSchema,
  type TlsPolicy,
  TlsPolicySchema,
} from '../messages/generated/countersign/v1/settings_pb.ts';
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

/** When a proxy renews by itself, and the epoch that asks it to renew now. */
export function compileCadence(policy: Policy, tier: Tier, renewalEpoch: number): CertificateCadence {
  return create(CertificateCadenceSchema, {
    renewAtPermille: policy.certificates.renewAtPermille[tier],
    renewalEpoch: BigInt(renewalEpoch),
    renewalSmearMs: policy.certificates.renewalSmearMs,
  });
}
